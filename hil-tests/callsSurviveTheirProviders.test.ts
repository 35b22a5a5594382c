/** Programs that offer one service: they share its work, the next one finishes what a killed one had begun, and a caller that dies frees the one it was using. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { type Daemon, startDaemon, testFolder } from "./daemon.ts";
import { Program } from "./program.ts";
import { eventually } from "./waiting.ts";

const CONFIGURATION = "version: 1\nrobot: services\n";

async function daemonFor(t: TestContext): Promise<Daemon> {
  const folder = testFolder();
  const daemon = await startDaemon(folder.path, CONFIGURATION);
  t.after(async () => {
    await daemon.stop();
    folder.remove();
  });
  return daemon;
}

/** Works on each call for `ms`, says when it begins and ends, and how many it had at once. */
const worker = (name: string, capacity: number, ms: number): string => `
  let running = 0, most = 0;
  await client.offer("work", { capacity: ${capacity} }, async (body, { signal }) => {
    running += 1;
    most = Math.max(most, running);
    say({ began: body, most });
    await new Promise((resolve) => { const timer = setTimeout(resolve, ${ms}); signal.addEventListener("abort", () => { clearTimeout(timer); say({ aborted: body }); resolve(); }); });
    running -= 1;
    say({ finished: body });
    return { by: ${JSON.stringify(name)}, body };
  });
  say({ ready: true });`;

const began = (program: Program): number[] => program.lines.flatMap((line) => ((line as { began?: number }).began === undefined ? [] : [(line as { began: number }).began]));
const isReady = ({ ready }: { ready?: boolean }): boolean => ready === true;

test("a killed provider's calls are finished by the next one, each exactly once", async (t) => {
  const daemon = await daemonFor(t);
  const start = (name: string, ms: number): Program => new Program(t, daemon.socketPath, worker(name, 4, ms), { options: { name } });
  // The first one never comes to an end by itself.
  const first = start("first", 600_000);
  await first.hears("the first provider", isReady);
  const client = await daemon.connect("caller");
  t.after(() => client.close());
  const answers: { by: string; body: number }[] = [];
  const count = 12;
  const calls = Array.from({ length: count }, async (_, body) => answers.push((await client.request("work", body, { timeoutMs: 60_000 })) as { by: string; body: number }));
  await eventually("four calls run, the others wait", () => began(first).length === 4, { timeoutMs: 60_000 });
  const second = start("second", 1);
  await second.hears("the second provider", isReady);
  // It takes what waited; what the first one holds stays there until it dies.
  await eventually("the waiting ones are done", () => answers.length === count - 4, { timeoutMs: 60_000 });
  await first.kill();
  await Promise.all(calls);
  assert.deepEqual(answers.map(({ body }) => body).sort((a, b) => a - b), Array.from({ length: count }, (_, i) => i));
  assert.ok(answers.every(({ by }) => by === "second"));
  // What it says of itself comes by another way than its answers.
  await eventually("it has said so of each", () => began(second).length >= count, { timeoutMs: 60_000, last: () => began(second) });
  assert.deepEqual(began(second).sort((a, b) => a - b), Array.from({ length: count }, (_, i) => i), "nothing was asked of it twice");
  // Where twice would hurt, nobody is asked again.
  const third = start("third", 600_000);
  await third.hears("the third provider", isReady);
  // Two at once: one for each of the two that are there.
  const once = [client.request("work", 100, { idempotent: false, timeoutMs: 60_000 }), client.request("work", 101, { idempotent: false, timeoutMs: 60_000 })];
  const outcomes = Promise.allSettled(once);
  await eventually("the third has one of them", () => began(third).length > 0, { timeoutMs: 60_000 });
  await third.kill();
  const refused = (await outcomes).flatMap((outcome) => (outcome.status === "rejected" ? [String(outcome.reason)] : []));
  assert.equal(refused.length, 1);
  assert.match(refused[0]!, /302.*not known/);
});

test("three providers share the work, none above its capacity", async (t) => {
  const daemon = await daemonFor(t);
  // None comes to an end before it is told to: who is slow on a busy machine has its part all the same.
  const source = `
    let running = 0, most = 0, go;
    const told = new Promise((resolve) => (go = resolve));
    onAsk(() => go());
    await client.offer("work", { capacity: 2 }, async (body) => {
      running += 1;
      most = Math.max(most, running);
      say({ began: body, most });
      await told;
      running -= 1;
      return { body, most };
    });
    say({ ready: true });`;
  const workers = ["a", "b", "c"].map((name) => new Program(t, daemon.socketPath, source, { options: { name } }));
  for (const each of workers) await each.hears("a provider", isReady);
  const client = await daemon.connect("caller");
  t.after(() => client.close());
  const answers = Promise.all(Array.from({ length: 60 }, (_, body) => client.request("work", body, { timeoutMs: 120_000 }) as Promise<{ body: number; most: number }>));
  await eventually("each has as much as it takes", () => workers.every((each) => began(each).length === 2), { timeoutMs: 60_000, last: () => workers.map(began) });
  assert.deepEqual(workers.flatMap(began).sort((a, b) => a - b), [0, 1, 2, 3, 4, 5], "the first six, and the others wait");
  for (const each of workers) each.child.stdin!.write("go\n");
  assert.deepEqual((await answers).map(({ body }) => body), Array.from({ length: 60 }, (_, i) => i));
  assert.deepEqual([...new Set((await answers).map(({ most }) => most))], [2], "never more than two at once");
});

test("a caller that dies frees its provider for the next one", async (t) => {
  const daemon = await daemonFor(t);
  const provider = new Program(t, daemon.socketPath, worker("provider", 1, 600_000), { options: { name: "provider" } });
  await provider.hears("the provider", isReady);
  const caller = new Program(t, daemon.socketPath, `client.request("work", 1, { timeoutMs: 600_000 }).catch(() => {});`, { options: { name: "caller" } });
  await provider.hears("its call", ({ began: body }: { began?: number }) => body === 1);
  await caller.kill();
  await provider.hears("the end of the caller", ({ aborted }: { aborted?: number }) => aborted === 1);
  const client = await daemon.connect("next");
  t.after(() => client.close());
  const next = assert.rejects(client.request("work", 2, { timeoutMs: 60_000 }), /302.*no other/);
  await provider.hears("the next call", ({ began: body }: { began?: number }) => body === 2);
  await provider.kill();
  await next;
});

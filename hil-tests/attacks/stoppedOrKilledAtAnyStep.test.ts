/** Programs that stop or die between any two messages of the protocol, and a gateway that stands still: nobody else loses anything, and nothing stays behind. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type Daemon, startDaemon, testFolder } from "../daemon.ts";
import { Program } from "../program.ts";
import { eventually, isAlive, standsStill } from "../waiting.ts";
import { configuration, Innocents, policyText, users } from "./control/innocents.ts";
import { openDescriptors } from "./control/run.ts";
import { stepNames, stoppedAt } from "./control/steps.ts";

const notRoot = process.getuid?.() === 0 ? false : "only root can run programs as other users";
/** So many start at once: each is a Node process. */
const TOGETHER = 5;

async function start(t: TestContext): Promise<{ daemon: Daemon; folder: string }> {
  const folder = testFolder();
  chmodSync(folder.path, 0o755);
  writeFileSync(join(folder.path, "policy.yaml"), policyText);
  const daemon = await startDaemon(folder.path, `${configuration}policy: policy.yaml\n`);
  t.after(async () => {
    daemon.process.kill("SIGCONT");
    await daemon.stop();
    // The socket is gone with the gateway; what is left is what this test has put there, and the lock of the socket.
    assert.deepEqual(readdirSync(folder.path).sort(), ["ipcnet.sock.lock", "ipcnet.yaml", "policy.yaml"]);
    folder.remove();
  });
  chmodSync(daemon.socketPath, 0o666);
  return { daemon, folder: folder.path };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

test("stopped or killed between any two messages: the others go on, and all that was theirs is given back", { skip: notRoot }, async (t) => {
  const { daemon } = await start(t);
  const pid = daemon.process.pid!;
  const innocents = await Innocents.start(t, daemon.socketPath);
  const before = openDescriptors(pid);
  const stopped: ChildProcess[] = [];
  for (let i = 0; i < stepNames.length; i += TOGETHER) stopped.push(...await Promise.all(stepNames.slice(i, i + TOGETHER).map((step) => stoppedAt(t, daemon.socketPath, step, users.peer))));
  // All of them stand still at once; those that had attached hold up lossless writers until their deadline.
  await innocents.goOn();
  for (const [i, child] of stopped.entries()) child.kill(i % 2 ? "SIGKILL" : "SIGCONT");
  await Promise.all(stopped.map(ended));
  await innocents.goOn();
  await eventually("the gateway has closed what they had", () => openDescriptors(pid) <= before, { timeoutMs: 60_000, last: () => [openDescriptors(pid), before] });
  t.diagnostic(`${stopped.length} programs, each at its step; ${JSON.stringify(await innocents.compare())}`);
});

test("a gateway that stands still: lanes flow on without it, and what waited for it goes on afterwards; stopped members of the group cost themselves alone", { skip: notRoot }, async (t) => {
  const { daemon } = await start(t);
  const innocents = await Innocents.start(t, daemon.socketPath);
  daemon.process.kill("SIGSTOP");
  await innocents.goOn({ calls: false });
  daemon.process.kill("SIGCONT");
  await innocents.goOn();
  // The provider: calls wait for it, messages do not.
  innocents.provider.child.kill("SIGSTOP");
  await innocents.goOn({ calls: false });
  innocents.provider.child.kill("SIGCONT");
  await innocents.goOn();
  // The writer: its readers wait, nothing is taken for its end.
  innocents.talker.child.kill("SIGSTOP");
  const caller = (): Promise<{ called: number }> => innocents.caller.ask<{ called: number }>("?");
  const called = (await caller()).called;
  await eventually("calls go on", async () => (await caller()).called >= called + 5, { timeoutMs: 60_000 });
  innocents.talker.child.kill("SIGCONT");
  await innocents.goOn();
  t.diagnostic(JSON.stringify(await innocents.compare()));
  assert.ok(await isAlive(daemon.process.pid!));
});

/** A listener that stops at one place of its own life; continued, it goes on and knows exactly what it has missed. */
const listenerSteps = ["connected", "subscription sent", "subscribed", "at its first message", "in the middle", "leaving"] as const;

const listenerAt = (step: (typeof listenerSteps)[number]): string => `
  let next, wrong = 0, lost = 0, heard = 0, left = false;
  const stop = (at) => { if (at === ${JSON.stringify(step)}) { say({ at }); process.kill(process.pid, "SIGSTOP"); } };
  onAsk(() => say({ heard, wrong, lost, left }));
  stop("connected");
  const subscribing = client.subscribe("app/strict", { policy: "lossless" }, ({ value, lostBefore }) => {
    if (next !== undefined && value !== next + lostBefore) wrong += 1;
    next = value + 1;
    lost += lostBefore;
    heard += 1;
    if (heard === 1) stop("at its first message");
    if (heard === 100) stop("in the middle");
  });
  stop("subscription sent");
  const subscription = await subscribing;
  stop("subscribed");
  if (${JSON.stringify(step)} === "leaving") {
    const closing = subscription.close();
    stop("leaving");
    await closing;
    left = true;
  }`;

test("a listener that stops at any step costs itself alone, and is told exactly what it has missed", { skip: notRoot }, async (t) => {
  const { daemon } = await start(t);
  const innocents = await Innocents.start(t, daemon.socketPath);
  const before = openDescriptors(daemon.process.pid!);
  const listeners = listenerSteps.map((step) => new Program(t, daemon.socketPath, listenerAt(step), { who: { uid: users.peer, gid: users.peer } }));
  for (const [i, each] of listeners.entries()) {
    assert.deepEqual(await each.line(0), { at: listenerSteps[i] });
    await standsStill(each.child.pid!);
  }
  // All stand still at once; the writer waits for those that had attached, once, until their deadline.
  await innocents.goOn();
  await innocents.goOn();
  for (const { child } of listeners) child.kill("SIGCONT");
  for (const [i, each] of listeners.entries()) {
    await eventually(`${listenerSteps[i]}: it goes on`, async () => {
      const { heard, left } = await each.ask<{ heard: number; left: boolean }>("?");
      return left || heard > 150;
    }, { timeoutMs: 60_000, last: () => each.lines.at(-1) });
    const { wrong } = await each.ask<{ wrong: number }>("?");
    assert.equal(wrong, 0, listenerSteps[i]);
  }
  await innocents.goOn();
  for (const each of listeners) await each.kill();
  await eventually("the gateway has closed what they had", () => openDescriptors(daemon.process.pid!) <= before, { timeoutMs: 60_000, last: () => [openDescriptors(daemon.process.pid!), before] });
  t.diagnostic(JSON.stringify(await innocents.compare()));
});

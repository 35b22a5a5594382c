import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../schemas/clock.ts";
import { runCli } from "./main.ts";
import { MemoryClient, memoryContext, type MemoryContext } from "./memory.ts";

interface Run extends MemoryContext {
  client: MemoryClient;
  ended: Promise<number>;
}

function start(argv: readonly string[], prepare: (client: MemoryClient) => void = () => undefined): Run {
  const client = new MemoryClient();
  prepare(client);
  const context = memoryContext({ services: { connect: client.connect, clock: new ManualClock() } });
  return Object.assign(context, { client, ended: runCli(argv, context) });
}

const providers = (client: MemoryClient): void => {
  const planner = { component: "planner", name: "plan.py", uid: 1000, pid: 7, group: "fast", capacity: 4, running: 1, leaving: false, description: "finds ways" };
  client.found.set("services", [
    { service: "gateway/status", waiting: 0, providers: [{ component: "gateway", name: "gateway", uid: 0, pid: 1, group: "", running: 0, leaving: false, description: "" }] },
    { service: "arm/plan", waiting: 2, providers: [planner, { ...planner, pid: 8, group: "", capacity: 1, leaving: true, description: "a\u001b[2Jb" }] },
  ]);
};

test("services: a line for each provider, or one object a line; nothing found is exit code 1", async () => {
  const run = start(["services"], providers);
  assert.equal(await run.ended, 0);
  assert.deepEqual(run.stdout.lines, [
    "arm/plan        plan.py (planner, pid 7)  group fast  1/4 running  2 waiting  finds ways",
    "                plan.py (planner, pid 8)              1/1 running  leaving  a\ufffd[2Jb",
    "gateway/status  gateway                               0 running",
  ]);
  const json = start(["services", "arm/+", "--json"], providers);
  assert.equal(await json.ended, 0);
  assert.deepEqual(json.stdout.lines.map((line) => (JSON.parse(line) as { waiting: number }).waiting), [2]);
  assert.equal(await start(["services", "x"], providers).ended, 1);
});

test("find: entries of a kind; an unknown kind is wrong usage", async () => {
  const prepare = (client: MemoryClient): void => void client.found.set("resources", [{ name: "camera", kind: "device", modes: ["read"] }]);
  const run = start(["find", "resources"], prepare);
  assert.equal(await run.ended, 0);
  assert.deepEqual(run.stdout.lines, ['name=camera kind=device modes=["read"]']);
  assert.equal(await start(["find", "secrets"], prepare).ended, 2);
});

test("call: the answer, or the items as they come; the body is JSON; refusals are exit codes", async () => {
  const prepare = (client: MemoryClient): void => {
    client.services.set("double", (body) => ({ doubled: Number(body) * 2 }));
    client.services.set("nothing", () => undefined);
    client.services.set("count", async function* count() {
      yield 1;
      yield { two: 2 };
    });
  };
  const one = start(["call", "double", "21", "--timeout-ms", "50", "--once", "--group", "fast"], prepare);
  assert.equal(await one.ended, 0);
  assert.deepEqual(one.stdout.lines, ["doubled=42"]);
  const { timeoutMs, idempotent, group } = one.client.calls[0]!.options!;
  assert.deepEqual([timeoutMs, idempotent, group], [50, false, "fast"]);
  const many = start(["call", "count", "--json"], prepare);
  assert.equal(await many.ended, 0);
  assert.deepEqual(many.stdout.lines, ["1", '{"two":2}']);
  const none = start(["call", "nothing"], prepare);
  assert.equal(await none.ended, 0);
  assert.deepEqual(none.stdout.lines, []);
  assert.equal(await start(["call", "double", "{"], prepare).ended, 2);
  assert.equal(await start(["call", "nowhere"], prepare).ended, 2);
});

test("call: Ctrl-C cancels the call", async () => {
  let cancelled = false;
  let begun = (): void => {};
  const running = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const run = start(["call", "endless"], (client) => client.services.set("endless", async function* endless() {
    begun();
    await new Promise<void>((resolve) => client.calls[0]!.options!.signal!.addEventListener("abort", () => resolve(), { once: true }));
    cancelled = true;
    yield "late";
  }));
  await running;
  run.abort("SIGINT");
  await run.ended;
  assert.ok(cancelled);
});

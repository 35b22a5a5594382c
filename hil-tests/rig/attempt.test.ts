/** Attempts with the real agent on this machine, as on a bench: each ends with a result, whatever the behaviour and the machine do. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { Agent } from "./agent.ts";
import { type Attempt, attempt } from "./attempt.ts";
import type { Behaviour } from "./behaviour.ts";
import type { Rig } from "./rig.ts";
import { Clocks } from "./timeline.ts";

const program = join(import.meta.dirname, "../../../../hil-tests/rig/guest/agent.py");
const skip = spawnSync("python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"]).status === 0 ? false : "there is no python3";

interface Tried extends Attempt {
  /** Whether a script can still be run there afterwards. */
  answers: boolean;
}

async function tried(run: (rig: Rig, board: { child: ChildProcess; agent: Agent; stop: AbortController }) => Promise<void>, more: Partial<Behaviour> = {}, before: (agent: Agent, child: ChildProcess) => Promise<void> = () => Promise.resolve()): Promise<Tried> {
  const child = spawn("python3", [program, "-"], { stdio: ["pipe", "pipe", "inherit"] });
  const closed = once(child, "close");
  const agent = new Agent(child.stdout, child.stdin);
  const stop = new AbortController();
  try {
    await agent.ready;
    await before(agent, child);
    const behaviour: Behaviour = { name: "a sentence", bench: "by hand", needs: { machine: "plain", devices: [] }, isLoad: true, run: (rig) => run(rig, { child, agent, stop }), ...more };
    const made = await attempt({ file: "aFile", behaviour }, { kind: "plain", boards: [{ agent: () => agent, machine: undefined, clocks: new Clocks(), who: undefined }], place: { repository: "/", node: "node", ownModules: undefined }, stop: stop.signal, atMs: 0 });
    const answers = await agent.run("true").then(({ code }) => code === 0, () => false);
    return { ...made, answers };
  } finally {
    child.stdin.end();
    await closed;
  }
}

test("what holds has passed, with its steps and figures; what does not has failed, and says why", { skip }, async () => {
  const passed = await tried(async (rig) => {
    await rig.step("a step", async () => assert.equal(await rig.sh("echo on"), "on\n"));
    rig.figure("so many", 3);
  });
  assert.deepEqual([passed.result.verdict, passed.result.steps, passed.result.figures, passed.isSpent, passed.answers], ["passed", [{ name: "a step", verdict: "passed", text: "" }], [["so many", "3"]], false, true]);
  const failed = await tried((rig) => rig.step("a step", () => Promise.reject(new Error("it does not"))));
  assert.deepEqual([failed.result.verdict, failed.result.steps[0]!.verdict, failed.isSpent, failed.answers], ["failed", "failed", false, true]);
  assert.match(failed.result.why, /it does not/);
});

test("of a script each command counts; of a look each one runs", { skip }, async () => {
  const { result } = await tried((rig) => rig.sh("false; echo on").then(() => undefined));
  assert.equal(result.verdict, "failed");
  const looked = await tried(async (rig) => assert.equal((await rig.run("false; echo on")).out, "on\n"));
  assert.equal(looked.result.verdict, "passed");
});

test("what cannot be tried is skipped: the whole, or a step of it", { skip }, async () => {
  const whole = await tried((rig) => Promise.resolve(rig.skip("no hands")));
  assert.deepEqual([whole.result.verdict, whole.result.why], ["skipped", "no hands"]);
  const step = await tried(async (rig) => {
    await rig.step("with hands", () => Promise.resolve(rig.skip("no hands")));
    await rig.step("without", () => Promise.resolve());
  });
  assert.deepEqual([step.result.verdict, whole.lacking, step.lacking], ["passed", ["no hands"], ["no hands"]]);
  assert.deepEqual(step.result.steps.map(({ name, verdict, text }) => [name, verdict, text]), [["with hands", "skipped", "no hands"], ["without", "passed", ""]]);
});

test("given up, it says for what it waited when it is its own wait; and whatever it still asks for is refused", { skip }, async () => {
  const said: unknown[] = [];
  let begun!: Rig;
  let isOver!: () => void;
  const over = new Promise<void>((resolve) => (isOver = resolve));
  const { result, isSpent } = await tried(async (rig) => {
    begun = rig;
    await over;
    try {
      rig.start("echo late");
    } catch (error) {
      said.push((error as Error).message);
    }
    rig.note("late");
    isOver();
  }, { timeoutMs: 200 });
  assert.deepEqual([result.verdict, isSpent], ["failed", true]);
  assert.match(result.why, /not within 0\.2 s/);
  isOver();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(said, ["this behaviour has been given up"]);
  await assert.rejects(begun.run("true"), /given up/);
  await assert.rejects(begun.eventually("it", () => true), /given up/);
  await assert.rejects(begun.step("late", () => Promise.resolve()), /given up/);
  assert.ok(!result.entries.some(({ text }) => text === "late"));
});

test("a wait of its own ends before the behaviour's time does, with what was seen last", { skip }, async () => {
  const { result, isSpent } = await tried((rig) => rig.eventually("the moon", () => false, () => "a cloud").then(() => undefined), { timeoutMs: 5_000 });
  assert.deepEqual([result.verdict, isSpent], ["failed", false]);
  assert.match(result.why, /the moon: not within .*a cloud/);
});

test("a machine that dies before it, or in it, is how it failed", { skip }, async () => {
  const gone = async (_agent: Agent, child: ChildProcess): Promise<void> => {
    child.kill("SIGKILL");
    await once(child, "close");
  };
  const before = await tried(() => Promise.resolve(), { isLoad: false }, gone);
  assert.deepEqual([before.result.verdict, before.answers], ["failed", false]);
  assert.match(before.result.why, /gone/);
  const within = await tried(async (rig, { child, agent }) => {
    await gone(agent, child);
    await rig.sh("true");
  });
  assert.deepEqual([within.result.verdict, within.answers], ["failed", false]);
});

test("whoever ends the run says how it failed", { skip }, async () => {
  const { result, isSpent } = await tried(async (rig, { stop }) => {
    stop.abort(new Error("not finished: SIGINT"));
    await rig.eventually("nothing", () => false);
  });
  assert.deepEqual([result.verdict, isSpent], ["failed", true]);
  assert.match(result.why, /not finished: SIGINT/);
});

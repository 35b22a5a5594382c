import assert from "node:assert/strict";
import { test } from "node:test";
import { SafePoseSequence } from "../../failsafe/safePose/sequence.ts";
import { Supervisor } from "./supervisor.ts";

function rig({ autoDisarmAfterSilentMs = 0 } = {}) {
  const log: string[] = [];
  const state = { missing: [] as string[], velocity: 1 };
  const sequence = new SafePoseSequence({ budgetMs: 500, steps: [{ name: "hold", sendCount: 1, until: [{ label: "velocity", holds: (value) => value === 0, holdMs: 0, ageMsMax: 100 }], deadlineMs: 200, onTimeout: "fail", resendMs: 20 }] });
  const read = () => ({ value: state.velocity, ageMs: 0 });
  const supervisor = new Supervisor({
    missing: () => [...state.missing],
    clearCommands: () => log.push("clear"),
    pose: { start: (why, nowUs) => sequence.start(why, nowUs, read), poll: (nowUs) => sequence.poll(nowUs, read), nextDeadlineUs: () => sequence.nextDeadlineUs(), send: () => log.push("send") },
    stateChanged: (from, to, why) => log.push(`${from}→${to}: ${why}`),
  }, { autoDisarmAfterSilentMs });
  return { supervisor, log, state };
}

test("arming is refused with everything that is missing", () => {
  const { supervisor, state, log } = rig();
  state.missing = ["node elbow has not been seen", "bus arm is dead"];
  assert.deepEqual(supervisor.arm("operator", 0), state.missing);
  assert.equal(supervisor.armed, false);
  assert.deepEqual(log, []);
  state.missing = [];
  assert.deepEqual(supervisor.arm("operator", 0), []);
  assert.equal(supervisor.armed, true);
});

test("losing something while armed runs the safe pose; commands are cleared before its first frame", async () => {
  const { supervisor, log, state } = rig();
  supervisor.arm("operator", 0);
  log.length = 0;
  supervisor.lost("node elbow is lost", 1_000);
  assert.deepEqual(log.slice(0, 3), ["clear", "send", "armed→safePose: node elbow is lost"]);
  const verdict = supervisor.safePose("Ctrl-C", 2_000);
  state.velocity = 0;
  supervisor.poll(50_000);
  assert.equal((await verdict).verdict, "posed");
  assert.equal(supervisor.state, "posed");
});

test("after the pose a reset permits arming, it does not arm", async () => {
  const { supervisor, state } = rig();
  state.velocity = 0;
  await supervisor.safePose("stop button", 0);
  assert.match(supervisor.arm("operator", 1)[0]!, /reset it first/);
  supervisor.reset("operator", 2);
  assert.equal(supervisor.state, "disarmed");
  assert.deepEqual(supervisor.arm("operator", 3), []);
});

test("a failed pose is a fault, and says so to everybody who waited", async () => {
  const { supervisor } = rig();
  const [first, second] = [supervisor.safePose("a", 0), supervisor.safePose("b", 10)];
  for (let nowUs = 0; nowUs <= 600_000; nowUs += 10_000) supervisor.poll(nowUs);
  assert.deepEqual([(await first).verdict, (await second).verdict], ["failed", "failed"]);
  assert.equal(supervisor.state, "fault");
});

test("armed without any command for too long: disarmed again", () => {
  const { supervisor, log } = rig({ autoDisarmAfterSilentMs: 1_000 });
  supervisor.arm("operator", 0);
  supervisor.commandPassed(900_000);
  supervisor.poll(1_900_000);
  assert.equal(supervisor.armed, true);
  supervisor.poll(1_900_001);
  assert.equal(supervisor.state, "disarmed");
  assert.equal(log.at(-1), "armed→disarmed: no command for 1000 ms");
});

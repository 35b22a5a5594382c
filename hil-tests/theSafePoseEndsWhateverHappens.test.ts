/** Whatever ends the gateway or its robot's motion: the safe pose runs, it ends within its budget, and its verdict is true. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { PoseVerdict } from "../failsafe/safePose/sequence.ts";
import { ArmRig, type ArmRigOptions, moveTo } from "./armRig.ts";
import { eventually, isAlive } from "./waiting.ts";

/** An armed arm in motion. */
async function moving(t: TestContext, options: ArmRigOptions = {}): Promise<ArmRig> {
  const rig = await ArmRig.start(options);
  t.after(() => rig.stop());
  await rig.arm();
  const commands = rig.commandAll(() => moveTo(1.5), { rateHz: 50, ttlMs: 200 });
  t.after(() => commands.stop());
  await eventually("motion", () => rig.joint("base").joint.velocityRadS > 0.3);
  return rig;
}

/** Short deadlines for those who must fail. */
const hurried: ArmRigOptions["configure"] = ({ safePose }) => {
  safePose["budgetMs"] = 1_200;
  for (const step of safePose["steps"] as Record<string, unknown>[]) Object.assign(step, { deadlineMs: 600, onTimeout: "fail" });
};

function assertPosed(rig: ArmRig, verdict: PoseVerdict | undefined): void {
  assert.equal(verdict?.verdict, "posed", rig.daemon.log());
  assert.deepEqual(verdict.steps.map(({ name, result }) => [name, result]), [["stop", "reached"], ["park", "reached"]]);
  assert.ok(verdict.tookMs <= verdict.budgetMs);
  for (const joint of rig.joints) assert.ok(Math.abs(rig.joint(joint).joint.positionRad) < 0.05, `${joint} is parked`);
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal}: posed, exit code 0`, async (t) => {
    const rig = await moving(t);
    rig.daemon.process.kill(signal);
    const { code, verdict } = await rig.daemon.ended;
    assertPosed(rig, verdict);
    assert.equal(code, 0);
    assert.equal(existsSync(rig.daemon.socketPath), false);
  });
}

test("a second SIGINT and a SIGTERM in the middle of it change nothing", async (t) => {
  const rig = await moving(t);
  rig.daemon.process.kill("SIGINT");
  await eventually("the safe pose running", () => rig.daemon.log().includes("[safePose]"));
  rig.daemon.process.kill("SIGINT");
  rig.daemon.process.kill("SIGTERM");
  const { code, verdict } = await rig.daemon.ended;
  assertPosed(rig, verdict);
  assert.equal(code, 0);
});

test("its standard input ends, as when its parent is gone: posed", async (t) => {
  const rig = await moving(t);
  rig.daemon.process.stdin!.end();
  const { code, verdict } = await rig.daemon.ended;
  assertPosed(rig, verdict);
  assert.equal(code, 0);
});

test("the service, asked for by a program that is killed meanwhile: posed, and the gateway lives on", async (t) => {
  const rig = await moving(t);
  const program = `const { connect } = await import(${JSON.stringify(join(import.meta.dirname, "../shm/client/index.js"))});
    const client = await connect({ socketPath: ${JSON.stringify(rig.daemon.socketPath)}, name: "killed" });
    void client.request("gateway/safe-pose", { why: "stop button" }, { timeoutMs: 20_000 });`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: "ignore" });
  const closed = once(child, "close");
  await eventually("the safe pose running", () => rig.daemon.log().includes("[safePose]"), { timeoutMs: 60_000 });
  child.kill("SIGKILL");
  await closed;
  const { stateReason } = await rig.until("posed", ({ state }) => state === "posed");
  assert.equal(stateReason, "safe pose posed");
  // Joining it twice is asking for it once more: it is reached at once.
  const verdicts = (await Promise.all([1, 2].map(() => rig.client.request("gateway/safe-pose", {}, { timeoutMs: 15_000 })))) as PoseVerdict[];
  assert.deepEqual(verdicts[0], verdicts[1]);
  assertPosed(rig, verdicts[0]);
});

test("a required node is lost while armed: the safe pose runs for the others, and says what it could not measure", async (t) => {
  // In the time of each step the other joint gets there on a busy machine, too.
  const rig = await moving(t, { configure: ({ safePose }) => {
    safePose["budgetMs"] = 12_000;
    for (const step of safePose["steps"] as Record<string, unknown>[]) Object.assign(step, { deadlineMs: 6_000, onTimeout: "fail" });
  } });
  rig.joint("shoulder").silence();
  const status = await rig.until("fault", ({ state }) => state === "fault" || state === "posed", 60_000);
  assert.equal(status.state, "fault");
  await eventually("both are logged, in this order", () => /node shoulder on arm is lost.*\n(.*\n)*.*armed → safePose/.test(rig.daemon.log()), { last: () => rig.daemon.log() });
  await rig.client.close();
  const { code, verdict } = await rig.daemon.stop();
  assert.equal(verdict?.verdict, "failed");
  assert.ok(verdict.steps[0]!.missing.every((condition) => condition.includes("shoulder")), JSON.stringify(verdict));
  assert.equal(code, 1);
  assert.ok(Math.abs(rig.joint("base").joint.velocityRadS) < 0.02);
});

test("joints that never stop: failed, within the budget, exit code 1", async (t) => {
  const rig = await moving(t, { configure: hurried });
  for (const joint of rig.joints) {
    rig.joint(joint).deaf = true;
    // Its dead-man does not work either.
    Object.defineProperty(rig.joint(joint).joint, "velocityRadS", { get: () => 0.7, set: () => undefined });
  }
  rig.daemon.process.kill("SIGTERM");
  const { code, verdict } = await rig.daemon.ended;
  assert.equal(verdict?.verdict, "failed");
  assert.equal(verdict.steps.length, 2, "every step was tried");
  assert.notEqual(verdict.steps[0]!.result, "reached");
  assert.ok(verdict.tookMs >= 1_200, "each step had its time");
  assert.equal(code, 1);
});

test("kill -9: the joints stop by themselves, and the next start works at once", async (t) => {
  const rig = await moving(t);
  const { pid } = rig.daemon.process;
  rig.daemon.process.kill("SIGKILL");
  await rig.daemon.ended;
  assert.equal(await isAlive(pid!), false);
  await eventually("the joints' own stop", () => rig.joints.every((joint) => rig.joint(joint).joint.velocityRadS === 0));
  for (const joint of rig.joints) assert.equal(rig.joint(joint).joint.fault, "CommandLost");
  await rig.startDaemon();
  assert.equal((await rig.status()).state, "disarmed");
  await rig.arm();
  // The joints refuse the first frames of a sender that starts anew (docs/specs/e2e.md).
  const again = rig.commandAll(() => moveTo(0.2), { rateHz: 50, ttlMs: 200 });
  t.after(() => again.stop());
  await eventually("motion again", () => rig.joint("base").joint.mode === "Move");
});

/** Something cannot be trusted any more: the pose begins at once, programs are not asked, not even when the service is stopped then; and only a reset, which moves nothing, leads out of it. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { attachInProcess } from "../drivers/can/emulator/inProcess.ts";
import { Status } from "../shm/client/index.ts";
import { ArmRig, commandId, LIFE_MS, moveTo, patient, refusal } from "./armRig.ts";
import { Program } from "./program.ts";
import { eventually } from "./waiting.ts";

/** An armed arm in motion whose programs would have a minute before a pose. */
async function moving(t: TestContext, compromise: readonly string[]): Promise<ArmRig> {
  const rig = await ArmRig.start({ joints: ["base"], configure: (configuration) => {
    patient(configuration);
    Object.assign(configuration.safePose, { prepareMs: 60_000, compromise });
  } });
  t.after(() => rig.stop());
  await rig.arm();
  const commands = rig.commandAll(() => moveTo(1.5), { rateHz: 50, ttlMs: LIFE_MS });
  t.after(() => commands.stop());
  await eventually("motion", () => rig.joint("base").joint.velocityRadS > 0.3);
  return rig;
}

test("an operator says so: posed, latched; a stop after it tells nobody", async (t) => {
  const rig = await moving(t, []);
  const slow = new Program(t, rig.daemon.socketPath, "client.onLeaving(() => say({ told: true })); client.onClose(() => say({ closed: true })); say({ ready: true });", { options: { name: "slow" } });
  await slow.hears("the program", ({ ready }: { ready?: boolean }) => ready === true);
  const verdict = (await rig.client.request("gateway/safe-pose", { compromise: true, why: "compromise: a stolen key" }, { timeoutMs: 60_000 })) as { verdict: string; trigger: string; why: string };
  assert.deepEqual([verdict.verdict, verdict.trigger], ["posed", "compromise"]);
  assert.match(verdict.why, /a stolen key \(a compromise, says .*pid \d+/);
  const { pose, missingForArming } = await rig.status();
  assert.deepEqual([pose?.trigger, pose?.latched], ["compromise", true]);
  assert.match(missingForArming[0]!, /reset it first/);
  assert.equal((await refusal(rig.client.request("gateway/arm", {}))).status, Status.preconditionFailed);
  rig.daemon.process.kill("SIGTERM");
  const { code } = await rig.daemon.ended;
  assert.equal(code, 0, rig.daemon.log());
  await slow.hears("the end", ({ closed }: { closed?: boolean }) => closed === true);
  assert.doesNotMatch(rig.daemon.log(), /\[farewell\]/);
});

test("a second master counts if the configuration says so; the reset moves nothing", async (t) => {
  const rig = await moving(t, ["secondMaster"]);
  const { port } = attachInProcess(rig.host, { name: "intruder" });
  void port.send({ canId: commandId("base"), flags: 0, data: new Uint8Array(8), timeUs: 0 } as Parameters<typeof port.send>[0]);
  const { pose } = await rig.until("posed", ({ state }) => state === "posed", 60_000);
  assert.deepEqual([pose?.trigger, pose?.why], ["compromise", "somebody else sends base_Command on bus arm"]);
  const from = rig.seen.length;
  await rig.client.request("gateway/reset", { why: "looked after" });
  const after = await rig.status();
  assert.deepEqual([after.state, after.pose], ["disarmed", undefined]);
  assert.deepEqual(rig.commandsSeen(from).filter(({ canId }) => canId === commandId("base")), []);
  await rig.arm();
});

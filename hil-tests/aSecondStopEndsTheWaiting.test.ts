/** While programs are given time before the pose, who is in a hurry waits for nobody: a second Ctrl-C, or a trigger. Nothing cuts the pose itself short. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { ArmRig, LIFE_MS, moveTo, patient } from "./armRig.ts";
import { Program } from "./program.ts";
import { eventually } from "./waiting.ts";

/** Longer than any test may take: whoever waits for it fails. */
const PREPARE_MS = 60_000;

/** An armed arm that is being stopped, and a program that prepares itself for ever. */
async function beingStopped(t: TestContext): Promise<ArmRig> {
  const rig = await ArmRig.start({ joints: ["base"], configure: (configuration) => {
    patient(configuration);
    configuration.safePose["prepareMs"] = PREPARE_MS;
  } });
  t.after(() => rig.stop());
  const slow = new Program(t, rig.daemon.socketPath, "client.onLeaving(() => say({ told: true })); say({ ready: true });", { options: { name: "slow" } });
  await slow.hears("the program", ({ ready }: { ready?: boolean }) => ready === true);
  await rig.arm();
  const commands = rig.commandAll(() => moveTo(1.5), { rateHz: 50, ttlMs: LIFE_MS });
  t.after(() => commands.stop());
  await eventually("motion", () => rig.joint("base").joint.velocityRadS > 0.3);
  rig.daemon.process.kill("SIGINT");
  await slow.hears("that the gateway goes", ({ told }: { told?: boolean }) => told === true);
  assert.equal((await rig.status()).state, "armed");
  return rig;
}

test("a second Ctrl-C begins the pose, a third one changes nothing", async (t) => {
  const rig = await beingStopped(t);
  // The pose takes as long as the joint hears nothing.
  rig.joint("base").deaf = true;
  rig.daemon.process.kill("SIGTERM");
  await eventually("the pose", () => /stopped \(SIGTERM\): no program is waited for any more; the safe pose begins now/.test(rig.daemon.log()));
  assert.equal((await rig.status()).state, "safePose");
  rig.daemon.process.kill("SIGINT");
  await eventually("the third one", () => /interrupted \(Ctrl-C\): nothing changes: the safe pose is never cut short/.test(rig.daemon.log()));
  rig.joint("base").deaf = false;
  const { code, verdict } = await rig.daemon.ended;
  assert.equal(verdict?.verdict, "posed", rig.daemon.log());
  assert.equal(code, 0);
});

test("ipcnet safe-pose --category 0 waits for nobody", async (t) => {
  const rig = await beingStopped(t);
  const asked = rig.client.request("gateway/safe-pose", { category: 0, why: "somebody in the cell" }, { timeoutMs: 120_000 }) as Promise<{ verdict: string }>;
  await eventually("why", () => /armed → safePose: somebody in the cell/.test(rig.daemon.log()), { last: () => rig.daemon.log() });
  assert.equal((await asked).verdict, "posed");
  // Programs are still asked to come to their end; the person in a hurry does not wait for them.
  rig.daemon.process.kill("SIGINT");
  const { code, verdict } = await rig.daemon.ended;
  assert.equal(verdict?.verdict, "posed", rig.daemon.log());
  assert.equal(code, 0);
});

/**
 * The motors lose their power in mid-motion: nobody acknowledges any more, and what was sent waits in front of the wire. When the power comes back, none
 * of it may reach a motor: the queue was emptied, and nothing passes before the bus has proved alive and somebody has armed again.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { attachInProcess } from "../drivers/can/emulator/inProcess.ts";
import { JOINTS, type JointName } from "../examples/arm/teleop.ts";
import { Status } from "../shm/client/index.ts";
import { ArmRig, LIFE_MS, moveTo, PROBE_ID, refusal, type SeenFrame } from "./armRig.ts";
import { type Standby, startStandby } from "./reflexProcesses.ts";
import { eventually } from "./waiting.ts";

const OLD_TARGET_RAD = 1.25;
const FRESH_TARGET_RAD = -0.75;

/** `targetPosition` of a command frame: bytes 4 and 5, 0.0001 rad. */
function targetRad({ data }: SeenFrame): number {
  return new DataView(data.buffer, data.byteOffset).getInt16(4, true) / 1e4;
}

test("commands from before a power loss never reach the motors after it", async (t) => {
  const rig = await ArmRig.start({ joints: JOINTS, configure: (configuration) => {
    configuration.safePose["budgetMs"] = 1_500;
    for (const step of configuration.safePose["steps"] as Record<string, unknown>[]) step["deadlineMs"] = 700;
    // More than one frame may wait: that is what would be replayed.
    configuration.buses[0]!["txQueueFrames"] = 64;
  } });
  t.after(() => rig.stop());

  await rig.arm();
  const old = rig.commandAll(() => moveTo(OLD_TARGET_RAD), { rateHz: 100, ttlMs: LIFE_MS });
  t.after(() => old.stop());
  await eventually("motion", () => old.accepted > 200 && rig.joint("base").joint.velocityRadS > 0.5, { timeoutMs: 60_000 });

  rig.setPower(false);
  const acceptedAtLoss = old.accepted;
  const dead = await rig.until("the bus found dead", ({ links }) => links[0]!.state === "dead");
  assert.notEqual(dead.state, "armed");
  const ended = await rig.until("the safe pose tried", ({ state }) => state === "fault" || state === "posed");
  // Nobody listened, so nothing was measured.
  assert.match(ended.stateReason, /safe pose (failed|cut)/);
  assert.ok(ended.links[0]!.counters["purges"]! >= 1, "the queue was purged");
  assert.ok(ended.links[0]!.counters["droppedFrames"]! >= 1, "and something was in it");
  assert.equal((await refusal(rig.command("base", moveTo(OLD_TARGET_RAD)))).status, Status.preconditionFailed);
  await eventually("commands refused", () => (old.refused.get(Status.preconditionFailed) ?? 0) > 50);
  assert.deepEqual([...old.refused.keys()], [Status.preconditionFailed]);
  assert.ok(acceptedAtLoss > 0);

  const seenBefore = rig.seen.length;
  const sentBefore = rig.gatewayNode.statistics.sentFrames;
  rig.setPower(true);
  await rig.until("all nodes back and the bus proved alive", ({ links, nodes }) => nodes.every(({ state }) => state === "operational") && /arm/.test(links[0]!.reason));
  // The motors have been talking for a while, and the old program still commands.
  const heard = rig.seen.length;
  await eventually("1000 more frames of the motors", () => rig.seen.length > heard + 1_000);
  const ours = rig.commandsSeen(seenBefore);
  assert.deepEqual([...new Set(ours.map(({ canId }) => canId))], [PROBE_ID], "only the harmless probe");
  assert.equal(rig.gatewayNode.statistics.sentFrames - sentBefore, ours.length);
  for (const joint of rig.joints) assert.equal(rig.joint(joint).joint.counters.commandsAccepted + rig.joint(joint).joint.counters.commandsRejected, 0, `${joint} was told nothing`);

  const error = await refusal(rig.client.request("gateway/arm"));
  assert.equal(error.status, Status.preconditionFailed);
  assert.match(error.message, /reset/, "a person must acknowledge what happened");
  const { links: [bus], missingForArming } = await rig.status();
  assert.equal(bus!.state, "dead", "and a refused arm opens nothing");
  assert.equal(missingForArming.length, 1, "the reset is all that is missing");

  old.stop();
  const refusedSoFar = (): number => [...old.refused.values()].reduce((sum, count) => sum + count, 0);
  let settled = refusedSoFar();
  await rig.status();
  await eventually("the old program's last refusals", () => settled === (settled = refusedSoFar()));

  await rig.client.request("gateway/arm", { reset: true, why: "test" });
  const fresh = rig.commandAll(() => moveTo(FRESH_TARGET_RAD), { rateHz: 100, ttlMs: 200 });
  t.after(() => fresh.stop());
  await eventually("motion to the fresh target", () => rig.joints.every((joint) => rig.joint(joint).joint.counters.commandsAccepted > 20));
  const commands = rig.commandsSeen(seenBefore).filter(({ canId }) => canId !== PROBE_ID);
  assert.deepEqual([...new Set(commands.map(targetRad))], [FRESH_TARGET_RAD]);
  for (const joint of rig.joints) assert.equal(rig.joint(joint).joint.counters.commandsRejected, 0);
});

// ---- The bus belongs to a pair of reflexes, which share a controller as two sockets share an interface, and two gateways stand behind them -----------------------

/** A sensor that fills the bus beside the joints: 1000 frames/s of 500 kbit/s are a quarter of it. */
const SENSOR_ID = 0x6f0;

interface Paired {
  rig: ArmRig;
  standby: Standby;
  /** Power of the sensor. */
  sensor(on: boolean): void;
  /** Command frames on the bus from `from` on: neither probes nor the sensor's. */
  commands(from: number): SeenFrame[];
}

async function paired(t: TestContext, joints: readonly JointName[]): Promise<Paired> {
  const rig = await ArmRig.start({ reflex: "pair", joints, configure: (configuration) => {
    configuration.safePose["budgetMs"] = 1_500;
    for (const step of configuration.safePose["steps"] as Record<string, unknown>[]) step["deadlineMs"] = 700;
    configuration.buses[0]!["txQueueFrames"] = 64;
    Object.assign(configuration["redundancy"] as object, { brains: "pair" });
  } });
  t.after(() => rig.stop());
  const standby = await startStandby(rig.folder.path);
  t.after(() => standby.end());
  const { port, node } = attachInProcess(rig.host, { name: "sensor" });
  const timer = setInterval(() => {
    for (let i = 0; i < 5; i++) port.send({ timeUs: 0, canId: SENSOR_ID + i, flags: 0, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) });
  }, 5);
  t.after(() => clearInterval(timer));
  await eventually("a standby that is ready", async () => ((await rig.client.request("gateway/failover")) as { standby?: { ready: boolean } }).standby?.ready === true, { last: () => standby.log() });
  return {
    rig, standby,
    sensor: (on) => rig.host.setPower(node, on),
    commands: (from) => rig.commandsSeen(from).filter(({ canId }) => canId !== PROBE_ID && (canId < SENSOR_ID || canId > SENSOR_ID + 4)),
  };
}

/** The arm in motion towards the old target. */
async function inMotion(t: TestContext, rig: ArmRig): Promise<ReturnType<ArmRig["commandAll"]>> {
  await rig.arm();
  const old = rig.commandAll(() => moveTo(OLD_TARGET_RAD), { rateHz: 100, ttlMs: LIFE_MS });
  t.after(() => old.stop());
  await eventually("motion", () => rig.joint("base").joint.velocityRadS > 0.5, { last: () => [rig.daemon.log(), rig.reflexes!.log] });
  return old;
}

/** A person resets and arms; only what is commanded from now on moves. */
async function armedAfresh(t: TestContext, { rig, commands }: Paired, old: { stop(): void }, from: number): Promise<void> {
  assert.match((await refusal(rig.client.request("gateway/arm"))).message, /reset/);
  old.stop();
  await rig.client.request("gateway/arm", { reset: true, why: "test" });
  const fresh = rig.commandAll(() => moveTo(FRESH_TARGET_RAD), { rateHz: 100, ttlMs: LIFE_MS });
  t.after(() => fresh.stop());
  await eventually("motion to the fresh target", () => rig.joints.every((joint) => rig.joint(joint).joint.counters.commandsAccepted > 20), { last: () => [rig.daemon.log(), rig.reflexes!.log] });
  assert.deepEqual([...new Set(commands(from).map(targetRad))], [FRESH_TARGET_RAD]);
}

for (const [title, whileUnpowered] of [
  ["nothing else happens", () => Promise.resolve()],
  ["the owner of the bus is killed", async (rig: ArmRig) => rig.reflexes!.kill((await ownerOf(rig))!)],
] as const) {
  test(`pairs: all motors lose their power, so that nobody acknowledges; while they have none, ${title}`, async (t) => {
    const arm = await paired(t, JOINTS);
    const { rig, commands } = arm;
    const old = await inMotion(t, rig);
    const [controller, ...others] = rig.host.controllers.values();
    assert.deepEqual([controller!.participants, others], [2, []], "the twins have one controller");
    rig.setPower(false);
    arm.sensor(false);
    await rig.until("the bus found dead", ({ links }) => links[0]!.state === "dead");
    await rig.until("the safe pose tried", ({ state }) => state === "fault" || state === "posed");
    assert.ok(controller!.node.statistics.droppedFrames > 0, "the queue was purged, and something was in it");
    await whileUnpowered(rig);
    await rig.until("an owner", ({ reflexes }) => reflexes.some(({ role }) => role === "owner"));
    const refusedBefore = old.refused.get(Status.preconditionFailed) ?? 0;
    await eventually("commands refused", () => (old.refused.get(Status.preconditionFailed) ?? 0) > refusedBefore + 50);
    const seenBefore = rig.seen.length;
    rig.setPower(true);
    arm.sensor(true);
    await rig.until("all nodes back and the bus proved alive", ({ links, nodes }) => nodes.every(({ state }) => state === "operational") && /arm/.test(links[0]!.reason));
    const heard = rig.seen.length;
    await eventually("1000 more frames of the motors", () => rig.seen.length > heard + 1_000);
    assert.deepEqual(commands(seenBefore), [], "no command");
    for (const joint of rig.joints) assert.equal(rig.joint(joint).joint.counters.commandsAccepted + rig.joint(joint).joint.counters.commandsRejected, 0, `${joint} was told nothing`);
    await armedAfresh(t, arm, old, seenBefore);
  });
}

test("pairs: one of two motors loses its power, the other goes on to acknowledge: the one that returns is told nothing old", async (t) => {
  const arm = await paired(t, ["base", "shoulder"]);
  const { rig, commands } = arm;
  const old = await inMotion(t, rig);
  rig.joint("base").setPower(false);
  const ended = await rig.until("the safe pose run", ({ state }) => state === "fault" || state === "posed");
  assert.equal(ended.links[0]!.state, "up", "the bus itself is well");
  await eventually("commands refused", () => (old.refused.get(Status.preconditionFailed) ?? 0) > 50);
  const seenBefore = rig.seen.length;
  rig.joint("base").setPower(true);
  await rig.until("both nodes there", ({ nodes }) => nodes.every(({ state }) => state === "operational"));
  const heard = rig.seen.length;
  await eventually("1000 more frames", () => rig.seen.length > heard + 1_000);
  assert.deepEqual(commands(seenBefore), [], "no command");
  assert.equal(rig.joint("base").joint.counters.commandsAccepted + rig.joint("base").joint.counters.commandsRejected, 0);
  await armedAfresh(t, arm, old, seenBefore);
});

async function ownerOf(rig: ArmRig): Promise<"a" | "b" | undefined> {
  return (await rig.status()).reflexes.find(({ role }) => role === "owner")?.instance as "a" | "b" | undefined;
}

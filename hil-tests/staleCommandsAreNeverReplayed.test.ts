/**
 * The motors lose their power in mid-motion: nobody acknowledges any more, and what was sent waits in front of the wire. When the power comes back, none
 * of it may reach a motor: the queue was emptied, and nothing passes before the bus has proved alive and somebody has armed again.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { JOINTS } from "../examples/arm/teleop.ts";
import { Status } from "../shm/client/index.ts";
import { ArmRig, moveTo, PROBE_ID, refusal, type SeenFrame } from "./armRig.ts";
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
  const old = rig.commandAll(() => moveTo(OLD_TARGET_RAD), { rateHz: 100, ttlMs: 1_000 });
  t.after(() => old.stop());
  await eventually("motion", () => old.accepted > 200 && rig.joint("base").joint.velocityRadS > 0.5);

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

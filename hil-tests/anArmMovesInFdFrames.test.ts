/** The arm with a bus of CAN FD, 12 bytes and AUTOSAR's profile 6: commanded, claimed for, posed and taken over as the classic one, whoever owns the bus. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CanFlag } from "../drivers/can/frame.ts";
import { NODE_NUMBERS } from "../examples/arm/messages.ts";
import { FD_FLAGS, FD_SHIFT_BYTES } from "./armFiles.ts";
import { ArmRig, commandId, LIFE_MS, moveTo, PROBE_ID, type SeenFrame } from "./armRig.ts";
import { eventually } from "./waiting.ts";

const WITNESS = 4;

const kinds = (frames: readonly SeenFrame[]): string[] => [...new Set(frames.map(({ flags, data }) => `${flags & FD_FLAGS} ${data.length}`))];
const isCommand = ({ canId }: SeenFrame): boolean => canId === commandId("base") || canId === commandId("shoulder");
const isWitness = ({ canId }: SeenFrame): boolean => Object.values(NODE_NUMBERS).some((node) => canId === ((node << 5) | WITNESS));
const targetRad = ({ data }: SeenFrame): number => new DataView(data.buffer, data.byteOffset).getInt16(4 + FD_SHIFT_BYTES, true) / 1e4;

for (const reflex of [undefined, "pair"] as const) {
  test(`${reflex ? "a pair of reflexes" : "the gateway's own driver"}: it is armed, moves, loses its power, is proven alive by FD frames, and ends in its safe pose`, async (t) => {
    const rig = await ArmRig.start({ fd: true, ...(reflex ? { reflex } : {}), configure: ({ safePose }) => {
      safePose["budgetMs"] = 9_000;
      for (const step of safePose["steps"] as Record<string, unknown>[]) step["deadlineMs"] = 4_000;
    } });
    t.after(() => rig.stop());
    const describe = (): unknown => [rig.daemon.log(), rig.reflexes?.log];
    await rig.arm();
    const commands = rig.commandAll(() => moveTo(1.5, 0.4), { rateHz: 50, ttlMs: LIFE_MS });
    t.after(() => commands.stop());
    await eventually("motion", () => rig.joint("base").joint.velocityRadS > 0.2 && rig.joint("shoulder").joint.velocityRadS > 0.2, { last: describe });
    const sent = rig.seen.filter(isCommand);
    assert.deepEqual(kinds(sent), [`${FD_FLAGS} 12`], "as CANFD_BRS has it by default");
    assert.deepEqual([...new Set(sent.map(targetRad))], [1.5]);
    if (reflex) assert.deepEqual(kinds(rig.seen.filter(isWitness)), [`${CanFlag.fd} 12`], "CANFD_BRS is 0");
    for (const joint of rig.joints) assert.deepEqual([...rig.joint(joint).joint.refusals].filter((why) => why !== "notFollowing"), []);

    if (reflex) {
      const owner = await eventually("an owner", () => /reflex (a|b) owns the buses/.exec(rig.daemon.log())?.[1] as "a" | "b" | undefined);
      const before = rig.joint("base").joint.counters.commandsAccepted;
      await rig.reflexes!.kill(owner);
      await eventually("the twin commands it", () => rig.joint("base").joint.counters.commandsAccepted > before + 20, { last: describe });
      assert.equal((await rig.status()).state, "armed", JSON.stringify(describe()));
    }

    rig.setPower(false);
    await rig.until("the safe pose tried", ({ state }) => state === "fault" || state === "posed", 60_000);
    const from = rig.seen.length;
    rig.setPower(true);
    await eventually("a probe", () => rig.seen.slice(from).some(({ canId }) => canId === PROBE_ID), { last: describe });
    // A classic probe would be acknowledged by who destroys every FD frame.
    assert.deepEqual(kinds(rig.seen.slice(from).filter(({ canId }) => canId === PROBE_ID)), [`${FD_FLAGS} 0`]);
    assert.deepEqual(rig.seen.slice(from).filter(isCommand).map(targetRad).filter((target) => target !== 0), [], "nothing old");
    await eventually("armed again", async () => {
      await rig.client.request("gateway/arm", { reset: true, why: "test" }).catch(() => undefined);
      return (await rig.status()).state === "armed";
    }, { timeoutMs: 60_000, last: describe });
    await eventually("motion again", () => Math.abs(rig.joint("base").joint.velocityRadS) > 0.2, { last: describe });
    commands.stop();
    const { verdict } = await rig.client.request("gateway/safe-pose", { why: "test" }, { timeoutMs: 60_000 }) as { verdict: string };
    assert.equal(verdict, "posed", JSON.stringify(describe()));
    for (const joint of rig.joints) assert.ok(Math.abs(rig.joint(joint).joint.positionRad) < 0.03, `${joint} ${rig.joint(joint).joint.positionRad}`);
  });
}

/** A robot that was stopped in order while it moved, the bus processes too, and is started again from what is on the disk: it may be armed, without a reset and without a plan that nobody asked for. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { ArmRig, LIFE_MS, moveTo } from "./armRig.ts";
import { eventually } from "./waiting.ts";

for (const reflex of ["single", "pair"] as const) {
  test(`${reflex === "pair" ? "two bus processes" : "one bus process"}: stopped while it moves, started again, armed`, async (t) => {
    const rig = await ArmRig.start({ reflex });
    t.after(() => rig.stop());
    await rig.arm();
    const commands = rig.commandAll(() => moveTo(1.5, 1.5), { rateHz: 50, ttlMs: LIFE_MS });
    t.after(() => commands.stop());
    await eventually("it is away from where it parks", () => rig.joints.every((joint) => rig.joint(joint).joint.positionRad > 0.3), { timeoutMs: 60_000, last: () => commands.why });
    rig.daemon.process.kill("SIGTERM");
    await rig.daemon.ended;
    commands.stop();
    const keeper = rig.reflexes!.keeper;
    const closed = once(keeper, "close");
    keeper.kill("SIGTERM");
    await closed;

    await rig.restartReflexes();
    await rig.startDaemon();
    const { state, pose } = await rig.until("nothing missing for arming", ({ missingForArming }) => missingForArming.length === 0);
    assert.deepEqual([state, pose], ["disarmed", undefined], rig.reflexes!.log);
    await rig.client.request("gateway/arm", { why: "test" });
    await rig.until("armed", (status) => status.state === "armed");
  });
}

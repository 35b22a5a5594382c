/** Two gateways are told to stop at the same moment, as a service manager does it. Whichever hears of it first: one of them brings the arm to rest, and both end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ArmRig, LIFE_MS, moveTo } from "./armRig.ts";
import { Standby } from "./standbyDaemon.ts";
import { eventually } from "./waiting.ts";

for (const first of ["the active", "the standby"] as const) {
  for (const reflex of [undefined, "single"] as const) {
    test(`${first} hears of it first, ${reflex ? "a process of its own has the bus" : "the gateway has the bus"}: the arm is parked`, async (t) => {
      const rig = await ArmRig.start({ ...(reflex ? { reflex } : {}), configure: (configuration) => {
        configuration["redundancy"] = { ...(configuration["redundancy"] as object | undefined), brains: "pair" };
      } });
      const standby = new Standby(rig.folder.path, "b");
      t.after(async () => {
        await standby.kill();
        await rig.stop();
      });
      await standby.ready();
      await eventually("the active knows", async () => ((await rig.client.request("gateway/failover", {}, { timeoutMs: 60_000 })) as { standby?: { ready: boolean } }).standby?.ready === true, { last: () => standby.log });
      await rig.arm();
      const commands = rig.commandAll(() => moveTo(1.5, 1.5), { rateHz: 50, ttlMs: LIFE_MS });
      t.after(() => commands.stop());
      await eventually("it is away from where it parks", () => rig.joints.every((joint) => rig.joint(joint).joint.positionRad > 0.3), { timeoutMs: 60_000, last: () => commands.why });
      const processes = first === "the active" ? [rig.daemon.process, standby.process] : [standby.process, rig.daemon.process];
      for (const process of processes) process.kill("SIGTERM");
      await Promise.all([rig.daemon.ended, standby.ended]);
      commands.stop();
      const logs = (): string => `${rig.daemon.log()}\n--- b\n${standby.log}`;
      const away = rig.joints.filter((joint) => Math.abs(rig.joint(joint).joint.positionRad) > 0.05);
      assert.deepEqual(away, [], logs());
      // Whoever handed over may be fenced by its successor before it has ended by itself.
      const ends = [rig.daemon.process, standby.process].map(({ exitCode, signalCode }) => exitCode ?? signalCode);
      assert.ok(ends.includes(0) && ends.every((end) => end === 0 || end === "SIGKILL"), `${ends.join(", ")}\n${logs()}`);
    });
  }
}

import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";

export default behaviour({
  name: "what netlink knows of a controller we know: bit rate, restart-ms, warning, passive, overrun, bus-off and its restart",
  needs: { machine: "plain", devices: ["sja1000", "faults"], alsoOn: ["arm64"] },
  bench: "ip -d link show can0 beside ipcnet doctor while the bus is disturbed",
  async run(rig) {
    const [ours] = await rig.pair("sja1000", { bitrateBps: 250_000, restartMs: 0 });
    await rig.modules();
    const driver = await rig.driver();
    const { link, bitrateBps } = await driver.start({ name: "bus", kind: "socketcan", interface: ours, busOff: { restartMinMs: 100, restartMaxMs: 500, restartBudget: 10 } });
    assert.deepEqual([bitrateBps, link?.bitrateBps, link?.restartMs, link?.controller, link?.up, link?.busState], [250_000, 250_000, 0, true, true, 0]);
    const kernelState = async (): Promise<string> => /can .*state (\S+)/.exec(await rig.sh(`ip -d link show ${ours}`, { quiet: true }))?.[1] ?? "";
    await rig.step("warning, passive and active again", async () => {
      for (const [what, state, kernel] of [["warning", "degraded", "ERROR-WARNING"], ["passive", "degraded", "ERROR-PASSIVE"], ["active", "up", "ERROR-ACTIVE"]] as const) {
        await rig.fault(ours, what);
        await driver.reaches(state);
        assert.equal(await kernelState(), kernel);
      }
    });
    await rig.step("an overrun of the controller is an error report, and the bus stays up", async () => {
      const before = (await driver.seen()).errors;
      await rig.fault(ours, "overrun");
      await rig.eventually("the report", async () => (await driver.seen()).errors > before);
      assert.match((await driver.seen()).errorFrames.at(-1)!.text, /^20000004#0001/);
      assert.equal((await driver.health()).state, "up");
    });
    await rig.step("another bit rate than configured is refused at start", async () => {
      const other = await rig.driver();
      await assert.rejects(other.start({ name: "bus", kind: "socketcan", interface: ours, bitrateBps: 500_000 }), (error: Error & { remedy?: string }) => (error.remedy ?? "").length > 0);
      await other.end();
    });
    await driver.end();
    await rig.step("bus-off is seen and ended by a restart", async () => {
      await rig.fault(ours, "off");
      assert.equal(await kernelState(), "BUS-OFF");
      await rig.sh(`ip link set ${ours} type can restart`);
      assert.equal(await kernelState(), "ERROR-ACTIVE");
    });
  },
});

import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";

export default behaviour({
  name: "bus-off, restart-ms 200: although the kernel restarts the controller by itself, commands are refused until the bus is proven",
  needs: { machine: "plain", devices: ["dcan", "faults"], alsoOn: ["arm64"] },
  bench: "short CAN_H and CAN_L for a moment; ip link set can0 type can restart-ms 200",
  async run(rig) {
    const [ours, theirs] = await rig.pair("dcan", { restartMs: 200 });
    const dump = await rig.candump(theirs);
    const driver = await rig.driver();
    const { link } = await driver.start({ name: "bus", kind: "socketcan", interface: ours, busOff: { restartMinMs: 50, restartMaxMs: 500, restartBudget: 10 } });
    assert.equal(link?.restartMs, 200);
    for (const round of [1, 2, 3]) {
      await rig.step(`round ${round}`, async () => {
        const from = driver.events.length;
        await rig.fault(ours, "off");
        await driver.tells("busOff", from);
        assert.notEqual(await driver.send(`666#0${round}`), "queued");
        await driver.tells("busRecovered", from);
        assert.notEqual(await driver.send(`667#0${round}`), "queued", "recovered is not re-armed");
        await driver.rearmed();
        assert.equal(await driver.send(`100#0${round}`), "queued");
        await rig.eventually("the frame after it", () => dump.frames.includes(`100#0${round}`));
      });
    }
    assert.deepEqual(dump.frames.filter((frame) => frame.startsWith("66")), []);
    await driver.end();
    await dump.end();
  },
});

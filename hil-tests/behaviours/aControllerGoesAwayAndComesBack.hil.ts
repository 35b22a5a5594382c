import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";

export default behaviour({
  name: "a controller's driver is unbound and bound again, as a USB adapter that is pulled: down, found by its name, proven, re-armed",
  needs: { machine: "plain", devices: ["sja1000"], alsoOn: ["arm64"] },
  bench: "pull a USB-CAN adapter and put it back; udev gives it the same name",
  async run(rig) {
    const [ours, theirs] = await rig.pair("sja1000");
    const dump = await rig.candump(theirs);
    const driver = await rig.driver();
    await driver.start({ name: "bus", kind: "socketcan", interface: ours, reopen: { minMs: 50, maxMs: 500 } });
    assert.equal(await driver.send("100#01"), "queued");
    await rig.eventually("the frame of before", () => dump.frames.includes("100#01"));
    const device = (await rig.sh(`basename $(readlink /sys/class/net/${ours}/device)`)).trim();
    await rig.step("away: down, and refused", async () => {
      await rig.sh(`echo ${device} >/sys/bus/pci/drivers/kvaser_pci/unbind`);
      await driver.reaches("down");
      assert.equal(await driver.send("666#01"), "linkDown");
    });
    await rig.step("back: searched for by name, and re-armed after a proof", async () => {
      await rig.sh(`echo ${device} >/sys/bus/pci/drivers/kvaser_pci/bind; ls /sys/bus/pci/devices/${device}/net`);
      await rig.sh(`ip link set ${ours} type can bitrate 500000 restart-ms 0; ip link set ${ours} up`);
      await driver.tells("linkRestored");
      await driver.rearmed();
      assert.equal(await driver.send("100#02"), "queued");
      await rig.eventually("the frame after it", () => dump.frames.includes("100#02"));
      assert.ok(!dump.frames.some((frame) => frame.startsWith("666")));
    });
    await driver.end();
    await dump.end();
  },
});

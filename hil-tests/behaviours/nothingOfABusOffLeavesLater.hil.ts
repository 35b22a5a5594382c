import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";

export default behaviour({
  name: "bus-off, restart-ms 0: the kernel takes frames silently and loses them; our driver says so, restarts, proves, and sends nothing of before",
  needs: { machine: "plain", devices: ["dcan", "faults"], alsoOn: ["arm64"] },
  bench: "short CAN_H and CAN_L while frames are sent; take the short away; restart-ms 0",
  async run(rig) {
    const [ours, theirs] = await rig.pair("dcan");
    const dump = await rig.candump(theirs);
    await rig.step("the kernel alone: cansend succeeds during bus-off, and nothing is sent, then or after the restart", async () => {
      await rig.fault(ours, "off");
      await rig.sh(`cansend ${ours} 666#01`);
      assert.match(await rig.sh(`ip -d link show ${ours}`), /state BUS-OFF/);
      await rig.sh(`ip link set ${ours} type can restart`);
      await rig.sh(`cansend ${ours} 600#02`);
      await rig.eventually("the frame after it", () => dump.frames.includes("600#02"));
      assert.ok(!dump.frames.includes("666#01"));
    });
    const driver = await rig.driver();
    await driver.start({ name: "bus", kind: "socketcan", interface: ours, deadAfterMs: 30_000, busOff: { restartMinMs: 500, restartMaxMs: 1_000, restartBudget: 10 } });
    await rig.step("with our driver: what waits when it happens is dropped and told", async () => {
      assert.equal(await driver.send("100#01"), "queued");
      await rig.eventually("the frame of before", () => dump.frames.includes("100#01"));
      // The other end is away: frames wait for an acknowledgement, in the mailbox and in the queue.
      await rig.sh(`ip link set ${theirs} down`);
      const verdicts = await driver.burst("777", 4);
      assert.ok(verdicts.includes("queued"), verdicts.join());
      await rig.fault(ours, "off");
      await driver.tells("busOff");
      await driver.tells("purged");
      assert.notEqual(await driver.send("777#0F"), "queued");
      await rig.sh(`ip link set ${theirs} up`);
    });
    await rig.step("restarted and proven, it sends what comes then and nothing else", async () => {
      await driver.rearmed();
      assert.equal(await driver.send("101#02"), "queued");
      await rig.eventually("the frame after it", () => dump.frames.includes("101#02"), () => dump.frames);
      assert.deepEqual(dump.frames.filter((frame) => frame.startsWith("777")), []);
    });
    await driver.end();
    await dump.end();
  },
});

import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";

const FD_FRAME = `123##1${"5A".repeat(64)}`;

export default behaviour({
  name: "an FD bus whose only peer is classic, or switches to another bit rate: error reports, error-passive, dead, commands refused; nothing old is sent when it is mended",
  needs: { machine: "plain", devices: ["dcan"] },
  bench: "an FD controller against one that is set up without fd on; then the same with another dbitrate; ip -d -s link show can0, ipcnet status",
  async run(rig) {
    for (const [what, peer] of [["a classic peer", "bitrate 500000 fd off"], ["a peer with another data bit rate", "bitrate 500000 dbitrate 4000000 fd on"]] as const) {
      const [ours, theirs] = await rig.pair("dcan", { dataBitrateBps: 2_000_000 });
      const again = (rates: string): Promise<string> => rig.sh(`ip link set ${theirs} down; ip link set ${theirs} type can ${rates}; ip link set ${theirs} up`);
      await again(peer);
      const driver = await rig.driver();
      await driver.start({ name: "bus", kind: "socketcan", interface: ours, bitrateBps: 500_000, dataBitrateBps: 2_000_000, fd: true, deadAfterMs: 1_500, probeIntervalMs: 200 });
      await rig.step(`${what}: classic frames pass`, async () => {
        assert.equal(await driver.send("100#01", { token: 1 }), "queued");
        await rig.eventually("its echo", async () => (await driver.seen()).echoes === 1);
      });
      await rig.step(`${what}: an FD frame is destroyed: bit errors, error-passive on both sides, the bus counts as dead`, async () => {
        assert.equal(await driver.send(FD_FRAME, { token: 2 }), "queued");
        await driver.reaches("dead");
        const { errorFrames, echoes } = await driver.seen();
        assert.equal(echoes, 1, "it was confirmed by nobody");
        assert.ok(driver.events.some(({ code, text }) => code === "stateChanged" && /error-passive/.test(text)), JSON.stringify(driver.events));
        // Our probes are FD frames, too, and find ours error-passive again after each purge; the peer has not been purged.
        assert.match(await rig.sh(`ip -d link show ${theirs}`, { quiet: true }), /state ERROR-PASSIVE/);
        assert.equal(await driver.rearm(), false, "no classic probe proves an FD bus");
        // CAN_ERR_PROT | CAN_ERR_BUSERROR with CAN_ERR_PROT_BIT: somebody wrote over it. A peer without power would give CAN_ERR_ACK from the first.
        assert.match(errorFrames[0]!.text, /^20000288#....01/);
      });
      await rig.step(`${what}: commands are refused, and health says why`, async () => {
        assert.equal(await driver.send(FD_FRAME, { token: 3 }), "busDead");
        const { state, reason } = await driver.health();
        assert.equal(state, "dead");
        rig.figure(`${what}: why`, reason);
        assert.match(reason, /nobody acknowledges/);
        const told = driver.events.find(({ code }) => code === "busDead");
        assert.ok(told !== undefined && told.text.length > 10, JSON.stringify(driver.events.slice(-5)));
      });
      await again("bitrate 500000 dbitrate 2000000 fd on");
      const dump = await rig.candump(theirs);
      await rig.step(`${what}: at the right rates it is proven and armed again, and sends nothing of before`, async () => {
        await driver.rearmed();
        const fresh = `124##1${"A5".repeat(64)}`;
        assert.equal(await driver.send(fresh, { token: 4 }), "queued");
        await rig.eventually("the fresh frame's echo", async () => (await driver.seen()).echoFrames.some(({ token }) => token === 4));
        assert.deepEqual((await driver.seen()).echoFrames.filter(({ token }) => token === 2 || token === 3), []);
        // 7FF: our probes, FD frames as well (4: CANFD_FDF, the kernel's mark of one).
        await rig.eventually("it at candump", () => dump.frames.includes(fresh.replace("##1", "##5")), () => dump.frames);
        assert.deepEqual(dump.frames.filter((frame) => !frame.startsWith("7FF##5")), [fresh.replace("##1", "##5")]);
      });
      await dump.end();
      await driver.end();
    }
  },
});

import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";

export default behaviour({
  name: "frames pass from our driver to candump and from cansend to our driver, and the bus confirms ours",
  needs: { machine: "plain", devices: ["sja1000"], alsoOn: ["arm64"] },
  bench: "two interfaces on one terminated bus, --can can0,can1",
  runsOnBench: true,
  async run(rig) {
    const [ours, theirs] = await rig.pair("sja1000");
    const dump = await rig.candump(theirs);
    const driver = await rig.driver();
    const { confirms, link } = await driver.start({ name: "bus", kind: "socketcan", interface: ours });
    assert.ok(confirms);
    rig.figure("receive buffer granted, bytes", link?.receiveBufferBytes ?? 0);
    const frames = ["123#", "123#00", "7FF#0102030405060708", "00000005#AA", "1ABCDE00#FF0D073C3E800100"];
    await rig.step("ours arrive at candump, unchanged and in order", async () => {
      for (const [index, frame] of frames.entries()) assert.equal(await driver.send(frame, { token: index + 1 }), "queued");
      await rig.eventually("the frames at candump", () => dump.frames.length >= frames.length, () => dump.frames);
      assert.deepEqual(dump.frames, frames);
    });
    await rig.step("each is confirmed once, with its token", async () => {
      await rig.eventually("the echoes", async () => (await driver.seen()).echoes >= frames.length);
      assert.deepEqual((await driver.seen()).echoFrames.map(({ text, token }) => [text, token]), frames.map((frame, index) => [frame, index + 1]));
    });
    await rig.step("cansend's arrive here", async () => {
      const sent = ["321#11", "00000321#2233", "2A0#DEADBEEF00112233"];
      await rig.sh(sent.map((frame) => `cansend ${theirs} ${frame}`).join(" && "));
      await rig.eventually("the frames here", async () => (await driver.seen()).received >= sent.length);
      assert.deepEqual((await driver.seen()).frames.map(({ text }) => text), sent);
    });
    await driver.end();
    await dump.end();
  },
});

import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";

const FRAMES = 6_000;

export default behaviour({
  name: "a program that stands still while frames flood in: with small buffers every lost frame is told, with large ones none is lost",
  needs: { machine: "plain", devices: ["vxcan"], alsoOn: ["arm64"] },
  bench: "cangen at full rate on the other interface; the same two settings of the receive buffer",
  isLoad: true,
  async run(rig) {
    for (const { name, ringFrames, receiveBufferBytes } of [{ name: "small", ringFrames: 64, receiveBufferBytes: 8 << 10 }, { name: "large", ringFrames: 16_384, receiveBufferBytes: 8 << 20 }]) {
      await rig.step(`${name} buffers`, async () => {
        const [ours, theirs] = await rig.pair("vxcan");
        const driver = await rig.driver();
        await driver.start({ name: "bus", kind: "socketcan", interface: ours, ringFrames, receiveBufferBytes });
        const stalled = driver.stall(1_000);
        await rig.sh(`cangen ${theirs} -g 0 -p 1000 -n ${FRAMES} -I 123 -L 8 -D i`);
        await stalled;
        // The kernel tells of a loss with the next frame that it delivers.
        await rig.eventually("the last frame", async () => {
          await rig.sh(`cansend ${theirs} 7F0#`, { quiet: true });
          return (await driver.seen()).frames.length >= 4_000 || (await driver.seen()).frames.some(({ text }) => text.startsWith("7F0"));
        });
        const told = async (): Promise<{ received: number; lost: number; kernel: number; ring: number }> => {
          const { counters } = await driver.health();
          const [kernel, ring] = [counters["kernelLostFrames"] ?? 0, counters["ringLostFrames"] ?? 0];
          return { received: (await driver.seen()).received, lost: kernel + ring, kernel, ring };
        };
        await rig.eventually("the sum", async () => {
          const { received, lost } = await told();
          return received + lost >= FRAMES;
        }, () => driver.events.slice(-5));
        const { received, lost, kernel, ring } = await told();
        rig.figure(`${name}: received, lost in the kernel, lost in the ring`, `${received}, ${kernel}, ${ring}`);
        if (name === "large") assert.equal(lost, 0);
        else {
          assert.ok(lost > 0, "the buffers were small enough");
          assert.ok(driver.events.some(({ code }) => code === "receiveOverflow"));
        }
        assert.equal((await driver.health()).state, "up", "an overflow is no reason to distrust the bus");
        await driver.end();
      });
    }
  },
});

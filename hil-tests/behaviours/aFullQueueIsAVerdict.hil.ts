import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";

export default behaviour({
  name: "on a slow bus a full queue is said with each frame, what was taken arrives, what was refused never does",
  needs: { machine: "plain", devices: ["sja1000"], alsoOn: ["arm64"] },
  bench: "two interfaces at 10 kbit/s, or any bit rate with the kernel's tbf in front of it as here",
  runsOnBench: true,
  async run(rig) {
    const [ours, theirs] = await rig.pair("sja1000", { bitrateBps: 100_000, txQueueFrames: 8, paced: true });
    const dump = await rig.candump(theirs);
    const driver = await rig.driver();
    await driver.start({ name: "bus", kind: "socketcan", interface: ours, txQueueFrames: 64 });
    const verdicts = await driver.burst("155", 60);
    const queued = verdicts.filter((verdict) => verdict === "queued").length;
    rig.figure("taken at once", `${queued} of 60`);
    assert.deepEqual([...new Set(verdicts)].sort(), ["queueFull", "queued"]);
    const taken = verdicts.flatMap((verdict, index) => (verdict === "queued" ? [`155#${index.toString(16).padStart(2, "0").toUpperCase()}`] : []));
    await rig.eventually("what was taken, at candump", () => dump.frames.length >= taken.length, () => dump.frames);
    await rig.step("the bus goes on: a frame after it is taken and arrives", async () => {
      await rig.eventually("room", async () => (await driver.send("156#")) === "queued");
      await rig.eventually("the frame", () => dump.frames.includes("156#"));
    });
    assert.deepEqual(dump.frames.filter((frame) => frame.startsWith("155")), taken);
    const { state, counters } = await driver.health();
    assert.equal(state, "up");
    assert.ok((counters["droppedNoBufferFrames"] ?? 0) >= 60 - queued);
    assert.equal(driver.events.filter(({ code }) => code === "transmitDropped").length, 1, "said once, not sixty times");
    await driver.end();
    await dump.end();
  },
});

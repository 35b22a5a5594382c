import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";

export default behaviour({
  name: "a received frame carries the kernel's time of reception, also while our program stands still, and agrees with candump's",
  needs: { machine: "plain", devices: ["sja1000"], alsoOn: ["arm64"] },
  bench: "two interfaces on one bus",
  runsOnBench: true,
  async run(rig) {
    const [ours, theirs] = await rig.pair("sja1000");
    const times: number[] = [];
    const dump = await rig.candump(ours);
    const take = dump.running.onLine!;
    dump.running.onLine = (line, atS) => {
      times.push(Number(/^\((\d+\.\d+)\)/.exec(line)?.[1]) * 1e6);
      take(line, atS);
    };
    const driver = await rig.driver();
    await driver.start({ name: "bus", kind: "socketcan", interface: ours });
    const stalled = driver.stall(400);
    await rig.sh(`cangen ${theirs} -g 10 -n 100 -I 123 -L 8 -D i`);
    await stalled;
    await rig.eventually("the frames", async () => (await driver.seen()).received >= 100 && times.length >= 100);
    const { frames } = await driver.seen();
    assert.deepEqual(frames.filter(({ timeUs }, index) => index > 0 && timeUs < frames[index - 1]!.timeUs), [], "never backwards");
    assert.deepEqual(frames.filter(({ timeUs, readUs }) => timeUs > readUs), [], "none from the future");
    // Two clocks: their distance may be anything, but stays.
    const distances = frames.map(({ timeUs }, index) => times[index]! - timeUs);
    const wanderUs = Math.max(...distances) - Math.min(...distances);
    const waitedUs = Math.max(...frames.map(({ timeUs, readUs }) => readUs - timeUs));
    rig.figure("longest time from the kernel's stamp to our program, ms", (waitedUs / 1e3).toFixed(1));
    rig.figure("our times against candump's wander by, µs", wanderUs.toFixed(0));
    assert.ok(waitedUs > 50_000, "some frames did wait for the program that stood still");
    assert.ok(wanderUs < 10_000, "and their times do not show it");
    await driver.end();
    await dump.end();
  },
});

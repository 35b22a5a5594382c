import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";

const PYTHON = `
import sys
try:
    import can
except ImportError:
    sys.exit(77)
bus = can.Bus(interface="socketcan", channel=sys.argv[1])
print("ready", flush=True)
for message in bus:
    bus.send(can.Message(arbitration_id=message.arbitration_id ^ 0x400, is_extended_id=message.is_extended_id, data=bytes(reversed(message.data))))
    if message.arbitration_id == 0x1FF:
        break
bus.shutdown()
`;

export default behaviour({
  name: "cangen, canplayer, candump and python-can exchange frames with our driver",
  needs: { machine: "plain", devices: ["sja1000"], alsoOn: ["arm64"] },
  bench: "the same programs on the second interface",
  runsOnBench: true,
  async run(rig) {
    const [ours, theirs] = await rig.pair("sja1000");
    const driver = await rig.driver();
    await driver.start({ name: "bus", kind: "socketcan", interface: ours });
    await rig.step("cangen: 200 frames with random identifiers of both lengths and random data", async () => {
      const dump = await rig.candump(ours);
      await rig.sh(`cangen ${theirs} -g 5 -n 150 && cangen ${theirs} -e -g 5 -n 50`);
      await rig.eventually("the frames", async () => (await driver.seen()).received >= 200 && dump.frames.length >= 200);
      assert.deepEqual((await driver.seen()).frames.map(({ text }) => text), dump.frames, "as candump has them");
      await dump.end();
    });
    await rig.step("canplayer: a recording arrives as it was recorded", async () => {
      await driver.clear();
      const recording = Array.from({ length: 50 }, (_, index) => `(1700000000.${String(index * 10_000).padStart(6, "0")}) bus ${(0x100 + index).toString(16).toUpperCase()}#${index.toString(16).padStart(2, "0").toUpperCase()}FF`);
      await rig.sh(`cat >/tmp/recording.log <<'END'\n${recording.join("\n")}\nEND\ncanplayer ${theirs}=bus -I /tmp/recording.log; rm /tmp/recording.log`);
      await rig.eventually("the frames", async () => (await driver.seen()).received >= 50);
      assert.deepEqual((await driver.seen()).frames.map(({ text }) => text), recording.map((line) => line.split(" ")[2]));
    });
    await rig.step("python-can: answers what we send", async () => {
      await driver.clear();
      const python = rig.start(`cat >/tmp/peer.py <<'END'\n${PYTHON}END\nexec /usr/bin/python3 /tmp/peer.py ${theirs}`);
      const code = await Promise.race([python.ended.then((ended) => ended.code), rig.eventually("python-can", () => python.out.includes("ready")).then(() => undefined)]);
      if (code === 77) rig.skip("python-can is not installed (Debian: python3-can)");
      for (const frame of ["0A0#0102030405060708", "12345678#AABB", "1FF#01"]) {
        assert.equal(await driver.send(frame), "queued");
      }
      await rig.eventually("the answers", async () => (await driver.seen()).received >= 3, () => python.err);
      assert.deepEqual((await driver.seen()).frames.map(({ text }) => text), ["4A0#0807060504030201", "12345278#BBAA", "5FF#01"]);
      assert.equal((await python.ended).code, 0);
    });
    await driver.end();
  },
});

import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import { FRAME_BITS, type PairKind, type Rig } from "../rig/rig.ts";

const BITRATE_BPS = 1_000_000;
const SECONDS = 2;
const FRAMES = Math.floor((BITRATE_BPS / FRAME_BITS) * SECONDS);

export default behaviour({
  name: "a full bus of 1 Mbit/s: our driver loses nothing where candump beside it loses nothing, and fills the bus as cangen does",
  needs: { machine: "plain", devices: ["sja1000", "vxcan"], alsoOn: ["arm64"] },
  bench: "cangen -g 0 -p 1000 at 1 Mbit/s on one interface, candump and the driver on the other",
  runsOnBench: true,
  isLoad: true,
  timeoutMs: 30 * 60_000,
  async run(rig) {
    // Frames are 128 µs apart: the host is never that punctual.
    await rig.ownClock();
    const kinds: PairKind[] = rig.isBench ? ["sja1000"] : ["vxcan", "sja1000"];
    for (const kind of kinds) {
      await rig.step(`${rig.isBench ? "the bench" : kind}: cangen to candump alone`, () => listened(rig, kind, false));
      await rig.step(`${rig.isBench ? "the bench" : kind}: cangen to candump and our driver`, () => listened(rig, kind, true));
      await rig.step(`${rig.isBench ? "the bench" : kind}: our driver to candump`, () => sent(rig, kind));
    }
  },
});

/** `candump` into a file of the machine: a reader that costs as little as one can. */
async function counting(rig: Rig, name: string): Promise<{ end(): Promise<{ frames: number; seconds: number }> }> {
  const file = `/tmp/${name}.log`;
  const dump = rig.start(`exec candump -L -r 4194304 ${name},0:0 >${file}`, { quiet: true });
  await rig.eventually("candump", async () => (await rig.run(`grep -c '^ *${name} ' /proc/net/can/rcvlist_all`, { quiet: true })).out.trim() !== "0", () => dump.err);
  return {
    end: async () => {
      dump.signal("SIGTERM");
      await dump.ended;
      const [frames, first, last] = (await rig.sh(`grep -c '#........' ${file} || true; head -1 ${file} | tr -d '()' | cut -d' ' -f1; tail -1 ${file} | tr -d '()' | cut -d' ' -f1; rm ${file}`, { quiet: true })).trim().split("\n").map(Number);
      return { frames: frames ?? 0, seconds: (last ?? 0) - (first ?? 0) };
    },
  };
}

async function listened(rig: Rig, kind: PairKind, withDriver: boolean): Promise<void> {
  const [ours, theirs] = await rig.pair(kind, { bitrateBps: BITRATE_BPS, paced: !rig.isBench });
  const driver = withDriver ? await rig.driver() : undefined;
  await driver?.start({ name: "bus", kind: "socketcan", interface: ours, receiveBufferBytes: 4 << 20, ringFrames: 16_384 });
  const dump = await counting(rig, ours);
  await rig.sh(`cangen ${theirs} -g 0 -p 1000 -n ${FRAMES} -I 123 -L 8 -D i`, { timeoutMs: 120_000 });
  // Everything is through when nothing more comes.
  await settled(rig, async () => Number(await rig.sh(`cat /sys/class/net/${ours}/statistics/rx_packets`, { quiet: true })));
  const heard = await dump.end();
  rig.figure(`${kind}: cangen to candump${withDriver ? ", beside our driver" : ""}`, `${heard.frames} of ${FRAMES}, ${Math.round(heard.frames / heard.seconds)} frames/s`);
  if (!driver) return;
  await settled(rig, async () => (await driver.seen()).received);
  const { received, outOfOrder, lostBefore } = await driver.seen();
  rig.figure(`${kind}: cangen to our driver`, `${received} of ${FRAMES}, ${lostBefore} told as lost, ${outOfOrder} out of order`);
  assert.ok(received >= heard.frames, "what candump has we have");
  if (heard.frames === FRAMES) assert.equal(received, FRAMES);
  assert.equal(outOfOrder, 0);
  await driver.end();
}

async function sent(rig: Rig, kind: PairKind): Promise<void> {
  const [ours, theirs] = await rig.pair(kind, { bitrateBps: BITRATE_BPS, paced: !rig.isBench });
  const driver = await rig.driver();
  await driver.start({ name: "bus", kind: "socketcan", interface: ours, txQueueFrames: 256, receiveBufferBytes: 4 << 20, ringFrames: 16_384 });
  const dump = await counting(rig, theirs);
  const { queued, refused, tookUs } = await driver.flood(0x123, FRAMES);
  await settled(rig, async () => (await driver.seen()).echoes);
  const heard = await dump.end();
  const { echoes } = await driver.seen();
  rig.figure(`${kind}: our driver to candump`, `${heard.frames} of ${queued}, ${Math.round(queued / (tookUs / 1e6))} frames/s, ${echoes} confirmed`);
  assert.equal(queued, FRAMES);
  assert.deepEqual(Object.keys(refused).filter((verdict) => verdict !== "queueFull"), []);
  if (kind !== "vxcan" || rig.isBench) assert.equal(echoes, FRAMES);
  if (kind === "vxcan") assert.equal(heard.frames, FRAMES);
  await driver.end();
}

/** Resolves when a count is the same three times in a row. */
async function settled(rig: Rig, count: () => Promise<number>): Promise<void> {
  let [last, same] = [-1, 0];
  await rig.eventually("an end of it", async () => {
    const now = await count();
    same = now === last ? same + 1 : 0;
    last = now;
    return same >= 3;
  });
}

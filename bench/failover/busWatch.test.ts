import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeClaim } from "../../drivers/nodekit/claimFrame.ts";
import { type BusPhase, BusWatch, targetOf, together } from "./busWatch.ts";

const CLAIM_ID = 0x10;
const [COMMAND_ID, STATE_ID] = [0x22, 0x21];
const MOVE = 2, HOLD = 1;

interface Bench {
  watch: BusWatch;
  /** The frame of a command at a time, ms. */
  command(atMs: number, number: number, mode?: number): void;
  beat(atMs: number, more?: { epoch?: number; armed?: boolean }): void;
  state(atMs: number, fault?: number): void;
  sent(atMs: number, number: number): void;
}

/** One joint, beats every 20 ms, commands that live for 100; the phase "kill" begins at 1,000 ms. */
function bench(): Bench {
  const watch = new BusWatch({ joints: [{ name: "base", commandId: COMMAND_ID, stateId: STATE_ID }], claimId: CLAIM_ID, beatPeriodMs: 20 });
  watch.begin("quiet", 0);
  watch.begin("kill", 1_000e3);
  return {
    watch,
    command(atMs, number, mode = MOVE) {
      const data = new Uint8Array(8);
      new DataView(data.buffer).setInt16(4, Math.round(targetOf(number) * 1e4), true);
      data[7] = mode << 4;
      watch.frame(atMs * 1e3, COMMAND_ID, 0, data);
    },
    beat: (atMs, { epoch = 7, armed = true } = {}) => watch.frame(atMs * 1e3, CLAIM_ID, 0, encodeClaim({ kind: "beat", epoch, owner: 0, last: armed ? 1 : 0, counter: 0 })),
    state(atMs, fault = 0) {
      const data = new Uint8Array(8);
      data[7] = fault << 4;
      watch.frame(atMs * 1e3, STATE_ID, 0, data);
    },
    sent: (atMs, number) => watch.sent("base", number, atMs * 1e3, (atMs + 100) * 1e3),
  };
}

const of = (watch: BusWatch, name: string): BusPhase => watch.phases.get(name)!;

test("a command is in time when it or a newer one was on the bus at its deadline, and belongs to when it was sent", () => {
  const { watch, sent, command } = bench();
  sent(980, 1);
  sent(1_000, 2);
  sent(1_020, 3);
  command(1_075, 3);
  const [quiet, kill] = [of(watch, "quiet"), of(watch, "kill")];
  assert.deepEqual([quiet.late, kill.late, kill.stale, kill.outOfOrder], [0, 0, 0, 0]);
  assert.deepEqual([quiet.delaysMs, kill.delaysMs], [[95], [75, 55]]);
});

test("late: the deadline was over when something came, or nothing ever did", () => {
  const { watch, sent, command } = bench();
  sent(1_000, 1);
  sent(1_050, 2);
  sent(1_200, 3);
  command(1_110, 2);
  watch.sweep(1_290e3);
  assert.deepEqual([of(watch, "kill").late, of(watch, "kill").stale], [1, 0]);
  watch.sweep(1_310e3);
  watch.sweep(1_320e3);
  assert.equal(of(watch, "kill").late, 2);
});

test("a frame after its own deadline is stale; the last one once more is repeated; one older than what was there is out of order", () => {
  const { watch, sent, command } = bench();
  sent(1_000, 1);
  command(1_101, 1);
  command(1_102, 1);
  assert.deepEqual([of(watch, "kill").stale, of(watch, "kill").repeated, of(watch, "kill").outOfOrder, of(watch, "kill").late], [1, 1, 0, 1]);
  sent(1_110, 2);
  command(1_120, 2);
  command(1_121, 1);
  assert.deepEqual([of(watch, "kill").repeated, of(watch, "kill").outOfOrder], [1, 1]);
});

test("a beat that is late, unless the joints stood still as long", () => {
  const { watch, beat, state } = bench();
  for (const atMs of [1_000, 1_020]) beat(atMs);
  for (const atMs of [1_020, 1_030, 1_040, 1_050]) state(atMs);
  beat(1_052);
  assert.equal(of(watch, "kill").lateBeats, 1);
  state(1_060);
  state(1_090);
  beat(1_092);
  assert.deepEqual([of(watch, "kill").lateBeats, of(watch, "kill").robotGapMsMax], [1, 30]);
  // Still standing when the beat is read: the gap that counts is the one until then.
  for (const atMs of [1_100, 1_110]) state(atMs);
  beat(1_112);
  beat(1_155);
  state(1_156);
  assert.equal(of(watch, "kill").lateBeats, 1);
  state(1_166);
  beat(1_198);
  assert.equal(of(watch, "kill").lateBeats, 1);
  state(1_199);
  beat(1_255);
  assert.equal(of(watch, "kill").lateBeats, 1);
  for (const atMs of [1_260, 1_270]) state(atMs);
  beat(1_275);
  for (const atMs of [1_280, 1_290, 1_300, 1_310]) state(atMs);
  beat(1_312);
  assert.equal(of(watch, "kill").lateBeats, 2);
});

test("poses, disarms, other owners, joints that hold by themselves: each once", () => {
  const { watch, command, beat, state, sent } = bench();
  beat(1_000);
  for (const atMs of [1_001, 1_002]) command(atMs, 1, HOLD);
  for (const atMs of [1_020, 1_040]) beat(atMs, { armed: false });
  for (const atMs of [1_060, 1_080]) beat(atMs, { epoch: 8 });
  for (const atMs of [1_081, 1_091]) state(atMs, 1);
  sent(1_090, 2);
  command(1_091, 2);
  command(1_092, 2, HOLD);
  const { poses, poseFrames, disarms, ownerChanges, deadManStops } = of(watch, "kill");
  assert.deepEqual({ poses, poseFrames, disarms, ownerChanges, deadManStops }, { poses: 2, poseFrames: 3, disarms: 1, ownerChanges: 1, deadManStops: 1 });
});

test("what lies between the windows is nobody's", () => {
  const { watch, sent, command } = bench();
  watch.begin(undefined, 2_000e3);
  sent(2_010, 1);
  command(2_020, 1);
  watch.refused(2_010e3, "not now");
  assert.deepEqual([[...watch.phases.keys()], of(watch, "kill").ms, of(watch, "kill").sent], [["quiet", "kill"], 1_000, 0]);
});

test("how long the program itself sent nothing, and several windows as one", () => {
  const { watch, sent, command } = bench();
  for (const atMs of [980, 1_000, 1_300, 1_320]) sent(atMs, 1);
  const again = watch.begin("kill again", 1_400e3);
  watch.refused(1_410e3, "not now");
  sent(1_420, 2);
  command(1_421, 2);
  assert.deepEqual([of(watch, "quiet"), of(watch, "kill"), again].map(({ programGapMsMax }) => programGapMsMax), [0, 300, 100]);
  const { ms, sent: count, programGapMsMax, refused, delaysMs, late } = together([of(watch, "kill"), again]);
  assert.deepEqual({ ms, count, programGapMsMax, refused, delays: delaysMs.length, late }, { ms: 400, count: 4, programGapMsMax: 300, refused: new Map([["not now", 1]]), delays: 4, late: 3 });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { CanFlag, CanFrameBatch, type CanFrame } from "../../drivers/can/frame.ts";
import { compileMessage, parseDbc } from "../../schemas/dbc/index.ts";
import { e2eCheck, e2eProtector } from "../../schemas/e2e/index.ts";
import { readRecord } from "../../schemas/records/layout.ts";
import { Rejects } from "../observe/rejects.ts";
import { TopicTable } from "../topics/table.ts";
import { CanReceiver, FRAME_AGE_MS_MAX } from "./canReceiver.ts";

const dbc = `
BO_ 256 State: 8 Joint
 SG_ counter : 16|8@1+ (1,0) [0|255] "" Gateway
 SG_ position : 24|16@1- (0.001,0) [-3|3] "rad" Gateway
 SG_ temperature : 40|8@1+ (1,-40) [-40|150] "degC" Gateway
`;
const config = { profile: "P05", dataId: 0x1234, lengthBytes: 8, maxDeltaCounter: 100 } as const;

/** A receiver for `State` with everything around it, and a sender that protects. */
function rig() {
  const codec = compileMessage(parseDbc(dbc, { file: "test.dbc" }).messages[0]!);
  const table = new TopicTable();
  const rejects = new Rejects();
  const topic = table.declare({ name: "can/arm/State", encoding: "record", layout: codec.layout, cycleTimeMs: 10 });
  const rawTopic = table.declare({ name: "can/arm/raw", encoding: "canframe" });
  const echoes: number[] = [];
  const alive: number[] = [];
  const heartbeats: number[] = [];
  const receiver = new CanReceiver({
    bus: "arm", table, rejects, rawTopic,
    messages: [{ name: "State", canId: 256, extended: false, codec, check: e2eCheck(config), topic, accepted: (_bytes, _at, _length, timeUs) => alive.push(timeUs) }],
    rawHandlers: [{ canId: 0x701, extended: false, handle: (bytes, at) => void heartbeats.push(bytes[at]!) }, { canId: 0x41, extended: false, handle: () => "notPermitted" as const }],
    onEcho: (token) => echoes.push(token), onErrorFrame: () => {},
  });
  const protector = e2eProtector(config);
  const seen: Record<string, unknown>[] = [];
  table.watch("can/arm/State", { sample: (entry, bytes, at) => seen.push(readRecord(entry.layout!, new DataView(bytes.buffer, bytes.byteOffset), at)) });
  const batch = new CanFrameBatch(16);
  return {
    receiver, rejects, seen, echoes, alive, heartbeats, topic, table,
    /** A protected frame of `State`. */
    state(position: number, temperature = 20): CanFrame {
      const encoded = codec.encode({ counter: 0, position, temperature });
      assert.ok(encoded.ok);
      protector.protect(encoded.data, 0, 8, 256);
      return { timeUs: 1_000, canId: 256, flags: 0, data: encoded.data };
    },
    push(...frames: CanFrame[]) {
      batch.clear();
      for (const frame of frames) assert.ok(batch.push(frame));
      receiver.push(batch, 1_000);
    },
    reasons: () => Object.fromEntries(rejects.report(1_000).map(({ reason, count }) => [reason, count])),
  };
}

test("a right frame becomes a record, in order", () => {
  const { push, seen, state, topic } = rig();
  push(state(0.5), state(-1.25), state(3));
  assert.deepEqual(seen.map(({ position }) => position), [0.5, -1.25, 3]);
  assert.equal(topic.sequence, 3);
  assert.equal(topic.quality, 0);
});

test("each rejection has its reason, and nothing rejected reaches the topic", () => {
  const { push, seen, state, reasons, receiver } = rig();
  const good = state(1);
  push(good);
  push(good);
  const flipped = state(1.1);
  flipped.data[5]! ^= 0x10;
  push(flipped);
  push({ ...state(1.2), data: state(1.2).data.subarray(0, 7) });
  push({ timeUs: 1_000, canId: 0x123, flags: 0, data: Uint8Array.of(1) });
  push({ timeUs: 1_000, canId: 256, flags: CanFlag.remote, data: new Uint8Array(0), lengthBytes: 8 });
  assert.equal(seen.length, 1);
  assert.deepEqual(reasons(), { repeated: 1, crcMismatch: 1, badLength: 1, unknownId: 1, unexpectedFrame: 1 });
  assert.equal(receiver.counters.accepted, 1);
});

test("a frame that waited too long is published as stale, with its own time, and shows nobody alive", () => {
  const { push, seen, state, topic, receiver, alive } = rig();
  push(state(1));
  push({ ...state(2), timeUs: 1_000 - FRAME_AGE_MS_MAX * 1e3 - 1 });
  assert.deepEqual(seen.map(({ position }) => position), [1, 2]);
  assert.equal(topic.quality, 1);
  assert.equal(topic.timeUs, 1_000 - FRAME_AGE_MS_MAX * 1e3 - 1);
  assert.equal(receiver.counters.late, 1);
  assert.deepEqual(alive, [1_000]);
});

test("out of range is a rejection, not a clamp", () => {
  const { push, seen, state, reasons } = rig();
  const frame = state(1);
  // 255 raw is 215 °C, above the declared 150; the CRC is made right again, as a confused sender's would be.
  frame.data[5] = 255;
  e2eProtector(config).protect(frame.data, 0, 8, 256);
  push(frame);
  assert.equal(seen.length, 0);
  assert.deepEqual(reasons(), { outOfRange: 1 });
});

test("every single-bit flip of every byte is rejected", () => {
  const { push, seen, state } = rig();
  for (let bit = 0; bit < 64; bit++) {
    const frame = state(bit / 100);
    frame.data[bit >> 3]! ^= 1 << (bit & 7);
    push(frame);
  }
  assert.equal(seen.length, 0);
});

test("a 29-bit frame with the same number is another message", () => {
  const { push, seen, state, reasons } = rig();
  push({ ...state(1), flags: CanFlag.extended });
  assert.equal(seen.length, 0);
  assert.deepEqual(reasons(), { unknownId: 1 });
});

test("echoes go to the commands, heartbeats to the nodes, neither into topics", () => {
  const { push, seen, echoes, heartbeats, state, receiver } = rig();
  push({ ...state(1), flags: CanFlag.echo, token: 77 }, { timeUs: 1_000, canId: 0x701, flags: 0, data: Uint8Array.of(5) });
  assert.deepEqual([echoes, heartbeats, seen.length], [[77], [5], 0]);
  assert.equal(receiver.counters.frames, 1);
});

test("a frame that only we may send, coming from somebody else, is rejected as not permitted", () => {
  const { push, reasons, receiver } = rig();
  push({ timeUs: 1_000, canId: 0x41, flags: 0, data: Uint8Array.of(1, 2) });
  assert.deepEqual(reasons(), { notPermitted: 1 });
  assert.equal(receiver.counters.accepted, 0);
});

test("the raw topic carries every frame as it came, rejected ones too", () => {
  const { push, state, table } = rig();
  const raw: number[] = [];
  table.watch("can/arm/raw", { sample: (_topic, bytes, at) => raw.push(new DataView(bytes.buffer, bytes.byteOffset).getUint32(at + 8, true)) });
  const bad = state(1);
  bad.data[0]! ^= 1;
  push(bad, { timeUs: 1_000, canId: 0x7ff, flags: 0, data: new Uint8Array(0) });
  assert.deepEqual(raw, [256, 0x7ff]);
});

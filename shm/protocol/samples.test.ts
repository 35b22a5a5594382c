import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { PAYLOAD_BYTES_MAX, SAMPLES_AT, SAMPLE_HEAD_BYTES, SampleBatchReader, SampleBatchWriter, sampleBytes } from "./samples.ts";

interface Sample { topicId: number; tag: number; sequence: number; timeUs: number; lostBefore: number; originId: number; quality: number; flags: number; payload: Uint8Array }

const sample = fc.record({
  topicId: fc.nat(0xffff), tag: fc.nat(), sequence: fc.maxSafeNat(), timeUs: fc.double({ min: 0, max: 1e15, noNaN: true }), lostBefore: fc.nat(), originId: fc.nat(), quality: fc.nat(2), flags: fc.nat(7),
  payload: fc.uint8Array({ maxLength: 200 }),
}, { noNullPrototype: true });

const append = (batch: SampleBatchWriter, s: Sample): boolean => batch.append(s.topicId, s.tag, s.sequence, s.timeUs, s.lostBefore, s.originId, s.quality, s.flags, s.payload, 0, s.payload.length);

function readAll(bytes: Uint8Array, at: number, lengthBytes: number): Sample[] | string {
  const reader = new SampleBatchReader();
  const fault = reader.open(bytes, at, lengthBytes);
  if (fault) return fault;
  const found: Sample[] = [];
  while (reader.next()) {
    const { topicId, tag, sequence, timeUs, lostBefore, originId, quality, flags } = reader;
    found.push({ topicId, tag, sequence, timeUs, lostBefore, originId, quality, flags, payload: bytes.slice(reader.payloadAt, reader.payloadAt + reader.payloadBytes) });
  }
  return found;
}

test("what was appended is read, in order, also after the oldest were dropped", () => {
  fc.assert(fc.property(fc.array(sample, { maxLength: 20 }), fc.nat(20), (samples, dropped) => {
    const batch = new SampleBatchWriter();
    for (const s of samples) assert.ok(append(batch, s));
    const drop = Math.min(dropped, samples.length);
    for (let i = 0; i < drop; i++) batch.dropFirst();
    batch.finish(1.7e15);
    assert.deepEqual(readAll(batch.bytes, batch.packetAt, batch.packetBytes), samples.slice(drop));
  }), { numRuns: 200 });
});

test("a packet takes samples until it is full, and the largest payload exactly", () => {
  const batch = new SampleBatchWriter();
  const payload = new Uint8Array(40);
  let count = 0;
  while (batch.append(1, 1, count, 0, 0, 0, 0, 0, payload, 0, 40)) count += 1;
  assert.equal(count, Math.floor((65_536 - SAMPLES_AT) / sampleBytes(40)));
  batch.reset();
  assert.equal(batch.append(1, 1, 1, 0, 0, 0, 0, 0, new Uint8Array(PAYLOAD_BYTES_MAX + 1), 0, PAYLOAD_BYTES_MAX + 1), false);
  assert.equal(batch.append(1, 1, 1, 0, 0, 0, 0, 0, new Uint8Array(PAYLOAD_BYTES_MAX), 0, PAYLOAD_BYTES_MAX), true);
  assert.equal(batch.packetBytes, 65_536);
});

test("payloads stand at multiples of 8 in the packet", () => {
  const batch = new SampleBatchWriter();
  for (const length of [1, 7, 8, 9, 0, 3]) append(batch, { topicId: 1, tag: 1, sequence: 1, timeUs: 1, lostBefore: 0, originId: 0, quality: 0, flags: 0, payload: new Uint8Array(length).fill(0xff) });
  batch.finish(0);
  const reader = new SampleBatchReader();
  assert.equal(reader.open(batch.bytes, batch.packetAt, batch.packetBytes), undefined);
  while (reader.next()) assert.equal(reader.payloadAt % 8, 0);
});

test("a batch with any field out of order is refused whole", () => {
  const batch = new SampleBatchWriter();
  append(batch, { topicId: 1, tag: 1, sequence: 1, timeUs: 1, lostBefore: 0, originId: 0, quality: 0, flags: 0, payload: Uint8Array.of(1, 2, 3) });
  batch.finish(0);
  const broken = (change: (view: DataView) => void, lengthBytes = batch.packetBytes): unknown => {
    const copy = batch.bytes.slice(0, batch.packetBytes + 8);
    change(new DataView(copy.buffer));
    return readAll(copy, 0, lengthBytes);
  };
  assert.equal(broken(() => {}, 31), "tooShort");
  assert.equal(broken(() => {}, batch.packetBytes - 8), "sampleBeyondPacket");
  assert.equal(broken(() => {}, batch.packetBytes + 8), "trailingBytes");
  assert.equal(broken((v) => v.setUint16(20, 2, true)), "sampleBeyondPacket");
  assert.equal(broken((v) => v.setUint16(22, 1, true)), "reservedNotZero");
  assert.equal(broken((v) => v.setUint32(SAMPLES_AT + 4, 0xffff_ffff, true)), "sampleBeyondPacket");
  assert.equal(broken((v) => v.setUint8(SAMPLES_AT + 36, 3)), "badQuality");
  assert.equal(broken((v) => v.setUint16(SAMPLES_AT + 38, 1, true)), "reservedNotZero");
  assert.equal(broken((v) => v.setFloat64(SAMPLES_AT + 16, NaN, true)), "badTime");
  assert.equal(SAMPLE_HEAD_BYTES, 40);
});

test("a copied sample keeps everything but lostBefore and flags", () => {
  const from = new SampleBatchWriter();
  const s: Sample = { topicId: 7, tag: 3, sequence: 9, timeUs: 5, lostBefore: 1, originId: 4, quality: 2, flags: 1, payload: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9) };
  append(from, s);
  const to = new SampleBatchWriter();
  assert.ok(to.appendCopy(from, from.start, 42, 3));
  to.finish(0);
  assert.deepEqual(readAll(to.bytes, to.packetAt, to.packetBytes), [{ ...s, lostBefore: 42, flags: 3 }]);
});

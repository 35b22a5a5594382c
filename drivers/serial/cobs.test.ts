import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import type { CobsFault } from "./cobs.ts";
import { CobsDecoder, cobsEncode, cobsEncodedBytesMax, cobsFrame } from "./cobs.ts";

interface Row { name: string; payload: string; encoded: string }
interface Vectors { roundTrip: Row[]; decodeOnly: Row[]; refused: { name: string; encoded: string; fault: CobsFault }[] }

function vectors(): Vectors {
  let at = import.meta.dirname;
  while (!existsSync(join(at, "package.json"))) at = dirname(at);
  return JSON.parse(readFileSync(join(at, "schemas/vectors/cobs.json"), "utf8")) as Vectors;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));

/** Everything a decoder makes of `chunks`. */
function decodeAll(chunks: readonly Uint8Array[], maxFrameBytes = 4096): { frames: string[]; faults: CobsFault[]; decoder: CobsDecoder } {
  const decoder = new CobsDecoder({ maxFrameBytes });
  const frames: string[] = [];
  const faults: CobsFault[] = [];
  for (const chunk of chunks) decoder.push(chunk, { frame: (payload) => frames.push(hex(payload)), bad: (fault) => faults.push(fault) });
  return { frames, faults, decoder };
}

function encode(payload: Uint8Array): Uint8Array {
  const out = new Uint8Array(cobsEncodedBytesMax(payload.length));
  return out.subarray(0, cobsEncode(payload, out));
}

const { roundTrip, decodeOnly, refused } = vectors();
for (const row of roundTrip) {
  test(`vector: ${row.name}`, () => {
    assert.equal(hex(encode(unhex(row.payload))), row.encoded);
    assert.deepEqual(decodeAll([unhex(`${row.encoded}00`)]).frames, [row.payload]);
  });
}
for (const row of decodeOnly) {
  test(`vector, decoding alone: ${row.name}`, () => assert.deepEqual(decodeAll([unhex(`${row.encoded}00`)]).frames, [row.payload]));
}
for (const row of refused) {
  test(`vector, refused: ${row.name}`, () => {
    const { frames, faults } = decodeAll([unhex(`${row.encoded}00`)]);
    assert.deepEqual([frames, faults], [[], [row.fault]]);
  });
}

/** Payloads rich in zeros and in runs around the block length of 254. */
const payloads = fc.oneof(
  fc.uint8Array({ minLength: 0, maxLength: 80 }),
  fc.array(fc.constantFrom(0, 1, 255), { maxLength: 40 }).map((bytes) => Uint8Array.from(bytes)),
  fc.tuple(fc.integer({ min: 250, max: 260 }), fc.integer({ min: 0, max: 3 }), fc.uint8Array({ maxLength: 6 })).map(([run, zeros, tail]) => Uint8Array.from([...Array.from({ length: run }, (_, i) => (i % 255) + 1), ...Array.from({ length: zeros }, () => 0), ...tail])),
);

test("decode(encode(x)) is x, no zero is written, and the stated maximum holds", () => {
  fc.assert(fc.property(payloads, (payload) => {
    const encoded = encode(payload);
    assert.ok(!encoded.includes(0));
    assert.ok(encoded.length <= cobsEncodedBytesMax(payload.length));
    assert.deepEqual(decodeAll([encoded, Uint8Array.of(0)]).frames, [hex(payload)]);
  }));
});

test("any chunking gives the same frames, down to one byte at a time", () => {
  fc.assert(fc.property(fc.array(payloads, { maxLength: 4 }), fc.infiniteStream(fc.integer({ min: 1, max: 40 })), (many, sizes) => {
    const stream = Buffer.concat(many.map(cobsFrame));
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < stream.length;) {
      const size = sizes.next().value as number;
      chunks.push(stream.subarray(at, at + size));
      at += size;
    }
    const whole = decodeAll([stream]).frames;
    assert.deepEqual(decodeAll(chunks).frames, whole);
    assert.deepEqual(decodeAll([...stream].map((byte) => Uint8Array.of(byte))).frames, whole);
    assert.deepEqual(whole, many.map(hex));
  }));
});

test("garbage before a frame never loses it", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), payloads, (garbage, payload) => {
    assert.equal(decodeAll([garbage, cobsFrame(payload)]).frames.at(-1), hex(payload));
  }));
});

test("a frame that would be too long is skipped up to the next delimiter, counted once, and the next one arrives", () => {
  const long = cobsFrame(new Uint8Array(100).fill(7));
  const { frames, faults, decoder } = decodeAll([long, cobsFrame(Uint8Array.of(1, 2, 3))], 64);
  assert.deepEqual([frames, faults], [["010203"], ["tooLong"]]);
  assert.deepEqual(decoder.counters, { frames: 1, truncated: 0, tooLong: 1, skippedBytes: long.length - 2 });
});

test("a payload of exactly the maximum passes, one byte more does not, zeros counted", () => {
  for (const byte of [0, 9]) {
    assert.equal(decodeAll([cobsFrame(new Uint8Array(64).fill(byte))], 64).frames.length, 1);
    assert.deepEqual(decodeAll([cobsFrame(new Uint8Array(65).fill(byte))], 64).faults, ["tooLong"]);
  }
});

test("runs of delimiters are not frames", () => assert.deepEqual(decodeAll([new Uint8Array(50)]).frames, []));

test("reset forgets a frame begun", () => {
  const decoder = new CobsDecoder({ maxFrameBytes: 64 });
  const frames: string[] = [];
  const sink = { frame: (payload: Uint8Array) => void frames.push(hex(payload)) };
  decoder.push(Uint8Array.of(9, 1, 2, 3), sink);
  decoder.reset();
  decoder.push(Uint8Array.of(2, 5, 0), sink);
  assert.deepEqual(frames, ["05"]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { fromHex, toHex } from "../testData.ts";
import { fuzzTargets } from "./fuzz.ts";
import {
  decodeFile, decodeTensor, decodeVideo, isFileContent, isFileName, isMediaEncoding, itemBytes, mediaCodec, mediaSchemaHash, tensorTypeName, tensorTypeNames, tensorTypeOf, unmetConstraint,
} from "./index.ts";
import type { MediaResult } from "./index.ts";
import { badRows, goodRows, schemaRows, spell } from "./testValues.ts";

const SEED = 20261122;

function value<Value>(result: MediaResult<Value>): Value {
  assert.ok(result.ok, result.ok ? "" : `${result.code}: ${result.text}`);
  return result.value;
}

test("every payload of the vectors gives its value", () => {
  for (const { name, encoding, payload, value: expected } of goodRows) assert.equal(spell(encoding, fromHex(payload)), expected, name);
});

test("every hostile payload of the vectors gives its fault", () => {
  for (const { name, encoding, payload, fault } of badRows) assert.equal(spell(encoding, payload), fault, name);
});

test("schema hashes are those of the vectors, in any order of the keys", () => {
  for (const { encoding, constraints, hash } of schemaRows) {
    assert.equal(mediaSchemaHash(encoding, Object.fromEntries(Object.entries(constraints).toReversed())), BigInt(`0x${hash}`));
  }
});

for (const target of fuzzTargets) {
  test(`${target.name}: no bytes break it, and what decodes encodes to the same bytes`, () => {
    for (const seed of target.seeds) target.run(seed);
    const mutated = fc.tuple(fc.constantFrom(...target.seeds), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat()).map(([seed, edits, cut]) => {
      const bytes = Uint8Array.from(seed);
      // Mostly the first bytes: they decide.
      for (const [at, byte] of edits) bytes[at % (at % 3 === 0 ? bytes.length : Math.min(bytes.length, 160))] = byte;
      return cut % 5 === 0 ? bytes.subarray(0, cut % (bytes.length + 1)) : bytes;
    });
    fc.assert(fc.property(fc.oneof({ weight: 1, arbitrary: fc.uint8Array({ maxLength: 700 }) }, { weight: 5, arbitrary: mutated }), (input) => target.run(input)), { seed: SEED, numRuns: 4000 });
  });

  test(`${target.name}: every single flipped bit of a header gives a value or a fault`, () => {
    for (const seed of target.seeds) {
      for (let bit = 0; bit < Math.min(seed.length, 600) * 8; bit++) {
        const bytes = Uint8Array.from(seed);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        target.run(bytes);
      }
    }
  });
}

test("any tensor comes back as it was, wherever in its buffer the payload stands", () => {
  const shapes = fc.array(fc.nat({ max: 5 }), { maxLength: 8 }).filter((shape) => shape.reduce((product, side) => product * side, 1) <= 4096);
  fc.assert(fc.property(fc.constantFrom(...tensorTypeNames), shapes, fc.nat(9), fc.boolean(), (dtype, shape, shift, transposed) => {
    const type = tensorTypeOf(dtype)!;
    const elements = shape.reduce((product, side) => product * side, 1);
    const data = Uint8Array.from({ length: elements * itemBytes(type) }, (_, i) => i * 7);
    // Column-major: the strides of the reversed shape, reversed.
    const strides = transposed ? shape.map((_, i) => shape.slice(0, i).reduce((product, side) => product * Math.max(1, side), 1)) : undefined;
    const payload = value(mediaCodec("tensor").encode({ dtype, shape, ...(strides ? { strides } : {}), data }));
    const buffer = new Uint8Array(payload.length + 16);
    buffer.set(payload, shift);
    const tensor = value(decodeTensor(buffer.subarray(shift, shift + payload.length)));
    assert.deepEqual([tensor.dtype, tensor.shape, tensor.type], [dtype, shape, type]);
    if (strides) assert.deepEqual(tensor.strides, strides);
    assert.equal(toHex(tensor.bytes), toHex(data));
    assert.equal(tensor.data.length, elements * tensor.numbersPerElement);
    assert.deepEqual(new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength), data);
    assert.equal(tensor.data.buffer === buffer.buffer, shift % tensor.data.BYTES_PER_ELEMENT === 0, "no copy where the payload stands aligned");
  }), { seed: SEED, numRuns: 500 });
});

test("a decoded tensor of numbers is a view: what is written to the buffer is seen", () => {
  const payload = value(mediaCodec("tensor").encode({ shape: [2, 2], data: new Float32Array([1, 2, 3, 4]) }));
  const { data, dtype, strides } = value(decodeTensor(payload));
  assert.deepEqual([dtype, strides, [...(data as Float32Array)]], ["float32", [2, 1], [1, 2, 3, 4]]);
  new DataView(payload.buffer).setFloat32(192 + 4, 9, true);
  assert.equal(data[1], 9);
});

test("every type name finds its type, and the other way round", () => {
  for (const name of tensorTypeNames) {
    assert.equal(tensorTypeName(tensorTypeOf(name)!), name);
    assert.equal(tensorTypeName(tensorTypeOf(`${name}x16`)!), `${name}x16`);
  }
  for (const name of ["float", "float33", "float32x1", "float32x0", "float32x257", "float32x", "x4", "", "toString"]) assert.equal(tensorTypeOf(name), undefined, name);
});

test("what does not fit is refused when it is encoded", () => {
  const refused = (result: MediaResult<Uint8Array>, code: string): void => assert.equal(result.ok ? "encoded" : result.code, code);
  const tensor = mediaCodec("tensor");
  refused(tensor.encode({ shape: [2, 2], data: new Float32Array(3) }), "outOfBounds");
  refused(tensor.encode({ shape: [1.5], data: new Float32Array(3) }), "badShape");
  refused(tensor.encode({ shape: [2], strides: [-1], data: new Float32Array(3) }), "badShape");
  refused(tensor.encode({ shape: [2], strides: [1, 1], data: new Float32Array(3) }), "badShape");
  refused(tensor.encode({ shape: [1, 1, 1, 1, 1, 1, 1, 1, 1], data: new Float32Array(3) }), "badShape");
  refused(tensor.encode({ dtype: "float31", shape: [1], data: new Uint8Array(8) }), "badType");
  refused(tensor.encode({ shape: [8], data: new DataView(new ArrayBuffer(8)) }), "badType");
  const video = mediaCodec("video");
  refused(video.encode({ fourcc: "RGB3", width: 2, height: 2, data: new Uint8Array(11) }), "outOfBounds");
  refused(video.encode({ fourcc: "????", width: 2, height: 2, data: new Uint8Array(11) }), "badShape");
  refused(video.encode({ fourcc: "RGB", width: 2, height: 2, data: new Uint8Array(12) }), "badType");
  refused(video.encode({ fourcc: "RGB3", width: 2, height: 2, ptsNs: 2n ** 63n, data: new Uint8Array(12) }), "badShape");
  refused(mediaCodec("audio").encode({ format: "s16", channels: 2, rateHz: 8000, samples: new Int16Array(3) }), "outOfBounds");
  refused(mediaCodec("audio").encode({ format: "s16", channels: 0, rateHz: 8000, samples: new Int16Array(3) }), "badShape");
  refused(mediaCodec("points").encode({ fields: [{ name: "x", type: "f32", count: 1, offsetBytes: 2 }], strideBytes: 4, data: new Uint8Array(8) }), "outOfBounds");
  refused(mediaCodec("haptic").encode({ quantity: "force", channels: 2, samples: new Float32Array(3) }), "outOfBounds");
  refused(mediaCodec("file").encode({ name: "../x", content: new Uint8Array(1) }), "badName");
  refused(mediaCodec("file").encode({ name: "x", sizeBytes: 5 }), "badShape");
  refused(mediaCodec("file").encode({ name: "x", type: `a/${"b".repeat(126)}`, content: new Uint8Array(1) }), "badShape");
});

test("raw video gets its planes, a key-frame flag and a view", () => {
  const data = Uint8Array.from({ length: 6 * 4 * 3 / 2 }, (_, i) => i);
  const frame = value(decodeVideo(value(mediaCodec("video").encode({ fourcc: "NV12", width: 6, height: 4, ptsNs: 40n, data }))));
  assert.deepEqual(frame.planes, [{ offsetBytes: 0, strideBytes: 6, rowBytes: 6, rows: 4 }, { offsetBytes: 24, strideBytes: 6, rowBytes: 6, rows: 2 }]);
  assert.deepEqual([frame.keyFrame, frame.ptsNs, frame.encoded], [true, 40n, false]);
});

test("a file's content is told from another of the same size", () => {
  const payload = value(mediaCodec("file").encode({ name: "a.bin", type: "application/octet-stream", content: new Uint8Array([1, 2, 3]) }));
  const file = value(decodeFile(payload));
  assert.ok(isFileContent(file, file.content!));
  assert.ok(!isFileContent(file, new Uint8Array([1, 2, 4])));
  assert.ok(!isFileContent(file, new Uint8Array([1, 2])));
});

test("names that would leave their folder are no names", () => {
  for (const name of ["a", "ä.txt", "..a", "a b", "…"]) assert.ok(isFileName(name), name);
  for (const name of ["", ".", "..", "a/b", "/a", "a\\b", "a\0", "a\n", "\u007f", "x".repeat(256), "é".repeat(128), "\ud800", undefined, 7]) assert.ok(!isFileName(name), String(name));
});

test("constraints are met or named", () => {
  const facts = { dtype: "float32", shape: [2, 480, 640] };
  assert.equal(unmetConstraint(facts, {}), undefined);
  assert.equal(unmetConstraint(facts, { dtype: "float32", shape: [null, 480, 640] }), undefined);
  assert.equal(unmetConstraint(facts, { dtype: "uint8" }), "dtype");
  assert.equal(unmetConstraint(facts, { shape: [null, 480] }), "shape");
  assert.equal(unmetConstraint(facts, { colour: null }), "colour");
});

test("encodings that are not media have no codec", () => {
  assert.equal(mediaCodec("record"), undefined);
  assert.equal(mediaCodec("toString"), undefined);
  assert.ok(isMediaEncoding("points"));
});

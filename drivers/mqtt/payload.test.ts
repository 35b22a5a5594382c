/** CBOR and JSON from strangers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { CborFault } from "./cbor.ts";
import { decodeCbor, encodeCbor } from "./cbor.ts";
import type { JsonFault } from "./json.ts";
import { decodeJson } from "./json.ts";

const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));

const values = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 4 }, fc.string({ unit: "binary" }), fc.boolean(), fc.constant(null), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.maxSafeInteger(), fc.array(tie("value"), { maxLength: 4 }), fc.dictionary(fc.string({ maxLength: 6 }).filter((key) => key !== "__proto__"), tie("value"), { maxKeys: 4 })),
})).value;

/** cbor-x writes −0 as 0; plain objects are compared without their prototype. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test("CBOR: decode(encode(x)) is x", () => {
  fc.assert(fc.property(values, (value) => {
    const decoded = decodeCbor(encodeCbor(value));
    assert.ok(decoded.ok);
    assert.deepEqual(plain(decoded.value), plain(value));
  }));
});

test("CBOR: bytes and wide integers", () => {
  const decoded = decodeCbor(encodeCbor({ b: Uint8Array.of(1, 2, 3), big: 2n ** 63n, low: -(2n ** 63n) }));
  assert.ok(decoded.ok);
  const { b, big, low } = decoded.value as { b: Uint8Array; big: bigint; low: bigint };
  assert.deepEqual([[...b], big, low], [[1, 2, 3], 2n ** 63n, -(2n ** 63n)]);
});

const rows: [string, string, CborFault][] = [
  ["nothing", "", "truncated"],
  ["half an integer", "19 01", "truncated"],
  ["text longer than the rest", "65 6162", "truncated"],
  ["array that promises 2^32 items", "9b 0000000100000000", "truncated"],
  ["map that promises 2^63 pairs", "bb 8000000000000000", "truncated"],
  ["two values", "01 02", "trailingBytes"],
  ["bad UTF-8", "62 c328", "badText"],
  ["bad UTF-8 in a key", "a1 62 c328 01", "badText"],
  ["number as key", "a1 01 02", "badKey"],
  ["__proto__", "a1 69 5f5f70726f746f5f5f a0", "badKey"],
  ["key twice", "a2 6161 01 6161 02", "duplicateKey"],
  ["half infinity", "f9 7c00", "notFinite"],
  ["half NaN", "f9 7e00", "notFinite"],
  ["single infinity", "fa 7f800000", "notFinite"],
  ["double NaN", "fb 7ff8000000000000", "notFinite"],
  ["undefined", "f7", "unsupported"],
  ["simple value 255", "f8 ff", "unsupported"],
  ["date tag", "c1 1a 514b67b0", "unsupported"],
  ["cbor-x record definition", "d9 dfff 83 01 02 03", "unsupported"],
  ["cbor-x shared reference", "d8 1d 00", "unsupported"],
  ["-2^63 - 1", "3b 8000000000000000", "unsupported"],
  ["indefinite array", "9f 01 ff", "unsupported"],
  ["indefinite text", "7f 6161 ff", "unsupported"],
  ["break alone", "ff", "unsupported"],
  ["reserved argument", "1c", "malformed"],
  ["reserved simple", "fc", "malformed"],
  ["indefinite integer", "1f", "malformed"],
];
for (const [name, hex, code] of rows) {
  test(`CBOR refused: ${name}`, () => {
    const result = decodeCbor(unhex(hex));
    assert.equal(result.ok ? "accepted" : result.code, code);
  });
}

test("CBOR: size, depth and number of values are bounded", () => {
  const deep = decodeCbor(new Uint8Array(40_000).fill(0x81));
  assert.equal(deep.ok ? "" : deep.code, "tooDeep");
  const many = decodeCbor(encodeCbor(Array.from({ length: 5000 }, () => 0)));
  assert.equal(many.ok ? "" : many.code, "tooManyItems");
  const long = decodeCbor(new Uint8Array(70_000));
  assert.equal(long.ok ? "" : long.code, "tooLong");
});

test("CBOR: any bytes give a value or a typed rejection; what is taken is finite throughout", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    const result = decodeCbor(bytes);
    if (result.ok) encodeCbor(result.value); // throws for anything that we do not speak
  }), { numRuns: 5000 });
});

test("CBOR: encoding refuses what cannot travel", () => {
  for (const value of [NaN, Infinity, { a: -Infinity }, [undefined], () => 1, new Date(), 2n ** 64n]) assert.throws(() => encodeCbor(value), RangeError);
});

const jsonRows: [string, JsonFault][] = [
  ["", "malformed"], ["{", "malformed"], ["{\"a\":1}x", "malformed"], ["NaN", "malformed"], ["1e999", "notFinite"], ["[-1e999]", "notFinite"],
  ["{\"a\":1,\"a\":2}", "duplicateKey"], ["{\"b\":{\"a\":1,\"\\u0061\":2}}", "duplicateKey"], ["{\"__proto__\":1}", "badKey"], ["[".repeat(40), "tooDeep"], [`[${"0,".repeat(5000)}0]`, "tooManyItems"], [`"${"x".repeat(70_000)}"`, "tooLong"],
];
for (const [text, code] of jsonRows) {
  test(`JSON refused: ${text.slice(0, 30)} (${code})`, () => {
    const result = decodeJson(Buffer.from(text));
    assert.equal(result.ok ? "accepted" : result.code, code);
  });
}

test("JSON: bad UTF-8 is refused", () => {
  const result = decodeJson(Uint8Array.of(0x22, 0xc3, 0x28, 0x22));
  assert.equal(result.ok ? "accepted" : result.code, "badText");
});

test("JSON: whatever JSON.stringify writes is taken, colons and quotes in strings included", () => {
  fc.assert(fc.property(values, (value) => {
    const decoded = decodeJson(Buffer.from(JSON.stringify(value)));
    assert.ok(decoded.ok, decoded.ok ? "" : decoded.text);
    assert.deepEqual(decoded.value, plain(value));
  }));
});

test("JSON: any text gives a value or a typed rejection", () => {
  const pieces = fc.array(fc.constantFrom("{", "}", "[", "]", ":", ",", "\"", "\\", "a", "1", "e9", "-", "null", " "), { maxLength: 60 }).map((parts) => parts.join(""));
  fc.assert(fc.property(pieces, (text) => void decodeJson(Buffer.from(text))), { numRuns: 5000 });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { decodeCbor } from "./cborReader.ts";
import { CborValueError, CborWriter } from "./cborWriter.ts";

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
const encode = (value: unknown): Uint8Array => new CborWriter({ lengthMax: 1 << 20 }).value(value).take();
const toHex = (value: unknown): string => Buffer.from(encode(value)).toString("hex");

/** RFC 8949 appendix A. */
const vectors: readonly (readonly [string, unknown])[] = [
  ["00", 0], ["17", 23], ["1818", 24], ["1903e8", 1000], ["1a000f4240", 1_000_000], ["1b000000e8d4a51000", 1_000_000_000_000],
  ["1bffffffffffffffff", 18_446_744_073_709_551_615n], ["c249010000000000000000", 18_446_744_073_709_551_616n],
  ["3bffffffffffffffff", -18_446_744_073_709_551_616n], ["20", -1], ["3903e7", -1000], ["fb3ff199999999999a", 1.1], ["fbc010666666666666", -4.1],
  ["f4", false], ["f5", true], ["f6", null], ["f7", undefined], ["60", ""], ["6449455446", "IETF"], ["62c3bc", "ü"], ["64f0908591", "𐅑"],
  ["80", []], ["83010203", [1, 2, 3]], ["8301820203820405", [1, [2, 3], [4, 5]]], ["a0", {}], ["a26161016162820203", { a: 1, b: [2, 3] }],
];

test("RFC 8949 appendix A: values are written in their shortest form and read back", () => {
  for (const [bytes, value] of vectors) {
    assert.equal(toHex(value), bytes);
    assert.deepEqual(decodeCbor(hex(bytes)), { ok: true, value });
  }
});

test("what others write is read: half and single floats, indefinite lengths, tags", () => {
  const others: readonly (readonly [string, unknown])[] = [
    ["f90000", 0], ["f93e00", 1.5], ["f97bff", 65_504], ["f90001", 5.960464477539063e-8], ["f97c00", Infinity], ["f9c400", -4], ["fa47c35000", 100_000],
    ["5f42010243030405ff", hex("0102030405")], ["7f657374726561646d696e67ff", "streaming"], ["9f018202039f0405ffff", [1, [2, 3], [4, 5]]],
    ["bf61610161629f0203ffff", { a: 1, b: [2, 3] }], ["c11a514b67b0", 1_363_896_240], ["d74401020304", hex("01020304")],
  ];
  for (const [bytes, value] of others) assert.deepEqual(decodeCbor(hex(bytes)), { ok: true, value }, bytes);
});

test("each way to be wrong has its code", () => {
  const faults: readonly (readonly [string, string])[] = [
    ["", "truncated"], ["18", "truncated"], ["62c3", "truncated"], ["8301", "truncated"], ["0000", "trailingBytes"], ["62c328", "badText"], ["a10101", "badKey"],
    ["a1695f5f70726f746f5f5f01", "badKey"], ["a2616101616102", "duplicateKey"], ["1c", "reserved"], ["ff", "reserved"], ["f8ff", "reserved"],
    ["9bffffffffffffffff", "truncated"], ["bbffffffffffffffff", "truncated"], ["5bffffffffffffffff", "truncated"], ["81".repeat(40), "tooDeep"], ["7f01ff", "reserved"],
  ];
  for (const [bytes, code] of faults) {
    const result = decodeCbor(hex(bytes));
    assert.equal(result.ok ? "ok" : result.code, code, bytes);
  }
  const many = decodeCbor(hex(`98c8${"00".repeat(200)}`), { limits: { depthMax: 4, itemsMax: 100 } });
  assert.equal(many.ok ? "ok" : many.code, "tooManyItems");
});

test("decode∘encode = identity for any value that JSON could hold, and integers of any size", () => {
  const value = fc.letrec((tie) => ({
    value: fc.oneof({ depthSize: "small" }, fc.string({ unit: "binary" }), fc.double(), fc.integer(), fc.bigInt({ min: 2n ** 53n, max: 2n ** 70n }), fc.boolean(), fc.constant(null), fc.uint8Array(), fc.array(tie("value")),
      fc.dictionary(fc.string().filter((key) => key !== "__proto__"), tie("value"), { noNullPrototype: true })),
  })).value;
  fc.assert(fc.property(value, (item) => {
    assert.deepEqual(decodeCbor(encode(item)), { ok: true, value: item });
  }), { numRuns: 300 });
});

test("arbitrary bytes never throw", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => void decodeCbor(bytes)), { numRuns: 2000 });
});

test("values without an encoding are named with their path", () => {
  assert.throws(() => encode({ a: [1, () => 0] }), new CborValueError("a[1]", "is a function, which has no encoding"));
  assert.throws(() => encode({ when: new Date(0) }), CborValueError);
  assert.throws(() => new CborWriter({ lengthMax: 100 }).value("x".repeat(200)), CborValueError);
  const cycle: unknown[] = [];
  cycle.push(cycle);
  assert.throws(() => encode(cycle), CborValueError);
});

test("undefined properties are left out", () => {
  assert.equal(toHex({ a: undefined, b: 1 }), "a1616201");
});

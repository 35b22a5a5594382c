/** Codecs, frame by frame. `frame` spells bytes in hexadecimal, byte 0 first. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readRecord } from "../records/layout.ts";
import { compileMessage, DecodeFault, EncodeFault, faultName, parseDbc, type CodecOptions, type MessageCodec } from "./index.ts";

const frame = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));
const hex = (data: Uint8Array) => Buffer.from(data).toString("hex").toUpperCase();

function codec(lines: string[], { lengthBytes = 8, id = 100, ...options }: CodecOptions & { lengthBytes?: number; id?: number } = {}): MessageCodec {
  const { messages, findings } = parseDbc(["BU_: A", `BO_ ${id} M: ${lengthBytes} A`, ...lines].join("\n"), { file: "test.dbc" });
  assert.deepEqual(findings.filter(({ severity }) => severity === "error"), []);
  return compileMessage(messages[0]!, options);
}

/** Decodes both ways; the object's values, or the code of the rejection. */
function decode(tested: MessageCodec, data: Uint8Array): Record<string, unknown> | string {
  const result = tested.decode(data, 0, data.length);
  return result.ok ? result.signals : result.code;
}

function decodeRecord(tested: MessageCodec, data: Uint8Array): Record<string, unknown> | string {
  const out = new Uint8Array(tested.layout.sizeBytes).fill(0xaa);
  const view = new DataView(out.buffer);
  const code = tested.decodeInto(data, new DataView(data.buffer), 0, data.length, out, view, 0);
  return code === 0 ? readRecord(tested.layout, view) : `${faultName(code)} ${tested.faultSignal ?? ""}`.trim();
}

function encode(tested: MessageCodec, values: Record<string, unknown>, options?: { raw?: boolean }): string {
  const result = tested.encode(values, options);
  return result.ok ? hex(result.data) : `${result.code} ${result.signal ?? ""}`.trim();
}

test("both byte orders and signs", () => {
  const tested = codec([' SG_ le : 4|12@1+ (1,0) [0|0] "" A', ' SG_ be : 19|12@0- (1,0) [0|0] "" A', ' SG_ bit : 39|1@0+ (1,0) [0|0] "" A', ' SG_ neg : 40|8@1- (1,0) [0|0] "" A']);
  // Byte 0: low nibble unused, high nibble the lowest of `le`. Byte 2: low nibble the highest of `be`.
  const data = frame("F0 12 0F FE 80 FF 00 00");
  const values = { le: 0x12f, be: -2, bit: 1, neg: -1 };
  assert.deepEqual(decode(tested, data), values);
  assert.deepEqual(decodeRecord(tested, data), values);
  assert.equal(encode(tested, values), hex(data));
});

test("64 bits: exact as bigints beyond 2^53, numbers below", () => {
  const tested = codec([' SG_ u : 0|64@1+ (1,0) [0|0] "" A']);
  assert.deepEqual(decode(tested, frame("FF FF FF FF FF FF FF FF")), { u: 2n ** 64n - 1n });
  assert.deepEqual(decodeRecord(tested, frame("FF FF FF FF FF FF FF FF")), { u: 2n ** 64n - 1n });
  assert.deepEqual(decode(tested, frame("FF FF FF FF FF FF 1F 00")), { u: 2 ** 53 - 1 });
  assert.equal(encode(tested, { u: 2n ** 64n - 1n }), "FFFFFFFFFFFFFFFF");
  assert.equal(encode(tested, { u: 2n ** 64n }), "outOfRange u");
  assert.equal(encode(tested, { u: -1 }), "outOfRange u");
  const signed = codec([' SG_ s : 7|64@0- (1,0) [0|0] "" A']);
  assert.deepEqual(decode(signed, frame("80 00 00 00 00 00 00 00")), { s: -(2n ** 63n) });
  assert.equal(encode(signed, { s: -(2n ** 63n) }), "8000000000000000");
  const scaled = codec([' SG_ s : 0|64@1- (2,1) [0|0] "" A']);
  assert.deepEqual(decode(scaled, frame("FF FF FF FF FF FF FF 7F")), { s: 2n ** 64n - 1n });
  assert.equal(encode(scaled, { s: 2n ** 64n - 1n }), "FFFFFFFFFFFFFF7F");
  assert.equal(encode(scaled, { s: 2n ** 64n }), "notRepresentable s");
});

test("signals longer than 64 bits are read and written as objects, and have no field", () => {
  const tested = codec([' SG_ text : 0|96@1+ (1,0) [0|0] "" A'], { lengthBytes: 12 });
  const data = frame("01 00 00 00 00 00 00 00 00 00 00 80");
  assert.deepEqual(decode(tested, data), { text: 2n ** 95n + 1n });
  assert.equal(encode(tested, { text: 2n ** 95n + 1n }), hex(data));
  assert.deepEqual([tested.layout.fields, decodeRecord(tested, data)], [[], {}]);
});

test("floats: values, NaN and infinities, ranges", () => {
  const lines = [' SG_ f : 0|32@1- (1,0) [-10|10] "" A', ' SG_ g : 39|32@0- (0.5,1) [0|0] "" A', "SIG_VALTYPE_ 100 f : 1;", "SIG_VALTYPE_ 100 g : 1;"];
  const tested = codec(lines);
  assert.deepEqual(decode(tested, frame("00 00 C0 3F C0 00 00 00")), { f: 1.5, g: 0 });
  assert.deepEqual(decodeRecord(tested, frame("00 00 C0 3F C0 00 00 00")), { f: 1.5, g: 0 });
  assert.equal(encode(tested, { f: 1.5, g: 0 }), "0000C03FC0000000");
  const nan = frame("00 00 C0 7F 00 00 00 00");
  assert.deepEqual(decode(tested, nan), { f: NaN, g: 1 });
  assert.equal(decode(codec(lines, { checkRanges: true }), nan), "notANumber");
  assert.equal(decodeRecord(tested, nan), "notANumber f");
  assert.equal(decodeRecord(tested, frame("00 00 80 FF 00 00 00 00")), "notANumber f");
  assert.equal(decodeRecord(tested, frame("00 00 31 41 00 00 00 00")), "outOfRange f");
  assert.equal(decodeRecord(tested, frame("00 00 00 00 7F 80 00 00")), "notANumber g");
  assert.equal(encode(tested, { f: NaN, g: 0 }), "notANumber f");
  assert.equal(encode(tested, { f: 11, g: 0 }), "outOfRange f");
  assert.equal(encode(tested, { f: 0, g: 1e39 }), "outOfRange g");
});

test("declared ranges: never clamped, compared in raw steps, named values are let through", () => {
  const lines = [' SG_ v : 0|16@1+ (0.1,0) [0|6553.5] "" A', ' SG_ p : 16|8@1+ (1,0) [0|100] "%" A', 'VAL_ 100 p 255 "invalid" ;'];
  const tested = codec(lines, { checkRanges: true, lengthBytes: 3 });
  // 65535 × 0.1 is 6553.500000000001: in range all the same.
  assert.deepEqual(decode(tested, frame("FF FF 64")), { v: 65535 * 0.1, p: 100 });
  assert.notEqual(typeof decodeRecord(tested, frame("FF FF 64")), "string");
  assert.equal(decode(tested, frame("00 00 65")), "outOfRange");
  assert.equal(decodeRecord(tested, frame("00 00 65")), "outOfRange p");
  assert.deepEqual(decode(tested, frame("00 00 FF")), { v: 0, p: 255 });
  assert.deepEqual(decodeRecord(tested, frame("00 00 FF")), { v: 0, p: 255 });
  assert.equal(encode(tested, { v: 6553.5, p: "invalid" }), "FFFFFF");
  assert.equal(encode(tested, { v: 0.14, p: 1 }), "010001");
  assert.equal(encode(tested, { v: 6553.6, p: 1 }), "outOfRange v");
  assert.equal(encode(tested, { v: -0.1, p: 1 }), "outOfRange v");
  assert.equal(encode(tested, { v: 0, p: 101 }), "outOfRange p");
  assert.equal(encode(codec(lines, { checkRanges: false, lengthBytes: 3 }), { v: 0, p: 101 }), "000065");
});

test("values: names, booleans, raw values, and everything that is refused", () => {
  const tested = codec([' SG_ mode : 0|2@1+ (1,0) [0|0] "" A', ' SG_ speed : 8|8@1- (0.5,0) [0|0] "" A', 'VAL_ 100 mode 0 "Off" 3 "Fast" ;'], { lengthBytes: 2 });
  assert.equal(encode(tested, { mode: "Fast", speed: -1 }), "03FE");
  assert.equal(encode(tested, { mode: true, speed: 0n }), "0100");
  assert.equal(encode(tested, { mode: 3, speed: -2 }, { raw: true }), "03FE");
  assert.equal(encode(tested, { mode: "fast", speed: 0 }), "unknownValueName mode");
  assert.equal(encode(tested, { mode: 1.5, speed: 0 }), "notRepresentable mode");
  assert.equal(encode(tested, { mode: 4, speed: 0 }), "outOfRange mode");
  assert.equal(encode(tested, { mode: 0, speed: 64 }), "outOfRange speed");
  assert.equal(encode(tested, { mode: 0, speed: NaN }), "notANumber speed");
  assert.equal(encode(tested, { mode: 0, speed: -Infinity }), "notANumber speed");
  assert.equal(encode(tested, { mode: 0, speed: null }), "notANumber speed");
  assert.equal(encode(tested, { mode: 0 }), "missingSignal speed");
  assert.equal(encode(tested, { mode: 0, speed: 0, more: 0 }), "unknownSignal more");
  assert.equal(encode(tested, JSON.parse('{"mode":0,"speed":0,"__proto__":1}') as Record<string, unknown>), "unknownSignal __proto__");
  assert.deepEqual(decode(codec([' SG_ mode : 0|2@1+ (1,0) [0|0] "" A', 'VAL_ 100 mode 0 "Off" ;'], { lengthBytes: 1, valueNames: true }), frame("00")), { mode: "Off" });
});

test("unused bits are 0, or the pattern asked for", () => {
  const lines = [' SG_ a : 2|4@1+ (1,0) [0|0] "" A'];
  assert.equal(encode(codec(lines, { lengthBytes: 2 }), { a: 0 }), "0000");
  assert.equal(encode(codec(lines, { lengthBytes: 2, unusedBits: 0xff }), { a: 0 }), "C3FF");
  const tested = codec(lines, { lengthBytes: 2, unusedBits: 0x55 });
  const record = new DataView(new ArrayBuffer(tested.layout.sizeBytes));
  const out = new Uint8Array(4).fill(0x99);
  assert.equal(tested.encodeInto(record, 0, out, 1), 0);
  assert.equal(hex(out), "99415599");
});

test("lengths: exactly, longer when allowed, padded for CAN FD", () => {
  const lines = [' SG_ a : 0|8@1+ (1,0) [0|0] "" A'];
  const strict = codec(lines, { lengthBytes: 4 });
  for (const length of [0, 3, 5, 8]) {
    assert.equal(decode(strict, new Uint8Array(length)), "badLength");
    assert.equal(decodeRecord(strict, new Uint8Array(length)), "badLength");
  }
  const lax = codec(lines, { lengthBytes: 4, allowLonger: true });
  assert.deepEqual([decode(lax, new Uint8Array(8)), decodeRecord(lax, new Uint8Array(8)), decode(lax, new Uint8Array(3)), decodeRecord(lax, new Uint8Array(3))], [{ a: 0 }, { a: 0 }, "badLength", "badLength"]);
  const fd = codec(lines, { lengthBytes: 10 });
  assert.equal(fd.wireLengthBytes, 12);
  assert.deepEqual([10, 11, 12, 16].map((length) => decodeRecord(fd, new Uint8Array(length))), [{ a: 0 }, "badLength", { a: 0 }, "badLength"]);
  assert.equal(encode(fd, { a: 1 }).length, 24);
  assert.deepEqual([decode(codec([], { lengthBytes: 0 }), new Uint8Array(0)), codec([], { lengthBytes: 0 }).layout.sizeBytes], [{}, 0]);
});

const multiplexed = [
  ' SG_ m M : 0|8@1+ (1,0) [0|0] "" A', ' SG_ always : 8|8@1+ (1,0) [0|0] "" A', ' SG_ a m0 : 16|16@1- (1,0) [0|0] "" A', ' SG_ b m1 : 16|8@1+ (1,0) [0|100] "" A', ' SG_ n m2M : 16|8@1+ (1,0) [0|0] "" A', ' SG_ c m5 : 24|8@1+ (1,0) [0|0] "" A',
  "SG_MUL_VAL_ 100 a m 0-0;", "SG_MUL_VAL_ 100 b m 1-1, 7-9;", "SG_MUL_VAL_ 100 n m 2-2;", "SG_MUL_VAL_ 100 c n 5-6;", 'VAL_ 100 m 4 "nothing more" ;',
];

test("multiplexing: what is selected is there, the rest is not", () => {
  const tested = codec(multiplexed, { lengthBytes: 4 });
  const cases: [string, Record<string, number>][] = [
    ["00 11 FE FF", { m: 0, always: 0x11, a: -2 }], ["08 11 05 00", { m: 8, always: 0x11, b: 5 }], ["02 11 06 07", { m: 2, always: 0x11, n: 6, c: 7 }], ["04 11 00 00", { m: 4, always: 0x11 }],
  ];
  for (const [bytes, values] of cases) {
    assert.deepEqual(decode(tested, frame(bytes)), values);
    assert.deepEqual(decodeRecord(tested, frame(bytes)), values);
    assert.equal(encode(tested, values), bytes.replaceAll(" ", ""));
  }
  for (const bytes of ["03 00 00 00", "02 00 07 00"]) assert.equal(decode(tested, frame(bytes)), "unknownMultiplexer");
  assert.equal(decodeRecord(tested, frame("03 00 00 00")), "unknownMultiplexer m");
  assert.equal(decodeRecord(tested, frame("02 00 07 00")), "unknownMultiplexer n");
  assert.equal(decodeRecord(tested, frame("01 00 65 00")), "outOfRange b");
  assert.equal(encode(tested, { m: 3, always: 0 }), "unknownMultiplexer m");
  assert.equal(encode(tested, { m: 0, always: 0, a: 0, b: 0 }), "inactiveSignal b");
  assert.equal(encode(tested, { m: 2, always: 0, n: 5 }), "missingSignal c");
});

test("encodeInto refuses records that are not what the multiplexor says", () => {
  const tested = codec(multiplexed, { lengthBytes: 4 });
  const record = new Uint8Array(tested.layout.sizeBytes);
  const view = new DataView(record.buffer);
  const out = new Uint8Array(4);
  assert.equal(tested.decodeInto(frame("00 11 FE FF"), view, 0, 4, record, view, 0), DecodeFault.ok);
  assert.equal(tested.encodeInto(view, 0, out, 0), EncodeFault.ok);
  assert.equal(hex(out), "0011FEFF");
  const place = tested.layout.fields.findIndex(({ name }) => name === "m");
  const set = (value: number) => (record[tested.layout.fields[place]!.offsetBytes] = value);
  set(3);
  assert.equal(tested.encodeInto(view, 0, out, 0), EncodeFault.unknownMultiplexer);
  assert.equal(tested.faultSignal, "m");
  set(4);
  assert.equal(tested.encodeInto(view, 0, out, 0), EncodeFault.inactiveSignal);
  record[0] = 0b11;
  assert.equal(tested.encodeInto(view, 0, out, 0), EncodeFault.ok);
  set(0);
  assert.equal(tested.encodeInto(view, 0, out, 0), EncodeFault.missingSignal);
});

test("encodeInto checks ranges, bits and NaN of what is in the record", () => {
  const tested = codec([' SG_ u5 : 0|5@1+ (1,0) [0|0] "" A', ' SG_ i40 : 8|40@1- (1,0) [0|0] "" A', ' SG_ scaled : 48|12@1- (0.1,0) [-100|100] "" A']);
  const view = new DataView(new ArrayBuffer(tested.layout.sizeBytes));
  const at = Object.fromEntries(tested.layout.fields.map(({ name, offsetBytes }) => [name, offsetBytes]));
  const out = new Uint8Array(8);
  const code = () => [faultName(tested.encodeInto(view, 0, out, 0)), tested.faultSignal];
  view.setUint8(at.u5!, 32);
  assert.deepEqual(code(), ["outOfRange", "u5"]);
  view.setUint8(at.u5!, 31);
  for (const [value, result] of [[2n ** 39n, "outOfRange"], [-(2n ** 39n) - 1n, "outOfRange"], [2n ** 39n - 1n, "ok"], [-(2n ** 39n), "ok"]] as const) {
    view.setBigInt64(at.i40!, value, true);
    assert.equal(code()[0], result);
  }
  for (const [value, result] of [[NaN, "notANumber"], [Infinity, "notANumber"], [100.1, "outOfRange"], [-100.1, "outOfRange"], [100, "ok"]] as const) {
    view.setFloat64(at.scaled!, value, true);
    assert.equal(code()[0], result);
  }
  assert.equal(hex(out), "1F0000000080E803");
});

test("signals that share bits must agree", () => {
  const tested = codec([' SG_ whole : 0|8@1+ (1,0) [0|0] "" A', ' SG_ low : 0|4@1+ (1,0) [0|0] "" A'], { lengthBytes: 1 });
  assert.deepEqual(decode(tested, frame("A5")), { whole: 0xa5, low: 5 });
  assert.equal(encode(tested, { whole: 0xa5, low: 5 }), "A5");
  assert.equal(encode(tested, { whole: 0xa5, low: 6 }), "signalsOverlap whole");
  const record = new Uint8Array(8);
  const view = new DataView(record.buffer);
  const out = new Uint8Array(1);
  assert.equal(tested.decodeInto(frame("A5"), view, 0, 1, record, view, 0), 0);
  assert.deepEqual([tested.encodeInto(view, 0, out, 0), hex(out)], [0, "A5"]);
  record[1] = 6;
  assert.equal(tested.encodeInto(view, 0, out, 0), EncodeFault.signalsOverlap);
});

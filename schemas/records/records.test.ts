import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { DecodeFault, EncodeFault, parseDbc, type Message } from "../dbc/index.ts";
import { compileFields, FIELD_SIZE_BYTES, layoutFromFields, layoutFromJson, layoutFromMessage, layoutToJson, packFields, readRecord, unpackFields, writeRecord, type FieldDefinition, type FieldType, type RecordLayout } from "./index.ts";

function message(...lines: string[]): Message {
  return parseDbc(["BU_: A", "BO_ 256 State: 64 A", ...lines].join("\n"), { file: "test.dbc" }).messages[0]!;
}

const mixed = message(
  ' SG_ flag : 0|1@1+ (1,0) [0|0] "" A', ' SG_ angle : 8|16@1- (0.1,0) [-180|180] "deg" A', ' SG_ count : 24|16@1+ (1,0) [0|0] "" A', ' SG_ raw : 40|24@1- (1,0) [0|0] "" A', ' SG_ big : 64|64@1+ (1,0) [0|0] "" A', ' SG_ f : 128|32@1- (1,0) [0|0] "" A',
  "SIG_VALTYPE_ 256 f : 1;", 'VAL_ 256 angle -1800 "left" 1800 "right" ;',
);

/** name:type@offset of each field. */
function shape({ fields, sizeBytes }: RecordLayout): string {
  return `${fields.map(({ name, type, offsetBytes }) => `${name}:${type}@${offsetBytes}`).join(" ")} /${sizeBytes}`;
}

test("fields get the smallest type that holds them, widest first, size a multiple of 8", () => {
  assert.equal(shape(layoutFromMessage(mixed)), "flag:u8@26 angle:f64@0 count:u16@24 raw:i32@16 big:u64@8 f:f32@20 /32");
  const multiplexed = message(' SG_ m M : 0|8@1+ (1,0) [0|0] "" A', ' SG_ a m0 : 8|8@1+ (1,0) [0|0] "" A');
  const layout = layoutFromMessage(multiplexed);
  assert.equal(shape(layout), "m:u8@8 a:u8@9 /16");
  assert.deepEqual(layout.presence, { offsetBytes: 0, sizeBytes: 8 });
});

test("names of values are those of physical values", () => {
  assert.deepEqual([...layoutFromMessage(mixed).fields[1]!.valueNames!], [[-180, "left"], [180, "right"]]);
});

// SHA-256 of ["ipcnet record 1","M",["can",256,false,8,false],[["a","u8",0,"m",null,null,null,[0,8,"little","unsigned",1,0,null,null]]]], first 8 bytes.
test("the hash is pinned, and covers names, types, units, scalings and the identifier", () => {
  const of = (line: string, id = 256) => layoutFromMessage(parseDbc(`BU_: A\nBO_ ${id} M: 8 A\n${line}\n`, { file: "f" }).messages[0]!).hash;
  const line = ' SG_ a : 0|8@1+ (1,0) [0|0] "m" A';
  assert.equal(of(line).toString(16), "1ddbeb85e815a58c");
  const variants = [line, ' SG_ b : 0|8@1+ (1,0) [0|0] "m" A', ' SG_ a : 1|8@1+ (1,0) [0|0] "m" A', ' SG_ a : 0|8@1- (1,0) [0|0] "m" A', ' SG_ a : 0|8@1+ (2,0) [0|0] "m" A', ' SG_ a : 0|8@1+ (1,1) [0|0] "m" A', ' SG_ a : 0|8@1+ (1,0) [0|1] "m" A', ' SG_ a : 0|8@1+ (1,0) [0|0] "V" A', `${line}\nVAL_ 256 a 1 "x" ;`];
  assert.equal(new Set([...variants.map((variant) => of(variant)), of(line, 257)]).size, variants.length + 1);
  assert.equal(of(`${line}\nCM_ SG_ 256 a "comments do not count";`), of(line));
});

test("records are read and written by name; what does not fit is refused", () => {
  const layout = layoutFromMessage(mixed);
  const view = new DataView(new ArrayBuffer(layout.sizeBytes + 8));
  const values = { flag: 1, angle: 90.5, count: 65535, raw: -1, big: 2n ** 64n - 1n, f: 0.5 };
  assert.deepEqual(writeRecord(layout, values, view, 8), { ok: true });
  assert.deepEqual(readRecord(layout, view, 8), values);
  assert.deepEqual([view.getFloat64(8, true), view.getUint16(32, true)], [90.5, 65535]);
  const code = (change: Record<string, unknown>) => {
    const result = writeRecord(layout, { ...values, ...change }, view);
    return result.ok ? "ok" : `${result.code} ${result.field}`;
  };
  assert.equal(code({ angle: "right" }), "ok");
  assert.equal(code({ angle: "up" }), "unknownValueName angle");
  assert.equal(code({ angle: 180.1 }), "outOfRange angle");
  assert.equal(code({ angle: NaN }), "notANumber angle");
  assert.equal(code({ count: 65536 }), "outOfRange count");
  assert.equal(code({ count: 0.5 }), "notRepresentable count");
  assert.equal(code({ raw: -(2 ** 31) - 1 }), "outOfRange raw");
  assert.equal(code({ big: -1 }), "outOfRange big");
  assert.equal(code({ f: 1e39 }), "outOfRange f");
  assert.equal(code({ flag: undefined }), "missingField flag");
  assert.equal(code({ more: 1 }), "unknownField more");
});

test("absent fields are absent", () => {
  const layout = layoutFromMessage(message(' SG_ m M : 0|8@1+ (1,0) [0|0] "" A', ' SG_ a m0 : 8|8@1+ (1,0) [0|0] "" A', ' SG_ b m1 : 8|8@1+ (1,0) [0|0] "" A'));
  const view = new DataView(new ArrayBuffer(layout.sizeBytes));
  assert.deepEqual(writeRecord(layout, { m: 1, b: 7 }, view), { ok: true });
  assert.deepEqual([readRecord(layout, view), view.getUint8(0)], [{ m: 1, b: 7 }, 0b101]);
});

test("a layout survives its JSON form; what is no layout is none", () => {
  for (const layout of [layoutFromMessage(mixed), layoutFromMessage(message(' SG_ m M : 0|64@1+ (1,0) [0|0] "" A', ' SG_ a m0 : 64|8@1+ (1,0) [0|0] "" A', 'VAL_ 256 m 18446744073709551615 "all" ;'))]) {
    const json = JSON.parse(JSON.stringify(layoutToJson(layout))) as Record<string, unknown>;
    assert.deepEqual(layoutFromJson(json), layout);
    const field = (json.fields as Record<string, unknown>[])[0]!;
    const broken: unknown[] = [
      undefined, null, 7, [], "", {}, { ...json, hash: "x" }, { ...json, sizeBytes: 7 }, { ...json, sizeBytes: 1e9 }, { ...json, fields: {} }, { ...json, presenceBytes: -1 }, { ...json, fields: [7] },
      ...[{ type: "u9" }, { type: "toString" }, { offsetBytes: 1e6 }, { offsetBytes: -1 }, { name: 7 }, { unit: 7 }, { minimum: "0" }, { values: 7 }, { values: [7] }, { values: [["x", "y"]] }].map((change) => ({ ...json, fields: [{ ...field, ...change }] })),
    ];
    for (const wrong of broken) assert.equal(layoutFromJson(wrong), undefined, JSON.stringify(wrong));
  }
});

const joystick: FieldDefinition[] = [{ name: "x", type: "i16", factor: 0.001, minimum: -1, maximum: 1 }, { name: "buttons", type: "u8" }, { name: "stamp", type: "u64", unit: "us" }, { name: "force", type: "f32", minimum: 0 }];

test("fields on the wire: one behind the other, little-endian", () => {
  const codec = compileFields("Joystick", joystick);
  assert.deepEqual([codec.wireBytes, shape(codec.layout)], [15, "x:f64@0 buttons:u8@20 stamp:u64@8 force:f32@16 /24"]);
  const packed = packFields(codec, { x: -0.5, buttons: 3, stamp: 2n ** 60n, force: 1.5 });
  assert.ok(packed.ok);
  assert.equal(Buffer.from(packed.data).toString("hex"), ["0cfe", "03", "0000000000000010", "0000c03f"].join(""));
  assert.deepEqual(unpackFields(codec, packed.data), { ok: true, values: { x: -0.5, buttons: 3, stamp: 2n ** 60n, force: 1.5 } });
  assert.equal(layoutFromFields("Joystick", joystick).hash, codec.layout.hash);
});

test("fields: everything that is refused", () => {
  const codec = compileFields("Joystick", joystick);
  const good = { x: 0, buttons: 0, stamp: 0, force: 0 };
  const code = (change: Record<string, unknown>) => {
    const result = packFields(codec, { ...good, ...change });
    return result.ok ? "ok" : `${result.code} ${result.field}`;
  };
  assert.deepEqual([code({ x: 1.001 }), code({ x: NaN }), code({ buttons: 256 }), code({ buttons: -1 }), code({ force: -1 }), code({ y: 1 }), code({ x: undefined })], ["outOfRange x", "notANumber x", "outOfRange buttons", "outOfRange buttons", "outOfRange force", "unknownField y", "missingField x"]);
  const refusal = (bytes: string) => {
    const result = unpackFields(codec, Buffer.from(bytes, "hex"));
    return result.ok ? "ok" : `${result.code} ${result.field ?? ""}`.trim();
  };
  assert.equal(refusal("00"), "badLength");
  assert.equal(refusal("e903" + "00".repeat(13)), "outOfRange x");
  assert.equal(refusal("00".repeat(11) + "0000c07f"), "notANumber force");
  assert.equal(refusal("00".repeat(11) + "0000c0bf"), "outOfRange force");
  const narrow = compileFields("N", [{ name: "v", type: "i8", factor: 0.5 }]);
  assert.deepEqual([packFields(narrow, { v: 64 }).ok, packFields(narrow, { v: 63.5 }).ok, packFields(narrow, { v: -64 }).ok], [false, true, true]);
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, NaN, true);
  assert.equal(narrow.packInto(view, 0, new DataView(new ArrayBuffer(1)), 0), EncodeFault.notANumber);
  assert.equal(narrow.faultField, "v");
  assert.equal(narrow.unpackInto(view, 0, 2, view, 0), DecodeFault.badLength);
});

const types: readonly FieldType[] = ["f64", "f32", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"];

test("any wire bytes survive being read and written, but for NaN", () => {
  const definitions = fc.array(fc.record({ type: fc.constantFrom(...types), scaled: fc.boolean() }), { minLength: 1, maxLength: 12 });
  fc.assert(fc.property(definitions, fc.uint8Array({ minLength: 96, maxLength: 96 }), (chosen, bytes) => {
    // Scaling by a power of two is exact, and reversible where a double holds the integer.
    const codec = compileFields("R", chosen.map(({ type, scaled }, index) => ({ name: `f${index}`, type, ...(scaled && !type.endsWith("64") ? { factor: 0.25, offset: 2 } : {}) })));
    assert.equal(codec.wireBytes, chosen.reduce((sum, { type }) => sum + FIELD_SIZE_BYTES[type], 0));
    const wire = bytes.slice(0, codec.wireBytes);
    const read = unpackFields(codec, wire);
    if (!read.ok) {
      assert.equal(read.code, "notANumber");
      return;
    }
    const written = packFields(codec, read.values);
    assert.ok(written.ok, JSON.stringify(written));
    const again = unpackFields(codec, written.data);
    assert.deepEqual(again, read);
    if (!chosen.some(({ type }) => type.startsWith("f"))) assert.deepEqual(written.data, wire);
  }));
});

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { cLayoutCheck, readStruct, struct, writeStruct } from "./struct.ts";
import { e2eStruct, fieldStruct, headerStruct, rowStructs, sectionNames, sectionRowsMax, stepFlags, TABLE_DATA_ID, TABLE_MAGIC, triggerKinds } from "./layout.ts";

/** The sources: this runs from dist. */
const core = join(import.meta.dirname, "../../../../../failsafe/reflex/core");

/** Compiles C text that stands beside the core's headers, without making anything of it. */
function compiles(text: string): void {
  execFileSync(process.env["CC"] ?? "gcc", ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", `-I${core}`, "-x", "c", "-"], { input: text, stdio: ["pipe", "ignore", "pipe"] });
}

test("a C compiler lays every struct of the table out as it is described here", () => {
  compiles(cLayoutCheck(["reflex_table.h"], [e2eStruct, fieldStruct, headerStruct, ...Object.values(rowStructs)]));
});

test("numbers that both sides must agree upon", () => {
  const lines = [
    '#include "reflex_table.h"',
    `_Static_assert(IPCNET_REFLEX_TABLE_DATA_ID == ${TABLE_DATA_ID}u && IPCNET_REFLEX_TABLE_MAGIC == ${TABLE_MAGIC}u, "");`,
    ...sectionNames.map((name, index) => `_Static_assert(IPCNET_REFLEX_${name.toUpperCase()} == ${index}, "${name}");`),
    ...sectionNames.filter((name) => name !== "bytes").map((name) => `_Static_assert(IPCNET_REFLEX_${name.toUpperCase()}_MAX == ${sectionRowsMax[name]}u, "rows of ${name}");`),
    ...triggerKinds.map((kind, index) => `_Static_assert(IPCNET_REFLEX_${kind.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()} == ${index}, "${kind}");`),
    `_Static_assert(IPCNET_REFLEX_TRIGGER_KINDS == ${triggerKinds.length}, "kinds");`,
  ];
  compiles(`${lines.join("\n")}\n`);
  assert.equal(stepFlags.mandatory, 1);
});

test("a compiler that disagrees is heard", () => {
  assert.throws(() => compiles(cLayoutCheck(["reflex_table.h"], [struct("ipcnet_reflex_send", { message: "u32", lengthBytes: "u16", payload: "u32" })])));
});

test("what is written is read again, and what does not fit is refused", () => {
  const inner = struct("inner", { x: "u16", y: "i64" });
  const outer = struct("outer", { a: "u8", b: inner, c: { bytes: 3 }, d: "us", rest: { reserved: 5 }, e: { of: inner, count: 2 } });
  assert.deepEqual([inner.sizeBytes, outer.offsets.b, outer.offsets.d, outer.offsets.e, outer.sizeBytes], [16, 8, 32, 48, 80]);
  const view = new DataView(new ArrayBuffer(100));
  const value = { a: 255, b: { x: 65535, y: -(1n << 63n) }, c: Uint8Array.of(1, 2, 3), d: 2 ** 52, e: [{ x: 1, y: 2n }, { x: 3, y: -4n }] };
  writeStruct(outer, view, 8, value);
  assert.deepEqual(readStruct(outer, view, 8), value);
  assert.throws(() => writeStruct(outer, view, 8, { ...value, a: 256 }), /outer\.a: 256 does not fit u8/);
  assert.throws(() => writeStruct(outer, view, 8, { ...value, d: 0.5 }), RangeError);
  assert.throws(() => writeStruct(outer, view, 8, { ...value, c: new Uint8Array(4) }), RangeError);
});

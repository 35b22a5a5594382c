import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { fromHex, vectors } from "../testData.ts";
import * as crc from "./index.ts";

interface Row {
  name: string;
  algorithm: string;
  bytes: string;
  expected: string;
}

const { rows, magic } = vectors("crc.json") as { rows: Row[]; magic: { algorithm: string; residue: string }[] };

type Crc = (bytes: Uint8Array, start?: number, end?: number, previous?: number) => number;

const narrow: Record<string, { crc: Crc; hexDigits: number; finalXor: number; bigEndian: boolean }> = {
  crc8SaeJ1850: { crc: crc.crc8SaeJ1850, hexDigits: 2, finalXor: 0xff, bigEndian: true },
  crc8SaeJ1850Zero: { crc: crc.crc8SaeJ1850Zero, hexDigits: 2, finalXor: 0, bigEndian: true },
  crc8Autosar: { crc: crc.crc8Autosar, hexDigits: 2, finalXor: 0xff, bigEndian: true },
  crc16Ibm3740: { crc: crc.crc16Ibm3740, hexDigits: 4, finalXor: 0, bigEndian: true },
  crc16Arc: { crc: crc.crc16Arc, hexDigits: 4, finalXor: 0, bigEndian: false },
  crc16Mcrf4xx: { crc: crc.crc16Mcrf4xx, hexDigits: 4, finalXor: 0, bigEndian: false },
  crc32IsoHdlc: { crc: crc.crc32IsoHdlc, hexDigits: 8, finalXor: 0xffffffff, bigEndian: false },
  crc32Autosar: { crc: crc.crc32Autosar, hexDigits: 8, finalXor: 0xffffffff, bigEndian: false },
  crc32Iscsi: { crc: crc.crc32Iscsi, hexDigits: 8, finalXor: 0xffffffff, bigEndian: false },
};

function compute(algorithm: string, bytes: Uint8Array): string {
  const one = narrow[algorithm];
  if (one) return one.crc(bytes).toString(16).padStart(one.hexDigits, "0");
  assert.equal(algorithm, "crc64Xz");
  return crc.crc64XzValue(bytes).toString(16).padStart(16, "0");
}

test("every CRC gives its check value and the example rows", () => {
  assert.ok(rows.length >= 59);
  for (const row of rows) assert.equal(compute(row.algorithm, fromHex(row.bytes)), row.expected, `${row.algorithm} of ${row.bytes}`);
});

test("a CRC over data and its own CRC leaves the residue of its magic check", () => {
  const data = new TextEncoder().encode("123456789");
  for (const { algorithm, residue } of magic) {
    const own = compute(algorithm, data);
    const bigEndian = narrow[algorithm]?.bigEndian ?? false;
    const crcBytes = bigEndian ? fromHex(own) : fromHex(own).reverse();
    const whole = Uint8Array.from([...data, ...crcBytes]);
    const finalXor = algorithm === "crc64Xz" ? 0xffffffffffffffffn : BigInt(narrow[algorithm]!.finalXor);
    assert.equal((BigInt(`0x${compute(algorithm, whole)}`) ^ finalXor).toString(16).padStart(residue.length, "0"), residue, algorithm);
  }
});

test("cut anywhere and chained, the result is that of the whole; bytes outside the range do not matter", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(80), fc.nat(80), (bytes, a, b) => {
      const [start, cut] = [Math.min(a, b, bytes.length), Math.min(Math.max(a, b), bytes.length)];
      const whole = bytes.slice(start);
      for (const [name, one] of Object.entries(narrow)) {
        assert.equal(one.crc(bytes, cut, bytes.length, one.crc(bytes, start, cut)), one.crc(whole), name);
      }
      const state = crc.crc64Start();
      crc.crc64Xz(bytes, start, cut, state);
      crc.crc64Xz(bytes, cut, bytes.length, state);
      assert.equal((BigInt(state[1]!) << 32n) | BigInt(state[0]!), crc.crc64XzValue(whole));
    }),
    { seed: 20260801, numRuns: 300 },
  );
});

test("the forms for a single byte agree", () => {
  for (let byte = 0; byte < 256; byte++) {
    const one = Uint8Array.of(byte);
    for (const previous of [0, 0x5a, 0xff]) {
      assert.equal(crc.crc8SaeJ1850ZeroByte(byte, previous), crc.crc8SaeJ1850Zero(one, 0, 1, previous));
      assert.equal(crc.crc8AutosarByte(byte, previous), crc.crc8Autosar(one, 0, 1, previous));
      assert.equal(crc.crc16Ibm3740Byte(byte, previous << 8), crc.crc16Ibm3740(one, 0, 1, previous << 8));
    }
  }
});

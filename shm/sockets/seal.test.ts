import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { e2eCodec } from "../../schemas/e2e/index.ts";
import { nativeSeal } from "./seal.ts";
import { projectRoot } from "../../schemas/testData.ts";

interface Row { name: string; config: { profile: string; dataId: number; offsetBytes?: number }; counter: number; frame: string }

test("headers are those of P07: the vectors, and the TypeScript implementation on random packets", () => {
  const seal = nativeSeal();
  const { rows } = JSON.parse(readFileSync(join(projectRoot(), "schemas/vectors/e2e-profiles.json"), "utf8")) as { rows: Row[] };
  const vectors = rows.filter(({ config }) => config.profile === "P07" && config.offsetBytes === undefined);
  assert.ok(vectors.length >= 2);
  for (const { config, counter, frame } of vectors) {
    const expected = Uint8Array.from(Buffer.from(frame, "hex"));
    const packet = expected.slice().fill(0, 0, 20);
    seal.seal(packet, 0, packet.length, config.dataId, counter);
    assert.deepEqual(packet, expected);
  }
  fc.assert(fc.property(fc.uint8Array({ minLength: 20, maxLength: 400 }), fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 0, max: 0xffff_ffff }), (content, dataId, counter) => {
    const other = content.slice();
    seal.seal(content, 0, content.length, dataId, counter);
    e2eCodec({ profile: "P07", dataId }).protect(other, 0, other.length, 0, counter);
    assert.deepEqual(content, other);
    assert.equal(seal.open(content, 0, content.length, dataId, counter), "ok");
  }), { numRuns: 200 });
});

test("every single-bit flip is refused; another counter, Data ID or length too", () => {
  const seal = nativeSeal();
  const packet = new Uint8Array(100);
  seal.seal(packet, 10, 60, 0x4950_0101, 7);
  assert.equal(seal.open(packet, 10, 60, 0x4950_0101, 7), "ok");
  assert.equal(seal.open(packet, 10, 60, 0x4950_0101, 8), "counter");
  assert.equal(seal.open(packet, 10, 60, 0x4950_0102, 7), "dataId");
  assert.equal(seal.open(packet, 10, 10, 0x4950_0101, 7), "length");
  assert.notEqual(seal.open(packet, 10, 59, 0x4950_0101, 7), "ok");
  for (let bit = 0; bit < 60 * 8; bit++) {
    packet[10 + (bit >> 3)]! ^= 1 << (bit & 7);
    assert.notEqual(seal.open(packet, 10, 60, 0x4950_0101, 7), "ok");
    packet[10 + (bit >> 3)]! ^= 1 << (bit & 7);
  }
  assert.throws(() => seal.open(packet, 90, 60, 0, 0), TypeError);
  assert.throws(() => seal.seal(packet, 0, 19, 0, 0), TypeError);
});

/** Lineages of answers to queries: there and back, at any alignment, and broken ones refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { readQueryAnswer } from "./control.ts";
import { LINEAGE_ENTRY_BYTES, readLineage, writeLineage } from "./lineage.ts";

const entries = fc.array(fc.record({ origin: fc.bigInt(0n, 2n ** 64n - 1n), topic: fc.bigInt(0n, 2n ** 64n - 1n), sequence: fc.bigInt(0n, 2n ** 64n - 1n) }, { noNullPrototype: true }), { maxLength: 15 });

test("read after write is the identity, wherever the bytes stand", () => {
  fc.assert(fc.property(entries, fc.nat(9), (lineage, at) => {
    const written = writeLineage(lineage);
    const shifted = new Uint8Array(at + written.length);
    shifted.set(written, at);
    assert.deepEqual(readLineage(shifted.subarray(at)), lineage);
  }));
});

test("an answer with half an entry is none; without a lineage it has none", () => {
  const answer = { topicId: 1, bytes: Uint8Array.of(1), sequence: 1, timeUs: 1, wallTimeNs: 1, quality: 0, origin: "o" };
  assert.equal(readQueryAnswer(answer)?.lineage, undefined);
  assert.equal(readQueryAnswer({ ...answer, lineage: new Uint8Array(LINEAGE_ENTRY_BYTES) })?.lineage?.length, LINEAGE_ENTRY_BYTES);
  for (const bad of [new Uint8Array(LINEAGE_ENTRY_BYTES - 1), "text", [1]]) assert.equal(readQueryAnswer({ ...answer, lineage: bad }), undefined);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { laneGeometry } from "./geometry.ts";

test("lanes of a few sizes", () => {
  assert.deepEqual(laneGeometry({ payloadBytes: 40 }), { slots: 256, inlineBytes: 192, largeBytes: 4_096 });
  assert.deepEqual(laneGeometry({ payloadBytes: 1, queue: 1000 }), { slots: 1024, inlineBytes: 64, largeBytes: 4_096 });
  assert.deepEqual(laneGeometry({}), { slots: 256, inlineBytes: 192, largeBytes: 266_240 });
  assert.deepEqual(laneGeometry({ queue: 1, payloadBytesMax: 1_048_576 }), { slots: 2, inlineBytes: 192, largeBytes: 4_198_400 });
  for (const wrong of [{ queue: 0 }, { queue: 65_537 }, { payloadBytesMax: -1 }, { payloadBytesMax: 2 ** 28 + 1 }, { queue: NaN }]) assert.throws(() => laneGeometry(wrong), RangeError);
});

test("whatever is asked for, the core takes it and the largest payload fits", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 65_536 }), fc.option(fc.integer({ min: 0, max: 3_000 }), { nil: undefined }), fc.integer({ min: 3_000, max: 1_000_000 }), (queue, payloadBytes, payloadBytesMax) => {
    const { slots, inlineBytes, largeBytes } = laneGeometry({ queue, payloadBytes, payloadBytesMax });
    assert.ok(slots >= queue && slots >= 2 && Number.isInteger(Math.log2(slots)));
    assert.ok((inlineBytes + 64) % 128 === 0 && inlineBytes <= 4_032);
    assert.equal(largeBytes % 4_096, 0);
    assert.ok(payloadBytesMax + 360 <= Math.max(inlineBytes, largeBytes / 2));
  }));
});

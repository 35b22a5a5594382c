import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { PacketQueue } from "./packetQueue.ts";

test("random pushes and shifts against a plain array", () => {
  const push = fc.record({ push: fc.uint8Array({ minLength: 1, maxLength: 3000 }) });
  const shift = fc.record({ shift: fc.integer({ min: 1, max: 5 }) });
  fc.assert(fc.property(fc.array(fc.oneof({ weight: 3, arbitrary: push }, { weight: 1, arbitrary: shift }), { maxLength: 100 }), (steps) => {
    const queue = new PacketQueue(20_000);
    const model: Uint8Array[] = [];
    const spans = new Uint32Array(64);
    for (const step of steps) {
      if ("push" in step) {
        const fits = model.reduce((sum, packet) => sum + packet.length, 0) + step.push.length <= 20_000;
        assert.equal(queue.push(step.push, 0, step.push.length), fits);
        if (fits) model.push(step.push);
      } else {
        const count = Math.min(step.shift, model.length);
        queue.shift(count);
        model.splice(0, count);
      }
      const count = queue.peek(spans);
      assert.equal(count, Math.min(model.length, 32));
      for (let i = 0; i < count; i++) assert.deepEqual(queue.bytes.slice(spans[2 * i], spans[2 * i]! + spans[2 * i + 1]!), model[i]);
      assert.equal(queue.pendingBytes, model.reduce((sum, packet) => sum + packet.length, 0));
      assert.ok(queue.bytes.length <= 20_000);
    }
  }), { numRuns: 200 });
});

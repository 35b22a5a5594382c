import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { SendQueue } from "./sendQueue.ts";

test("against a plain array: latest value per message, order of first arrival, bounds in frames and bytes", () => {
  const operations = fc.array(fc.oneof(
    { weight: 5, arbitrary: fc.record({ id: fc.nat({ max: 5 }), size: fc.nat({ max: 12 }) }) },
    { weight: 2, arbitrary: fc.constant("take" as const) },
    { weight: 1, arbitrary: fc.constant("clear" as const) },
  ), { maxLength: 80 });
  fc.assert(fc.property(operations, (many) => {
    const queue = new SendQueue({ queueFrames: 4, queueBytes: 30 });
    let model: { id: number; body: Uint8Array; deadlineUs: number }[] = [];
    let stamp = 0;
    for (const operation of many) {
      if (operation === "take") assert.deepEqual(queue.take(), model.shift());
      else if (operation === "clear") {
        assert.equal(queue.clear(), model.length);
        model = [];
      } else {
        const item = { id: operation.id, body: new Uint8Array(operation.size).fill(stamp++), deadlineUs: stamp };
        const at = model.findIndex(({ id }) => id === item.id);
        const bytes = model.reduce((sum, { body }) => sum + body.length, 0) - (model[at]?.body.length ?? 0) + item.body.length;
        const expected = bytes > 30 || (at < 0 && model.length >= 4) ? "full" : at >= 0 ? "replaced" : "queued";
        assert.equal(queue.put(item), expected);
        if (expected === "replaced") model[at] = item;
        if (expected === "queued") model.push(item);
      }
      assert.deepEqual([queue.frames, queue.bytes], [model.length, model.reduce((sum, { body }) => sum + body.length, 0)]);
    }
  }));
});

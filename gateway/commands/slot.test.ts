import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CommandSlot } from "./slot.ts";

const never = (): never => assert.fail("nothing expires here");

test("the newest value wins, the replaced one is handed back", () => {
  const slot = new CommandSlot<string>(100);
  assert.equal(slot.put({ payload: "a", deadlineUs: 1e6 }), undefined);
  assert.equal(slot.put({ payload: "b", deadlineUs: 1e6 })?.payload, "a");
  assert.equal(slot.take(0, never)?.payload, "b");
  assert.equal(slot.take(0, never), undefined);
});

test("an expired value is never taken", () => {
  const slot = new CommandSlot<string>(100);
  const expired: string[] = [];
  slot.put({ payload: "a", deadlineUs: 1_000 });
  assert.equal(slot.take(1_000, (command) => expired.push(command.payload)), undefined);
  assert.deepEqual(expired, ["a"]);
  assert.equal(slot.take(1_001, never), undefined);
});

test("nothing follows before the last frame was settled", () => {
  const slot = new CommandSlot<string>(1_000);
  slot.put({ payload: "a", deadlineUs: 1e6 });
  slot.take(0, never);
  slot.sent(0, true);
  slot.put({ payload: "b", deadlineUs: 1e6 });
  assert.equal(slot.take(50_000, never), undefined);
  slot.settled();
  assert.equal(slot.take(50_000, never)?.payload, "b");
});

test("the rate is kept over any pattern of arrivals, and each value goes out at most once", () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 9_000 }), fc.boolean()), { maxLength: 400 }), (steps) => {
    const rateHz = 200;
    const slot = new CommandSlot<number>(rateHz);
    const taken: number[] = [];
    let nowUs = 0;
    for (const [index, [gapUs, put]] of steps.entries()) {
      nowUs += gapUs;
      if (put) slot.put({ payload: index, deadlineUs: nowUs + 20_000 });
      const command = slot.take(nowUs, () => {});
      if (command) {
        taken.push(command.payload);
        assert.ok(nowUs < command.deadlineUs);
        slot.sent(nowUs, false);
      }
    }
    assert.equal(new Set(taken).size, taken.length);
    // One may go out early against the schedule, hence the two.
    assert.ok(taken.length <= (nowUs / 1e6) * rateHz + 2);
  }));
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { ValueWatch } from "./valueWatch.ts";

const message = (value: unknown, timeUs = 0, topic = "can/arm/State") => ({ topic, value, timeUs, quality: "good" as const });

test("fields become values with history; nested things and bytes are left alone", () => {
  const watch = new ValueWatch({ historyMax: 3 });
  for (let i = 0; i < 5; i++) watch.push(message({ angle: i / 2, on: true, mode: "Hold", nested: { a: 1 } }));
  watch.push(message(new Uint8Array(4), 0, "can/arm/raw"));
  assert.deepEqual(watch.values(0).map(({ label, value, history }) => ({ label, value, history })), [
    { label: "State angle", value: 2, history: [1, 1.5, 2] },
    { label: "State mode", value: "Hold", history: [] },
    { label: "State on", value: true, history: [] },
  ]);
});

test("a value without news turns stale", () => {
  const watch = new ValueWatch({ staleAfterMs: 500 });
  watch.push(message({ angle: 1 }, 1_000_000));
  assert.equal(watch.values(1_400_000)[0]!.quality, "good");
  assert.equal(watch.values(1_600_000)[0]!.quality, "stale");
});

test("only the fields asked for, and never more values than allowed", () => {
  const watch = new ValueWatch({ fields: ["angle"], valuesMax: 2 });
  for (const name of ["a", "b", "c"]) watch.push(message({ angle: 1, velocity: 2 }, 0, `can/arm/${name}`));
  assert.deepEqual(watch.values(0).map(({ label }) => label), ["a angle", "b angle"]);
  assert.equal(watch.leftOut, 1);
});

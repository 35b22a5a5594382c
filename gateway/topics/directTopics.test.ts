import assert from "node:assert/strict";
import { test } from "node:test";
import { layoutFromFields, layoutToJson } from "../../schemas/records/index.ts";
import { schemaHash } from "../../schemas/topics/schemaHash.ts";
import { ManualClock } from "../../schemas/clock.ts";
import { DirectTopicTable, LINGER_MS, type TopicClaim } from "./directTopics.ts";
import { TopicTable } from "./table.ts";

const claimOf = (topic: string, fields: Partial<TopicClaim> = {}): TopicClaim => ({ topic, encoding: "cbor", schemaHash: schemaHash("cbor", fields.jsonSchema), layout: undefined, jsonSchema: undefined, ...fields });

test("a topic comes with its first writer and goes with its last; one of the configuration stays", () => {
  const table = new TopicTable();
  const life: string[] = [];
  table.onGone(({ name }) => life.push(`gone ${name}`));
  const clock = new ManualClock();
  const direct = new DirectTopicTable(table, clock, { declared: ({ name }) => life.push(`declared ${name}`), removed: ({ name }) => life.push(`removed ${name}`) });
  table.declare({ name: "declared", encoding: "cbor", writable: true });
  assert.equal(direct.claim(claimOf("a")).status, 100);
  assert.equal(direct.claim(claimOf("a")).topicId, table.get("a")!.id);
  assert.equal(direct.claim(claimOf("declared")).status, 100);
  assert.equal(table.get("declared")!.quality, 0);
  direct.leave("a");
  assert.equal(table.get("a")!.writers, 1);
  for (const name of ["a", "declared", "nobody's"]) direct.leave(name);
  clock.advanceMs(LINGER_MS - 1);
  assert.equal(table.get("a")!.quality, 1);
  // Back in time: the same topic.
  assert.equal(direct.claim(claimOf("a")).topicId, table.get("a")!.id);
  clock.advanceMs(10 * LINGER_MS);
  direct.leave("a");
  clock.advanceMs(LINGER_MS);
  assert.equal(table.get("a"), undefined);
  assert.equal(table.get("declared")!.quality, 1);
  assert.deepEqual(life, ["declared a", "removed a", "gone a"]);
  const before = table.get("declared")!.id;
  const third = direct.claim(claimOf("a")).topicId!;
  assert.ok(third > before, "ids are never used again");
  // With another schema at once another topic.
  direct.leave("a");
  assert.ok(direct.claim(claimOf("a", { encoding: "json", schemaHash: schemaHash("json", undefined) })).topicId! > third);
  clock.advanceMs(10 * LINGER_MS);
  assert.equal(table.get("a")!.encoding, "json");
});

test("refusals", () => {
  const table = new TopicTable();
  const direct = new DirectTopicTable(table, new ManualClock());
  const layout = layoutFromFields("Pose", [{ name: "x", type: "f64" }]);
  table.declare({ name: "gateways", encoding: "cbor" });
  table.declare({ name: "one", encoding: "cbor", writable: true, exclusive: true });
  const record: Partial<TopicClaim> = { encoding: "record", schemaHash: layout.hash, layout: layoutToJson(layout) };
  const cases: readonly [number, TopicClaim][] = [
    [202, claimOf("gateways")], [202, claimOf("can/arm/X")], [202, claimOf("ipcnet/x")],
    [100, claimOf("one")], [205, claimOf("one")],
    [100, claimOf("pose", record)], [206, claimOf("pose")], [206, claimOf("pose", { ...record, schemaHash: 1n })],
    [209, claimOf("q", { ...record, schemaHash: 1n })], [209, claimOf("q", { ...record, layout: undefined })], [209, claimOf("q", { schemaHash: 1n })],
    [100, claimOf("s", { jsonSchema: { type: "object" } })], [206, claimOf("s")],
    [100, claimOf("t", { encoding: "tensor", schemaHash: 5n })],
  ];
  for (const [status, claim] of cases) assert.equal(direct.claim(claim).status, status, JSON.stringify(claim, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)));
});

test("who reads lanes itself is not handed what came by one, and need is told as it comes and goes", () => {
  const table = new TopicTable();
  const topic = table.declare({ name: "a", encoding: "bytes", writable: true });
  const needs: boolean[] = [];
  table.onNeed(({ needsLanes }) => needs.push(needsLanes));
  const seen: string[] = [];
  table.watch("a", { readsLanes: true, sample: () => seen.push("direct") });
  const leave = table.watch("#", { sample: (_topic, _bytes, _at, _length, lost) => seen.push(`socket ${lost}`) });
  table.publishFromLane(topic, Uint8Array.of(1), 0, 1, 5, 0, "w", 3);
  table.publish(topic, Uint8Array.of(2), 0, 1, 6, 0, "g", 0);
  leave();
  assert.deepEqual(seen, ["socket 3", "direct", "socket 0"]);
  assert.deepEqual(needs, [true, false]);
  assert.deepEqual([topic.sequence, topic.fromLanes], [2, 1]);
  topic.laneMessages = () => 100;
  topic.closeRateInterval(1);
  topic.closeRateInterval(1);
  assert.equal(topic.rateHz, 0);
  topic.laneMessages = () => 150;
  topic.closeRateInterval(2);
  assert.equal(topic.rateHz, 25);
});

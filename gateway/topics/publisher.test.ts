import assert from "node:assert/strict";
import { test } from "node:test";
import { CommandPath } from "../commands/commandPath.ts";
import { Publisher } from "./publisher.ts";
import { TopicTable } from "./table.ts";
import { readValue, writeValue } from "./values.ts";
import { layoutFromFields } from "../../schemas/records/index.ts";
import { writeFrame, FRAME_STRIDE_BYTES } from "../../drivers/can/frame.ts";

const meta = { form: "value", ttlMs: undefined, origin: "test" } as const;

function rig() {
  const table = new TopicTable();
  const sent: number[] = [];
  const passed: number[] = [];
  const path = new CommandPath({
    budget: undefined, gate: () => true,
    messages: [{ name: "Move", ttlMsMax: 100, rateHzMax: 1_000, bits: 0, confirms: false, poseOnly: false,
      encode: (values) => ({ ok: true, data: Uint8Array.of(Number(values["v"])) }), transmit: (data) => { sent.push(data[0]!); return "queued"; } }],
  });
  const publisher = new Publisher(table, (nowUs) => passed.push(nowUs));
  const layout = layoutFromFields("Move", [{ name: "v", type: "u8" }]);
  publisher.addCommand(table.declare({ name: "cmd/arm/Move", encoding: "record", layout, writable: true }), path, "Move", (data) => Uint8Array.from({ length: 8 }, (_, i) => (i === 0 ? data[0]! : 0)));
  publisher.addApplicationTopic(table.declare({ name: "app/x", encoding: "cbor", writable: true }), (value) => (typeof value === "number" ? undefined : "the value must be a number"));
  publisher.addFrames(table.declare({ name: "cmd/arm/raw", encoding: "canframe", writable: true }), path, ({ canId, data }) =>
    (canId === 0x22 ? { ok: true, message: "Move", values: { v: data[0]! } } : { ok: false, code: "unknownCommand", text: "not listed" }));
  table.declare({ name: "can/arm/State", encoding: "bytes" });
  return { table, publisher, sent, passed };
}

test("a command goes the commands' way, and can be watched", () => {
  const { table, publisher, sent, passed } = rig();
  const seen: unknown[] = [];
  table.watch("cmd/#", { sample: (topic, bytes, at, length) => { const read = readValue(topic, bytes, at, length); seen.push(read.ok && read.value); } });
  assert.equal(publisher.publish("cmd/arm/Move", { v: 7 }, meta, 5).status, 100);
  assert.deepEqual([sent, passed, seen], [[7], [5], [{ v: 7 }]]);
});

test("a record in the topic's own encoding is the same command", () => {
  const { publisher, sent } = rig();
  assert.equal(publisher.publish("cmd/arm/Move", Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0), { ...meta, form: "native" }, 0).status, 100);
  assert.deepEqual(sent, [9]);
  assert.equal(publisher.publish("cmd/arm/Move", Uint8Array.of(9), { ...meta, form: "native" }, 0).status, 209);
});

test("raw frames: listed ones pass, others are told", () => {
  const { publisher, sent } = rig();
  const frame = (canId: number): Uint8Array => {
    const bytes = new Uint8Array(FRAME_STRIDE_BYTES);
    writeFrame(bytes, new DataView(bytes.buffer), 0, { timeUs: 0, canId, flags: 0, data: Uint8Array.of(3) });
    return bytes;
  };
  assert.equal(publisher.publish("cmd/arm/raw", frame(0x22), { ...meta, form: "native" }, 0).status, 100);
  assert.deepEqual(sent, [3]);
  assert.equal(publisher.publish("cmd/arm/raw", frame(0x23), { ...meta, form: "native" }, 0).status, 203);
});

test("an application topic takes what its schema allows, and nothing that is dead on arrival", () => {
  const { table, publisher } = rig();
  assert.equal(publisher.publish("app/x", 5, meta, 0).status, 100);
  assert.equal(publisher.publish("app/x", "five", meta, 0).text, "the value must be a number");
  assert.equal(publisher.publish("app/x", 5, { ...meta, ttlMs: 0 }, 0).status, 211);
  assert.equal(publisher.publish("app/x", 5, { ...meta, ttlMs: 50, sentUs: 0 }, 50_001).status, 211);
  assert.equal(table.get("app/x")?.sequence, 1);
});

test("what nobody may write, and what does not exist, is said apart", () => {
  const { publisher } = rig();
  assert.equal(publisher.publish("can/arm/State", 1, meta, 0).code, "notWritable");
  assert.equal(publisher.publish("app/y", 1, meta, 0).code, "unknownTopic");
  assert.equal(publisher.publish("cmd/arm/Move", [1], meta, 0).code, "malformed");
});

test("values survive their encodings", () => {
  const value = { a: 1.5, b: "x", c: [true, null], d: { e: -7 } };
  for (const encoding of ["cbor", "json"] as const) {
    const written = writeValue(encoding, value);
    assert.ok(written.ok);
    const read = readValue({ encoding, layout: undefined }, written.bytes, 0, written.bytes.length);
    assert.ok(read.ok);
    assert.deepEqual(read.value, value);
  }
  assert.equal(writeValue("json", undefined).ok, false);
  assert.equal(writeValue("cbor", () => 1).ok, false);
  assert.equal(readValue({ encoding: "json", layout: undefined }, Buffer.from("{"), 0, 1).ok, false);
});

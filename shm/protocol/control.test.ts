import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { CborWriter } from "./cborWriter.ts";
import { decodeClientMessage, decodeServerMessage, encodeAnnouncements, encodeControl, readQueryAnswer } from "./control.ts";
import type { ClientMessage, ServerMessage, TopicAnnouncement } from "./messages.ts";

const writer = new CborWriter({ lengthMax: 1 << 22 });
const encode = (message: ClientMessage | ServerMessage): Uint8Array => encodeControl(writer.reset(), message).take();
const raw = (value: unknown): Uint8Array => writer.reset().value(value).take();

const fromClient: readonly ClientMessage[] = [
  { op: "hello", versions: [1], name: "listener" },
  { op: "topics", seq: 1, pattern: "can/#" },
  { op: "subscribe", seq: 2, pattern: "can/+/State", policy: { latest: true }, rateHzMax: 12.5, lastValue: true, lanes: true },
  { op: "subscribe", seq: 3, pattern: "#", policy: { queueSamples: 100 }, rateHzMax: undefined, lastValue: false, lanes: false },
  { op: "subscribe", seq: 3, pattern: "#", policy: { lossless: true }, rateHzMax: undefined, lastValue: false, lanes: true },
  { op: "unsubscribe", seq: 4, subscription: 9 },
  { op: "publish", seq: 5, topic: "cmd/arm/Move", encoding: "cbor", value: { velocity: 0.5 }, ttlMs: 100, sentUs: 1_234.5, id: "a", acknowledge: true },
  { op: "publish", seq: 6, topic: "cmd/arm/Move", encoding: "native", value: Uint8Array.of(1, 2), ttlMs: undefined, sentUs: undefined, id: undefined, acknowledge: false },
  { op: "query", seq: 7, topic: "app/x", last: undefined },
  { op: "query", seq: 8, topic: "app/x", last: 100 },
  { op: "request", seq: 8, service: "gateway/status", group: undefined, body: undefined, timeoutMs: 1000, stream: undefined, idempotent: true },
  { op: "ping", seq: 0xffff_ffff },
  { op: "goodbye", text: "done" },
  { op: "advertise", seq: 9, topic: "arm/pose", encoding: "record", schemaHash: "00112233aabbccdd", layout: { sizeBytes: 16 }, jsonSchema: undefined, policy: "lossless", deadlineMs: 250 },
  { op: "relane", seq: 10, advert: 1 },
  { op: "unadvertise", seq: 11, advert: 1 },
  { op: "attach", seq: 12, lane: 2 },
  { op: "detach", seq: 13, lane: 2 },
];

const topic: TopicAnnouncement = {
  id: 1, name: "can/arm/State", encoding: "record", schemaHash: "00112233aabbccdd", layout: { sizeBytes: 16 }, jsonSchema: undefined, writable: false, cycleTimeMs: 10, writers: 2, rateHz: 99.5, quality: 0,
};

const fromGateway: readonly ServerMessage[] = [
  { op: "welcome", version: 1, gateway: { robot: "demo", version: "0.1.0", instance: "a", boot: "f00" } },
  { op: "refused", status: 206, text: "protocol 1 only", versions: [1] },
  { op: "reply", seq: 3, status: 100, text: "", body: [1, "two", { three: 3 }] },
  { op: "announce", topics: [topic] },
  { op: "origins", origins: [{ id: 1, name: "can/arm" }] },
  { op: "gap", gaps: [{ subscription: 1, topicId: 2, lost: 3 }] },
  { op: "notice", status: 202, text: "no", count: 5 },
  { op: "goodbye", status: 303, text: "the gateway stops" },
  { op: "lane", subscription: 1, topicId: 2, lane: 3, origin: 4, policy: "queue", schemaHash: "00112233aabbccdd", replaces: undefined },
  { op: "lane", subscription: 1, topicId: 2, lane: 4, origin: 4, policy: "latest", schemaHash: "00112233aabbccdd", replaces: 3 },
  { op: "unlane", lane: 3, status: 103, text: "replaced" },
  { op: "reader", advert: 1, reader: 2, policy: "lossless", deadlineMs: 250 },
  { op: "unreader", advert: 1, reader: 2 },
  { op: "rekey", advert: 1 },
  { op: "unadvert", advert: 1, status: 202, text: "the access rules have changed" },
];

test("each message is read as it was written", () => {
  for (const message of fromClient) assert.deepEqual(decodeClientMessage(encode(message)), { ok: true, message, fds: 0 });
  for (const message of fromGateway) assert.deepEqual(decodeServerMessage(encode(message)), { ok: true, message, fds: 0 });
});

test("a message tells how many descriptors came with it: 0 to 4", () => {
  const encoded = encodeControl(new CborWriter({ lengthMax: 1000 }), { op: "ping", seq: 1 }, 3).take();
  assert.deepEqual(decodeClientMessage(encoded), { ok: true, message: { op: "ping", seq: 1 }, fds: 3 });
  for (const fds of [-1, 5, 1.5, "2"]) assert.equal(decodeClientMessage(raw({ op: "ping", seq: 1, fds })).ok, false);
});

test("left-out fields have their defaults", () => {
  assert.deepEqual(decodeClientMessage(raw({ op: "subscribe", seq: 1, pattern: "#" })),
    { ok: true, message: { op: "subscribe", seq: 1, pattern: "#", policy: { latest: true }, rateHzMax: undefined, lastValue: false, lanes: false }, fds: 0 });
  assert.deepEqual(decodeClientMessage(raw({ op: "topics", seq: 1 })), { ok: true, message: { op: "topics", seq: 1, pattern: "#" }, fds: 0 });
});

test("each fault says what was wrong and whose call it was", () => {
  const cases: readonly (readonly [unknown, string, number, RegExp])[] = [
    [[1, 2], "notAMap", 0, /map/],
    [{ seq: 7 }, "unknownOp", 7, /none/],
    [{ op: "constructor", seq: 7 }, "unknownOp", 7, /constructor/],
    [{ op: "fly", seq: 7 }, "unknownOp", 7, /fly/],
    [{ op: "query", seq: 7 }, "badField", 7, /topic must be a text/],
    [{ op: "query", seq: 0, topic: "x" }, "badField", 0, /seq must be/],
    [{ op: "query", seq: 1.5, topic: "x" }, "badField", 0, /seq must be/],
    [{ op: "query", seq: 7, topic: "x".repeat(256) }, "badField", 7, /at most 255/],
    [{ op: "subscribe", seq: 7, pattern: "#", policy: { queueSamples: 0 } }, "badField", 7, /policy.queueSamples must be an integer from 1/],
    [{ op: "subscribe", seq: 7, pattern: "#", rateHzMax: NaN }, "badField", 7, /rateHzMax/],
    [{ op: "publish", seq: 7, topic: "x", encoding: "native", value: "text" }, "badField", 7, /value must be a byte string/],
    [{ op: "publish", seq: 7, topic: "x", encoding: "xml", value: 1 }, "badField", 7, /one of native, cbor/],
    [{ op: "publish", seq: 7, topic: "x", encoding: "cbor", value: 1, ttlMs: -1 }, "badField", 7, /ttlMs/],
    [{ op: "hello", versions: ["1"], name: "x" }, "badField", 0, /versions/],
    [{ op: "query", seq: 7, topic: "x", last: 1001 }, "badField", 7, /last must be an integer from 1 to 1000/],
    [{ op: "attach", seq: 7, lane: 0 }, "badField", 7, /lane must be an integer from 1/],
    [{ op: "advertise", seq: 7, topic: "x", encoding: "canframe", schemaHash: "0", policy: "queue" }, "badField", 7, /encoding must be one of record/],
    [{ op: "advertise", seq: 7, topic: "x", encoding: "cbor", schemaHash: "00112233AABBCCDD", policy: "queue" }, "badField", 7, /16 hexadecimal digits/],
  ];
  for (const [value, code, seq, text] of cases) {
    const result = decodeClientMessage(raw(value));
    assert.ok(!result.ok);
    assert.equal(result.fault.code, code);
    assert.equal(result.fault.seq, seq);
    assert.match(result.fault.text, text);
  }
  const bad = decodeClientMessage(Uint8Array.of(0xff));
  assert.ok(!bad.ok && bad.fault.code === "badCbor");
});

test("a single byte changed anywhere gives a message or a fault, never an exception", () => {
  fc.assert(fc.property(fc.constantFrom(...fromClient), fc.nat(), fc.nat(255), (message, where, byte) => {
    const bytes = encode(message);
    bytes[where % bytes.length] = byte;
    decodeClientMessage(bytes);
    decodeServerMessage(bytes);
  }), { numRuns: 3000 });
});

test("announcements are split so that each fits", () => {
  const encoded = raw(topic);
  let topics = 0;
  for (const bytes of encodeAnnouncements(writer, Array.from({ length: 1200 }, () => encoded), 40_000)) {
    const result = decodeServerMessage(bytes);
    assert.ok(bytes.length <= 40_000);
    assert.ok(result.ok && result.message.op === "announce");
    topics += result.message.topics.length;
  }
  assert.equal(topics, 1200);
});

test("the answer to a query is read, wall time as bigint", () => {
  const answer = { topicId: 3, bytes: Uint8Array.of(1), sequence: 5, timeUs: 1.5, wallTimeNs: 1_700_000_000_000_000_001n, quality: 1 as const, origin: "can/arm" };
  const reply = decodeServerMessage(encode({ op: "reply", seq: 1, status: 100, text: "", body: answer }));
  assert.ok(reply.ok && reply.message.op === "reply");
  assert.deepEqual(readQueryAnswer(reply.message.body), answer);
  assert.equal(readQueryAnswer({ topicId: 1 }), undefined);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Status } from "../../schemas/status.ts";
import { crc32Autosar } from "../../schemas/crc/crc32.ts";
import type { MqttCommand } from "./command.ts";
import { CommandFreshness, decodeCommand, encodeBinaryCommand, encodeJsonCommand } from "./command.ts";
import { EnvelopeReader, EnvelopeWriter } from "./envelope.ts";
import { decodeRequest, encodeResponse } from "./request.ts";

const NAME = "demo-arm/cmd/arm/shoulder_Command";
const command: MqttCommand = { id: "a1", ttlMs: 100, seq: 17, values: { velocity: 0.5, mode: "Hold" } };
const forms = { json: encodeJsonCommand, binary: encodeBinaryCommand };
const decode = (payload: Uint8Array, retain = false) => decodeCommand(NAME, { payload, retain });
const codeOf = (payload: Uint8Array): string => {
  const result = decode(payload);
  return result.ok ? "accepted" : result.code;
};

/** As somebody would write it in Python: text, CRC of name and text, one more member. */
function signed(text: string, name = NAME): Uint8Array {
  assert.ok(text.endsWith("}"));
  const open = text.slice(0, -1);
  return Buffer.from(`${open},"crc":"${crc32Autosar(Buffer.from(name + open)).toString(16).padStart(8, "0")}"}`);
}

for (const [form, encode] of Object.entries(forms)) {
  test(`${form}: what is encoded is decoded`, () => {
    for (const each of [command, { ...command, sentAt: 1_700_000_000_123.5, seq: 2 ** 40 + 3 }]) assert.deepEqual(decode(encode(NAME, each)), { ok: true, command: each });
  });

  test(`${form}: no single flipped bit gets through`, () => {
    const payload = Uint8Array.from(encode(NAME, command));
    for (let bit = 0; bit < payload.length * 8; bit++) {
      payload[bit >> 3]! ^= 1 << (bit & 7);
      const result = decode(payload);
      // Upper-case digits of the CRC, and white space, mean the same.
      if (result.ok) assert.deepEqual(result.command, command);
      if (result.ok) assert.equal(form, "json");
      payload[bit >> 3]! ^= 1 << (bit & 7);
    }
  });

  test(`${form}: a command for something else, and a retained one, are refused`, () => {
    const other = decodeCommand("demo-arm/cmd/arm/elbow_Command", { payload: encode(NAME, command), retain: false });
    assert.equal(other.ok ? "" : other.code, "crcMismatch");
    const retained = decode(encode(NAME, command), true);
    assert.equal(retained.ok ? "" : retained.code, "retained");
  });

  test(`${form}: encoding refuses what cannot travel`, () => assert.throws(() => encode(NAME, { ...command, values: { velocity: NaN } }), RangeError));
}

test("a command written by hand is accepted, however its numbers and spaces are written", () => {
  for (const text of ['{"id":"a1","ttlMs":1.00e2,"seq":17,"values":{"velocity":0.50,"mode":"Hold"}}', '{ "values" : {"velocity": 5e-1, "mode": "Hold"}, "seq": 17, "ttlMs": 100.0, "id": "a1" }']) {
    assert.deepEqual(decode(signed(text)), { ok: true, command });
  }
  const spaced = Buffer.from(Buffer.from(signed('{"id":"a1","ttlMs":100,"seq":17,"values":{}}')).toString().replace(/,"crc":"(.*)"}$/, (_all, crc: string) => `, "crc" : "${crc.toUpperCase()}" }\n`));
  assert.equal(codeOf(spaced), "accepted");
});

test("the examples of docs/specs/mqtt.md", () => {
  assert.equal(Buffer.from(encodeJsonCommand(NAME, command)).toString(), '{"id":"a1","ttlMs":100,"seq":17,"values":{"velocity":0.5,"mode":"Hold"},"crc":"e144566c"}');
  assert.equal(Buffer.from(encodeBinaryCommand(NAME, command)).toString("hex"), "368155b6000000480000001147058c1da46269646261316574746c4d73186463736571116676616c756573a26876656c6f63697479fb3fe0000000000000646d6f646564486f6c64");
});

test("every way to get it wrong has its code", () => {
  const rows: [string, string][] = [
    ['{"ttlMs":100,"seq":1,"values":{}}', "missingField"], ['{"id":"a","seq":1,"values":{}}', "missingField"], ['{"id":"","ttlMs":100,"seq":1,"values":{}}', "badField"], ['{"id":"a","ttlMs":0,"seq":1,"values":{}}', "badField"],
    ['{"id":"a","ttlMs":1e9,"seq":1,"values":{}}', "badField"], ['{"id":"a","ttlMs":100,"seq":1.5,"values":{}}', "badField"], ['{"id":"a","ttlMs":100,"seq":-1,"values":{}}', "badField"], ['{"id":"a","ttlMs":100,"seq":1,"values":[]}', "badField"],
    ['{"id":"a","ttlMs":100,"seq":1,"values":{},"sentAt":"now"}', "badField"], ['{"id":"a","ttlMs":100,"seq":1,"values":{},"force":true}', "unknownField"], ['{"id":"a","ttlMs":100,"seq":1,"values":{"a":1,"a":2}}', "duplicateKey"],
    ['{"id":"a","ttlMs":100,"seq":1,"values":{"a":1e999}}', "notFinite"], ['{"id":"a","ttlMs":100,"seq":1,"values":}', "malformed"],
  ];
  for (const [text, code] of rows) assert.equal(codeOf(signed(text)), code, text);
  assert.equal(codeOf(Buffer.from('{"id":"a","ttlMs":100,"seq":1,"values":{}}')), "crcMissing");
  assert.equal(codeOf(Buffer.from('{"crc":"00000000","id":"a","ttlMs":100,"seq":1,"values":{}}')), "crcMissing");
  assert.equal(codeOf(Buffer.from('{"id":"a","ttlMs":100,"seq":1,"values":{},"crc":"00000000"}')), "crcMismatch");
  assert.equal(codeOf(new Uint8Array(0)), "truncated");
  assert.equal(codeOf(new Uint8Array(64)), "crcMismatch");
});

test("any bytes give a command or a code", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void decode(bytes)), { numRuns: 3000 });
  fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 100 }), (text) => void decode(signed(`{${text}}`))), { numRuns: 3000 });
});

test("freshness: the sequence rises per sender and topic, ids come once, time counts from the sender's clock", () => {
  const freshness = new CommandFreshness();
  const judge = (change: Partial<MqttCommand>, { sender = "s1", topic = "t", nowUs = 1e9, wallTimeMs = 1_000_000 } = {}) => {
    const verdict = freshness.judge({ sender, topic, command: { ...command, ...change }, nowUs, wallTimeMs });
    return verdict.ok ? verdict.deadlineUs - nowUs : verdict.code;
  };
  assert.equal(judge({ id: "1", seq: 5 }), 100_000);
  assert.equal(judge({ id: "2", seq: 5 }), "repeated");
  assert.equal(judge({ id: "1", seq: 6 }), "duplicateId");
  assert.equal(judge({ id: "3", seq: 4 }), "repeated");
  assert.equal(judge({ id: "4", seq: 9 }), 100_000, "gaps are fine");
  assert.equal(judge({ id: "1", seq: 1 }, { topic: "other" }), 100_000);
  assert.equal(judge({ id: "1", seq: 1 }, { sender: "s2" }), 100_000);
  assert.equal(judge({ id: "5", seq: 10, sentAt: 1_000_000 - 40 }), 60_000);
  assert.equal(judge({ id: "6", seq: 11, sentAt: 1_000_000 - 100 }), "expired");
  assert.equal(judge({ id: "7", seq: 12, sentAt: 1_000_000 + 500 }), 100_000, "a clock ahead never lengthens a life");
  assert.equal(judge({ id: "8", seq: 13, sentAt: 1_000_000 + 5000 }), "sentInFuture");
  assert.equal(judge({ id: "6", seq: 13 }), 100_000, "a refused command left nothing behind");
  assert.equal(judge({ id: "9", seq: 1 }, { nowUs: 1e9 + 59e6 }), "repeated");
  assert.equal(judge({ id: "9", seq: 1 }, { nowUs: 1e9 + 60e6 }), 100_000, "after the longest life the sequence may start anew");
});

test("freshness: memory is bounded whatever comes", () => {
  const freshness = new CommandFreshness();
  for (let i = 0; i < 20_000; i++) assert.ok(freshness.judge({ sender: `s${i % 1000}`, topic: "t", command: { ...command, id: String(i), seq: i }, nowUs: i, wallTimeMs: 0 }).ok);
});

test("envelope: order, gaps, repetition and a wrong Data ID", () => {
  const writer = new EnvelopeWriter({ dataId: 0x0a0b0c0d });
  const reader = new EnvelopeReader({ dataId: 0x0a0b0c0d });
  const [a, b, c] = [1, 2, 3].map((byte) => writer.write(Uint8Array.of(byte)));
  assert.equal(Buffer.from(a!).toString("hex").slice(8), "00000011000000000a0b0c0d01", "length, counter, Data ID, body");
  assert.deepEqual(reader.read(a!, 0), { ok: true, body: Uint8Array.of(1), counter: 0, lostBefore: 0 });
  assert.deepEqual(reader.read(c!, 0), { ok: true, body: Uint8Array.of(3), counter: 2, lostBefore: 1 });
  assert.deepEqual(reader.read(c!, 0), { ok: false, code: "repeated" });
  assert.deepEqual(reader.read(b!, 0), { ok: false, code: "wrongSequence" });
  assert.deepEqual(reader.read(a!.slice(0, 10), 0), { ok: false, code: "badLength" });
  assert.deepEqual(new EnvelopeReader({ dataId: 1 }).read(a!, 0), { ok: false, code: "crcMismatch" });
});

test("requests and responses", () => {
  const request = (text: string, retain = false) => decodeRequest({ payload: Buffer.from(text), retain });
  assert.deepEqual(request('{"transaction":"t1","why":"test"}'), { ok: true, request: { transaction: "t1", body: { why: "test" } } });
  assert.deepEqual(request(""), { ok: true, request: { transaction: undefined, body: {} } });
  for (const [text, code] of [["[]", "notAnObject"], ["{", "malformed"], ['{"transaction":{}}', "badTransaction"]] as const) {
    const result = request(text);
    assert.equal(result.ok ? "" : result.code, code);
  }
  const retained = request("{}", true);
  assert.equal(retained.ok ? "" : retained.code, "retained");
  assert.deepEqual(JSON.parse(Buffer.from(encodeResponse({ transaction: "t1", code: Status.ok, data: { a: 1 } })).toString()), { status: "ok", code: 100, data: { a: 1 }, transaction: "t1" });
  assert.deepEqual(JSON.parse(Buffer.from(encodeResponse({ transaction: undefined, code: Status.forbidden })).toString()), { status: "error", code: 202, error: "forbidden" });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { CborWriter } from "./cborWriter.ts";
import { decodeClientMessage, decodeServerMessage, encodeControl } from "./control.ts";
import { findables, grantModes, type ServiceClientMessage, type ServiceServerMessage } from "./serviceMessages.ts";

const writer = new CborWriter({ lengthMax: 1 << 22 });
const raw = (value: unknown): Uint8Array => writer.reset().value(value).take();

const number = fc.integer({ min: 1, max: 0xffff_ffff });
const status = fc.integer({ min: 100, max: 5_000 });
const name = fc.string({ unit: "grapheme", maxLength: 60 });
const text = fc.string({ unit: "grapheme", maxLength: 200 });
const body = fc.oneof(fc.constant(undefined), fc.string(), fc.integer(), fc.boolean(), fc.uint8Array({ maxLength: 40 }), fc.dictionary(fc.string({ maxLength: 5 }).filter((key) => key !== "__proto__"), fc.double({ noNaN: true }), { noNullPrototype: true }));
const milliseconds = fc.double({ min: 0, max: 60_000, noNaN: true }).map((ms) => ms + 0);
const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });
const principals = fc.array(name.map((each) => `user:${each}`), { maxLength: 64 });

/** Total over the ops: a new one is missed by the compiler. */
const fromClient: { [O in ServiceClientMessage["op"]]: fc.Arbitrary<Omit<Extract<ServiceClientMessage, { op: O }>, "op">> } = {
  announce: fc.record({ seq: number, component: fc.dictionary(fc.string({ maxLength: 10 }).filter((key) => key !== "__proto__"), fc.string(), { maxKeys: 32, noNullPrototype: true }) }),
  find: fc.record({ seq: number, what: fc.constantFrom(...findables), pattern: name }),
  offer: fc.record({
    seq: number, service: name, group: fc.string({ maxLength: 64 }), capacity: fc.integer({ min: 1, max: 1_024 }), allow: optional(principals), deny: principals,
    rateHzMax: optional(fc.double({ min: 0.001, max: 1e6, noNaN: true })), callsMax: optional(fc.integer({ min: 1, max: 1_024 })), description: text,
  }),
  unoffer: fc.record({ seq: number, offer: number }),
  request: fc.record({ seq: number, service: name, group: optional(fc.string({ maxLength: 64 })), body, timeoutMs: optional(milliseconds), stream: optional(fc.integer({ min: 0, max: 4_096 })), idempotent: fc.boolean() }),
  credit: fc.record({ request: number, items: fc.integer({ min: 1, max: 4_096 }) }),
  cancel: fc.record({ request: number }),
  result: fc.record({ call: number, status, text, body, more: fc.boolean() }),
  grant: fc.record({ seq: number, resource: name, mode: optional(fc.constantFrom(...grantModes)) }),
  leaving: fc.record({ seq: number, deadlineMs: milliseconds, text }),
  ready: fc.record({ seq: number }),
  moreTime: fc.record({ seq: number, forMs: milliseconds }),
};

const fromGateway: { [O in ServiceServerMessage["op"]]: fc.Arbitrary<Omit<Extract<ServiceServerMessage, { op: O }>, "op">> } = {
  item: fc.record({ seq: number, body }),
  call: fc.record({
    call: number, offer: number, service: name, body, timeoutMs: milliseconds, stream: optional(fc.integer({ min: 0, max: 4_096 })),
    caller: fc.record({ component: name, uid: fc.nat(), pid: fc.nat() }, { noNullPrototype: true }),
  }),
  callCredit: fc.record({ call: number, items: fc.integer({ min: 1, max: 4_096 }) }),
  callCancelled: fc.record({ call: number, status, text }),
  leaving: fc.record({ deadlineMs: milliseconds, text }),
};

test("each message is read as it was written, with the number of its descriptors", () => {
  for (const [op, fields] of Object.entries(fromClient)) {
    fc.assert(fc.property(fields, fc.nat(4), (values, fds) => {
      const message = { op, ...values } as ServiceClientMessage;
      assert.deepEqual(decodeClientMessage(encodeControl(writer.reset(), message, fds).take()), { ok: true, message, fds });
    }), { numRuns: 100 });
  }
  for (const [op, fields] of Object.entries(fromGateway)) {
    fc.assert(fc.property(fields, fc.nat(4), (values, fds) => {
      const message = { op, ...values } as ServiceServerMessage;
      assert.deepEqual(decodeServerMessage(encodeControl(writer.reset(), message, fds).take()), { ok: true, message, fds });
    }), { numRuns: 100 });
  }
});

test("left-out fields have their defaults", () => {
  assert.deepEqual(decodeClientMessage(raw({ op: "request", seq: 1, service: "s" })), { ok: true, fds: 0, message: { op: "request", seq: 1, service: "s", group: undefined, body: undefined, timeoutMs: undefined, stream: undefined, idempotent: true } });
  assert.deepEqual(decodeClientMessage(raw({ op: "offer", seq: 1, service: "s" })), { ok: true, fds: 0, message: { op: "offer", seq: 1, service: "s", group: "", capacity: 1, allow: undefined, deny: [], rateHzMax: undefined, callsMax: undefined, description: "" } });
  assert.deepEqual(decodeClientMessage(raw({ op: "grant", seq: 1, resource: "camera" })), { ok: true, fds: 0, message: { op: "grant", seq: 1, resource: "camera", mode: undefined } });
  assert.deepEqual(decodeClientMessage(raw({ op: "find", seq: 1, what: "services" })), { ok: true, fds: 0, message: { op: "find", seq: 1, what: "services", pattern: "#" } });
  assert.deepEqual(decodeClientMessage(raw({ op: "result", call: 1, status: 100 })), { ok: true, fds: 0, message: { op: "result", call: 1, status: 100, text: "", body: undefined, more: false } });
});

test("each bound refuses what is beyond it, and says whose call it was", () => {
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ op: "offer", seq: 7, service: "s".repeat(256) }, /service must be a text/],
    [{ op: "offer", seq: 7, service: "s", group: "g".repeat(65) }, /group must be/],
    [{ op: "offer", seq: 7, service: "s", capacity: 0 }, /capacity must be an integer from 1 to 1024/],
    [{ op: "offer", seq: 7, service: "s", capacity: 1.5 }, /capacity/],
    [{ op: "offer", seq: 7, service: "s", allow: "user:me" }, /allow must be an array/],
    [{ op: "offer", seq: 7, service: "s", deny: Array.from({ length: 65 }, () => "user:me") }, /deny must be an array of at most 64/],
    [{ op: "offer", seq: 7, service: "s", deny: [7] }, /deny/],
    [{ op: "offer", seq: 7, service: "s", rateHzMax: 0 }, /rateHzMax/],
    [{ op: "request", seq: 7, service: "s", timeoutMs: 600_001 }, /timeoutMs/],
    [{ op: "request", seq: 7, service: "s", stream: 4_097 }, /stream/],
    [{ op: "request", seq: 7, service: "s", fds: 5 }, /fds/],
    [{ op: "credit", seq: 7, request: 0, items: 1 }, /request/],
    [{ op: "credit", seq: 7, request: 1, items: 0 }, /items/],
    [{ op: "result", seq: 7, call: 1, status: 99 }, /status/],
    [{ op: "grant", seq: 7, resource: "r", mode: "execute" }, /one of read, write, readWrite/],
    [{ op: "leaving", seq: 7, deadlineMs: -1 }, /deadlineMs/],
    [{ op: "announce", seq: 7, component: [] }, /component must be a map/],
    [{ op: "announce", seq: 7, component: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, i])) }, /at most 32 entries/],
    [{ op: "find", seq: 7, what: "secrets" }, /one of components/],
  ];
  for (const [message, words] of cases) {
    const result = decodeClientMessage(raw(message));
    assert.ok(!result.ok, JSON.stringify(message));
    assert.equal(result.fault.code, "badField");
    assert.equal(result.fault.seq, 7);
    assert.match(result.fault.text, words);
  }
});

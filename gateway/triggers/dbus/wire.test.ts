import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { socketOf } from "./connection.ts";
import { bodyBoolean, bodyString, encodeMessage, MESSAGE_BYTES_MAX, readMessage, stringsBody } from "./wire.ts";

const hello = { type: "call", serial: 1, destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus", member: "Hello" } as const;

test("Hello, byte for byte as the specification lays it out", () => {
  const bytes = encodeMessage(hello);
  assert.equal(Buffer.from(bytes.subarray(0, 16)).toString("hex"), "6c01000100000000010000006d000000");
  assert.equal(Buffer.from(bytes.subarray(16, 28)).toString("hex"), "01016f0015000000" + Buffer.from("/org").toString("hex"));
  assert.equal(bytes.length % 8, 0);
});

test("what is written is read again, in whatever pieces it comes", () => {
  const message = encodeMessage({ ...hello, body: stringsBody(["one", "zwei"]) });
  for (let cut = 0; cut < message.length; cut++) assert.equal(readMessage(message.subarray(0, cut)).type, "needMore");
  const read = readMessage(Buffer.concat([message, message]));
  assert.ok(read.type === "message");
  const { lengthBytes, message: { member, path, signature, type, destination } } = read;
  assert.deepEqual([lengthBytes, type, member, path, signature, destination], [message.length, "call", "Hello", "/org/freedesktop/DBus", "ss", "org.freedesktop.DBus"]);
  assert.equal(bodyString(read.message), "one");
});

test("booleans, strings, variants; whatever else is undefined", () => {
  const body = (...bytes: number[]) => Uint8Array.from(bytes);
  assert.equal(bodyBoolean({ signature: "b", body: body(1, 0, 0, 0) }), true);
  assert.equal(bodyBoolean({ signature: "b", body: body(0, 0, 0, 0) }), false);
  assert.equal(bodyBoolean({ signature: "b", body: body(2, 0, 0, 0) }), undefined);
  assert.equal(bodyBoolean({ signature: "s", body: body(1, 0, 0, 0) }), undefined);
  assert.equal(bodyString({ signature: "v", body: body(1, 0x73, 0, 0, 2, 0, 0, 0, 0x68, 0x69, 0) }), "hi");
  assert.equal(bodyString({ signature: "v", body: body(1, 0x75, 0, 0, 2, 0, 0, 0) }), undefined);
  assert.equal(bodyString({ signature: "s", body: body(200, 0, 0, 0, 0x68) }), undefined);
});

test("any bytes: a message, more, or bad, never a throw", () => {
  const whole = encodeMessage(hello);
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 4 }), fc.uint8Array({ maxLength: 64 }), (flips, tail) => {
    const bytes = Uint8Array.from([...whole, ...tail]);
    for (const [at, value] of flips) bytes[at] = value;
    const read = readMessage(bytes);
    if (read.type === "message") assert.ok(read.lengthBytes <= bytes.length && read.lengthBytes <= MESSAGE_BYTES_MAX);
  }), { seed: 20261122, numRuns: 2_000 });
});

test("addresses of a bus", () => {
  assert.equal(socketOf("unix:path=/run/dbus/system_bus_socket"), "/run/dbus/system_bus_socket");
  assert.equal(socketOf("tcp:host=x;unix:guid=1,abstract=/tmp/a%20b"), "\0/tmp/a b");
  assert.equal(socketOf("tcp:host=localhost"), undefined);
});

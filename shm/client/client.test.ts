import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { layoutFromFields, layoutToJson, writeRecord } from "../../schemas/records/index.ts";
import { IpcnetError } from "../../schemas/status.ts";
import { CborWriter } from "../protocol/cborWriter.ts";
import type { TopicAnnouncement } from "../protocol/messages.ts";
import { SeqpacketServer } from "../sockets/index.ts";
import { connect } from "./connect.ts";
import { payloadDecoder } from "./decode.ts";
import { KnownTopic, ReceivedMessage } from "./message.ts";
import { defaultSocketPath, ownRunFolder } from "./socketPath.ts";

const folder = mkdtempSync(join(tmpdir(), "ipcnet-client-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const topic = (fields: Partial<TopicAnnouncement>): TopicAnnouncement => ({
  id: 1, name: "t", encoding: "bytes", schemaHash: "0000000000000000", layout: undefined, jsonSchema: undefined, writable: false, cycleTimeMs: undefined, writers: 0, rateHz: 0, quality: 0, ...fields,
});
const fails = (run: () => unknown, words: RegExp): void => assert.throws(run, (error) => error instanceof IpcnetError && error.status === 209 && words.test(error.message));

test("where the socket is when nobody says", () => {
  const path = (env: Record<string, string>, there: readonly string[], own: readonly string[] = []): string => defaultSocketPath({ env, uid: 7, exists: (candidate) => there.includes(candidate), isOwnFolder: (folder) => own.includes(folder) });
  const [system, runtime, temporary] = ["/run/ipcnet/ipcnet.sock", "/run/user/7/ipcnet/ipcnet.sock", "/tmp/ipcnet-7/ipcnet.sock"] as const;
  assert.equal(path({ IPCNET_SOCKET: "/x" }, [system]), "/x");
  const env = { XDG_RUNTIME_DIR: "/run/user/7" };
  assert.equal(path(env, [system, runtime]), system);
  assert.equal(path(env, [runtime, temporary], ["/tmp/ipcnet-7"]), runtime);
  assert.equal(path(env, [temporary], ["/tmp/ipcnet-7"]), system);
  assert.equal(path({}, []), system);
  assert.equal(path({}, [temporary], ["/tmp/ipcnet-7"]), temporary);
  assert.equal(path({}, [temporary]), system, "somebody else's folder");
  // Where a gateway is started is a place where its programs look.
  for (const given of [env, {}]) assert.equal(path(given, [`${ownRunFolder({ env: given, uid: 7 })}/ipcnet.sock`], ["/tmp/ipcnet-7"]), `${ownRunFolder({ env: given, uid: 7 })}/ipcnet.sock`);
  assert.equal(ownRunFolder({ env, uid: 0 }), "/run/ipcnet");
});

test("payloads are decoded by their announcement; what does not fit is a 209 that names the topic", () => {
  const layout = layoutFromFields("State", [{ name: "x", type: "f64" }]);
  const record = new Uint8Array(layout.sizeBytes);
  assert.ok(writeRecord(layout, { x: 2.5 }, new DataView(record.buffer)).ok);
  const announced = topic({ encoding: "record", layout: layoutToJson(layout), schemaHash: layout.hash.toString(16).padStart(16, "0") });
  assert.deepEqual(payloadDecoder(announced)(record), { x: 2.5 });
  fails(() => payloadDecoder(announced)(record.subarray(1)), /t: 7 bytes instead of 8/);
  fails(() => payloadDecoder({ ...announced, schemaHash: "1111111111111111" })(record), /layout/);
  fails(() => payloadDecoder(topic({ encoding: "record" }))(record), /layout/);
  assert.deepEqual(payloadDecoder(topic({ encoding: "cbor" }))(new CborWriter({ lengthMax: 99 }).value({ a: 1 }).take()), { a: 1 });
  fails(() => payloadDecoder(topic({ encoding: "cbor" }))(Uint8Array.of(0xff)), /CBOR/);
  assert.deepEqual(payloadDecoder(topic({ encoding: "json" }))(Buffer.from("[1]")), [1]);
  fails(() => payloadDecoder(topic({ encoding: "json" }))(Buffer.from("[")), /JSON/);
  const frame = new Uint8Array(88);
  const view = new DataView(frame.buffer);
  view.setFloat64(0, 12.5, true);
  view.setUint32(8, 0x18ff0001, true);
  frame.set([0x41, 3], 12);
  frame.set([1, 2, 3], 24);
  const value = payloadDecoder(topic({ encoding: "canframe" }))(frame) as Record<string, unknown>;
  assert.deepEqual([value["canId"], value["extended"], value["echo"], value["fd"], value["data"], value["timeUs"]], [0x18ff0001, true, true, false, Uint8Array.of(1, 2, 3), 12.5]);
  fails(() => payloadDecoder(topic({ encoding: "canframe" }))(frame.subarray(1)), /87 bytes/);
});

test("a message is decoded once, and only when looked at", () => {
  const known = new KnownTopic(topic({ encoding: "json" }));
  const packet = Buffer.from("..{\"a\":1}..");
  const message = new ReceivedMessage(known, packet, 2, 7, 9, 1_000, 1.7e15, 1, 4, "can/arm");
  assert.deepEqual(message.value, { a: 1 });
  assert.equal(message.value, message.value);
  assert.equal(message.wallTimeNs, 1_700_000_000_001_000_000n);
  assert.deepEqual(JSON.parse(JSON.stringify(message)), { topic: "t", sequence: 9, timeUs: 1000, wallTimeNs: "1700000000001000000", quality: "stale", lostBefore: 4, origin: "can/arm", value: { a: 1 } });
});

test("nobody there: what to do is in the sentence", async () => {
  const path = join(folder, "none.sock");
  const failure = async (): Promise<IpcnetError> => connect({ socketPath: path, timeoutMs: 50 }).then(() => assert.fail("connected"), (error: unknown) => error as IpcnetError);
  const missing = await failure();
  assert.deepEqual([missing.status, missing.details], [303, { code: "ENOENT", socketPath: path }]);
  assert.match(missing.message, /ipcnetd --config FILE/);
  // A listener that accepts and says nothing, as a stopped gateway does.
  const server = SeqpacketServer.listen(path);
  const silent = await failure();
  assert.equal(silent.status, 204);
  assert.match(silent.message, /did not answer within 50 ms/);
  server.close();
  assert.equal(existsSync(path), false);
});

/** Bytes that are no message: the header wrong, the header right and the rest not, messages in the wrong place. */
import { CborWriter } from "../../../shm/protocol/cborWriter.ts";
import { dataId } from "../../../shm/protocol/packet.ts";
import { nativeSeal } from "../../../shm/sockets/index.ts";
import { type Attack, type Attacker, denied, done, harmless, noise, noiseBytes, type Outcome } from "./attack.ts";
import type { RawClient, Words } from "./raw.ts";

const seal = nativeSeal();
const encode = (value: unknown): Uint8Array => new CborWriter({ lengthMax: 2 ** 22 }).value(value).take();

/** A ping, sealed as the caller says. */
function packet({ id = dataId("toGateway", "control"), counter = 1, flags = 0, lengthBytes }: { id?: number; counter?: number; flags?: number; lengthBytes?: number }): Uint8Array {
  const body = encode({ op: "ping", seq: 1 });
  const bytes = new Uint8Array(lengthBytes ?? 24 + body.length);
  bytes[20] = flags;
  bytes.set(body.subarray(0, bytes.length - 24), 24);
  seal.seal(bytes, 0, bytes.length, id, counter);
  return bytes;
}

/** Sends something on a connection that was welcomed (its counter stands at 1) and expects it to be ended. */
async function cut(attacker: Attacker, send: (client: RawClient) => void): Promise<Outcome> {
  const client = await attacker.open();
  send(client);
  return denied(`cut off with ${await client.cutOff()}`);
}

const raw = (make: () => Uint8Array): Attack => (attacker) => cut(attacker, (client) => void client.connection.send(make()));

/** Each is answered with an error, or ends the connection; none is taken. */
async function refusedEach(attacker: Attacker, bodies: readonly Uint8Array[]): Promise<Outcome> {
  const answers = new Map<string, number>();
  let client = await attacker.open();
  for (const body of bodies) {
    if (client.ended !== undefined) client = await attacker.open();
    const before = client.heard.length;
    client.cbor(body);
    client.say({ op: "ping", seq: 4_000_000_000 });
    const mine = client;
    await mine.until(() => mine.ended !== undefined || mine.heard.length >= before + 1, "an answer");
    const heard = mine.heard[before];
    const answer = mine.ended !== undefined || !heard ? "cut off" : heard.op === "reply" && heard.status >= 200 ? String(heard.status) : heard.op === "reply" && heard.seq === 4_000_000_000 ? "no word" : heard.op;
    answers.set(answer, (answers.get(answer) ?? 0) + 1);
    await mine.until(() => mine.ended !== undefined || mine.heard.some((message, i) => i >= before && message.op === "reply" && message.seq === 4_000_000_000), "the ping");
  }
  return denied([...answers].map(([answer, count]) => `${count} × ${answer}`).join(", "));
}

const deep = (depth: number, head: number): Uint8Array => new Uint8Array([...Array.from({ length: depth }, () => head), 0]);

/** Heads of CBOR that promise more than there is, inside a map that begins well. */
function lengths(): Uint8Array[] {
  const start = [...encode({ op: "ping" })];
  start[0] = 0xa2;
  const key = [...encode("seq")];
  return [0x1b, 0x3b, 0x5b, 0x7b, 0x9b, 0xbb, 0xdb, 0xfb].flatMap((head) => [[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [0, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]]
    .map((length) => Uint8Array.from([...start, ...key, head, ...length])));
}

const valid: readonly Words[] = [
  { op: "topics", seq: 1, pattern: "#" }, { op: "subscribe", seq: 2, pattern: "open/#", policy: { queueSamples: 10 }, lanes: true }, { op: "query", seq: 3, topic: "open/x", last: 10 },
  { op: "advertise", seq: 4, topic: "open/x", encoding: "json", schemaHash: "0000000000000001", policy: "queue" }, { op: "attach", seq: 5, lane: 1 }, { op: "offer", seq: 6, service: "open/s", capacity: 3 },
  { op: "request", seq: 7, service: "open/s", body: { a: [1, 2, 3] }, timeoutMs: 100 }, { op: "result", call: 1, status: 100, body: "x" }, { op: "find", seq: 8, what: "services", pattern: "#" },
  { op: "grant", seq: 9, resource: "x", mode: "read" }, { op: "announce", seq: 10, component: { version: "1" } }, { op: "credit", request: 7, items: 3 }, { op: "cancel", request: 7 },
];

/** Valid messages with a few bytes changed, under a valid header. */
function mutated(count: number): Uint8Array[] {
  const next = noise(7);
  return Array.from({ length: count }, (_, i) => {
    const bytes = encode(valid[i % valid.length]);
    for (let changes = 1 + (next() % 4); changes > 0; changes--) bytes[next() % bytes.length] = next() & 0xff;
    return bytes;
  });
}

export const garbage: Readonly<Record<string, Attack>> = {
  "noise instead of packets": async (attacker) => {
    const next = noise(1);
    for (let i = 0; i < 30; i++) {
      const client = attacker.connect();
      client.connection.send(noiseBytes(next, 1 + (next() % 2000)));
      await client.cutOff();
    }
    return denied("cut off, 30 times");
  },
  "a wrong checksum": raw(() => {
    const bytes = packet({});
    bytes[30]! ^= 1;
    return bytes;
  }),
  "a wrong length": raw(() => packet({}).subarray(0, 28)),
  "a counter repeated": raw(() => packet({ counter: 0 })),
  "a counter skipped": raw(() => packet({ counter: 2 })),
  "a packet of the other direction": raw(() => packet({ id: dataId("toClient", "control") })),
  "another version": raw(() => packet({ id: dataId("toGateway", "control", 2) })),
  "unknown flags": raw(() => packet({ flags: 2 })),
  "a packet too large": raw(() => packet({ lengthBytes: 65_537 + 4096 })),
  "a header alone": raw(() => packet({}).subarray(0, 20)),
  "a data packet of noise": raw(() => {
    const bytes = noiseBytes(noise(3), 4096);
    seal.seal(bytes, 0, bytes.length, dataId("toGateway", "data"), 1);
    return bytes;
  }),
  "a second hello": (attacker) => cut(attacker, (client) => void client.say({ op: "hello", versions: [1], name: "again" }, [], "handshake")),
  "a request before the hello": async (attacker) => {
    const client = attacker.connect();
    client.say({ op: "topics", seq: 1 });
    return denied(`cut off with ${await client.cutOff()}`);
  },
  "no version that exists": async (attacker) => {
    const client = attacker.connect();
    client.say({ op: "hello", versions: [2, 77, 255], name: "x" }, [], "handshake");
    return denied(`refused with ${await client.cutOff()}`);
  },
  "fragments without end": (attacker) => cut(attacker, (client) => {
    for (let counter = 1; counter < 12; counter++) {
      const bytes = new Uint8Array(60_000);
      bytes[20] = 1;
      seal.seal(bytes, 0, bytes.length, dataId("toGateway", "control"), counter);
      client.connection.send(bytes);
    }
  }),
  "an empty fragment": (attacker) => cut(attacker, (client) => void client.connection.send(packet({ flags: 1, lengthBytes: 24 }))),
  "half a message, then silence": async (attacker) => {
    const clients = await Promise.all(Array.from({ length: 10 }, () => attacker.open()));
    for (const client of clients) {
      const bytes = new Uint8Array(60_000);
      bytes[20] = 1;
      seal.seal(bytes, 0, bytes.length, dataId("toGateway", "control"), 1);
      client.connection.send(bytes);
    }
    return harmless("waits, 10 times");
  },
  "noise as CBOR": (attacker) => {
    const next = noise(5);
    return refusedEach(attacker, Array.from({ length: 150 }, () => noiseBytes(next, 1 + (next() % 200))));
  },
  "deep nesting": (attacker) => refusedEach(attacker, [deep(100, 0x81), deep(200_000, 0x81), deep(100_000, 0xc1), encode({ op: "ping", seq: 1, x: JSON.parse(`${"[".repeat(32)}${"]".repeat(32)}`) as unknown })]),
  "lengths that lie": (attacker) => refusedEach(attacker, lengths()),
  "a hundred thousand items": (attacker) => refusedEach(attacker, [encode({ op: "request", seq: 1, service: "open/none", body: Array.from({ length: 100_000 }, () => 0) })]),
  "unknown ops and forbidden keys": (attacker) => refusedEach(attacker, [
    encode({ op: "become-root", seq: 1 }), encode({ op: "constructor", seq: 2 }), encode({ op: "toString", seq: 3 }), encode({ op: "hasOwnProperty", seq: 3 }), encode({ op: 7, seq: 4 }), encode({ seq: 5 }), encode([1, 2]), encode("ping"),
    Uint8Array.from([0xa2, ...encode("__proto__"), 0xa0, ...encode("op"), ...encode("ping")]), Uint8Array.from([0xa2, ...encode("op"), ...encode("ping"), ...encode("op"), ...encode("ping")]),
  ]),
  "seq out of range": (attacker) => refusedEach(attacker, [{ seq: -1 }, { seq: 2 ** 40 }, { seq: 1.5 }, { seq: "1" }, { seq: Number.NaN }, { seq: null }, {}].map((seq) => encode({ op: "topics", ...seq }))),
  "valid messages, bytes changed": async (attacker) => {
    const { text } = await refusedEach(attacker, mutated(400));
    return attacker.clients.length > 0 ? harmless(text) : done("no client");
  },
};

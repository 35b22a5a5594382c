import assert from "node:assert/strict";
import { test } from "node:test";
import { IpcnetError } from "../../schemas/status.ts";
import { layoutFromFields, writeRecord } from "../../schemas/records/index.ts";
import { connect, type Client, type Message, type Notice } from "../../shm/client/index.ts";
import { Channel } from "../../shm/protocol/channel.ts";
import { CborWriter } from "../../shm/protocol/cborWriter.ts";
import { dataId } from "../../shm/protocol/packet.ts";
import { Descriptor, nativeSeal, SeqpacketConnection } from "../../shm/sockets/index.ts";
import { defaultLimits } from "./limits.ts";
import { BrokerRig, openPolicy } from "./testRig.ts";

async function withRig(options: ConstructorParameters<typeof BrokerRig>[0], use: (rig: BrokerRig) => Promise<void>): Promise<void> {
  const rig = new BrokerRig(options);
  try {
    await use(rig);
  } finally {
    await rig.close();
  }
}

async function withClient(rig: BrokerRig, use: (client: Client) => Promise<void>): Promise<void> {
  const client = await connect({ socketPath: rig.path, name: "test" });
  try {
    await use(client);
  } finally {
    await client.close();
  }
}

const text = (message: Message): string => Buffer.from(message.bytes).toString();
const bytes = (content: string): Uint8Array => Uint8Array.from(Buffer.from(content));
const rejectsWith = (promise: Promise<unknown>, status: number, words: RegExp): Promise<void> => assert.rejects(promise, (error) => error instanceof IpcnetError && error.status === status && words.test(error.message));

/** Collects messages; `atLeast(n)` resolves when n are there. */
class Inbox {
  readonly messages: Message[] = [];
  #wanted = Infinity;
  #resolve: (() => void) | undefined;
  readonly listener = (message: Message): void => {
    this.messages.push(message);
    if (this.messages.length >= this.#wanted) this.#resolve?.();
  };
  atLeast(count: number): Promise<void> {
    if (this.messages.length >= count) return Promise.resolve();
    this.#wanted = count;
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }
}

test("subscribe, publish, query, request, topics", async () => {
  await withRig({}, async (rig) => {
    rig.topic("app/a", true);
    rig.publish("app/a", bytes("zero"));
    await withClient(rig, async (client) => {
      assert.deepEqual(client.gateway, { robot: "test", version: "0", instance: "a", boot: "b00t" });
      const inbox = new Inbox();
      const subscription = await client.subscribe("app/#", { policy: { queue: 10 }, lastValue: true }, inbox.listener);
      rig.publish("app/a", bytes("one"));
      rig.publish("app/b", bytes("two"));
      await inbox.atLeast(3);
      assert.deepEqual(inbox.messages.map((m) => [m.topic, text(m), m.sequence, m.lostBefore, m.origin, m.quality]), [["app/a", "zero", 1, 0, "test", "good"], ["app/a", "one", 2, 0, "test", "good"], ["app/b", "two", 1, 0, "test", "good"]]);
      const wallMs = Number(inbox.messages[1]!.wallTimeNs / 1_000_000n);
      assert.ok(Math.abs(wallMs - Date.now()) < 60_000);
      await subscription.close();
      rig.publish("app/a", bytes("unheard"));
      await client.publish("app/a", Uint8Array.of(7), { ttlMs: 50, id: "x" });
      await client.publish("app/a", { velocity: 1.5, mode: "hold" });
      assert.deepEqual(rig.published.map(({ topic, value, meta }) => [topic, value, meta.form, meta.ttlMs, meta.id, meta.who.pid, meta.clientName]), [
        ["app/a", Uint8Array.of(7), "native", 50, "x", process.pid, "test"], ["app/a", { velocity: 1.5, mode: "hold" }, "value", undefined, undefined, process.pid, "test"],
      ]);
      assert.equal(text((await client.query("app/a"))!), "unheard");
      rig.topic("app/empty");
      assert.equal(await client.query("app/empty"), undefined);
      assert.deepEqual(await client.request("echo", { deep: [1, "two", null, { x: 2n ** 60n }] }), { deep: [1, "two", null, { x: 2n ** 60n }] });
      const topics = await client.topics("app/+");
      assert.deepEqual(topics.map(({ name, writable, encoding }) => [name, writable, encoding]), [["app/a", true, "bytes"], ["app/b", false, "bytes"], ["app/empty", false, "bytes"]]);
      assert.equal(inbox.messages.length, 3);
    });
  });
});

test("records are decoded by the layout that was announced, at the first look", async () => {
  await withRig({}, async (rig) => {
    const layout = layoutFromFields("State", [{ name: "position", type: "f64" }, { name: "mode", type: "u8" }]);
    const topic = rig.table.declare({ name: "can/arm/State", encoding: "record", layout });
    const record = new Uint8Array(layout.sizeBytes);
    assert.ok(writeRecord(layout, { position: 1.25, mode: 3 }, new DataView(record.buffer)).ok);
    await withClient(rig, async (client) => {
      const inbox = new Inbox();
      await client.subscribe("can/arm/State", {}, inbox.listener);
      rig.table.publish(topic, record, 0, record.length, 5, 2, "can/arm", 0);
      await inbox.atLeast(1);
      const [message] = inbox.messages;
      assert.deepEqual(message!.value, { position: 1.25, mode: 3 });
      assert.equal(message!.quality, "bad");
      const [described] = await client.topics("can/arm/State");
      assert.equal(described!.schemaHash, layout.hash.toString(16).padStart(16, "0"));
    });
  });
});

test("what is refused says why: statuses of calls", async () => {
  const limits = { subscriptionsPerClient: 1, requestsOutstanding: 1 };
  const policy = { ...openPolicy, mayRead: (_: unknown, topic: string) => topic !== "secret", mayWrite: (_: unknown, topic: string) => topic !== "secret", mayCall: (_: unknown, service: string) => service !== "forbidden" };
  await withRig({ limits, policy, services: ["never", "throws"], call: (service) => (service === "never" ? new Promise(() => {}) : service === "throws" ? Promise.reject(new Error("broken")) : Promise.resolve({ status: 203, text: "no such service" })) }, async (rig) => {
    rig.publish("secret", bytes("!"));
    rig.publish("open", bytes("?"));
    await withClient(rig, async (client) => {
      const inbox = new Inbox();
      await client.subscribe("#", { lastValue: true }, inbox.listener);
      await rejectsWith(client.subscribe("open", {}, inbox.listener), 210, /1 subscriptions/);
      await rejectsWith(client.query("secret"), 202, /may not read secret/);
      await rejectsWith(client.query("nowhere"), 203, /no topic nowhere/);
      await rejectsWith(client.publish("secret", 1), 202, /may not write secret/);
      await rejectsWith(client.publish("nowhere", 1), 203, /no such topic/);
      await rejectsWith(client.publish("nowhere", 1, { acknowledge: false }), 203, /no topic nowhere/);
      await rejectsWith(client.publish("open", () => 0), 209, /has no encoding/);
      await rejectsWith(client.publish("open", new Uint8Array(70_000), { acknowledge: false }), 208, /70000 bytes/);
      await rejectsWith(client.request("forbidden"), 202, /may not call/);
      await rejectsWith(client.request("unknown"), 203, /nobody offers unknown/);
      await rejectsWith(client.request("throws"), 300, /broken/);
      const never = client.request("never", undefined, { timeoutMs: 30 });
      await rejectsWith(client.request("never"), 210, /waiting for their answer/);
      await rejectsWith(never, 204, /did not answer within 30 ms/);
      await rejectsWith(client.topics("a/#/b"), 200, /pattern/);
      rig.publish("secret", bytes("!!"));
      rig.publish("open", bytes("??"));
      await inbox.atLeast(2);
      assert.deepEqual(inbox.messages.map((m) => m.topic), ["open", "open"]);
      await rejectsWith(client.subscribe("secret", {}, inbox.listener), 210, /subscriptions/);
    });
  });
});

test("who may not connect is told so; so is who speaks another version, and who comes once too often", async () => {
  await withRig({ policy: { ...openPolicy, mayConnect: () => false } }, async (rig) => {
    await rejectsWith(connect({ socketPath: rig.path }), 202, /may not use this gateway/);
  });
  await withRig({ limits: { shared: { ...defaultLimits.shared, connections: 2 } } }, async (rig) => {
    await withClient(rig, () => rejectsWith(connect({ socketPath: rig.path }), 210, /its share of the connections/));
    await rejectsWith(connect({ socketPath: `${rig.path}.not` }), 303, /no gateway listens.*ENOENT.*ipcnetd --config/);
  });
  await withRig({}, async (rig) => {
    const refusal = await sendRaw(rig, (hello) => ({ ...hello, versions: [9] }));
    assert.match(refusal, /refused.*protocol version 1/s);
  });
});

test("unacknowledged publishes arrive in order; refused ones are reported, not lost in silence", async () => {
  const policy = { ...openPolicy, mayWrite: (_: unknown, topic: string) => topic === "app/in" };
  await withRig({ policy }, async (rig) => {
    rig.topic("app/in", true);
    rig.topic("app/closed");
    await withClient(rig, async (client) => {
      const notices: Notice[] = [];
      const noticed = new Promise<void>((resolve) => client.onNotice((notice) => resolve(void notices.push(notice))));
      for (let i = 0; i < 1000; i++) await client.publish("app/in", Uint8Array.of(i & 255), { acknowledge: false });
      await Promise.all(Array.from({ length: 500 }, (_, i) => client.publish("app/in", { i }, { acknowledge: false, ttlMs: 10_000 })));
      await rig.until(() => rig.published.length === 1500);
      assert.deepEqual(rig.published.slice(0, 1000).map(({ value }) => (value as Uint8Array)[0]), Array.from({ length: 1000 }, (_, i) => i & 255));
      assert.deepEqual(rig.published.slice(1000).map(({ value }) => value), Array.from({ length: 500 }, (_, i) => ({ i })));
      await client.publish("app/closed", Uint8Array.of(1), { acknowledge: false });
      await noticed;
      assert.equal(notices[0]!.status, 202);
      assert.match(notices[0]!.text, /may not write app\/closed/);
    });
  });
});

test("rateHzMax: the newest value at the asked pace, left-out ones are not losses", async () => {
  await withRig({}, async (rig) => {
    rig.topic("fast");
    await withClient(rig, async (client) => {
      const inbox = new Inbox();
      await client.subscribe("fast", { rateHzMax: 50 }, inbox.listener);
      let count = 0;
      while (inbox.messages.length < 5) {
        rig.publish("fast", bytes(String(++count)));
        await new Promise((resolve) => void setImmediate(resolve));
      }
      const times = inbox.messages.map((m) => m.timeUs);
      // Lower bounds only: the first goes at once, four more need at least three whole intervals between them.
      assert.ok(times[4]! - times[0]! >= 60_000, `${times[4]! - times[0]!}`);
      assert.ok(inbox.messages.every((m) => m.lostBefore === 0));
      assert.ok(count > 5);
    });
  });
});

test("a reply larger than a packet arrives whole", async () => {
  await withRig({}, async (rig) => {
    for (let i = 0; i < 1500; i++) rig.topic(`group/${"n".repeat(100)}/${i}`);
    await withClient(rig, async (client) => {
      assert.equal((await client.topics()).length, 1500);
      const inbox = new Inbox();
      for (const topic of rig.table.entries()) rig.publish(topic.name, bytes("x"));
      await client.subscribe("#", { policy: { queue: 2000 }, lastValue: true }, inbox.listener);
      await inbox.atLeast(1500);
      assert.equal(new Set(inbox.messages.map((m) => m.topic)).size, 1500);
      const big = "y".repeat(200_000);
      assert.equal(await client.request("echo", big), big);
    });
  });
});

test("garbage costs the sender its connection and nobody else anything", async () => {
  await withRig({}, async (rig) => {
    await withClient(rig, async (client) => {
      for (const garbage of [Uint8Array.of(1), new Uint8Array(64), new Uint8Array(65_536).fill(0xff)]) {
        const left = rig.broker.counters.left;
        const connection = SeqpacketConnection.connect(rig.path);
        connection.send(garbage);
        await rig.until(() => rig.broker.counters.left > left);
        connection.close();
      }
      const integrity = await sendRaw(rig, (hello) => hello, (packet) => (packet[30]! ^= 1));
      assert.match(integrity, /integrity check \(crc\)/);
      const null_ = Descriptor.open("/dev/null", 0);
      assert.match(await sendRaw(rig, (hello) => hello, undefined, { op: "ping", seq: 9 }, [null_]), /goodbye.*ping came with 1 descriptors/);
      assert.match(await sendRaw(rig, (hello) => hello, undefined, { op: "ping", seq: 9, fds: 2 }, [null_]), /goodbye.*ping came with 1 descriptors/);
      null_.close();
      const unknownOp = await sendRaw(rig, (hello) => hello, undefined, { op: "fly", seq: 9 });
      assert.match(unknownOp, /welcome.*reply.*unknown op/s);
      assert.deepEqual(await client.request("echo", 1), 1);
    });
  });
});

test("who asks and never reads the answers is read no further, and costs its user no more than its share", async () => {
  await withRig({ limits: { shared: { ...defaultLimits.shared, bytes: 6_000_000 } } }, async (rig) => {
    for (let i = 0; i < 1000; i++) rig.topic(`group/${"n".repeat(150)}/${i}`);
    await withClient(rig, async (client) => {
      const deaf = Array.from({ length: 4 }, () => {
        const connection = SeqpacketConnection.connect(rig.path);
        const channel = new Channel({ role: "client", seal: nativeSeal(), transport: connection, controlBytesMax: 0, scratch: new Uint8Array(65_536) });
        channel.sendControl(new CborWriter({ lengthMax: 100 }).value({ op: "hello", versions: [1], name: "deaf\u001b[2J" }).take(), "handshake");
        for (let seq = 1; seq < 200; seq++) channel.sendControl(new CborWriter({ lengthMax: 100 }).value({ op: "topics", seq }).take());
        return connection;
      });
      await rig.until(() => rig.broker.clients().filter(({ pendingBytes }) => pendingBytes > 0).length === 4);
      for (let i = 0; i < 20; i++) assert.equal(await client.request("echo", i), i);
      const reports = rig.broker.clients();
      assert.ok(reports.reduce((sum, { pendingBytes }) => sum + pendingBytes, 0) <= 3_000_000 + 4 * (262_144 + 250_000), JSON.stringify(reports));
      assert.ok(reports.every(({ name }) => name === "test" || name === "deaf?[2J"));
      for (const connection of deaf) connection.close();
      await rig.until(() => rig.broker.clients().length === 1);
    });
  });
});

test("the gateway ends: clients are told why, calls are refused with 303, the socket file is gone", async () => {
  const rig = new BrokerRig();
  const client = await connect({ socketPath: rig.path });
  const why = new Promise<string>((resolve) => client.onClose(resolve));
  await rig.broker.close("maintenance");
  assert.match(await why, /maintenance/);
  await rejectsWith(client.request("echo"), 303, /maintenance/);
  await rejectsWith(connect({ socketPath: rig.path }), 303, /ENOENT/);
  await client.close();
  await rig.close();
});

test("new access rules cut off who lost the right, at once", async () => {
  let readable = true;
  const rules = { ...openPolicy, mayRead: () => readable };
  await withRig({ policy: rules }, async (rig) => {
    rig.topic("a");
    await withClient(rig, async (client) => {
      const inbox = new Inbox();
      await client.subscribe("+", { policy: { queue: 10 } }, inbox.listener);
      rig.publish("a", bytes("1"));
      await inbox.atLeast(1);
      readable = false;
      rig.broker.recheck();
      rig.publish("a", bytes("2"));
      await client.request("echo");
      assert.equal(inbox.messages.length, 1);
      readable = true;
      rig.broker.recheck();
      rig.publish("a", bytes("3"));
      await inbox.atLeast(2);
      assert.equal(text(inbox.messages[1]!), "3");
    });
  });
});

/** Says hello (changed by `change`) by hand, then `then`, and returns all that came back as text. */
async function sendRaw(rig: BrokerRig, change: (hello: object) => object, damage?: (packet: Uint8Array) => void, then?: object, descriptors: readonly Descriptor[] = []): Promise<string> {
  const seal = nativeSeal();
  const connection = SeqpacketConnection.connect(rig.path);
  const send = (message: object, kind: "handshake" | "control", counter: number): void => {
    const cbor = new CborWriter({ lengthMax: 1000 }).value(message).take();
    const packet = new Uint8Array(24 + cbor.length);
    packet.set(cbor, 24);
    seal.seal(packet, 0, packet.length, dataId("toGateway", kind), counter);
    damage?.(packet);
    connection.send(packet, 0, packet.length, kind === "control" ? descriptors : []);
  };
  let heard = "";
  const done = new Promise<void>((resolve) => {
    connection.onClose(() => resolve());
    connection.onPacket((packet, at, lengthBytes) => {
      heard += Buffer.from(packet.subarray(at + 24, at + lengthBytes)).toString("latin1");
      if (then && /reply/.test(heard)) resolve();
    });
  });
  send(change({ op: "hello", versions: [1], name: "raw" }), "handshake", 0);
  if (then) send(then, "control", 1);
  await done;
  connection.close();
  return heard;
}

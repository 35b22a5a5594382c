import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { layoutFromFields } from "../../../schemas/records/index.ts";
import { nameHash } from "../../../schemas/topics/schemaHash.ts";
import { connect, type Client, IpcnetError, type Message } from "../../../shm/client/index.ts";
import { Descriptor } from "../../../shm/sockets/index.ts";
import type { AccessPolicy } from "../ports.ts";
import { BrokerRig, openPolicy } from "../testRig.ts";

async function withRig(options: ConstructorParameters<typeof BrokerRig>[0], use: (rig: BrokerRig, join: (name: string) => Promise<Client>) => Promise<void>): Promise<void> {
  const rig = new BrokerRig(options);
  const clients: Client[] = [];
  try {
    await use(rig, async (name) => {
      const client = await connect({ socketPath: rig.path, name });
      clients.push(client);
      return client;
    });
  } finally {
    for (const client of clients) await client.close();
    await rig.close();
  }
}

/** Messages as they come, and a promise for when there are so many. */
function collector(): { messages: Message[]; take: (message: Message) => void; count: (count: number) => Promise<void> } {
  const messages: Message[] = [];
  let wanted = Infinity;
  let resolve = (): void => {};
  return {
    messages,
    take: (message) => {
      messages.push(message);
      if (messages.length >= wanted) resolve();
    },
    count: (count) => new Promise((done) => {
      wanted = count;
      resolve = done;
      if (messages.length >= count) done();
    }),
  };
}

const values = (messages: readonly Message[]): unknown[] => messages.map(({ value }) => value);
const fails = (promise: Promise<unknown>, status: number): Promise<void> => assert.rejects(promise, (error) => error instanceof IpcnetError && error.status === status);

test("a program advertises, another one subscribes, and messages flow with all that belongs to them", () => withRig({}, async (rig, join) => {
  const [talker, listener] = [await join("talker"), await join("listener")];
  const writer = await talker.advertise("arm/pose", { layout: [{ name: "x", type: "f64", minimum: -1, maximum: 1 }] });
  const heard = collector();
  await listener.subscribe("arm/+", { policy: { queue: 100 } }, heard.take);
  assert.equal(writer.publish({ x: 0.5 }), true);
  await heard.count(1);
  const [first] = heard.messages;
  assert.deepEqual([first!.topic, first!.value, first!.sequence, first!.quality, first!.lostBefore, first!.ttlMs, first!.keyFrame, first!.lineage], ["arm/pose", { x: 0.5 }, 1, "good", 0, undefined, false, []]);
  assert.match(first!.origin, new RegExp(`^uid:\\d+/-/${process.pid}/[0-9a-f]{8}$`));
  writer.publish({ x: 1 }, { ttlMs: 60_000, keyFrame: true, quality: "stale", lineage: [first!] });
  await heard.count(2);
  const second = heard.messages[1]!;
  assert.deepEqual([second.value, second.sequence, second.quality, second.ttlMs, second.keyFrame], [{ x: 1 }, 2, "stale", 60_000, true]);
  assert.deepEqual(second.lineage, [{ origin: nameHash(first!.origin), topic: nameHash("arm/pose"), sequence: 1n }]);
  assert.throws(() => writer.publish({ x: 2 }), (error) => error instanceof IpcnetError && error.status === 209);
  assert.equal(writer.readers, 1);
  assert.deepEqual((await listener.topics("arm/#")).map(({ name, encoding, quality }) => [name, encoding, quality]), [["arm/pose", "record", "good"]]);
  assert.deepEqual(rig.broker.lanes().map(({ topic, readers, messages, policy }) => ({ topic, readers, messages, policy })), [{ topic: "arm/pose", readers: 1, messages: 2, policy: "queue" }]);
}));

test("a subscriber gets writers that come later from their first message on, and loses none when they go", () => withRig({}, async (rig, join) => {
  const [a, b, listener] = [await join("a"), await join("b"), await join("listener")];
  const heard = collector();
  await listener.subscribe("#", { policy: { queue: 100 } }, heard.take);
  for (const talker of [a, b]) {
    const writer = await talker.advertise("t", { encoding: "json" });
    for (let i = 0; i < 5; i++) writer.publish({ by: talker === a ? "a" : "b", i });
    await writer.close();
  }
  await heard.count(10);
  assert.deepEqual(values(heard.messages.filter(({ value }) => (value as { by: string }).by === "a")), Array.from({ length: 5 }, (_, i) => ({ by: "a", i })));
  assert.equal(rig.table.get("t")!.writers, 0);
  await rig.until(() => rig.table.get("t") === undefined);
  assert.deepEqual(await listener.topics("t"), []);
}));

test("who subscribes later begins with the last value, or with what comes", () => withRig({}, async (_rig, join) => {
  const [talker, listener] = [await join("talker"), await join("listener")];
  const writer = await talker.advertise("t");
  for (let i = 0; i < 5; i++) writer.publish(i);
  const [last, next] = [collector(), collector()];
  await listener.subscribe("t", { policy: { queue: 10 }, lastValue: true }, last.take);
  await listener.subscribe("t", { policy: { queue: 10 } }, next.take);
  for (let i = 5; i < 8; i++) writer.publish(i);
  await Promise.all([last.count(4), next.count(3)]);
  assert.deepEqual(values(last.messages), [4, 5, 6, 7]);
  assert.deepEqual(values(next.messages), [5, 6, 7]);
}));

test("query reads the lanes: the last value, and as many as are wanted", () => withRig({}, async (_rig, join) => {
  const [a, b, asker] = [await join("a"), await join("b"), await join("asker")];
  const [one, two] = [await a.advertise("t"), await b.advertise("t")];
  assert.equal(await asker.query("t"), undefined);
  assert.deepEqual(await asker.query("t", { last: 5 }), []);
  for (let i = 0; i < 6; i++) (i % 2 === 0 ? one : two).publish(i);
  assert.equal((await asker.query("t"))?.value, 5);
  assert.deepEqual(values(await asker.query("t", { last: 4 })), [2, 3, 4, 5]);
  assert.equal((await asker.query("t", { last: 1000 })).length, 6);
  await fails(asker.query("u"), 203);
}));

test("who cannot or does not want to read lanes gets the same messages from the gateway, which reads along only as long as it must", () => withRig({}, async (rig, join) => {
  const [talker, limited] = [await join("talker"), await join("limited")];
  const simple = await connect({ socketPath: rig.path, name: "simple", lanes: false });
  const writer = await talker.advertise("t");
  const [heard, slow] = [collector(), collector()];
  writer.publish(0);
  const plain = await simple.subscribe("t", { policy: { queue: 100 }, lastValue: true }, heard.take);
  const rated = await limited.subscribe("t", { rateHzMax: 1000 }, slow.take);
  await rig.until(() => writer.readers === 1);
  for (let i = 1; i < 5; i++) writer.publish(i);
  await heard.count(5);
  await slow.count(1);
  assert.deepEqual(values(heard.messages), [0, 1, 2, 3, 4]);
  assert.match(heard.messages[1]!.origin, /^uid:/);
  await plain.close();
  await rated.close();
  await rig.until(() => writer.readers === 0);
  await simple.close();
}));

test("refusals: commands, schemas, what is no lane, and whom the policy refuses", () => withRig({ policy: { ...openPolicy, mayWrite: (_who, topic) => topic !== "secret" } }, async (rig, join) => {
  const [client, other] = [await join("client"), await join("other")];
  rig.topic("gateways");
  await fails(client.advertise("cmd/arm/Move"), 202);
  await fails(client.advertise("secret"), 202);
  await fails(client.advertise("gateways"), 202);
  await fails(client.advertise("can/x/y"), 202);
  await fails(client.advertise("a//b"), 200);
  await fails(client.advertise("big", { payloadBytesMax: 2 ** 30 }), 200);
  await client.advertise("t", { encoding: "json" });
  await fails(other.advertise("t", { encoding: "cbor" }), 206);
  await fails(other.advertise("t", { encoding: "json", jsonSchema: { type: "object" } }), 206);
  const layout = layoutFromFields("x", [{ name: "a", type: "u8" }]);
  await client.advertise("r", { layout });
  await other.advertise("r", { layout });
  await fails(other.advertise("r", { layout: [{ name: "a", type: "u16" }] }), 206);
}));

test("a reader that loses its right sees nothing more; the writer changes its lane and the others go on without a gap", async () => {
  let denied = false;
  const policy: AccessPolicy = { ...openPolicy, mayRead: (who, topic) => !(denied && topic === "t" && names.get(who.pid) === "bad") };
  const names = new Map<number, string>();
  await withRig({ policy }, async (rig, join) => {
    const [talker, good] = [await join("talker"), await join("good")];
    const bad = rig.program(`
      await client.subscribe("t", { policy: { queue: 1000 } }, (message) => say(message.value));
      process.stdin.on("data", () => say("asked"));
      say("ready");`);
    names.set(bad.child.pid!, "bad");
    const writer = await talker.advertise("t", { queue: 4096 });
    const heard = collector();
    await good.subscribe("t", { policy: { queue: 4096 } }, heard.take);
    assert.equal(await bad.next(), "ready");
    await rig.until(() => writer.readers === 2);
    writer.publish("before");
    assert.equal(await bad.next(), "before");
    denied = true;
    rig.broker.recheck();
    await rig.until(() => writer.readers === 1 && rig.broker.lanes()[0]!.messages < 100);
    for (let i = 0; i < 1000; i++) {
      writer.publish(i);
      // Another change in the midst of it.
      if (i === 500) rig.broker.recheck();
    }
    await heard.count(1001);
    assert.deepEqual(values(heard.messages), ["before", ...Array.from({ length: 1000 }, (_, i) => i)]);
    assert.deepEqual(heard.messages.map(({ sequence, lostBefore }) => sequence - lostBefore), Array.from({ length: 1001 }, (_, i) => i + 1));
    // What the revoked program heard last is what was said before.
    bad.tell("what did you hear?");
    assert.equal(await bad.next(), "asked");
  });
});

test("a writer that loses its right is told, and its readers drop what it says", async () => {
  let denied = false;
  await withRig({ policy: { ...openPolicy, mayWrite: () => !denied } }, async (rig, join) => {
    const [talker, listener] = [await join("talker"), await join("listener")];
    const writer = await talker.advertise("t");
    await listener.subscribe("t", {}, () => {});
    const told = new Promise<number>((resolve) => talker.onNotice(({ status }) => resolve(status)));
    denied = true;
    rig.broker.recheck();
    assert.equal(await told, 202);
    assert.throws(() => writer.publish(1), (error) => error instanceof IpcnetError && error.status === 202);
    assert.equal((await listener.topics("t"))[0]?.quality, "stale");
  });
});

test("the gateway goes and another one comes: lanes flow on meanwhile, nothing is lost and nothing doubled", () => withRig({}, async (rig) => {
  const reconnect = { delayMinMs: 5, delayMaxMs: 20 };
  const [talker, listener] = [await connect({ socketPath: rig.path, name: "talker", reconnect }), await connect({ socketPath: rig.path, name: "listener", reconnect })];
  const writer = await talker.advertise("t", { queue: 4096 });
  const heard = collector();
  await listener.subscribe("t", { policy: { queue: 4096 } }, heard.take);
  await rig.until(() => writer.readers === 1);
  let sent = 0;
  const talk = (count: number): void => {
    for (const end = sent + count; sent < end; sent++) writer.publish(sent);
  };
  talk(10);
  await rig.restartBroker(() => talk(10));
  talk(10);
  await rig.until(() => rig.broker.lanes()[0]?.readers === 1);
  assert.equal(writer.readers, 1);
  talk(10);
  // New programs find the topic at the new gateway.
  const late = await connect({ socketPath: rig.path, name: "late" });
  const lateHeard = collector();
  await late.subscribe("#", { policy: { queue: 10 } }, lateHeard.take);
  talk(10);
  await Promise.all([heard.count(50), lateHeard.count(10)]);
  assert.deepEqual(values(heard.messages), Array.from({ length: 50 }, (_, i) => i));
  assert.deepEqual(heard.messages.map(({ lostBefore }) => lostBefore), Array.from({ length: 50 }, () => 0));
  for (const client of [talker, listener, late]) await client.close();
}));

test("no descriptor is left behind", () => withRig({}, async (rig, join) => {
  const open = (): number => readdirSync("/proc/self/fd").length;
  const [talker, listener] = [await join("talker"), await join("listener")];
  // What a first use opens for good.
  await (await talker.advertise("first")).close();
  const before = open();
  for (let round = 0; round < 5; round++) {
    const writer = await talker.advertise("t");
    const heard = collector();
    const subscription = await listener.subscribe("#", {}, heard.take);
    writer.publish(1);
    await heard.count(1);
    await fails(talker.advertise("cmd/x"), 202);
    await subscription.close();
    await rig.until(() => writer.readers === 0);
    await writer.close();
  }
  await rig.until(() => open() <= before);
  assert.equal(open(), before);
  assert.equal(Descriptor.leaked, 0);
}));

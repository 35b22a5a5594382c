import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { layoutFromFields, layoutToJson } from "../../../schemas/records/index.ts";
import { hashText, nameHash, schemaHash } from "../../../schemas/topics/schemaHash.ts";
import { connect, type Client, IpcnetError, type Message, type Notice } from "../../../shm/client/index.ts";
import { type Call, Link } from "../../../shm/client/link.ts";
import { LaneWriter } from "../../../shm/lanes/index.ts";
import type { LaneServerMessage } from "../../../shm/protocol/laneMessages.ts";
import { closeAll, Descriptor } from "../../../shm/sockets/index.ts";
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
  // What no answer could hold is not even looked at.
  const video = await a.advertise("v", { encoding: "bytes", queue: 2, payloadBytesMax: 5 * 2 ** 20 });
  video.publish(new Uint8Array(10));
  await fails(asker.query("v"), 208);
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

test("a writer that came while a reader was looking for the gateway is heard from its first message on", () => withRig({}, async (rig, join) => {
  const listener = await connect({ socketPath: rig.path, name: "listener", reconnect: { delayMinMs: 200 } });
  const heard = collector();
  await listener.subscribe("#", { policy: { queue: 100 } }, heard.take);
  await rig.restartBroker();
  const writer = await (await join("talker")).advertise("t");
  for (let i = 0; i < 5; i++) writer.publish(i);
  await heard.count(5);
  assert.deepEqual(values(heard.messages), [0, 1, 2, 3, 4]);
  await listener.close();
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

test("whoever in the gateway watches a topic gets what its lanes bring, losses told", () => withRig({}, async (rig, join) => {
  const talker = await join("talker");
  const seen: unknown[] = [];
  const leave = rig.table.watch("app/#", { sample: (topic, bytes, at, length, lost) => seen.push([topic.name, topic.sequence, Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString(), lost]) });
  const writer = await talker.advertise("app/x", { encoding: "json" });
  for (let i = 0; i < 3; i++) writer.publish(i);
  await rig.until(() => seen.length === 3);
  assert.deepEqual(seen, [["app/x", 1, "0", 0], ["app/x", 2, "1", 0], ["app/x", 3, "2", 0]]);
  leave();
  await rig.until(() => writer.readers === 0);
  rig.table.get("app/x")!.closeRateInterval(1);
  for (let i = 0; i < 50; i++) writer.publish(i);
  rig.table.get("app/x")!.closeRateInterval(1);
  // Nobody read it, and yet its rate is known.
  assert.equal(rig.table.get("app/x")!.rateHz, 50);
}));

test("a lossless reader keeps its writer waiting, until its deadline; across a change of lanes too", async () => {
  let denied = false;
  await withRig({ policy: { ...openPolicy, mayRead: (who, topic) => topic !== "t" || !denied || who.pid === process.pid } }, async (rig, join) => {
    const [talker, listener] = [await join("talker"), await join("listener")];
    // Another program that had the lane and loses its right: the reason for the change.
    const other = rig.program("await client.subscribe('t', {}, () => {}); say('ready');");
    const writer = await talker.advertise("t", { policy: "lossless", queue: 8, deadlineMs: 60_000 });
    await other.next();
    const heard = collector();
    await listener.subscribe("t", { policy: "lossless" }, heard.take);
    await rig.until(() => writer.readers === 2);
    /** Publishes within one turn, so that nobody can read meanwhile, until it is told to wait; says what comes next. */
    const fill = (from: number): number => {
      let next = from;
      while (writer.publish(next)) next += 1;
      return next;
    };
    let next = fill(0);
    assert.ok(next <= 8);
    await writer.space();
    denied = true;
    rig.broker.recheck();
    while (next < 500) {
      next = fill(next);
      await writer.space();
    }
    await heard.count(next);
    assert.deepEqual(values(heard.messages), Array.from({ length: next }, (_, i) => i));
    assert.equal(heard.messages.reduce((sum, { lostBefore }) => sum + lostBefore, 0), 0);
  });
});

test("a lossless reader that stands still is left behind after the deadline", () => withRig({}, async (rig, join) => {
  const talker = await join("talker");
  const reader = rig.program("await client.subscribe('t', { policy: 'lossless' }, () => {}); say('ready');");
  const writer = await talker.advertise("t", { policy: "lossless", queue: 8, deadlineMs: 20 });
  await reader.next();
  await rig.until(() => writer.readers === 1);
  reader.kill("SIGSTOP");
  for (let sent = 0; sent < 100;) {
    if (writer.publish(sent)) sent += 1;
    else await writer.space();
  }
  reader.kill("SIGCONT");
}));

test("junk instead of lanes and pages is refused, closed, and hurts nobody", () => withRig({}, async (rig, join) => {
  const open = (): number => readdirSync("/proc/self/fd").length;
  const [talker, listener] = [await join("talker"), await join("listener")];
  const writer = await talker.advertise("t", { encoding: "json" });
  const heard = collector();
  const link = await Link.open(rig.path, "hostile", 5_000);
  const given: LaneServerMessage[] = [];
  const held: Descriptor[] = [];
  link.attach({ announced: () => {}, service: () => {}, data: () => {}, closed: () => {}, lane: (message, descriptors) => void (given.push(message), held.push(...descriptors)) });
  const before = open();
  const refused = async (call: Call, descriptor: Descriptor): Promise<number> => link.start(call, 5_000, { descriptors: [descriptor] }).reply.then(() => 100, (error: IpcnetError) => error.status);
  const null_ = Descriptor.open("/dev/null", 0);
  const advert = { op: "advertise", topic: "junk", encoding: "json", schemaHash: hashText(schemaHash("json", undefined)), layout: undefined, jsonSchema: undefined, policy: "queue", deadlineMs: undefined } as const;
  assert.equal(await refused(advert, null_), 200);
  const lane = await LaneWriter.create({ schemaHash: schemaHash("json", undefined), policy: "queue", slots: 8, inlineBytes: 64, largeBytes: 0 });
  assert.equal(await refused({ ...advert, policy: "latest" }, lane.descriptor), 200);
  assert.equal(await refused({ ...advert, schemaHash: "0000000000000001" }, lane.descriptor), 206);
  assert.equal(await refused(advert, lane.descriptor), 100);
  assert.equal(await refused({ ...advert, topic: "again" }, lane.descriptor), 205);
  assert.equal(await refused({ op: "relane", advert: 1 }, null_), 200);
  assert.equal(await refused({ op: "relane", advert: 9 }, lane.descriptor), 203);
  await link.start({ op: "subscribe", pattern: "t", policy: { latest: true }, rateHzMax: undefined, lastValue: false, lanes: true }, 5_000).reply;
  assert.deepEqual(given.map(({ op }) => op), ["lane"]);
  for (const wrong of [null_, lane.descriptor, held[0]!]) assert.equal(await refused({ op: "attach", lane: 1 }, wrong), 200);
  assert.equal(await refused({ op: "attach", lane: 7 }, null_), 203);
  // Somebody else's lane as one's own: there is one claim to a lane.
  assert.equal(await refused({ ...advert, topic: "stolen" }, held[0]!), 205);
  await listener.subscribe("t", { policy: { queue: 10 } }, heard.take);
  writer.publish("all is well");
  await heard.count(1);
  for (const descriptor of held) descriptor.close();
  link.close("enough");
  lane.close();
  null_.close();
  // The reader that was taken on in between costs some; what was refused costs nothing.
  await rig.until(() => open() <= before + 8 && rig.broker.lanes().every(({ topic }) => topic === "t"));
  assert.equal(Descriptor.leaked, 0);
}));

test("a writer that does not change its lane when asked loses its topic; one that was only slow comes back", async () => {
  let denied = false;
  const policy: AccessPolicy = { ...openPolicy, mayRead: (who) => !denied || who.pid === process.pid };
  await withRig({ policy, laneLimits: { rekeyMs: 300 } }, async (rig, join) => {
    const listener = await join("listener");
    const heard = collector();
    await listener.subscribe("#", { policy: { queue: 100 } }, heard.take);
    const stubborn = await Link.open(rig.path, "stubborn", 5_000);
    const said: LaneServerMessage[] = [];
    stubborn.attach({ announced: () => {}, service: () => {}, data: () => {}, closed: () => {}, lane: (message, descriptors) => {
      said.push(message);
      closeAll(descriptors);
    } });
    const lane = await LaneWriter.create({ schemaHash: schemaHash("json", undefined), policy: "queue", slots: 8, inlineBytes: 64, largeBytes: 0 });
    await stubborn.start({ op: "advertise", topic: "stubborn", encoding: "json", schemaHash: hashText(schemaHash("json", undefined)), layout: undefined, jsonSchema: undefined, policy: "queue", deadlineMs: undefined }, 5_000, { descriptors: [lane.descriptor] }).reply;
    const slow = rig.program(`
      const writer = await client.advertise("slow", { encoding: "json" });
      let i = 0;
      setInterval(() => { try { writer.publish(i++); } catch (error) { say(error.message); process.exit(); } }, 5);
      say("writing");`);
    await slow.next();
    const other = rig.program("await client.subscribe('#', {}, () => {}); say('ready');");
    await other.next();
    await rig.until(() => heard.messages.length > 10);
    slow.kill("SIGSTOP");
    denied = true;
    rig.broker.recheck();
    await rig.until(() => rig.broker.lanes().length === 0);
    assert.deepEqual(said.filter(({ op }) => op === "rekey" || op === "unadvert").map((message) => [message.op, "status" in message ? message.status : 0]), [["rekey", 0], ["unadvert", 204]]);
    const until = heard.messages.length;
    slow.kill("SIGCONT");
    await rig.until(() => heard.messages.length > until + 10);
    const numbers = values(heard.messages) as number[];
    assert.deepEqual(numbers, Array.from({ length: numbers.length }, (_, i) => numbers[0]! + i));
    stubborn.close("enough");
    lane.close();
  });
});

test("tensors and frames go as what they are, without a copy on the way in", () => withRig({}, async (_rig, join) => {
  const [camera, detector] = [await join("camera"), await join("detector")];
  const frames = await camera.advertise("camera/front", { encoding: "video", payloadBytesMax: 100_000, queue: 4 });
  const heard = collector();
  await detector.subscribe("camera/+", { policy: { queue: 4 } }, heard.take);
  const data = Uint8Array.from({ length: 64 * 48 * 3 }, (_, i) => i);
  frames.publish({ fourcc: "RGB3", width: 64, height: 48, data }, { keyFrame: true });
  await heard.count(1);
  const frame = heard.messages[0]!.value as { fourcc: string; width: number; height: number; data: Uint8Array };
  assert.deepEqual([frame.fourcc, frame.width, frame.height, heard.messages[0]!.keyFrame], ["RGB3", 64, 48, true]);
  assert.ok(Buffer.compare(frame.data.subarray(0, data.length), data) === 0);
  assert.throws(() => frames.publish({ fourcc: "nonsense" }), IpcnetError);
  assert.equal(frames.publish({ fourcc: "RGB3", width: 64, height: 48, data }), true);
}));

test("what is too old when it comes is dropped and counted; what does not fit its schema counts as lost", () => withRig({}, async (rig, join) => {
  const [talker, listener] = [await join("talker"), await join("listener")];
  const writer = await talker.advertise("t");
  const heard = collector();
  const subscription = await listener.subscribe("#", { policy: { queue: 10 } }, heard.take);
  await rig.until(() => writer.readers === 1);
  writer.publish("stale", { ttlMs: 1 });
  // Reader and writer are one thread here: it comes when this turn is over.
  const until = process.hrtime.bigint() + 3_000_000n;
  while (process.hrtime.bigint() < until);
  writer.publish("fresh", { ttlMs: 60_000 });
  await heard.count(1);
  assert.deepEqual([values(heard.messages), heard.messages[0]!.lostBefore, subscription.expired], [["fresh"], 0, 1]);

  // A writer that does not keep to its own layout.
  const layout = layoutFromFields("r", [{ name: "x", type: "f64", minimum: 0, maximum: 1 }]);
  const notices: Notice[] = [];
  listener.onNotice((notice) => notices.push(notice));
  const link = await Link.open(rig.path, "liar", 5_000);
  link.attach({ announced: () => {}, service: () => {}, data: () => {}, closed: () => {}, lane: (message, [page, bell]) => {
    if (message.op === "reader") lane.addReader(page!, bell!, message.policy, message.deadlineMs);
  } });
  const lane = await LaneWriter.create({ schemaHash: layout.hash, policy: "queue", slots: 8, inlineBytes: 64, largeBytes: 0 });
  await link.start({ op: "advertise", topic: "r", encoding: "record", schemaHash: hashText(layout.hash), layout: layoutToJson(layout), jsonSchema: undefined, policy: "queue", deadlineMs: undefined }, 5_000, { descriptors: [lane.descriptor] }).reply;
  const record = (x: number): Uint8Array => new Uint8Array(Float64Array.of(x).buffer);
  for (const payload of [record(0.25), record(2), record(NaN), new Uint8Array(3), record(0.5)]) lane.publish(payload);
  await heard.count(3);
  assert.deepEqual(heard.messages.slice(1).map(({ value, lostBefore }) => [value, lostBefore]), [[{ x: 0.25 }, 0], [{ x: 0.5 }, 3]]);
  await rig.until(() => notices.reduce((sum, { count }) => sum + count, 0) === 3);
  assert.deepEqual([notices[0]!.status, notices[0]!.text], [209, "r: x is out of range"]);
  link.close("enough");
  lane.close();
}));

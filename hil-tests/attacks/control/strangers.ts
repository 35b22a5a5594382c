/** Being somebody else, seeing what is not permitted, and passing off what is no lane or page. */
import { constants } from "node:fs";
import { LaneReader, type LaneWriter, makeBell } from "../../../shm/lanes/index.ts";
import { Descriptor } from "../../../shm/sockets/index.ts";
import { advert, type Attack, type Attacker, denied, done, harmless, refusal, smallLane } from "./attack.ts";
import type { RawClient, Words } from "./raw.ts";

async function withLane<T>(use: (writer: LaneWriter) => Promise<T>): Promise<T> {
  const writer = await smallLane();
  try {
    return await use(writer);
  } finally {
    writer.close();
  }
}

async function statuses(client: RawClient, messages: readonly Words[], descriptors: readonly Descriptor[] = []): Promise<number[]> {
  const found: number[] = [];
  for (const message of messages) found.push((await client.ask(message, descriptors)).status);
  return found;
}

/** Numbers that somebody else may have been given. */
const numbers = Array.from({ length: 40 }, (_, i) => i + 1);

/** Offers each as `what` in a message that takes one descriptor. */
async function offerAll(attacker: Attacker, message: () => Words): Promise<ReturnType<typeof refusal>> {
  const [one, other] = Descriptor.pair();
  const bell = makeBell();
  const things = [
    Descriptor.open("/dev/zero", constants.O_RDWR), Descriptor.open("/dev/null", constants.O_RDWR), Descriptor.open("/", constants.O_RDONLY), Descriptor.open("/proc/self/mem", constants.O_RDONLY),
    Descriptor.open("/dev/ptmx", constants.O_RDWR), Descriptor.open("/proc/self/exe", constants.O_RDONLY), one, other, bell.reader, bell.writer,
  ];
  const found: number[] = [];
  let client = await attacker.open();
  for (const thing of things) {
    if (client.ended !== undefined) client = await attacker.open();
    found.push((await client.ask(message(), [thing])).status);
    thing.close();
  }
  return refusal(found);
}

export const impersonation: Readonly<Record<string, Attack>> = {
  "says it is the talker": async (attacker) => {
    const client = attacker.connect();
    client.say({ op: "hello", versions: [1], name: "talker", component: "talker", uid: 0, pid: 1 }, [], "handshake");
    await client.hears(({ op }) => op === "welcome");
    await client.ask({ op: "announce", component: { name: "talker", uid: 0 } });
    return withLane(async (writer) => refusal(await statuses(client, [advert("app/count")], [writer.descriptor])));
  },
  "a lane for somebody else's topic": async (attacker) => withLane(async (writer) => refusal(await statuses(await attacker.open(), [advert("app/count"), advert("app/strict"), advert("secret/canary")], [writer.descriptor]))),
  "a lane for a command": async (attacker) => withLane(async (writer) => refusal(await statuses(await attacker.open(), [advert("cmd/arm/Move"), advert("can/arm/State"), advert("gateway/status"), advert("ipcnet/x")], [writer.descriptor]))),
  "publish into somebody else's topic": async (attacker) => refusal(await statuses(await attacker.open(), ["app/count", "app/brokered", "secret/canary", "cmd/arm/Move"].map((topic) => ({ op: "publish", topic, encoding: "cbor", value: -1 })))),
  "another lane for a foreign advert": async (attacker) => withLane(async (writer) => refusal(await statuses(await attacker.open(), numbers.map((number) => ({ op: "relane", advert: number })), [writer.descriptor]))),
  "foreign adverts withdrawn": async (attacker) => refusal(await statuses(await attacker.open(), numbers.map((number) => ({ op: "unadvertise", advert: number })))),
  "foreign offers withdrawn": async (attacker) => refusal(await statuses(await attacker.open(), numbers.map((number) => ({ op: "unoffer", offer: number })))),
  "foreign subscriptions ended": async (attacker) => refusal(await statuses(await attacker.open(), numbers.map((number) => ({ op: "unsubscribe", subscription: number })))),
  "results for calls of others": async (attacker) => {
    const client = await attacker.open();
    for (const call of numbers) for (const more of [true, false]) client.say({ op: "result", call, status: 100, body: "forged", more });
    const { status } = await client.ask({ op: "ping" });
    return status === 100 || status === 0 ? harmless("nobody got one") : done(String(status));
  },
  "cancels and credits for others": async (attacker) => {
    const client = await attacker.open();
    for (const request of numbers) {
      client.say({ op: "cancel", request });
      client.say({ op: "credit", request, items: 100 });
    }
    const { status } = await client.ask({ op: "ping" });
    return status === 100 || status === 0 ? harmless("nobody got one") : done(String(status));
  },
  "provides somebody else's service": async (attacker) => refusal(await statuses(await attacker.open(), ["app/echo", "gateway/status", "gateway/reload", "gateway/arm"].map((service) => ({ op: "offer", service })))),
  "calls what it may not": async (attacker) => refusal(await statuses(await attacker.open(), ["app/echo", "gateway/status", "gateway/reload", "gateway/stop", "gateway/policy"].map((service) => ({ op: "request", service, body: {} })))),
  "a foreign lane as its own": async (attacker) => {
    // The very lane that it was given to read, offered as a writer.
    const client = await attacker.open();
    await client.ask({ op: "subscribe", pattern: "shared/#", policy: { queueSamples: 100 }, lanes: true });
    const lane = await client.hears(({ op }) => op === "lane");
    if (lane?.op !== "lane") return done("it was given no lane to try with");
    const { status } = await client.ask(advert("open/mine"), [lane.descriptors[0]!]);
    return status >= 200 ? denied(String(status)) : harmless("a name for what others write, under its own name alone");
  },
};

export const passedOff: Readonly<Record<string, Attack>> = {
  "no lane as a lane": (attacker) => offerAll(attacker, () => advert("open/x")),
  "no page as a page": async (attacker) => {
    const shared = await attacker.open();
    await shared.ask({ op: "subscribe", pattern: "shared/#", policy: { queueSamples: 100 }, lanes: true });
    const lane = await shared.hears(({ op }) => op === "lane");
    if (lane?.op !== "lane") return done("it was given no lane to try with");
    const bell = makeBell();
    const found: number[] = [];
    for (const thing of [lane.descriptors[0]!, lane.descriptors[1]!, bell.reader, bell.writer, Descriptor.open("/dev/zero", constants.O_RDWR), Descriptor.open("/", constants.O_RDONLY)]) {
      found.push((await shared.ask({ op: "attach", lane: lane.lane }, [thing])).status);
    }
    // A real page, of another lane.
    await withLane(async (writer) => {
      const reader = LaneReader.open(writer.descriptor, undefined, { policy: "queue", start: "next" });
      found.push((await shared.ask({ op: "attach", lane: lane.lane }, [reader.page])).status);
      reader.close();
    });
    return refusal(found);
  },
  "a page as a lane, and a lane as a page": (attacker) => withLane(async (writer) => {
    const reader = LaneReader.open(writer.descriptor, undefined, { policy: "queue", start: "next" });
    const client = await attacker.open();
    const found = await statuses(client, [advert("open/page")], [reader.page]);
    found.push(...await statuses(client, numbers.map((lane) => ({ op: "attach", lane })), [writer.descriptor]));
    reader.close();
    return refusal(found);
  }),
};

export const unpermitted: Readonly<Record<string, Attack>> = {
  "subscribes to it by name": async (attacker) => refusal(await statuses(await attacker.open(), [true, false].map((lanes) => ({ op: "subscribe", pattern: "secret/canary", policy: { queueSamples: 100 }, lanes, lastValue: true })))),
  "subscribes to everything": async (attacker) => {
    const client = await attacker.open();
    for (const pattern of ["#", "secret/#", "+/canary", "+/+", "secret/+"]) {
      for (const lanes of [true, false]) await client.ask({ op: "subscribe", pattern, policy: { queueSamples: 1000 }, lanes, lastValue: true });
    }
    // As long as it takes for what is permitted to come.
    await client.until(() => client.ended !== undefined || client.heard.some(({ op }) => op === "lane"), "a lane that is permitted");
    const topics = client.heard.flatMap((message) => (message.op === "announce" ? message.topics.map(({ name }) => name) : []));
    const secret = topics.filter((name) => name.startsWith("secret"));
    return secret.length > 0 ? done(`was told of ${secret.join(", ")}`) : harmless(`sees ${[...new Set(topics)].join(", ")} alone`);
  },
  "queries its last value and its history": async (attacker) => refusal(await statuses(await attacker.open(), [{ op: "query", topic: "secret/canary" }, { op: "query", topic: "secret/canary", last: 100 }, { op: "query", topic: "secret/brokered" }])),
  "finds it in lists": async (attacker) => {
    const client = await attacker.open();
    const bodies = await Promise.all([{ op: "topics", pattern: "#" }, { op: "topics", pattern: "secret/#" }, { op: "find", what: "topics", pattern: "#" }, { op: "find", what: "services", pattern: "#" }].map((message) => client.ask(message)));
    const text = JSON.stringify(bodies.map(({ body }) => body), (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
    return text.includes("secret") || text.includes("app/echo") ? done("it is in a list") : denied("not there");
  },
  "attaches to lanes that it was not given": async (attacker) => withLane(async (writer) => {
    const reader = LaneReader.open(writer.descriptor, undefined, { policy: "queue", start: "next" });
    const found = await statuses(await attacker.open(), numbers.map((lane) => ({ op: "attach", lane })), [reader.page]);
    reader.close();
    return refusal(found);
  }),
  "asks for resources that it may not have": async (attacker) => refusal(await statuses(await attacker.open(), ["x", "../../etc/shadow", "/etc/shadow", "secret", ""].map((resource) => ({ op: "grant", resource, mode: "read" })))),
};

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { topicMatcher } from "../../../schemas/topics/topicName.ts";
import type { LanePolicy } from "../../../shm/protocol/laneMessages.ts";
import type { Peer } from "../ports.ts";
import { defaultLaneLimits, type LaneLimits } from "./limits.ts";
import { FairShare } from "../quota/quota.ts";
import { SharedLaneQuota } from "./quota.ts";
import { type Advert, type Claim, type LaneEffect, type LaneFacts, LaneRegistry } from "./registry.ts";
import type { DirectTopics } from "./topics.ts";

type Effect = LaneEffect<string, number>;

const peerOf = (uid: number): Peer => ({ pid: 100 + uid, uid, gid: uid, groups: [], component: `uid:${uid}` });
const claimOf = (topic: string, fields: Partial<Claim> = {}): Claim => ({ topic, encoding: "cbor", schemaHash: 7n, layout: undefined, jsonSchema: undefined, policy: "queue", deadlineMs: undefined, ...fields });

/** Topics as a table would keep them; `own` topics are the gateway's, `alone` may have one writer. */
class FakeTopics implements DirectTopics {
  readonly writers = new Map<string, { id: number; hash: bigint; count: number }>();
  #next = 1;
  claim({ topic, schemaHash }: { topic: string; schemaHash: bigint }): { status: number; text: string; topicId?: number } {
    if (topic.startsWith("own/")) return { status: 202, text: "the gateway's" };
    const entry = this.writers.get(topic) ?? { id: this.#next++, hash: schemaHash, count: 0 };
    if (entry.hash !== schemaHash) return { status: 206, text: "another schema" };
    if (topic.startsWith("alone/") && entry.count > 0) return { status: 205, text: "has its writer" };
    entry.count += 1;
    this.writers.set(topic, entry);
    return { status: 100, text: "", topicId: entry.id };
  }
  leave(topic: string): void {
    const entry = this.writers.get(topic)!;
    entry.count -= 1;
    if (entry.count === 0) this.writers.delete(topic);
  }
  messages(): number {
    return 0;
  }
  countBy(): void {}
  sample(): void {}
  store(): void {}
  onNeed(): () => void {
    return () => {};
  }
}

class Rig {
  readonly topics = new FakeTopics();
  readonly denied = { read: new Set<string>(), write: new Set<string>() };
  readonly limits: LaneLimits;
  readonly shares: FairShare;
  readonly quota: SharedLaneQuota;
  readonly registry: LaneRegistry<string, number>;
  #lane = 0;

  constructor(limits: Partial<LaneLimits> = {}, lanes = 10_000) {
    this.limits = { ...defaultLaneLimits, ...limits };
    this.shares = new FairShare({ connections: 0, descriptors: 10_000, bytes: 0, lanes, requests: 0 });
    this.quota = new SharedLaneQuota(this.shares, this.limits.laneBytesPerUid);
    this.registry = new LaneRegistry({
      limits: this.limits, quota: this.quota, topics: this.topics,
      mayRead: (who, topic) => !this.denied.read.has(`${who.uid} ${topic}`), mayWrite: (who, topic) => !this.denied.write.has(`${who.uid} ${topic}`),
    });
  }

  lane(fields: Partial<LaneFacts> = {}): [number, LaneFacts] {
    this.#lane += 1;
    return [this.#lane, { laneId: `lane ${this.#lane}`, schemaHash: 7n, policy: "queue", fileBytes: 1_000, firstSequence: 1n, ...fields }];
  }

  open(name: string, uid: number): void {
    this.registry.open(name, peerOf(uid));
  }

  advertise(name: string, topic: string, claim: Partial<Claim> = {}, facts: Partial<LaneFacts> = {}): { status: number; advert?: Advert<string, number> } {
    return this.registry.advertise(name, claimOf(topic, claim), ...this.lane(facts));
  }

  subscribe(name: string, number: number, pattern: string, policy: LanePolicy = "queue"): number {
    return this.registry.subscribe(name, { number, policy, matches: topicMatcher(pattern) });
  }

  /** The effects, each as a short text. */
  effects(): string[] {
    return this.registry.takeEffects().map((effect) => words(effect));
  }
}

function words(effect: Effect): string {
  switch (effect.do) {
    case "sendLane": return `lane ${effect.view.lane} of ${effect.view.advert.topic} to ${effect.to} (${effect.view.policy})${effect.replaces === undefined ? "" : ` for ${effect.replaces}`}`;
    case "sendUnlane": return `unlane ${effect.lane} to ${effect.to}: ${effect.status}`;
    case "sendReader": return `reader ${effect.reader} of ${effect.view.advert.number} to ${effect.to}`;
    case "sendUnreader": return `unreader ${effect.reader} of ${effect.advert} to ${effect.to}`;
    case "sendRekey": return `rekey ${effect.advert} to ${effect.to}`;
    case "sendUnadvert": return `unadvert ${effect.advert} to ${effect.to}: ${effect.status}`;
    case "tell": return `tell ${effect.to}: ${effect.status}`;
    case "dropView": return `drop view ${effect.view.lane} of ${effect.view.connection}`;
    case "dropLane": return `drop lane ${effect.lane}`;
    default: return effect satisfies never;
  }
}

test("whoever subscribes gets the lanes that are there and those that come, and its page goes to the writer", () => {
  const rig = new Rig();
  rig.open("w", 1);
  rig.open("r", 2);
  assert.equal(rig.advertise("w", "arm/pose", { policy: "lossless" }, { policy: "lossless" }).status, 100);
  assert.equal(rig.subscribe("r", 1, "arm/+"), 1);
  assert.equal(rig.advertise("w", "arm/state").status, 100);
  rig.advertise("w", "leg/state");
  assert.deepEqual(rig.effects(), ["lane 1 of arm/pose to r (queue)", "lane 2 of arm/state to r (queue)"]);
  const { view } = rig.registry.viewToAttach("r", 2);
  rig.registry.attach(view!);
  assert.deepEqual(rig.effects(), ["reader 1 of 2 to w"]);
  assert.equal(rig.registry.viewToAttach("r", 2).status, 205);
  assert.equal(rig.registry.viewToAttach("r", 3).status, 203);
  rig.registry.detach("r", 2);
  assert.deepEqual(rig.effects(), ["drop view 2 of r", "unreader 1 of 2 to w"]);
});

test("refusals say what is wrong", () => {
  const rig = new Rig({ advertsPerClient: 3 }, 8);
  rig.denied.write.add("1 secret");
  rig.open("w", 1);
  rig.open("w2", 1);
  rig.open("v", 2);
  const cases: readonly [number, string, Partial<Claim>?, Partial<LaneFacts>?][] = [
    [202, "cmd/arm/Move"], [202, "secret"], [202, "own/x"], [200, "a//b"], [200, "a/+"],
    [206, "x", { schemaHash: 8n }], [200, "x", { policy: "latest" }], [100, "x"], [206, "x", { schemaHash: 8n }, { schemaHash: 8n }],
    [100, "alone/y"], [205, "alone/y"], [205, "z", {}, { laneId: "lane 8" }],
  ];
  for (const [status, topic, claim, facts] of cases) assert.equal(rig.advertise("w", topic, claim, facts).status, status, topic);
  assert.equal(rig.registry.advertise("w", claimOf("q"), 99, undefined).status, 200);
  assert.equal(rig.advertise("v", "alone/y").status, 205);
  rig.advertise("w", "third");
  assert.equal(rig.advertise("w", "fourth").status, 210);
  assert.equal(rig.advertise("w2", "fourth").status, 100);
  assert.equal(rig.advertise("w2", "fifth").status, 210);
  assert.equal(rig.registry.relane("w", 77, 1, undefined).status, 203);
  assert.equal(rig.registry.relane("w", 1, 1, undefined).status, 200);
});

test("a revoked reader is dropped, the writer changes its lane, the others go on in the new one", () => {
  const rig = new Rig();
  rig.open("w", 1);
  rig.open("good", 2);
  rig.open("bad", 3);
  rig.advertise("w", "t");
  rig.subscribe("good", 1, "t");
  rig.subscribe("bad", 1, "#");
  for (const who of ["good", "bad"]) rig.registry.attach(rig.registry.viewToAttach(who, 1).view!);
  rig.effects();
  rig.denied.read.add("3 t");
  rig.registry.recheck(5);
  rig.registry.recheck(6);
  assert.deepEqual(rig.effects(), ["drop view 1 of bad", "unreader 2 of 1 to w", "unlane 1 to bad: 202", "rekey 1 to w"]);
  assert.equal(rig.registry.nextDeadlineUs, 1_000_005);
  // Meanwhile the old lane is shown to nobody.
  rig.open("late", 4);
  assert.equal(rig.subscribe("late", 1, "t"), 0);
  assert.equal(rig.registry.relane("w", 1, ...rig.lane({ firstSequence: 10n })).status, 100);
  assert.deepEqual(rig.effects(), ["drop lane 1", "drop view 1 of good", "lane 2 of t to good (queue) for 1", "lane 1 of t to late (queue)", "unlane 1 to good: 103"]);
  assert.equal(rig.registry.nextDeadlineUs, undefined);
  rig.registry.recheck(7);
  assert.deepEqual(rig.effects(), []);
});

test("who has had the lane and left can still read it: it too makes the writer change", () => {
  const rig = new Rig();
  rig.open("w", 1);
  rig.open("bad", 3);
  rig.advertise("w", "t");
  rig.subscribe("bad", 1, "t");
  rig.registry.close("bad");
  rig.denied.read.add("3 t");
  rig.effects();
  rig.registry.recheck(0);
  assert.deepEqual(rig.effects(), ["rekey 1 to w"]);
});

test("a writer that does not change its lane in time loses its topic", () => {
  const rig = new Rig();
  rig.open("w", 1);
  rig.open("good", 2);
  rig.open("bad", 3);
  rig.advertise("w", "t");
  for (const who of ["good", "bad"]) rig.subscribe(who, 1, "t");
  rig.denied.read.add("3 t");
  rig.registry.recheck(0);
  rig.effects();
  rig.registry.poll(999_999);
  assert.deepEqual(rig.effects(), []);
  rig.registry.poll(1_000_000);
  assert.deepEqual(rig.effects(), ["drop view 1 of good", "unlane 1 to good: 103", "unadvert 1 to w: 204", "drop lane 1"]);
  assert.equal(rig.topics.writers.size, 0);
  assert.equal(rig.registry.relane("w", 1, ...rig.lane()).status, 203);
});

test("a revoked writer loses its topic and its readers drop it at once", () => {
  const rig = new Rig();
  rig.open("w", 1);
  rig.open("r", 2);
  rig.advertise("w", "t");
  rig.subscribe("r", 1, "t");
  rig.effects();
  rig.denied.write.add("1 t");
  rig.registry.recheck(0);
  assert.deepEqual(rig.effects(), ["drop view 1 of r", "unlane 1 to r: 202", "unadvert 1 to w: 202", "drop lane 1"]);
  rig.denied.write.clear();
  assert.equal(rig.advertise("w", "t").advert?.number, 2);
});

test("a right that comes later brings the lane", () => {
  const rig = new Rig();
  rig.denied.read.add("2 t");
  rig.open("w", 1);
  rig.open("r", 2);
  rig.advertise("w", "t");
  assert.equal(rig.subscribe("r", 1, "#"), 0);
  rig.denied.read.clear();
  rig.registry.recheck(0);
  assert.deepEqual(rig.effects(), ["lane 1 of t to r (queue)"]);
});

test("quotas of readers: what is left out is said", () => {
  const rig = new Rig({ lanesPerReader: 2, readersPerLane: 2 }, 12);
  rig.open("w", 1);
  rig.open("r", 2);
  rig.open("s", 2);
  for (const topic of ["a", "b", "c"]) rig.advertise("w", topic);
  rig.subscribe("r", 1, "#");
  assert.deepEqual(rig.effects(), ["lane 1 of a to r (queue)", "lane 2 of b to r (queue)", "tell r: 210"]);
  rig.subscribe("s", 1, "#");
  assert.deepEqual(rig.effects(), ["lane 1 of a to s (queue)", "tell s: 210", "tell s: 210"]);
});

// --- against a model ----------------------------------------------------------------------------------------------------------------

const writers = ["w1", "w2", "w3"];
const readers = ["r1", "r2", "r3"];
const names = ["a", "b", "alone/c"];
const patterns = ["a", "b", "#", "alone/+"];

type Step =
  | { do: "advertise"; who: string; topic: string } | { do: "unadvertise"; who: string; nth: number } | { do: "relane"; who: string; nth: number }
  | { do: "subscribe"; who: string; pattern: string } | { do: "unsubscribe"; who: string; nth: number } | { do: "attach"; who: string; nth: number } | { do: "detach"; who: string; nth: number }
  | { do: "die"; who: string } | { do: "deny"; what: "read" | "write"; who: string; topic: string } | { do: "allow" } | { do: "wait"; ms: number };

const writer = fc.constantFrom(...writers);
const reader = fc.constantFrom(...readers);
const nth = fc.nat(5);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("advertise" as const), who: writer, topic: fc.constantFrom(...names) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("unadvertise" as const), who: writer, nth }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("relane" as const), who: writer, nth }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("subscribe" as const), who: reader, pattern: fc.constantFrom(...patterns) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("unsubscribe" as const), who: reader, nth }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("attach" as const), who: reader, nth }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("detach" as const), who: reader, nth }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("die" as const), who: fc.constantFrom(...writers, ...readers) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("deny" as const), what: fc.constantFrom("read" as const, "write" as const), who: fc.constantFrom(...writers, ...readers), topic: fc.constantFrom(...names) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("allow" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 1_500 }) }) },
);

/** What clients know from what they were sent, and what ought to be. */
class Model {
  readonly rig = new Rig();
  nowUs = 0;
  /** Of each reader: lane number → what it shows. */
  readonly lanes = new Map<string, Map<number, { subscription: number; advert: string }>>();
  /** Of each writer: "advert reader". */
  readonly known = new Map<string, Set<string>>();
  readonly attached = new Map<string, string>();
  readonly adverts = new Map<string, { who: string; number: number; topic: string; rekeyDueUs: number | undefined; exposed: Set<string> }>();
  readonly subscriptions = new Map<string, { who: string; number: number; matches: (topic: string) => boolean; left: Set<string> }>();
  readonly taken = new Set<number>();
  readonly seenLanes = new Set<string>();
  #subscription = 0;

  constructor() {
    for (const who of [...writers, ...readers]) this.open(who);
  }

  uid(who: string): number {
    return [...writers, ...readers].indexOf(who) + 1;
  }

  open(who: string): void {
    this.rig.open(who, this.uid(who));
    // Numbers are a connection's.
    for (const each of this.seenLanes) if (each.startsWith(`${who} `)) this.seenLanes.delete(each);
    this.lanes.set(who, new Map());
    this.known.set(who, new Set());
  }

  mayRead(who: string, topic: string): boolean {
    return !this.rig.denied.read.has(`${this.uid(who)} ${topic}`);
  }

  run(step: Step): void {
    const { registry } = this.rig;
    switch (step.do) {
      case "advertise": {
        const [lane, facts] = this.rig.lane();
        const { advert } = registry.advertise(step.who, claimOf(step.topic), lane, facts);
        const alone = step.topic.startsWith("alone/") && [...this.adverts.values()].some(({ topic }) => topic === step.topic);
        assert.equal(advert !== undefined, !alone && !this.rig.denied.write.has(`${this.uid(step.who)} ${step.topic}`));
        if (!advert) break;
        this.taken.add(lane);
        this.adverts.set(`${step.who} ${advert.number}`, { who: step.who, number: advert.number, topic: step.topic, rekeyDueUs: undefined, exposed: new Set() });
        break;
      }
      case "unadvertise": {
        const key = pick([...this.adverts.keys()].filter((each) => each.startsWith(`${step.who} `)), step.nth);
        if (key === undefined) return;
        this.adverts.delete(key);
        this.forgetReaders(key);
        assert.equal(registry.unadvertise(step.who, Number(key.split(" ")[1])).status, 100);
        break;
      }
      case "relane": {
        const key = pick([...this.adverts.keys()].filter((each) => each.startsWith(`${step.who} `)), step.nth);
        if (key === undefined) return;
        const [lane, facts] = this.rig.lane();
        Object.assign(this.adverts.get(key)!, { rekeyDueUs: undefined, exposed: new Set() });
        this.forgetReaders(key);
        assert.equal(registry.relane(step.who, Number(key.split(" ")[1]), lane, facts).status, 100);
        this.taken.add(lane);
        break;
      }
      case "subscribe": {
        const number = (this.#subscription += 1);
        const matches = topicMatcher(step.pattern);
        this.subscriptions.set(`${step.who} ${number}`, { who: step.who, number, matches, left: new Set() });
        registry.subscribe(step.who, { number, policy: "queue", matches });
        break;
      }
      case "unsubscribe": {
        const key = pick([...this.subscriptions.keys()].filter((each) => each.startsWith(`${step.who} `)), step.nth);
        if (key === undefined) return;
        const { number } = this.subscriptions.get(key)!;
        this.subscriptions.delete(key);
        const lanes = this.lanes.get(step.who)!;
        for (const [lane, { subscription }] of lanes) if (subscription === number) lanes.delete(lane);
        registry.unsubscribe(step.who, number);
        break;
      }
      case "attach": {
        const lane = pick([...this.lanes.get(step.who)!.keys()], step.nth);
        if (lane === undefined) return;
        const { view, status } = registry.viewToAttach(step.who, lane);
        assert.ok(view || status === 205);
        if (view) registry.attach(view);
        break;
      }
      case "detach": {
        const lane = pick([...this.lanes.get(step.who)!.keys()], step.nth);
        if (lane === undefined) return;
        const { subscription, advert } = this.lanes.get(step.who)!.get(lane)!;
        this.subscriptions.get(`${step.who} ${subscription}`)!.left.add(advert);
        this.lanes.get(step.who)!.delete(lane);
        registry.detach(step.who, lane);
        break;
      }
      case "die": {
        for (const [key, { who }] of this.adverts) if (who === step.who) this.adverts.delete(key);
        for (const [key, { who }] of this.subscriptions) if (who === step.who) this.subscriptions.delete(key);
        this.lanes.delete(step.who);
        this.known.delete(step.who);
        registry.close(step.who);
        this.perform();
        this.open(step.who);
        break;
      }
      case "deny":
        this.rig.denied[step.what].add(`${this.uid(step.who)} ${step.topic}`);
        this.recheck();
        break;
      case "allow":
        this.rig.denied.read.clear();
        this.rig.denied.write.clear();
        this.recheck();
        break;
      case "wait":
        this.nowUs += step.ms * 1e3;
        for (const [key, { rekeyDueUs }] of this.adverts) if (rekeyDueUs !== undefined && rekeyDueUs <= this.nowUs) this.adverts.delete(key);
        registry.poll(this.nowUs);
        break;
      default:
        step satisfies never;
    }
    this.perform();
    this.check();
  }

  /** A writer that ends or replaces a lane knows that its readers are gone with it. */
  forgetReaders(key: string): void {
    const [who, number] = key.split(" ");
    const known = this.known.get(who!)!;
    for (const each of known) if (each.startsWith(`${number} `)) known.delete(each);
  }

  recheck(): void {
    for (const [key, advert] of this.adverts) {
      if (this.rig.denied.write.has(`${this.uid(advert.who)} ${advert.topic}`)) this.adverts.delete(key);
      else if ([...advert.exposed].some((who) => !this.mayRead(who, advert.topic))) advert.rekeyDueUs ??= this.nowUs + 1e6;
    }
    // Whoever detached is asked again when rights change; that is as good as any other rule.
    for (const subscription of this.subscriptions.values()) subscription.left.clear();
    this.rig.registry.recheck(this.nowUs);
  }

  perform(): void {
    for (const effect of this.rig.registry.takeEffects()) {
      switch (effect.do) {
        case "sendLane": {
          const { view, to, replaces } = effect;
          const advert = `${view.advert.connection} ${view.advert.number}`;
          assert.ok(!this.seenLanes.has(`${to} ${view.lane} ${view.advert.facts.laneId}`));
          this.seenLanes.add(`${to} ${view.lane} ${view.advert.facts.laneId}`);
          if (replaces !== undefined) assert.equal(this.lanes.get(to)!.get(replaces)?.advert, advert);
          this.lanes.get(to)!.set(view.lane, { subscription: view.subscription, advert });
          this.subscriptions.get(`${to} ${view.subscription}`)!.left.delete(advert);
          this.adverts.get(advert)!.exposed.add(to);
          break;
        }
        case "sendUnlane":
          assert.ok(this.lanes.get(effect.to)?.delete(effect.lane));
          break;
        case "sendReader":
          this.known.get(effect.to)!.add(`${effect.view.advert.number} ${effect.reader}`);
          break;
        case "sendUnreader":
          this.known.get(effect.to)?.delete(`${effect.advert} ${effect.reader}`);
          break;
        case "dropLane":
          assert.ok(this.taken.delete(effect.lane), "a lane was dropped twice");
          break;
        case "sendUnadvert":
          this.forgetReaders(`${effect.to} ${effect.advert}`);
          break;
        case "sendRekey":
        case "dropView":
          break;
        case "tell":
          assert.fail("no quota is reached here");
          break;
        default:
          effect satisfies never;
      }
    }
  }

  check(): void {
    const shown = [...this.lanes].flatMap(([who, lanes]) => [...lanes.values()].map(({ subscription, advert }) => `${who} ${subscription} ${advert}`)).sort();
    const may: string[] = [];
    const must: string[] = [];
    for (const { who, number, matches, left } of this.subscriptions.values()) {
      for (const [key, { topic, rekeyDueUs }] of this.adverts) {
        if (!matches(topic) || !this.mayRead(who, topic)) continue;
        may.push(`${who} ${number} ${key}`);
        if (rekeyDueUs === undefined && !left.has(key)) must.push(`${who} ${number} ${key}`);
      }
    }
    assert.equal(new Set(shown).size, shown.length, "one lane twice for one subscription");
    for (const each of shown) assert.ok(may.includes(each), `${each} is shown and must not be`);
    for (const each of must) assert.ok(shown.includes(each), `${each} is not shown`);
    const attached = [...this.rig.registry.report()].reduce((sum, { readers: count }) => sum + count, 0);
    assert.equal([...this.known.values()].reduce((sum, { size }) => sum + size, 0), attached);
    assert.equal(this.taken.size, this.adverts.size);
    const due = [...this.adverts.values()].flatMap(({ rekeyDueUs }) => rekeyDueUs ?? []);
    assert.equal(this.rig.registry.nextDeadlineUs, due.length === 0 ? undefined : Math.min(...due));
  }
}

function pick<T>(list: readonly T[], nth: number): T | undefined {
  return list.length === 0 ? undefined : list[nth % list.length];
}

test("whatever joins, leaves, dies and is revoked, everybody has what it should have and nothing else", () => {
  fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 80 }), (steps) => {
    const model = new Model();
    for (const each of steps) model.run(each);
    for (const who of [...writers, ...readers]) model.rig.registry.close(who);
    for (const effect of model.rig.registry.takeEffects()) if (effect.do === "dropLane") assert.ok(model.taken.delete(effect.lane));
    assert.deepEqual([model.taken.size, model.rig.shares.use().users.length, model.rig.topics.writers.size, model.rig.registry.isEmpty], [0, 0, 0, true]);
  }), { numRuns: 400 });
});

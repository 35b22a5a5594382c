/** Random offers, requests, answers, deaths, cancels and time against the core; what must hold whatever happens is checked after each step. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { ServiceCore } from "./core.ts";
import { serviceLimits } from "./limits.ts";
import { FixedQuota } from "./testQuota.ts";
import type { Peer } from "../ports.ts";
import type { Effect, OfferTerms } from "./types.ts";

const peer: Peer = { pid: 1, uid: 1, gid: 1, groups: [], component: "" };

interface Token {
  id: number;
  bytes: number;
}

type Step =
  | { do: "offer"; client: number; service: number; group: number; capacity: number; limited: boolean; deny: number }
  | { do: "unoffer" | "result" | "item" | "cancel"; client: number; pick: number }
  | { do: "credit"; client: number; pick: number; items: number }
  | { do: "leaving"; client: number; ms: number }
  | { do: "gone"; client: number }
  | { do: "request"; client: number; service: number; group: number | undefined; timeoutMs: number; stream: number | undefined; idempotent: boolean }
  | { do: "time"; ms: number };

const client = fc.integer({ min: 1, max: 5 });
const service = fc.integer({ min: 0, max: 2 });
const pick = fc.nat(30);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("offer" as const), client, service, group: fc.nat(1), capacity: fc.integer({ min: 1, max: 3 }), limited: fc.boolean(), deny: fc.nat(8) }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant("request" as const), client, service, group: fc.option(fc.nat(1), { nil: undefined }), timeoutMs: fc.integer({ min: 0, max: 300 }), stream: fc.option(fc.nat(3), { nil: undefined, freq: 2 }), idempotent: fc.boolean() }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constantFrom("result" as const, "item" as const), client, pick }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("unoffer" as const, "cancel" as const), client, pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("credit" as const), client, pick, items: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("leaving" as const), client, ms: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("gone" as const), client }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("time" as const), ms: fc.nat(120) }) },
);

/** What the outside knows. Numbers of clients are used once: who comes again has a new one. */
class World {
  readonly quota = new FixedQuota({ callsMax: 12, bytesMax: 1_000 });
  readonly core = new ServiceCore<Token>({ ...serviceLimits, offersPerClient: 4, waitingPerService: 5, requestsPerClient: 8 }, this.quota, { returnsUntilUs: 1.2e6 });
  nowUs = 1e6;
  #tokens = 0;
  /** Put into the core and not yet come out. */
  readonly inside = new Set<number>();
  /** Requests without their answer: how many items may still come. */
  readonly open = new Map<string, number>();
  /** What may be asked of a second provider: by payload, and the payload by request. */
  readonly calls = new Map<number, { idempotent: boolean; seen: boolean; times: number }>();
  readonly payloads = new Map<string, number>();
  /** Places in use at each provider: offer and credit by call. */
  readonly running = new Map<number, Map<number, { offer: number; credit: number | undefined; cancelled: boolean }>>();
  readonly capacities = new Map<string, number>();
  readonly leaving = new Set<number>();
  readonly withdrawn = new Set<string>();
  readonly alias = new Map<number, number>();
  #nextClient = 100;
  #nextSeq = 0;
  expelled = 0;

  id(client: number): number {
    if (!this.alias.has(client)) this.alias.set(client, this.#nextClient++);
    return this.alias.get(client)!;
  }

  token(): Token {
    const token = { id: (this.#tokens += 1), bytes: 40 };
    this.inside.add(token.id);
    return token;
  }

  apply(step: Step): void {
    switch (step.do) {
      case "offer": {
        const me = this.id(step.client);
        // Service 0 stays plain: there, whoever waits waits because all are at capacity.
        const plain = step.service === 0;
        const terms: OfferTerms = {
          service: `s${step.service}`, group: plain ? "0" : String(step.group), capacity: step.capacity, rateHzMax: step.limited && !plain ? 20 : undefined, callsMax: step.limited && !plain ? 2 : undefined,
          description: "", admits: ({ client: caller }) => plain || caller % 9 !== step.deny, internal: false,
        };
        const result = this.core.offer(me, terms);
        if (result.ok) this.capacities.set(`${me}/${result.offer}`, step.capacity);
        this.core.offered(terms.service, this.nowUs);
        break;
      }
      case "unoffer": {
        const me = this.id(step.client);
        const [first] = this.core.offersOf(me);
        if (first) this.withdrawn.add(`${me}/${first.offer}`);
        assert.equal(this.core.unoffer(me, first?.offer ?? 7, this.nowUs), first !== undefined);
        break;
      }
      case "request": {
        const me = this.id(step.client);
        const seq = (this.#nextSeq += 1);
        this.open.set(`${me}/${seq}`, step.stream ?? 0);
        const { timeoutMs, stream, idempotent } = step;
        const group = step.service === 0 || step.group === undefined ? undefined : String(step.group);
        const token = this.token();
        this.calls.set(token.id, { idempotent, seen: false, times: 0 });
        this.payloads.set(`${me}/${seq}`, token.id);
        this.core.request({ client: me, uid: me % 2, key: `k${me % 3}`, peer }, seq, { service: `s${step.service}`, group, timeoutMs, stream, idempotent }, token, this.nowUs);
        break;
      }
      case "result":
      case "item":
        this.#answer(this.id(step.client), step.pick, step.do === "item");
        break;
      case "cancel":
        this.core.cancel(this.id(step.client), this.#request(step)?.seq ?? 1e6);
        break;
      case "credit": {
        const request = this.#request(step);
        // A stream was begun with credit in this world iff its entry may grow; others would be a violation, which has its own test.
        if (!request || !this.#isStream.has(request.key)) break;
        this.open.set(request.key, this.open.get(request.key)! + step.items);
        this.core.credit(this.id(step.client), request.seq, step.items, this.nowUs);
        break;
      }
      case "leaving":
        this.leaving.add(this.id(step.client));
        this.core.leaving(this.id(step.client), this.nowUs + step.ms * 1e3, this.nowUs);
        break;
      case "gone":
        this.#gone(this.id(step.client));
        this.alias.delete(step.client);
        break;
      case "time":
        this.nowUs += step.ms * 1e3;
        if ((this.core.nextDeadlineUs ?? Infinity) <= this.nowUs) this.core.poll(this.nowUs);
        break;
      default:
        step satisfies never;
    }
    if (step.do === "request" && step.stream !== undefined) this.#isStream.add(`${this.id(step.client)}/${this.#nextSeq}`);
    this.settle();
    this.check();
  }

  readonly #isStream = new Set<string>();

  #request({ client: who, pick: which }: { client: number; pick: number }): { key: string; seq: number } | undefined {
    const mine = [...this.open.keys()].filter((key) => key.startsWith(`${this.id(who)}/`));
    const key = mine[which % Math.max(1, mine.length)];
    return key === undefined ? undefined : { key, seq: Number(key.split("/")[1]) };
  }

  /** A running call, or one in ten that never was or is over. */
  #answer(me: number, which: number, more: boolean): void {
    const mine = this.running.get(me) ?? new Map();
    const call = which % 10 === 9 ? which : [...mine.keys()][which % Math.max(1, mine.size)] ?? which + 1;
    const known = mine.get(call);
    const permitted = known === undefined || known.cancelled || !more || (known.credit ?? 0) > 0;
    if (!permitted) {
      this.expelled += 1;
      this.core.result(me, { call, status: 100, text: "", more }, this.token(), this.nowUs);
      return;
    }
    if (known && more && !known.cancelled) known.credit! -= 1;
    if (known && !more) mine.delete(call);
    this.core.result(me, { call, status: 100, text: "", more }, this.token(), this.nowUs);
  }

  #gone(me: number): void {
    this.core.gone(me, this.nowUs);
    this.#forget(me);
  }

  #forget(me: number): void {
    this.running.delete(me);
    for (const key of this.open.keys()) if (key.startsWith(`${me}/`)) this.open.delete(key);
    for (const [client, id] of this.alias) if (id === me) this.alias.delete(client);
  }

  settle(): void {
    for (let effects = this.core.take(); effects.length > 0; effects = this.core.take()) for (const effect of effects) this.#perform(effect);
  }

  #leaves({ id }: Token): void {
    assert.ok(this.inside.delete(id), "a payload leaves the core once");
  }

  #perform(effect: Effect<Token>): void {
    switch (effect.do) {
      case "reply": {
        if (effect.payload) this.#leaves(effect.payload);
        const key = `${effect.client}/${effect.seq}`;
        assert.ok(this.open.delete(key), `${key} is answered once`);
        return;
      }
      case "item": {
        this.#leaves(effect.payload);
        const key = `${effect.client}/${effect.seq}`;
        const left = this.open.get(key);
        assert.ok(left !== undefined && left > 0, "no item beyond the credit, none after the answer");
        this.open.set(key, left - 1);
        this.calls.get(this.payloads.get(key)!)!.seen = true;
        return;
      }
      case "call": {
        assert.ok(this.inside.has(effect.payload.id), "what is lent is still there");
        const { id } = effect.payload;
        const asked = this.calls.get(id)!;
        asked.times += 1;
        assert.ok(asked.times === 1 || (asked.idempotent && !asked.seen), "asked of another provider only if that is allowed and nothing was seen");
        assert.ok(!this.leaving.has(effect.client), "who leaves gets no call");
        assert.ok(!this.withdrawn.has(`${effect.client}/${effect.offer}`), "what was withdrawn gets no call");
        const mine = this.running.get(effect.client) ?? new Map();
        this.running.set(effect.client, mine);
        assert.ok(!mine.has(effect.call));
        mine.set(effect.call, { offer: effect.offer, credit: effect.stream, cancelled: false });
        const here = [...mine.values()].filter(({ offer }) => offer === effect.offer).length;
        assert.ok(here <= this.capacities.get(`${effect.client}/${effect.offer}`)!, "no provider over its capacity");
        assert.ok(effect.timeoutMs >= 0);
        return;
      }
      case "callCredit": {
        const call = this.running.get(effect.client)?.get(effect.call);
        if (call) call.credit = (call.credit ?? 0) + effect.items;
        return;
      }
      case "callCancelled": {
        const call = this.running.get(effect.client)?.get(effect.call);
        if (call) call.cancelled = true;
        return;
      }
      case "drop":
        return this.#leaves(effect.payload);
      case "expel":
        return this.#forget(effect.client);
      default:
        effect satisfies never;
    }
  }

  check(): void {
    for (const { service, waiting, providers } of this.core.report()) {
      for (const { running, capacity } of providers) assert.ok(running <= capacity);
      if (service === "s0" && waiting > 0) for (const { running, capacity, leaving } of providers) assert.ok(leaving || running === capacity, "nobody waits while somebody is free");
    }
    const { calls } = this.core.size;
    assert.equal(calls, this.open.size, "the core knows exactly the requests that wait");
    assert.equal(this.inside.size, calls, "and holds nothing but their payloads");
  }
}

test("whatever happens: each request is answered once, no provider is overloaded, credit is kept, nothing is left behind", () => {
  fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 120 }), (steps) => {
    const world = new World();
    for (const each of steps) world.apply(each);
    // With time alone everything is answered …
    world.apply({ do: "time", ms: 1_000 });
    assert.deepEqual([...world.open], []);
    assert.equal(world.quota.users, 0);
    // … and when all have gone, nothing is remembered.
    for (const each of [1, 2, 3, 4, 5]) world.apply({ do: "gone", client: each });
    assert.deepEqual(world.core.size, { clients: 0, services: 0, calls: 0, slots: 0 });
    assert.equal(world.core.nextDeadlineUs, undefined);
    assert.equal(world.core.counters.violations, world.expelled);
  }), { numRuns: 1_500 });
});

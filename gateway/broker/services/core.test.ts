import assert from "node:assert/strict";
import { test } from "node:test";
import { CallerLimits } from "./callerLimits.ts";
import { ServiceCore } from "./core.ts";
import { Farewell } from "./farewell.ts";
import { serviceLimits, type ServiceLimits } from "./limits.ts";
import { FixedQuota } from "./testQuota.ts";
import type { Peer } from "../ports.ts";
import type { Effect, OfferTerms, RequestTerms } from "./types.ts";

const peer: Peer = { pid: 1, uid: 1, gid: 1, groups: [], component: "" };

interface Body {
  text: string;
  bytes: number;
}
type Of<D extends Effect<Body>["do"]> = Extract<Effect<Body>, { do: D }>;

/** A core with short words. Clients 1–9 call, others provide; each word returns what it had for effect. */
class Bench {
  readonly core: ServiceCore<Body>;
  nowUs = 0;
  #seq = 0;

  constructor(limits: Partial<ServiceLimits> = {}, quota = new FixedQuota({ callsMax: 100, bytesMax: 1e6 }), returnsUntilMs = 0) {
    this.core = new ServiceCore<Body>({ ...serviceLimits, ...limits }, quota, { returnsUntilUs: returnsUntilMs * 1e3 });
  }

  offer(client: number, terms: Partial<OfferTerms> = {}): number {
    const result = this.core.offer(client, { service: "s", group: "", capacity: 1, rateHzMax: undefined, callsMax: undefined, description: "", admits: () => true, internal: false, ...terms });
    assert.ok(result.ok);
    this.core.offered(terms.service ?? "s", this.nowUs);
    return result.offer;
  }

  request(client: number, terms: Partial<RequestTerms> = {}, text = "x"): Effect<Body>[] {
    this.core.request({ client, uid: 1000, key: `k${client}`, peer }, (this.#seq += 1), { service: "s", group: undefined, timeoutMs: 1_000, stream: undefined, idempotent: true, ...terms }, body(text), this.nowUs);
    return this.core.take();
  }

  /** Whom a request was given to; what it was answered. */
  asked(client = 1, terms: Partial<RequestTerms> = {}): number | undefined {
    return only(this.request(client, terms), "call")[0]?.client;
  }

  refused(client = 1, terms: Partial<RequestTerms> = {}): number | undefined {
    return only(this.request(client, terms), "reply")[0]?.status;
  }

  answer(client: number, call: number, { more = false, status = 100 } = {}): Effect<Body>[] {
    this.core.result(client, { call, status, text: "", more }, body("answer"), this.nowUs);
    return this.core.take();
  }

  gone(client: number): Effect<Body>[] {
    this.core.gone(client, this.nowUs);
    return this.core.take();
  }

  at(ms: number): Effect<Body>[] {
    this.nowUs = ms * 1e3;
    if ((this.core.nextDeadlineUs ?? Infinity) <= this.nowUs) this.core.poll(this.nowUs);
    return this.core.take();
  }
}

const body = (text: string): Body => ({ text, bytes: 100 });
const only = <D extends Effect<Body>["do"]>(effects: readonly Effect<Body>[], what: D): Of<D>[] => effects.filter((effect): effect is Of<D> => effect.do === what);
const statuses = (effects: readonly Effect<Body>[]): number[] => only(effects, "reply").map(({ status }) => status);

test("the least loaded for its capacity is asked, equals in turn", () => {
  const bench = new Bench();
  bench.offer(11, { capacity: 4 });
  bench.offer(12, { capacity: 2 });
  // 0/4, 0/2 → 11; 1/4, 0/2 → 12; 1/4, 1/2 → 11; 2/4, 1/2: 12 was asked longer ago.
  assert.deepEqual(Array.from({ length: 6 }, () => bench.asked()), [11, 12, 11, 12, 11, 11]);
  const equals = new Bench();
  for (const client of [11, 12, 13]) equals.offer(client, { capacity: 2 });
  assert.deepEqual(Array.from({ length: 6 }, () => equals.asked()), [11, 12, 13, 11, 12, 13]);
});

test("with all at capacity calls wait in order, and 303 is said beyond the bound", () => {
  const bench = new Bench({ waitingPerService: 4 });
  bench.offer(11);
  assert.equal(bench.asked(1), 11);
  assert.deepEqual(bench.request(2, {}, "second"), []);
  assert.deepEqual(bench.request(3, {}, "third"), []);
  assert.equal(bench.refused(4), 303);
  assert.deepEqual(only(bench.answer(11, 1), "call").map(({ payload }) => payload.text), ["second"]);
  // A new provider takes the next at once.
  bench.offer(12);
  assert.deepEqual(only(bench.core.take(), "call").map(({ client, payload }) => [client, payload.text]), [[12, "third"]]);
});

test("of the places to wait a user has a fair share: one alone half of them, and there is always one for the next", () => {
  const bench = new Bench({ waitingPerService: 24, requestsPerClient: 100 });
  bench.offer(11);
  bench.request(1);
  const waitAs = (uid: number): number => {
    let count = 0;
    for (;; count++) {
      bench.core.request({ client: uid, uid, key: `u${uid}`, peer }, count + 1, { service: "s", group: undefined, timeoutMs: 1_000, stream: undefined, idempotent: true }, body("x"), 0);
      if (only(bench.core.take(), "reply").length > 0) return count;
    }
  };
  assert.deepEqual([waitAs(2), waitAs(3), waitAs(4)], [12, 4, 2]);
});

test("a request may name the group whose members share it; otherwise any provider is asked", () => {
  const bench = new Bench();
  bench.offer(11, { group: "gpu" });
  bench.offer(12, { group: "cpu", capacity: 2 });
  assert.equal(bench.asked(1, { group: "cpu" }), 12);
  assert.equal(bench.asked(1), 11);
  assert.equal(bench.asked(1), 12);
  assert.deepEqual(bench.request(1, { group: "gpu" }), []);
  assert.equal(bench.refused(1, { group: "fpga" }), 203);
  assert.deepEqual(statuses(bench.gone(11)), [303]);
});

test("a deadline answers 204 to the caller and tells the provider, whose place stays taken until it has answered", () => {
  const bench = new Bench();
  bench.offer(11);
  assert.equal(bench.asked(1, { timeoutMs: 50 }), 11);
  assert.deepEqual(bench.request(2, { timeoutMs: 80 }), []);
  assert.deepEqual(bench.at(49), []);
  const late = bench.at(50);
  assert.deepEqual(statuses(late), [204]);
  assert.deepEqual(only(late, "callCancelled").map(({ call, status }) => [call, status]), [[1, 204]]);
  // The second one waits for the place in vain.
  assert.deepEqual(statuses(bench.at(80)), [204]);
  assert.deepEqual(bench.request(3), []);
  const freed = bench.answer(11, 1);
  assert.deepEqual(statuses(freed), []);
  assert.equal(only(freed, "call").length, 1);
  assert.equal(bench.core.counters.lateResults, 1);
  assert.deepEqual(only(bench.answer(11, 1), "drop").length, 1);
  assert.equal(bench.core.counters.unknownResults, 1);
  // Another's call is as unknown as none.
  assert.deepEqual(statuses(bench.answer(12, 2)), []);
  assert.equal(bench.core.counters.unknownResults, 2);
});

test("a request without a time of its own gets one", () => {
  const bench = new Bench({ timeoutMsDefault: 700 });
  bench.offer(11);
  bench.request(1, { timeoutMs: undefined });
  assert.deepEqual(statuses(bench.at(700)), [204]);
});

test("a dead provider's calls go to the next one, in their old order, ahead of those that came later", () => {
  const bench = new Bench();
  bench.offer(11, { capacity: 2 });
  bench.request(1, {}, "first");
  bench.request(1, {}, "second");
  bench.request(2, {}, "third");
  bench.offer(12);
  assert.deepEqual(only(bench.core.take(), "call").map(({ payload }) => payload.text), ["third"]);
  assert.deepEqual(bench.gone(11), []);
  assert.deepEqual(only(bench.answer(12, 1), "call").map(({ payload }) => payload.text), ["first"]);
  assert.deepEqual(only(bench.answer(12, 2), "call").map(({ payload }) => payload.text), ["second"]);
  assert.deepEqual(statuses(bench.answer(12, 3)), [100]);
  assert.equal(bench.core.counters.failovers, 2);
});

test("302: not idempotent, seen in part, nobody else there, or too many have died with it", () => {
  const bench = new Bench({ deathsPerCall: 2 });
  bench.offer(11, { capacity: 3 });
  bench.offer(12, { capacity: 3 });
  assert.equal(bench.asked(1, { idempotent: false }), 11);
  assert.equal(bench.asked(2), 12);
  assert.equal(bench.asked(3, { stream: 5 }), 11);
  assert.equal(only(bench.answer(11, 2, { more: true }), "item").length, 1);
  const first = bench.gone(11);
  assert.deepEqual(statuses(first), [302, 302]);
  assert.match(only(first, "reply")[0]!.text, /not known/);
  assert.match(only(first, "reply")[1]!.text, /middle/);
  const second = bench.gone(12);
  assert.deepEqual(statuses(second), [302]);
  assert.match(only(second, "reply")[0]!.text, /no other/);
  const poison = new Bench({ deathsPerCall: 2 });
  for (const client of [11, 12, 13]) poison.offer(client);
  assert.equal(poison.asked(), 11);
  assert.deepEqual(only(poison.gone(11), "call").map(({ client }) => client), [12]);
  const enough = poison.gone(12);
  assert.deepEqual(statuses(enough), [302]);
  assert.match(only(enough, "reply")[0]!.text, /2 providers of s died/);
});

test("who leaves gets no new calls and finishes those it has; beyond its time others are asked", () => {
  const bench = new Bench();
  bench.offer(11, { capacity: 3 });
  assert.equal(bench.asked(1), 11);
  assert.equal(bench.asked(2), 11);
  bench.offer(12, { capacity: 3 });
  bench.core.leaving(11, 200_000, bench.nowUs);
  assert.equal(bench.asked(3), 12);
  assert.deepEqual(bench.core.offer(11, { service: "t", group: "", capacity: 1, rateHzMax: undefined, callsMax: undefined, description: "", admits: () => true, internal: false }), { ok: false, status: 205, text: "a program that leaves offers nothing" });
  assert.deepEqual(statuses(bench.answer(11, 1)), [100]);
  const over = bench.at(200);
  assert.deepEqual(only(over, "callCancelled").map(({ client, call }) => [client, call]), [[11, 2]]);
  assert.deepEqual(only(over, "call").map(({ client }) => client), [12]);
  assert.deepEqual(statuses(bench.answer(11, 2)), []);
  bench.core.leaving(12, 300_000, bench.nowUs);
  assert.equal(bench.refused(4), 303);
});

test("withdrawn offers finish what they have", () => {
  const bench = new Bench();
  const offer = bench.offer(11);
  bench.request(1);
  bench.request(2);
  assert.ok(bench.core.unoffer(11, offer, 0));
  assert.equal(bench.core.unoffer(11, offer, 0), false);
  assert.deepEqual(statuses(bench.core.take()), [303]);
  assert.deepEqual(statuses(bench.answer(11, 1)), [100]);
  assert.equal(bench.refused(3), 203);
});

test("a caller that cancels or dies frees its place in the queue, or tells the provider", () => {
  const bench = new Bench();
  bench.offer(11);
  bench.request(1);
  bench.request(2);
  bench.request(2);
  bench.core.cancel(2, 2);
  assert.deepEqual(statuses(bench.core.take()), [204]);
  bench.core.cancel(2, 2);
  assert.deepEqual(bench.core.take(), []);
  const gone = bench.gone(1);
  assert.deepEqual([statuses(gone), only(gone, "callCancelled").length, only(gone, "drop").length], [[], 1, 1]);
  assert.deepEqual(only(bench.answer(11, 1), "call").map(({ caller }) => caller.client), [2]);
});

test("streams: credit both ways, the time begins anew with each item and each credit", () => {
  const bench = new Bench();
  bench.offer(11);
  const [call] = only(bench.request(1, { stream: 1, timeoutMs: 100 }), "call");
  assert.equal(call!.stream, 1);
  bench.at(90);
  assert.equal(only(bench.answer(11, 1, { more: true }), "item").length, 1);
  bench.at(180);
  bench.core.credit(1, 1, 2, bench.nowUs);
  assert.deepEqual(only(bench.core.take(), "callCredit").map(({ items }) => items), [2]);
  assert.deepEqual(bench.at(270), []);
  bench.answer(11, 1, { more: true });
  bench.answer(11, 1, { more: true });
  assert.deepEqual(statuses(bench.answer(11, 1)), [100]);
  bench.core.credit(1, 1, 2, bench.nowUs);
  assert.deepEqual(bench.core.take(), [], "credit that comes too late is nobody's");
});

test("an item without credit, and one for a call that is no stream, end the provider's connection; its calls go on elsewhere", () => {
  for (const stream of [0, undefined]) {
    const bench = new Bench();
    bench.offer(11);
    bench.request(1, { stream });
    bench.offer(12);
    const effects = bench.answer(11, 1, { more: true });
    assert.deepEqual(only(effects, "expel").map(({ client, status }) => [client, status]), [[11, 200]]);
    assert.deepEqual(only(effects, "call").map(({ client }) => client), [12]);
    assert.equal(bench.core.counters.violations, 1);
  }
});

test("credit for what is no stream, too much of it, and a number that is in use end the caller's connection", () => {
  const bench = new Bench();
  bench.offer(11, { capacity: 10 });
  bench.request(1);
  bench.core.credit(1, 1, 1, 0);
  assert.equal(only(bench.core.take(), "expel")[0]?.client, 1);
  bench.request(2, { stream: 4_096 });
  bench.core.credit(2, 2, 1, 0);
  assert.equal(only(bench.core.take(), "expel")[0]?.client, 2);
  bench.core.request({ client: 3, uid: 1, key: "k", peer }, 9, { service: "s", group: undefined, timeoutMs: 1, stream: undefined, idempotent: true }, body("a"), 0);
  bench.core.request({ client: 3, uid: 1, key: "k", peer }, 9, { service: "s", group: undefined, timeoutMs: 1, stream: undefined, idempotent: true }, body("b"), 0);
  const effects = bench.core.take();
  assert.equal(only(effects, "expel")[0]?.client, 3);
  assert.equal(only(effects, "drop").length, 2);
});

test("a provider's own lists and limits: 202 for whom it does not admit, 210 beyond its rate and usage, others unharmed", () => {
  const bench = new Bench();
  bench.offer(11, { capacity: 10, admits: ({ client }) => client !== 3, callsMax: 2 });
  assert.equal(bench.refused(3), 202);
  assert.equal(bench.asked(1), 11);
  assert.equal(bench.asked(1), 11);
  assert.equal(bench.refused(1), 210);
  assert.equal(bench.asked(2), 11);
  bench.answer(11, 1);
  assert.equal(bench.asked(1), 11);
  const paced = new Bench();
  paced.offer(11, { capacity: 100, rateHzMax: 10 });
  assert.equal(paced.asked(1), 11);
  assert.equal(paced.refused(1), 210);
  assert.equal(paced.asked(2), 11);
  paced.at(100);
  assert.equal(paced.asked(1), 11);
  // Whoever waits already when its rate is used up is served when it has recovered, by time alone.
  const waiting = new Bench();
  waiting.offer(11, { rateHzMax: 10 });
  assert.equal(waiting.asked(2), 11);
  assert.deepEqual(waiting.request(1, {}, "a"), []);
  assert.deepEqual(waiting.request(1, {}, "b"), []);
  assert.equal(only(waiting.answer(11, 1), "call").length, 1);
  assert.equal(only(waiting.answer(11, 2), "call").length, 0);
  assert.equal(waiting.core.nextDeadlineUs, 100_000);
  assert.equal(only(waiting.at(100), "call").length, 1);
});

test("quotas: outstanding requests of a connection, requests and bytes of a user; the gateway's own services are outside", () => {
  const bench = new Bench({ requestsPerClient: 3 }, new FixedQuota({ callsMax: 4, bytesMax: 1e6 }));
  bench.offer(11, { capacity: 100 });
  bench.offer(0, { service: "gateway/safe-pose", capacity: Infinity, internal: true });
  for (let i = 0; i < 3; i++) assert.equal(bench.asked(1), 11);
  assert.equal(bench.refused(1), 210);
  assert.equal(bench.asked(2), 11);
  assert.equal(bench.refused(2), 210);
  assert.equal(bench.asked(2, { service: "gateway/safe-pose" }), 0);
  bench.answer(11, 1);
  assert.equal(bench.asked(2), 11);
  const quota = new FixedQuota({ callsMax: 100, bytesMax: 250 });
  const bytes = new Bench({}, quota);
  bytes.offer(11, { capacity: 100 });
  assert.deepEqual([bytes.asked(), bytes.asked(), bytes.refused()], [11, 11, 210]);
  bytes.gone(1);
  assert.equal(quota.users, 0);
});

test("a policy that changes ends the requests it does not permit any more", () => {
  const bench = new Bench();
  bench.offer(11);
  bench.offer(12, { service: "t" });
  bench.request(1);
  bench.request(1, { service: "t" });
  bench.core.recheck(1, (service) => service === "t");
  const effects = bench.core.take();
  assert.deepEqual([statuses(effects), only(effects, "callCancelled").map(({ client }) => client)], [[202], [11]]);
});

test("offers are bounded per client", () => {
  const bench = new Bench({ offersPerClient: 1 });
  bench.offer(11);
  assert.throws(() => bench.offer(11));
});

test("a caller's rate is forgotten once it has recovered", () => {
  const limits = new CallerLimits({ rateHzMax: 1_000, callsMax: undefined, rememberMax: 4 });
  for (let i = 0; i < 1_000; i++) {
    limits.begin(`k${i}`, i * 1e4);
    limits.end(`k${i}`, i * 1e4 + 10);
  }
  assert.ok(limits.size <= 5, `${limits.size}`);
  // A tenth of a second of the rate at once, then its pace.
  let begun = 0;
  while (limits.readyUs("burst") <= 2e7) {
    limits.begin("burst", 2e7);
    begun += 1;
  }
  assert.equal(begun, 100);
  assert.equal(limits.readyUs("burst"), 2e7 + 1_000);
});

test("farewell: over when all are ready or gone, or their time is; more time within the bound", () => {
  const farewell = new Farewell({ clients: [1, 2, 3], untilUs: 1e6, moreMsMax: 500 });
  assert.ok(!farewell.over(0));
  farewell.ready(1);
  assert.equal(farewell.moreTime(1, 100, 0), 0);
  assert.equal(farewell.moreTime(2, 10_000, 0), 1_500);
  assert.equal(farewell.moreTime(3, 100, 0), 1_000);
  assert.equal(farewell.untilUs, 1.5e6);
  farewell.ready(2);
  assert.equal(farewell.untilUs, 1e6);
  assert.deepEqual(farewell.late, [3]);
  assert.ok(farewell.over(1e6));
  farewell.ready(3);
  assert.equal(farewell.untilUs, undefined);
});

test("after a start a request waits for whoever comes back, and no longer than its own time", () => {
  const quota = new FixedQuota({ callsMax: 100, bytesMax: 1e6 });
  const bench = new Bench({}, quota, 2_500);
  assert.deepEqual(bench.request(1, {}, "early"), []);
  assert.deepEqual(bench.request(2, { group: "gpu" }, "for another kind"), []);
  assert.deepEqual(bench.request(3, { timeoutMs: 300 }, "in a hurry"), []);
  assert.deepEqual(bench.request(4, { service: "other", timeoutMs: 60_000 }, "for nobody"), []);
  assert.deepEqual(bench.request(5, { service: "none", timeoutMs: 60_000 }, "its caller dies"), []);
  bench.gone(5);
  assert.deepEqual(statuses(bench.at(299)), []);
  // Who had less time is told what it would have been told at once.
  assert.deepEqual(statuses(bench.at(300)), [203]);
  bench.offer(11);
  assert.deepEqual(only(bench.core.take(), "call").map(({ payload }) => payload.text), ["early"]);
  assert.deepEqual(bench.core.report().map(({ service, waiting }) => [service, waiting]), [["s", 1]], "what nobody offers is not shown");
  assert.deepEqual(statuses(bench.answer(11, 1)), [100]);
  assert.deepEqual(statuses(bench.at(1_000)), [203], "its own second is over");
  assert.deepEqual(statuses(bench.at(2_499)), []);
  assert.deepEqual(statuses(bench.at(2_500)), [203]);
  assert.equal(bench.refused(1, { service: "other" }), 203);
  bench.gone(11);
  assert.deepEqual([bench.core.size.calls, bench.core.size.services, bench.core.nextDeadlineUs], [0, 0, undefined]);
});

test("after a start no more requests wait for a service than its queue takes", () => {
  const bench = new Bench({ waitingPerService: 4 }, undefined, 2_500);
  assert.deepEqual([bench.request(1), bench.request(1)], [[], []]);
  assert.equal(bench.refused(1), 203);
});

/**
 * Services with any number of providers: who is asked, who waits, who is told. Pure: time is an argument, and what is to be done comes out as effects.
 *
 * A call goes to the provider with the fewest running calls for its capacity, in turn among equals. With all at capacity it waits, within its deadline.
 * Invariants: every request is answered exactly once (unless its caller is gone); a provider never has more calls than its capacity; one that leaves
 * gets none; a cancelled call keeps its place until the provider has answered it, so that a provider that hangs is given no more.
 *
 * When the gateway starts, programs come back in any order: until `returnsUntilUs` a call whose service nobody offers waits for somebody who does.
 */
import { Status } from "../../../schemas/status.ts";
import { STREAM_CREDIT_MAX } from "../../../shm/protocol/limits.ts";
import { CallerLimits } from "./callerLimits.ts";
import type { CallQuota } from "./callQuota.ts";
import type { ServiceLimits } from "./limits.ts";
import type { CallState, Caller, ClientState as RestoredClient, CoreListener, Effect, OfferTerms, PendingCall, RequestTerms, ServiceCounters, ServiceReport } from "./types.ts";

interface Provider<P> {
  client: number;
  offer: number;
  terms: OfferTerms;
  /** Limits per caller, where the offer has any. */
  callers: CallerLimits | undefined;
  slots: Set<Slot<P>>;
  /** When it was chosen last, by a counter: equals take turns. */
  chosen: number;
  leaving: boolean;
}

/** A provider's place for one call. */
interface Slot<P> {
  number: number;
  provider: Provider<P>;
  callerKey: string;
  /** undefined: nobody waits for its answer any more. */
  call: Call<P> | undefined;
}

interface Call<P> extends PendingCall<P> {
  caller: Caller;
  slot: Slot<P> | undefined;
  /** Whether the gateway's own. */
  internal: boolean;
}

interface Service<P> {
  name: string;
  providers: Provider<P>[];
  /** In order of arrival. */
  waiting: Call<P>[];
}

interface ClientState<P> {
  requests: Map<number, Call<P>>;
  offers: Map<number, Provider<P>>;
  slots: Map<number, Slot<P>>;
  lastOffer: number;
  lastCall: number;
  /** Set when it has said that it leaves. */
  leavesAtUs: number | undefined;
}

/** Why nobody can take a call now, from bad to better: the best reason among all providers counts. */
const obstacles = ["none", "notAdmitted", "leaving", "limited", "busy"] as const;
type Obstacle = (typeof obstacles)[number];

export type OfferResult = { ok: true; offer: number } | { ok: false; status: number; text: string };

export class ServiceCore<P> {
  readonly counters: ServiceCounters = { requests: 0, calls: 0, failovers: 0, timeouts: 0, cancelled: 0, refused: 0, lateResults: 0, unknownResults: 0, violations: 0 };
  readonly #limits: ServiceLimits;
  readonly #quota: CallQuota<P>;
  readonly #listener: CoreListener | undefined;
  /** 0 once it has passed. */
  #returnsUntilUs: number;
  readonly #clients = new Map<number, ClientState<P>>();
  readonly #services = new Map<string, Service<P>>();
  #effects: Effect<P>[] = [];
  #order = 0;
  #chosen = 0;
  /** Requests that wait for their answer. */
  #live = 0;
  /** Nothing is due before: a lower bound, made exact when it is reached. */
  #nextUs = Number.POSITIVE_INFINITY;

  constructor(limits: ServiceLimits, quota: CallQuota<P>, { returnsUntilUs = 0, listener }: { returnsUntilUs?: number; listener?: CoreListener | undefined } = {}) {
    this.#limits = limits;
    this.#quota = quota;
    this.#returnsUntilUs = returnsUntilUs;
    this.#listener = listener;
  }

  /** What is to be done since the last call of this. */
  take(): Effect<P>[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** When `poll` wants to be called next: undefined while no call is under way. It may be early, never late. */
  get nextDeadlineUs(): number | undefined {
    if (this.#live === 0) this.#nextUs = Number.POSITIVE_INFINITY;
    return this.#nextUs === Number.POSITIVE_INFINITY ? undefined : this.#nextUs;
  }

  // --- providers ------------------------------------------------------------------------------------------------------------------

  offer(client: number, terms: OfferTerms): OfferResult {
    const state = this.#client(client);
    if (state.leavesAtUs !== undefined) return { ok: false, status: Status.conflict, text: "a program that leaves offers nothing" };
    if (state.offers.size >= this.#limits.offersPerClient) return { ok: false, status: Status.tooManyRequests, text: `a client may have ${this.#limits.offersPerClient} offers` };
    const { rateHzMax, callsMax } = terms;
    const callers = rateHzMax === undefined && callsMax === undefined ? undefined : new CallerLimits({ rateHzMax, callsMax, rememberMax: this.#limits.callersPerOffer });
    const provider: Provider<P> = { client, offer: (state.lastOffer += 1), terms, callers, slots: new Set(), chosen: 0, leaving: false };
    state.offers.set(provider.offer, provider);
    this.#service(terms.service).providers.push(provider);
    this.#listener?.client(client);
    return { ok: true, offer: provider.offer };
  }

  /** To be called after the offer's number has been told: waiting calls may go to it. */
  offered(service: string, nowUs: number): void {
    const found = this.#services.get(service);
    if (found) this.#pump(found, nowUs);
  }

  /** Withdraws an offer; its running calls may finish. False: there is no such offer. */
  unoffer(client: number, offer: number, nowUs: number): boolean {
    const state = this.#clients.get(client);
    const provider = state?.offers.get(offer);
    if (!state || !provider) return false;
    state.offers.delete(offer);
    this.#listener?.client(client);
    provider.leaving = true;
    this.#unlist(provider);
    this.#settle(provider.terms.service, nowUs);
    return true;
  }

  /** The client goes at `deadlineUs`: no new calls; those that run may finish until then. */
  leaving(client: number, deadlineUs: number, nowUs: number): void {
    const state = this.#client(client);
    state.leavesAtUs = deadlineUs;
    this.#listener?.client(client);
    this.#due(deadlineUs);
    for (const provider of state.offers.values()) provider.leaving = true;
    for (const name of servicesOf(state)) this.#settle(name, nowUs);
  }

  /** An answer, or with `more` an item of a stream. */
  result(client: number, { call: callNumber, status, text, more }: { call: number; status: number; text: string; more: boolean }, payload: P, nowUs: number): void {
    const slot = this.#clients.get(client)?.slots.get(callNumber);
    if (!slot) {
      this.counters.unknownResults += 1;
      return this.#drop(payload);
    }
    const { call } = slot;
    if (!call) {
      this.counters.lateResults += 1;
      this.#drop(payload);
      if (!more) this.#free(slot, nowUs);
      return;
    }
    if (!more) {
      this.#finish(call, status, text, payload);
      return this.#free(slot, nowUs);
    }
    if (call.terms.stream === undefined || call.credit === 0) {
      this.#drop(payload);
      return this.#expel(client, call.terms.stream === undefined ? "an item of a stream for a call that is none" : "an item of a stream without credit", nowUs);
    }
    call.credit -= 1;
    call.seen = true;
    this.#listener?.call(call.caller.client, call.seq);
    this.#restart(call, nowUs);
    this.#effects.push({ do: "item", client: call.caller.client, seq: call.seq, payload });
  }

  // --- callers --------------------------------------------------------------------------------------------------------------------

  /** The policy has been asked. The answer comes as an effect. */
  request(caller: Caller, seq: number, terms: RequestTerms, payload: P, nowUs: number): void {
    this.counters.requests += 1;
    const state = this.#client(caller.client);
    if (state.requests.has(seq)) {
      this.#drop(payload);
      return this.#expel(caller.client, `request ${seq} is still waiting for its answer`, nowUs);
    }
    const early = nowUs < this.#returnsUntilUs;
    const service = this.#services.get(terms.service) ?? { name: terms.service, providers: [], waiting: [] };
    if (service.providers.length === 0 && !early) return this.#refuse(caller, seq, payload, Status.notFound, `nobody offers ${terms.service}`);
    if (state.requests.size >= this.#limits.requestsPerClient) return this.#refuse(caller, seq, payload, Status.tooManyRequests, `${this.#limits.requestsPerClient} requests are waiting for their answer`);
    const internal = service.providers.some((provider) => provider.terms.internal);
    const timeoutUs = (terms.timeoutMs ?? this.#limits.timeoutMsDefault) * 1e3;
    const call: Call<P> = {
      caller, seq, terms, payload, order: (this.#order += 1), timeoutUs, deadlineUs: nowUs + timeoutUs, credit: terms.stream ?? 0, seen: false, deaths: 0, slot: undefined, early: false, internal,
    };
    const chosen = this.#choose(service, call, nowUs);
    call.early = early && chosen === "none" && this.#mayWait(service, caller.uid);
    const refusal = typeof chosen === "string" && !call.early ? this.#refusal(service, call, chosen) : undefined;
    if (refusal) return this.#refuse(caller, seq, payload, refusal.status, refusal.text);
    if (!internal && !this.#quota.take(caller.uid, payload)) return this.#refuse(caller, seq, payload, Status.tooManyRequests, `uid ${caller.uid} has as many requests under way as one user may have`);
    state.requests.set(seq, call);
    this.#listener?.call(caller.client, seq);
    this.#live += 1;
    this.#due(call.deadlineUs);
    if (typeof chosen !== "string") return this.#start(call, chosen, nowUs);
    if (call.early) this.#due(this.#returnsUntilUs);
    this.#services.set(service.name, service);
    service.waiting.push(call);
    // Nobody can take it now, but somebody's rate may recover: that is noted on the way.
    this.#pump(service, nowUs);
  }

  /** More items may come. */
  credit(client: number, seq: number, items: number, nowUs: number): void {
    const call = this.#clients.get(client)?.requests.get(seq);
    // It may have been answered meanwhile.
    if (!call) return;
    if (call.terms.stream === undefined || call.credit + items > STREAM_CREDIT_MAX) return this.#expel(client, call.terms.stream === undefined ? "credit for a request that is no stream" : `more than ${STREAM_CREDIT_MAX} items of credit`, nowUs);
    call.credit += items;
    this.#listener?.call(client, seq);
    this.#restart(call, nowUs);
    if (call.slot) this.#effects.push({ do: "callCredit", client: call.slot.provider.client, call: call.slot.number, items });
  }

  cancel(client: number, seq: number): void {
    const call = this.#clients.get(client)?.requests.get(seq);
    if (!call) return;
    this.counters.cancelled += 1;
    this.#abandon(call, Status.requestTimeout, "the caller has cancelled");
    this.#finish(call, Status.requestTimeout, "cancelled", undefined);
  }

  /** Ends those requests of a client that `permitted` refuses, with 202: the policy has changed. */
  recheck(client: number, permitted: (service: string) => boolean): void {
    // Deleting from a Map while walking it is defined.
    for (const call of this.#clients.get(client)?.requests.values() ?? []) {
      if (permitted(call.terms.service)) continue;
      this.#abandon(call, Status.forbidden, "the caller may not call this any more");
      this.#finish(call, Status.forbidden, `this program may not call ${call.terms.service} any more`, undefined);
    }
  }

  /** The offers of a client, for rechecking them. */
  offersOf(client: number): { offer: number; service: string }[] {
    return [...(this.#clients.get(client)?.offers.values() ?? [])].map(({ offer, terms }) => ({ offer, service: terms.service }));
  }

  // --- ends -----------------------------------------------------------------------------------------------------------------------

  /** The connection has ended: its calls are finished by others, its requests answered to nobody. */
  gone(client: number, nowUs: number): void {
    const state = this.#clients.get(client);
    if (!state) return;
    this.#clients.delete(client);
    this.#listener?.client(client);
    for (const seq of state.requests.keys()) this.#listener?.call(client, seq);
    for (const call of state.requests.values()) {
      this.#abandon(call, Status.requestTimeout, "the caller is gone");
      this.#release(call);
    }
    const touched = servicesOf(state);
    for (const provider of state.offers.values()) this.#unlist(provider);
    this.#handOn([...state.slots.values()], { died: true }, nowUs);
    for (const name of touched) this.#settle(name, nowUs);
  }

  /** Ends what has run out of time. */
  poll(nowUs: number): void {
    if (nowUs < this.#nextUs) return;
    this.#nextUs = Number.POSITIVE_INFINITY;
    for (const [client, state] of this.#clients) {
      for (const call of state.requests.values()) if (call.deadlineUs <= nowUs) this.#expire(call);
      for (const call of state.requests.values()) this.#due(call.deadlineUs);
      if (state.leavesAtUs === undefined || state.slots.size === 0) continue;
      if (state.leavesAtUs > nowUs) this.#due(state.leavesAtUs);
      else this.#overstayed(client, state, nowUs);
    }
    if (nowUs >= this.#returnsUntilUs) this.#endReturns(nowUs);
    else this.#due(this.#returnsUntilUs);
    // Rates recover with time alone.
    for (const service of this.#services.values()) if (service.waiting.length > 0) this.#pump(service, nowUs);
  }

  report(): ServiceReport[] {
    return [...this.#services.values()].filter(({ providers }) => providers.length > 0).map(({ name, providers, waiting }) => ({
      service: name, waiting: waiting.length,
      providers: providers.map(({ client, offer, terms: { group, capacity, description }, slots, leaving }) => ({ client, offer, group, capacity, running: slots.size, leaving, description })),
    }));
  }

  /** How much is remembered, for tests of growth. */
  get size(): { clients: number; services: number; calls: number; slots: number } {
    let calls = 0;
    let slots = 0;
    for (const state of this.#clients.values()) {
      calls += state.requests.size;
      slots += state.slots.size;
    }
    return { clients: this.#clients.size, services: this.#services.size, calls, slots };
  }

  // --- a successor ----------------------------------------------------------------------------------------------------------------

  /** What a successor needs of a client; undefined: nothing. */
  clientState(client: number): RestoredClient | undefined {
    const state = this.#clients.get(client);
    if (!state) return undefined;
    const abandoned = [...state.slots.values()].filter(({ call }) => !call).map(({ number, provider, callerKey }) => ({ number, offer: provider.offer, callerKey }));
    return { lastOffer: state.lastOffer, leavesAtUs: state.leavesAtUs, abandoned };
  }

  lastCallOf(client: number): number | undefined {
    return this.#clients.get(client)?.lastCall;
  }

  /** What a successor needs of a request; undefined: it is answered. */
  callState(client: number, seq: number): CallState<P> | undefined {
    const call = this.#clients.get(client)?.requests.get(seq);
    if (!call) return undefined;
    const { terms, payload, order, timeoutUs, deadlineUs, credit, seen, deaths, early, slot } = call;
    return { seq, terms, payload, order, timeoutUs, deadlineUs, credit, seen, deaths, early, slot: slot && { client: slot.provider.client, number: slot.number, offer: slot.provider.offer } };
  }

  /** A client with its offers as a predecessor had them; those that it has withdrawn may still have calls. */
  restoreClient(client: number, { lastOffer, leavesAtUs, abandoned }: RestoredClient, { lastCall, offers }: { lastCall: number; offers: readonly { offer: number; terms: OfferTerms }[] }, nowUs: number): void {
    const state = this.#client(client);
    for (const { offer, terms } of offers) {
      state.lastOffer = offer - 1;
      this.offer(client, terms);
    }
    state.lastOffer = lastOffer;
    state.lastCall = lastCall;
    if (leavesAtUs !== undefined) this.leaving(client, leavesAtUs, nowUs);
    for (const { number, offer, callerKey } of abandoned) this.#restoreSlot(state, { client, number, offer, callerKey, service: "" });
  }

  /** A request as a predecessor had it, after all clients are there. What its provider was asked it is not asked again. */
  restoreCall(caller: Caller, { slot: at, ...saved }: CallState<P>, nowUs: number): void {
    const service = this.#service(saved.terms.service);
    const internal = service.providers.some((provider) => provider.terms.internal);
    const call: Call<P> = { ...saved, caller, internal, slot: undefined };
    this.#order = Math.max(this.#order, call.order);
    if (!internal) this.#quota.take(caller.uid, call.payload);
    this.#client(caller.client).requests.set(call.seq, call);
    this.#live += 1;
    this.#due(call.deadlineUs);
    const provider = at && !internal ? this.#clients.get(at.client) : undefined;
    if (at && provider) {
      call.slot = this.#restoreSlot(provider, { ...at, callerKey: caller.key, service: call.terms.service });
      call.slot.call = call;
    } else if (at && !internal) {
      this.#lostProvider(call);
    } else {
      const place = service.waiting.findIndex(({ order }) => order > call.order);
      service.waiting.splice(place < 0 ? service.waiting.length : place, 0, call);
    }
    this.#due(nowUs);
  }

  /** Its provider did not live through the takeover. */
  #lostProvider(call: Call<P>): void {
    const provider: Provider<P> = { client: -1, offer: 0, terms: { service: call.terms.service, group: "", capacity: 1, rateHzMax: undefined, callsMax: undefined, description: "", admits: () => false, internal: false }, callers: undefined, slots: new Set(), chosen: 0, leaving: true };
    const slot: Slot<P> = { number: 0, provider, callerKey: call.caller.key, call };
    call.slot = slot;
    this.#handOn([slot], { died: true }, 0);
  }

  /** After everything is restored. */
  settleAll(nowUs: number): void {
    for (const name of this.#services.keys()) this.#settle(name, nowUs);
  }

  #restoreSlot(state: ClientState<P>, { client, number, offer, callerKey, service }: { client: number; number: number; offer: number; callerKey: string; service: string }): Slot<P> {
    const terms: OfferTerms = { service, group: "", capacity: 1, rateHzMax: undefined, callsMax: undefined, description: "", admits: () => false, internal: false };
    // An offer that was withdrawn lives on in its calls alone.
    const provider: Provider<P> = state.offers.get(offer) ?? { client, offer, terms, callers: undefined, slots: new Set(), chosen: 0, leaving: true };
    const slot: Slot<P> = { number, provider, callerKey, call: undefined };
    state.slots.set(number, slot);
    provider.slots.add(slot);
    provider.callers?.begin(callerKey, 0);
    return slot;
  }

  // --- inside: choosing -----------------------------------------------------------------------------------------------------------

  /** The provider for a call, or the best reason why there is none now. */
  #choose(service: Service<P>, call: Call<P>, nowUs: number): Provider<P> | Obstacle {
    let best: Provider<P> | undefined;
    let rank = 0;
    for (const provider of service.providers) {
      const obstacle = this.#obstacle(provider, call, nowUs);
      if (obstacle !== undefined) rank = Math.max(rank, obstacles.indexOf(obstacle));
      else if (!best || isBefore(provider, best)) best = provider;
    }
    return best ?? obstacles[rank]!;
  }

  #obstacle(provider: Provider<P>, { terms, caller }: Call<P>, nowUs: number): Obstacle | undefined {
    if (terms.group !== undefined && provider.terms.group !== terms.group) return "none";
    if (!provider.terms.admits(caller)) return "notAdmitted";
    if (provider.leaving) return "leaving";
    const readyUs = provider.callers?.readyUs(caller.key) ?? 0;
    if (readyUs > nowUs) {
      this.#rateDue(provider, readyUs);
      return "limited";
    }
    return provider.slots.size >= provider.terms.capacity ? "busy" : undefined;
  }

  /** Comes back when a rate has recovered, if anybody waits for it. */
  #rateDue(provider: Provider<P>, readyUs: number): void {
    if ((this.#services.get(provider.terms.service)?.waiting.length ?? 0) > 0) this.#due(readyUs);
  }

  /** Whether one more call of a user may wait: at most its fair share of the places, as gateway/broker/quota has it, so that nobody can fill the queue for all others. */
  #mayWait({ waiting }: Service<P>, uid: number): boolean {
    const mine = waiting.filter(({ caller }) => caller.uid === uid).length;
    const users = new Set(waiting.map(({ caller }) => caller.uid)).add(uid).size;
    return (mine + 1) * (users + 1) - mine <= this.#limits.waitingPerService - waiting.length;
  }

  #refusal(service: Service<P>, { terms: { group }, caller }: Call<P>, obstacle: Obstacle): { status: number; text: string } | undefined {
    const what = group === undefined ? service.name : `${service.name} in group ${group}`;
    switch (obstacle) {
      case "none":
        return { status: Status.notFound, text: `nobody offers ${what}` };
      case "notAdmitted":
        return { status: Status.forbidden, text: `whoever offers ${what} does not admit this caller` };
      case "leaving":
        return { status: Status.serviceUnavailable, text: `whoever offers ${what} is leaving` };
      case "limited":
        return { status: Status.tooManyRequests, text: `whoever offers ${what} takes no more from this caller at this rate` };
      case "busy":
        return this.#mayWait(service, caller.uid) ? undefined : { status: Status.serviceUnavailable, text: `all providers of ${what} are busy, and ${service.waiting.length} calls wait already, of all users` };
      default:
        return obstacle satisfies never;
    }
  }

  #start(call: Call<P>, provider: Provider<P>, nowUs: number): void {
    const state = this.#client(provider.client);
    do state.lastCall = state.lastCall === 0xffff_ffff ? 1 : state.lastCall + 1; while (state.slots.has(state.lastCall));
    const slot: Slot<P> = { number: state.lastCall, provider, callerKey: call.caller.key, call };
    state.slots.set(slot.number, slot);
    provider.slots.add(slot);
    provider.chosen = this.#chosen += 1;
    provider.callers?.begin(call.caller.key, nowUs);
    call.slot = slot;
    call.early = false;
    this.#listener?.lastCall(provider.client);
    this.#listener?.call(call.caller.client, call.seq);
    this.counters.calls += 1;
    this.#effects.push({
      do: "call", client: provider.client, call: slot.number, offer: provider.offer, service: call.terms.service, caller: call.caller,
      timeoutMs: Math.max(0, (call.deadlineUs - nowUs) / 1e3), stream: call.terms.stream === undefined ? undefined : call.credit, payload: call.payload,
    });
  }

  /** Gives waiting calls to whoever is free, oldest first. */
  #pump(service: Service<P>, nowUs: number): void {
    const { waiting, providers } = service;
    for (let i = 0; i < waiting.length && providers.some(({ leaving, slots, terms }) => !leaving && slots.size < terms.capacity);) {
      const chosen = this.#choose(service, waiting[i]!, nowUs);
      if (typeof chosen === "string") i += 1;
      else this.#start(waiting.splice(i, 1)[0]!, chosen, nowUs);
    }
  }

  /** Whoever was to come back has come: calls wait for nobody else. */
  #endReturns(nowUs: number): void {
    if (this.#returnsUntilUs === 0) return;
    this.#returnsUntilUs = 0;
    // Deleting from a Map while walking it is defined.
    for (const [name, { waiting }] of this.#services) {
      this.#settle(name, nowUs);
      for (const call of waiting) call.early = false;
    }
  }

  /** After providers have left: gives up the calls that nobody who is left could take, and the service when nobody is left at all. */
  #settle(name: string, nowUs: number): void {
    const service = this.#services.get(name);
    if (!service) return;
    const hopeless = service.waiting.flatMap((call) => {
      const chosen = this.#choose(service, call, nowUs);
      const hopes = typeof chosen !== "string" || chosen === "busy" || chosen === "limited" || (call.early && this.#returnsUntilUs > 0);
      return hopes ? [] : [{ call, obstacle: chosen }];
    });
    for (const { call, obstacle } of hopeless) {
      service.waiting.splice(service.waiting.indexOf(call), 1);
      const refusal = call.early ? this.#refusal(service, call, obstacle) : undefined;
      if (refusal) {
        this.#finish(call, refusal.status, refusal.text, undefined);
        continue;
      }
      const died = call.deaths > 0;
      this.#finish(call, died ? Status.badGateway : Status.serviceUnavailable, died ? `the provider of ${name} died with this call, and there is no other` : `the last provider of ${name} has gone`, undefined);
    }
    this.#pump(service, nowUs);
    this.#forgetIfEmpty(service);
  }

  #forgetIfEmpty({ name, providers, waiting }: Service<P>): void {
    if (providers.length === 0 && waiting.length === 0) this.#services.delete(name);
  }

  // --- inside: ending -------------------------------------------------------------------------------------------------------------

  /** Their calls go to the next provider where that is allowed; the slots are no more. */
  #handOn(slots: readonly Slot<P>[], { died }: { died: boolean }, nowUs: number): void {
    const again: Call<P>[] = [];
    for (const slot of slots) {
      const { call } = slot;
      this.#vacate(slot, nowUs);
      if (!call) continue;
      call.slot = undefined;
      if (died) call.deaths += 1;
      this.#listener?.call(call.caller.client, call.seq);
      const { service } = call.terms;
      if (!call.terms.idempotent) this.#finish(call, Status.badGateway, `the provider of ${service} is gone; whether it did what was asked is not known`, undefined);
      else if (call.seen) this.#finish(call, Status.badGateway, `the provider of ${service} is gone in the middle of its answer`, undefined);
      else if (call.deaths >= this.#limits.deathsPerCall) this.#finish(call, Status.badGateway, `${call.deaths} providers of ${service} died with this call`, undefined);
      else again.push(call);
    }
    this.counters.failovers += again.length;
    for (const call of again) {
      const { waiting } = this.#service(call.terms.service);
      const at = waiting.findIndex(({ order }) => order > call.order);
      waiting.splice(at < 0 ? waiting.length : at, 0, call);
    }
    for (const name of new Set(again.map(({ terms }) => terms.service))) this.#settle(name, nowUs);
  }

  /** A client that said it would be gone by now is not: what it still has to answer is asked of others. */
  #overstayed(client: number, state: ClientState<P>, nowUs: number): void {
    for (const { number, call } of state.slots.values()) if (call) this.#effects.push({ do: "callCancelled", client, call: number, status: Status.requestTimeout, text: "the time to leave has come" });
    this.#handOn([...state.slots.values()], { died: false }, nowUs);
  }

  #expire(call: Call<P>): void {
    // Nobody has come in the time that the caller gave: as if it had been told at once.
    const service = this.#services.get(call.terms.service);
    const refusal = call.early && service && this.#choose(service, call, call.deadlineUs) === "none" ? this.#refusal(service, call, "none") : undefined;
    if (refusal) {
      this.#abandon(call, refusal.status, refusal.text);
      return this.#finish(call, refusal.status, refusal.text, undefined);
    }
    this.counters.timeouts += 1;
    const text = `${call.terms.service} did not answer within ${Math.round(call.timeoutUs / 1e3)} ms`;
    this.#abandon(call, Status.requestTimeout, "its time is over");
    this.#finish(call, Status.requestTimeout, text, undefined);
  }

  /** Nobody waits for the answer any more: its provider is told, or its place in the queue freed. */
  #abandon(call: Call<P>, status: number, text: string): void {
    if (call.slot) {
      call.slot.call = undefined;
      this.#listener?.client(call.slot.provider.client);
      this.#effects.push({ do: "callCancelled", client: call.slot.provider.client, call: call.slot.number, status, text });
      call.slot = undefined;
      return;
    }
    const service = this.#services.get(call.terms.service);
    const at = service?.waiting.indexOf(call) ?? -1;
    if (!service || at < 0) return;
    service.waiting.splice(at, 1);
    this.#forgetIfEmpty(service);
  }

  #finish(call: Call<P>, status: number, text: string, payload: P | undefined): void {
    const { client } = call.caller;
    this.#clients.get(client)?.requests.delete(call.seq);
    this.#listener?.call(client, call.seq);
    this.#effects.push({ do: "reply", client, seq: call.seq, status, text, payload });
    this.#release(call);
  }

  #release(call: Call<P>): void {
    this.#live -= 1;
    if (!call.internal) this.#quota.giveBack(call.caller.uid, call.payload);
    this.#drop(call.payload);
  }

  #refuse({ client }: Caller, seq: number, payload: P, status: number, text: string): void {
    this.counters.refused += 1;
    this.#drop(payload);
    this.#effects.push({ do: "reply", client, seq, status, text, payload: undefined });
  }

  /** The place is there for the next one. */
  #free(slot: Slot<P>, nowUs: number): void {
    this.#vacate(slot, nowUs);
    const service = this.#services.get(slot.provider.terms.service);
    if (service) this.#pump(service, nowUs);
  }

  #vacate(slot: Slot<P>, nowUs: number): void {
    const { provider, number, callerKey } = slot;
    provider.slots.delete(slot);
    if (!slot.call) this.#listener?.client(provider.client);
    provider.callers?.end(callerKey, nowUs);
    this.#clients.get(provider.client)?.slots.delete(number);
  }

  #unlist(provider: Provider<P>): void {
    const providers = this.#services.get(provider.terms.service)?.providers;
    const at = providers?.indexOf(provider) ?? -1;
    if (at >= 0) providers!.splice(at, 1);
  }

  #expel(client: number, text: string, nowUs: number): void {
    this.counters.violations += 1;
    this.#effects.push({ do: "expel", client, status: Status.badRequest, text });
    this.gone(client, nowUs);
  }

  #drop(payload: P): void {
    this.#effects.push({ do: "drop", payload });
  }

  /** In a stream the time begins anew with each item and each credit. */
  #restart(call: Call<P>, nowUs: number): void {
    call.deadlineUs = nowUs + call.timeoutUs;
  }

  #due(atUs: number): void {
    if (atUs < this.#nextUs) this.#nextUs = atUs;
  }

  #client(client: number): ClientState<P> {
    let state = this.#clients.get(client);
    if (!state) {
      state = { requests: new Map(), offers: new Map(), slots: new Map(), lastOffer: 0, lastCall: 0, leavesAtUs: undefined };
      this.#clients.set(client, state);
    }
    return state;
  }

  #service(name: string): Service<P> {
    let service = this.#services.get(name);
    if (!service) {
      service = { name, providers: [], waiting: [] };
      this.#services.set(name, service);
    }
    return service;
  }
}

/** Whether `a` is to be asked before `b`: less of its capacity in use, or as much and its turn. */
function isBefore<P>(a: Provider<P>, b: Provider<P>): boolean {
  const difference = a.slots.size / a.terms.capacity - b.slots.size / b.terms.capacity;
  return difference !== 0 ? difference < 0 : a.chosen < b.chosen;
}

function servicesOf<P>(state: ClientState<P>): Set<string> {
  return new Set([...state.offers.values()].map(({ terms }) => terms.service));
}

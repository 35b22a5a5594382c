/**
 * Who writes which topic by which lane, and who reads it. Pure: messages and kernel facts in, effects out; descriptors are opaque handles that pass through.
 *
 * An *advert* is a writer's claim to a topic, with the lane it writes now. A *view* is one subscription's hold on one advert: a lane that was handed to a reader, and, once
 * the reader has attached its page, a reader that the writer knows of. Whoever was ever handed a lane can read it for as long as it lives, whatever becomes of its view:
 * `exposed` remembers them all, and taking the right to read from one of them makes the writer change its lane (`rekey`).
 *
 * Invariants, checked by the model in registry.test.ts: a subscription has a view of each advert that it matches and may read, and of no other; every handle that was taken
 * in is dropped exactly once; numbers are never used again; when all connections are gone, nothing is left and every quota is given back.
 */
import { Status } from "../../../schemas/status.ts";
import { topicNameFault } from "../../../schemas/topics/topicName.ts";
import { type LanePolicy, lanePolicies } from "../../../shm/protocol/laneMessages.ts";
import type { Peer } from "../ports.ts";
import type { LaneLimits } from "./limits.ts";
import type { LaneQuota } from "./quota.ts";
import type { DirectTopics, TopicClaim } from "./topics.ts";

/** What the kernel and the lane's own header say of it. */
export interface LaneFacts {
  /** 32 hexadecimal digits. */
  laneId: string;
  schemaHash: bigint;
  policy: LanePolicy;
  fileBytes: number;
  firstSequence: bigint;
}

export interface Claim extends TopicClaim {
  policy: LanePolicy;
  deadlineMs: number | undefined;
}

export interface RegistryOptions {
  limits: LaneLimits;
  quota: LaneQuota;
  topics: DirectTopics;
  mayRead(who: Peer, topic: string): boolean;
  mayWrite(who: Peer, topic: string): boolean;
}

/** `C` stands for a connection, `L` for the descriptor of a lane. */
export interface Advert<C, L> {
  readonly connection: C;
  readonly peer: Peer;
  readonly number: number;
  readonly topic: string;
  readonly topicId: number;
  readonly deadlineMs: number;
  facts: LaneFacts;
  lane: L;
}

export interface View<C, L> {
  readonly connection: C;
  readonly subscription: number;
  /** The lane's number at the reader. */
  readonly lane: number;
  readonly advert: Advert<C, L>;
  /** What this reader gets. */
  readonly policy: LanePolicy;
  /** Its number at the writer, once it has attached. */
  reader: number | undefined;
}

export type LaneEffect<C, L> =
  /** Hand the advert's lane and a new bell to the reader. */
  | { do: "sendLane"; to: C; view: View<C, L>; replaces: number | undefined }
  | { do: "sendUnlane"; to: C; lane: number; status: number; text: string }
  /** Hand the reader's page and the other end of the bell to the writer. */
  | { do: "sendReader"; to: C; view: View<C, L>; reader: number }
  | { do: "sendUnreader"; to: C; advert: number; reader: number }
  | { do: "sendRekey"; to: C; advert: number }
  | { do: "sendUnadvert"; to: C; advert: number; status: number; text: string }
  /** Something could not be given to this client. */
  | { do: "tell"; to: C; status: number; text: string }
  /** Nobody needs what was kept for this view. */
  | { do: "dropView"; view: View<C, L> }
  | { do: "dropLane"; lane: L; topic: string; facts: LaneFacts };

export interface Verdict {
  status: number;
  text: string;
}

/** As it comes out of CBOR: small whole numbers are numbers there, whatever they were. */
type Saved<T> = { [K in keyof T]: T[K] extends bigint ? bigint | number : T[K] };

/** A connection's lanes as a successor needs them. `C` by number, `L` by the number of its descriptor. */
export interface LanesState {
  next: { advert: number; lane: number; reader: number };
  adverts: { number: number; claim: Saved<Claim>; facts: Saved<LaneFacts>; lane: number; topicId: number; deadlineMs: number; exposed: Peer[]; rekeyDueUs?: number | undefined }[];
  /** Views that it has as a reader. */
  views: { lane: number; subscription: number; writer: number; advert: number; policy: LanePolicy; reader?: number | undefined }[];
}

interface LiveAdvert<C, L> extends Advert<C, L> {
  readonly connection: C;
  readonly claim: Claim;
  readonly views: Set<View<C, L>>;
  /** Everybody who was handed the present lane, by identity. */
  exposed: Map<string, Peer>;
  rekeyDueUs: number | undefined;
}

interface Subscription {
  readonly number: number;
  readonly policy: LanePolicy;
  matches(topic: string): boolean;
}

interface Connection<C, L> {
  readonly key: C;
  readonly peer: Peer;
  /** The gateway itself. */
  readonly trusted: boolean;
  readonly adverts: Map<number, LiveAdvert<C, L>>;
  readonly subscriptions: Map<number, Subscription>;
  readonly views: Map<number, View<C, L>>;
  nextAdvert: number;
  nextLane: number;
  nextReader: number;
}

const ok: Verdict = { status: Status.ok, text: "" };

export class LaneRegistry<C, L> {
  readonly #options: RegistryOptions;
  readonly #connections = new Map<C, Connection<C, L>>();
  readonly #laneIds = new Set<string>();
  readonly #byTopic = new Map<string, Set<LiveAdvert<C, L>>>();
  #effects: LaneEffect<C, L>[] = [];

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** What is to be done, in this order; asked for after each call. */
  takeEffects(): LaneEffect<C, L>[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** `trusted`: the gateway's own connection, which reads everything. */
  open(key: C, peer: Peer, { trusted = false } = {}): void {
    this.#connections.set(key, { key, peer, trusted, adverts: new Map(), subscriptions: new Map(), views: new Map(), nextAdvert: 1, nextLane: 1, nextReader: 1 });
  }

  /** The connection has ended: everything of it is taken back. */
  close(key: C): void {
    const connection = this.#connections.get(key);
    if (!connection) return;
    for (const view of connection.views.values()) this.#forget(view);
    connection.subscriptions.clear();
    for (const advert of connection.adverts.values()) this.#withdraw(advert, { status: Status.noContent, text: "its writer is gone" });
    this.#connections.delete(key);
  }

  /** The connection will end soon: everybody who reads one of its topics is told once. */
  leaving(key: C, text: string): void {
    const readers = new Set<C>();
    for (const { views } of this.#connections.get(key)?.adverts.values() ?? []) for (const { connection } of views) readers.add(connection);
    for (const to of readers) this.#effects.push({ do: "tell", to, status: Status.serviceUnavailable, text });
  }

  // --- writers --------------------------------------------------------------------------------------------------------------------

  /** `facts`: what the descriptor turned out to be; undefined = no lane. The lane is the registry's only if `advert` is given back. */
  advertise(key: C, claim: Claim, lane: L, facts: LaneFacts | undefined): Verdict & { advert?: Advert<C, L> } {
    const connection = this.#connections.get(key)!;
    const { limits, topics, quota } = this.#options;
    const refusal = this.#judgeClaim(connection, claim) ?? this.#judgeLane(facts, claim);
    if (refusal) return refusal;
    const { fileBytes, laneId } = facts!;
    if (this.#laneIds.has(laneKey(connection.peer, laneId))) return { status: Status.conflict, text: "this lane is advertised already" };
    if (connection.adverts.size >= limits.advertsPerClient) return { status: Status.tooManyRequests, text: `a client may write ${limits.advertsPerClient} topics by lanes` };
    const use = { lanes: 1, laneBytes: fileBytes };
    const exhausted = quota.take(connection.peer, use);
    if (exhausted !== undefined) return { status: Status.tooManyRequests, text: exhausted };
    const topic = topics.claim(claim);
    if (topic.status >= 200) {
      quota.give(connection.peer, use);
      return topic;
    }
    const advert: LiveAdvert<C, L> = {
      connection: key, peer: connection.peer, number: connection.nextAdvert++, topic: claim.topic, topicId: topic.topicId!, deadlineMs: claim.deadlineMs ?? limits.losslessDeadlineMs, facts: facts!, lane, claim,
      views: new Set(), exposed: new Map(), rekeyDueUs: undefined,
    };
    connection.adverts.set(advert.number, advert);
    const others = this.#byTopic.get(claim.topic);
    if (others) others.add(advert);
    else this.#byTopic.set(claim.topic, new Set([advert]));
    this.#laneIds.add(laneKey(connection.peer, laneId));
    this.#show(advert);
    return { ...ok, advert };
  }

  /** The advert's new lane. Readers who may go on get it as a continuation of the old one. The lane is the registry's only if it worked. */
  relane(key: C, number: number, lane: L, facts: LaneFacts | undefined): Verdict {
    const connection = this.#connections.get(key)!;
    const advert = connection.adverts.get(number);
    if (!advert) return { status: Status.notFound, text: `there is no advert ${number}` };
    const refusal = this.#judgeLane(facts, advert.claim);
    if (refusal) return refusal;
    if (this.#laneIds.has(laneKey(advert.peer, facts!.laneId))) return { status: Status.conflict, text: "this lane is advertised already" };
    const exhausted = this.#options.quota.take(advert.peer, { laneBytes: facts!.fileBytes });
    if (exhausted !== undefined) return { status: Status.tooManyRequests, text: exhausted };
    const old = [...advert.views];
    this.#dropLane(advert);
    this.#laneIds.add(laneKey(advert.peer, facts!.laneId));
    advert.facts = facts!;
    advert.lane = lane;
    advert.exposed = new Map();
    advert.rekeyDueUs = undefined;
    // The writer's readers of the old lane go with it: it need not be told.
    for (const view of old) this.#dropView(view);
    this.#show(advert, old);
    for (const view of old) this.#effects.push({ do: "sendUnlane", to: view.connection, lane: view.lane, status: Status.noContent, text: "its writer has replaced it" });
    return ok;
  }

  unadvertise(key: C, number: number): Verdict {
    const advert = this.#connections.get(key)!.adverts.get(number);
    if (!advert) return { status: Status.notFound, text: `there is no advert ${number}` };
    this.#withdraw(advert, { status: Status.noContent, text: "its writer has ended it" });
    return ok;
  }

  // --- readers --------------------------------------------------------------------------------------------------------------------

  /** A subscription that reads lanes. Returns how many lanes it gets at once. */
  subscribe(key: C, subscription: Subscription): number {
    const connection = this.#connections.get(key)!;
    connection.subscriptions.set(subscription.number, subscription);
    let count = 0;
    for (const advert of this.#adverts()) if (this.#offer(connection, subscription, advert, undefined)) count += 1;
    return count;
  }

  unsubscribe(key: C, number: number): void {
    const connection = this.#connections.get(key)!;
    if (!connection.subscriptions.delete(number)) return;
    for (const view of connection.views.values()) if (view.subscription === number) this.#forget(view);
  }

  /** The view of a lane that a reader wants to attach its page to; 203 when the lane is gone, 205 when it has done so already. */
  viewToAttach(key: C, lane: number): { status: number; text: string; view?: View<C, L> } {
    const view = this.#connections.get(key)!.views.get(lane);
    if (!view) return { status: Status.notFound, text: `lane ${lane} is gone` };
    return view.reader === undefined ? { ...ok, view } : { status: Status.conflict, text: `lane ${lane} has its reader` };
  }

  /** The page has been checked. */
  attach(view: View<C, L>): void {
    const writer = this.#connections.get(view.advert.connection)!;
    const reader = writer.nextReader++;
    view.reader = reader;
    this.#effects.push({ do: "sendReader", to: writer.key, view, reader });
  }

  detach(key: C, lane: number): Verdict {
    const view = this.#connections.get(key)!.views.get(lane);
    if (!view) return { status: Status.notFound, text: `lane ${lane} is gone` };
    this.#forget(view);
    return ok;
  }

  // --- policy and time ------------------------------------------------------------------------------------------------------------

  /** The policy's answers may have changed. */
  recheck(nowUs: number): void {
    const { limits, mayWrite } = this.#options;
    for (const advert of this.#adverts()) {
      const refusal = mayWrite(advert.peer, advert.topic) ? undefined : { status: Status.forbidden, text: "its writer may no longer write it" };
      if (refusal) {
        this.#withdraw(advert, refusal, { status: Status.forbidden, text: `the access rules have changed: ${advert.topic} may not be written any more` });
        continue;
      }
      for (const view of advert.views) {
        if (this.#mayRead(this.#connections.get(view.connection)!, advert.topic)) continue;
        this.#forget(view);
        this.#effects.push({ do: "sendUnlane", to: view.connection, lane: view.lane, status: Status.forbidden, text: "the access rules have changed" });
      }
      const revoked = [...advert.exposed.values()].some((peer) => !this.#options.mayRead(peer, advert.topic));
      if (revoked && advert.rekeyDueUs === undefined) {
        advert.rekeyDueUs = nowUs + limits.rekeyMs * 1e3;
        this.#effects.push({ do: "sendRekey", to: advert.connection, advert: advert.number });
      }
      this.#show(advert);
    }
  }

  /** Takes the topic from writers that did not answer `rekey` in time. */
  poll(nowUs: number): void {
    for (const advert of this.#adverts()) {
      if (advert.rekeyDueUs === undefined || advert.rekeyDueUs > nowUs) continue;
      this.#withdraw(advert, { status: Status.noContent, text: "its writer did not change its lane in time" },
        { status: Status.requestTimeout, text: `${advert.topic} was taken away: no new lane came within ${this.#options.limits.rekeyMs} ms` });
    }
  }

  get nextDeadlineUs(): number | undefined {
    let nextUs: number | undefined;
    for (const { rekeyDueUs } of this.#adverts()) if (rekeyDueUs !== undefined) nextUs = Math.min(nextUs ?? Infinity, rekeyDueUs);
    return nextUs;
  }

  // --- a successor --------------------------------------------------------------------------------------------------------------------

  has(key: C): boolean {
    return this.#connections.has(key);
  }

  /** What a successor needs of a connection; undefined: there is no such connection. */
  state(key: C, nameOf: (lane: L) => number, numberOf: (key: C) => number): LanesState | undefined {
    const connection = this.#connections.get(key);
    if (!connection) return undefined;
    const { nextAdvert, nextLane, nextReader } = connection;
    return {
      next: { advert: nextAdvert, lane: nextLane, reader: nextReader },
      adverts: [...connection.adverts.values()].map(({ number, claim, facts, lane, topicId, deadlineMs, exposed, rekeyDueUs }) => ({
        number, claim, facts, lane: nameOf(lane), topicId, deadlineMs, rekeyDueUs, exposed: [...exposed.values()].map(({ pid, uid, gid, groups, component }) => ({ pid, uid, gid, groups, component })),
      })),
      views: [...connection.views.values()].map(({ lane, subscription, advert, policy, reader }) => ({ lane, subscription, writer: numberOf(advert.connection), advert: advert.number, policy, reader })),
    };
  }

  /** The adverts of a connection as a predecessor had them; `laneOf` gives its lanes, undefined one that is lost: then so is the advert. */
  restoreAdverts(key: C, { next, adverts }: LanesState, laneOf: (number: number) => L | undefined): void {
    const connection = this.#connections.get(key)!;
    connection.nextAdvert = next.advert;
    connection.nextLane = next.lane;
    connection.nextReader = next.reader;
    for (const { number, claim: told, facts: known, lane: laneNumber, topicId, deadlineMs, exposed, rekeyDueUs } of adverts) {
      const claim: Claim = { ...told, schemaHash: BigInt(told.schemaHash) };
      const facts: LaneFacts = { ...known, schemaHash: BigInt(known.schemaHash), firstSequence: BigInt(known.firstSequence) };
      const lane = laneOf(laneNumber);
      if (lane === undefined || this.#options.topics.claim(claim).status >= 200) {
        if (lane !== undefined) this.#effects.push({ do: "dropLane", lane, topic: claim.topic, facts });
        this.#effects.push({ do: "sendUnadvert", to: key, advert: number, status: Status.requestTimeout, text: `${claim.topic} was lost in a takeover: advertise it again` });
        continue;
      }
      // It was within its share when it was taken in.
      this.#options.quota.take(connection.peer, { lanes: 1, laneBytes: facts.fileBytes });
      const advert: LiveAdvert<C, L> = { connection: key, peer: connection.peer, number, topic: claim.topic, topicId, deadlineMs, facts, lane, claim, views: new Set(), exposed: new Map(exposed.map((peer) => [identityOf(peer), peer])), rekeyDueUs };
      connection.adverts.set(number, advert);
      const others = this.#byTopic.get(claim.topic);
      if (others) others.add(advert);
      else this.#byTopic.set(claim.topic, new Set([advert]));
      this.#laneIds.add(laneKey(connection.peer, facts.laneId));
    }
  }

  /** A subscription that reads lanes and has its views from a predecessor. */
  restoreSubscription(key: C, subscription: Subscription): void {
    this.#connections.get(key)!.subscriptions.set(subscription.number, subscription);
  }

  /** The views of a connection, when all adverts are there; returns them. Those of writers that are gone end. */
  restoreViews(key: C, { views }: LanesState, connectionOf: (number: number) => C | undefined): View<C, L>[] {
    const connection = this.#connections.get(key)!;
    return views.flatMap(({ lane, subscription, writer, advert: number, policy, reader }) => {
      const from = connectionOf(writer);
      const advert = from === undefined ? undefined : this.#connections.get(from)?.adverts.get(number);
      if (!advert) {
        this.#effects.push({ do: "sendUnlane", to: key, lane, status: Status.noContent, text: "its writer is gone" });
        return [];
      }
      const view: View<C, L> = { connection: key, subscription, lane, advert, policy, reader };
      connection.views.set(lane, view);
      advert.views.add(view);
      if (!connection.trusted) this.#options.quota.take(connection.peer, { readers: 1 });
      return [view];
    });
  }

  /** After everything is restored: lanes go to those who should have them and have not, readers that nobody has any more end. */
  settle(): void {
    for (const advert of this.#adverts()) this.#show(advert);
  }

  /** A reader that a predecessor had at this writer and nobody goes on with. */
  dismissReader(key: C, advert: number, reader: number): void {
    this.#effects.push({ do: "sendUnreader", to: key, advert, reader });
  }

  // --- for reports ----------------------------------------------------------------------------------------------------------------

  /** Those who write `topic`. */
  advertsOf(topic: string): Advert<C, L>[] {
    return [...(this.#byTopic.get(topic) ?? [])];
  }

  /** Every topic that has lanes: its writers and attached readers. */
  *report(): Generator<{ topic: string; advert: Advert<C, L>; readers: number }> {
    for (const advert of this.#adverts()) yield { topic: advert.topic, advert, readers: [...advert.views].filter(({ reader }) => reader !== undefined).length };
  }

  get isEmpty(): boolean {
    return this.#connections.size === 0 && this.#laneIds.size === 0 && this.#byTopic.size === 0;
  }

  // --- inside ---------------------------------------------------------------------------------------------------------------------

  #judgeClaim({ peer }: Connection<C, L>, { topic }: Claim): Verdict | undefined {
    const fault = topicNameFault(topic);
    if (fault) return { status: Status.badRequest, text: `the topic's name is not one: ${fault}` };
    if (topic.startsWith("cmd/")) return { status: Status.forbidden, text: `${topic}: commands are never direct, publish goes through the gateway's checks` };
    if (!this.#options.mayWrite(peer, topic)) return { status: Status.forbidden, text: `${peer.component} may not write ${topic}` };
    return undefined;
  }

  #judgeLane(facts: LaneFacts | undefined, { schemaHash, policy }: Claim): Verdict | undefined {
    if (!facts) return { status: Status.badRequest, text: "the descriptor is not a lane: not sealed as one, or its header is wrong" };
    if (facts.schemaHash !== schemaHash) return { status: Status.upgradeRequired, text: "the lane has another schema than its advert" };
    if (facts.policy !== policy) return { status: Status.badRequest, text: `the lane's policy is ${facts.policy}, its advert's ${policy}` };
    return undefined;
  }

  *#adverts(): Generator<LiveAdvert<C, L>> {
    for (const { adverts } of this.#connections.values()) yield* adverts.values();
  }

  #mayRead({ peer, trusted }: Connection<C, L>, topic: string): boolean {
    return trusted || this.#options.mayRead(peer, topic);
  }

  /** Hands the advert's lane to every subscription that should have it and has not. */
  #show(advert: LiveAdvert<C, L>, old: readonly View<C, L>[] = []): void {
    // A lane that is about to be replaced is shown to nobody new.
    if (advert.rekeyDueUs !== undefined) return;
    for (const connection of this.#connections.values()) {
      for (const subscription of connection.subscriptions.values()) {
        const replaced = old.find((view) => view.connection === connection.key && view.subscription === subscription.number);
        this.#offer(connection, subscription, advert, replaced?.lane);
      }
    }
  }

  #offer(connection: Connection<C, L>, subscription: Subscription, advert: LiveAdvert<C, L>, replaces: number | undefined): boolean {
    const { topic } = advert;
    if (advert.rekeyDueUs !== undefined || !subscription.matches(topic) || !this.#mayRead(connection, topic)) return false;
    if ([...advert.views].some((view) => view.connection === connection.key && view.subscription === subscription.number)) return false;
    const { limits, quota } = this.#options;
    const exhausted = connection.views.size >= limits.lanesPerReader ? `a client may read ${limits.lanesPerReader} lanes`
      : advert.views.size >= limits.readersPerLane ? `${topic} has ${limits.readersPerLane} readers already`
      : connection.trusted ? undefined : quota.take(connection.peer, { readers: 1 });
    if (exhausted !== undefined) {
      this.#effects.push({ do: "tell", to: connection.key, status: Status.tooManyRequests, text: `${topic} is left out: ${exhausted}` });
      return false;
    }
    const view: View<C, L> = { connection: connection.key, subscription: subscription.number, lane: connection.nextLane++, advert, policy: lesser(subscription.policy, advert.facts.policy), reader: undefined };
    connection.views.set(view.lane, view);
    advert.views.add(view);
    if (!connection.trusted) advert.exposed.set(identityOf(connection.peer), connection.peer);
    this.#effects.push({ do: "sendLane", to: connection.key, view, replaces });
    return true;
  }

  /** The reader is not to read it any more, and its writer is told. */
  #forget(view: View<C, L>): void {
    const { advert, reader } = view;
    this.#dropView(view);
    if (reader !== undefined) this.#effects.push({ do: "sendUnreader", to: advert.connection, advert: advert.number, reader });
  }

  #dropView(view: View<C, L>): void {
    const connection = this.#connections.get(view.connection)!;
    connection.views.delete(view.lane);
    (view.advert as LiveAdvert<C, L>).views.delete(view);
    if (!connection.trusted) this.#options.quota.give(connection.peer, { readers: 1 });
    this.#effects.push({ do: "dropView", view });
  }

  #dropLane(advert: LiveAdvert<C, L>): void {
    this.#laneIds.delete(laneKey(advert.peer, advert.facts.laneId));
    this.#options.quota.give(advert.peer, { laneBytes: advert.facts.fileBytes });
    this.#effects.push({ do: "dropLane", lane: advert.lane, topic: advert.topic, facts: advert.facts });
  }

  #withdraw(advert: LiveAdvert<C, L>, toReaders: Verdict, toWriter?: Verdict): void {
    for (const view of advert.views) {
      this.#dropView(view);
      this.#effects.push({ do: "sendUnlane", to: view.connection, lane: view.lane, ...toReaders });
    }
    if (toWriter) this.#effects.push({ do: "sendUnadvert", to: advert.connection, advert: advert.number, ...toWriter });
    this.#connections.get(advert.connection)!.adverts.delete(advert.number);
    const others = this.#byTopic.get(advert.topic)!;
    others.delete(advert);
    if (others.size === 0) this.#byTopic.delete(advert.topic);
    this.#dropLane(advert);
    this.#options.quota.give(advert.peer, { lanes: 1 });
    this.#options.topics.leave(advert.topic);
  }
}

function lesser(a: LanePolicy, b: LanePolicy): LanePolicy {
  return lanePolicies[Math.min(lanePolicies.indexOf(a), lanePolicies.indexOf(b))]!;
}

/** Two programs that the policy cannot tell apart count as one. */
function identityOf(peer: Peer): string {
  return JSON.stringify([peer.uid, peer.gid, peer.groups, peer.component]);
}

/** Everybody who may read a lane knows its id: it is taken only for its owner's user, or whoever comes first after a restart could keep the owner out. */
function laneKey({ uid }: Peer, laneId: string): string {
  return `${uid} ${laneId}`;
}

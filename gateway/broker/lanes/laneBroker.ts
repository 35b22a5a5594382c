/**
 * Lanes at the edge: owns the descriptors, asks the kernel what they are, does what the registry says. No payload passes here but for the gateway's own readers (tap.ts, history.ts).
 *
 * Who owns what: a lane's descriptor is kept as long as its advert; the writer's end of a bell from the moment its other end is handed out until a page comes or the view ends;
 * a page only while it is being handed on. What cannot be delivered is closed.
 */
import { readSync } from "node:fs";
import type { Clock } from "../../../schemas/clock.ts";
import type { LaneReport } from "../../../schemas/messages/statusReport.ts";
import { Status } from "../../../schemas/status.ts";
import { hashText } from "../../../schemas/topics/schemaHash.ts";
import type { AdvertiseMessage, LanePolicy, LaneServerMessage } from "../../../shm/protocol/laneMessages.ts";
import type { SubscriptionPolicy } from "../../../shm/protocol/messages.ts";
import type { Descriptor } from "../../../shm/sockets/index.ts";
import type { AccessPolicy, Peer, ServiceAnswer } from "../ports.ts";
import type { Quota } from "../quota/quota.ts";
import { type LaneHistory, laneHistory } from "./history.ts";
import { describeFacts, isMadeBy, isPageOf, newBell } from "./kernel.ts";
import type { LaneLimits } from "./limits.ts";
import { SharedLaneQuota } from "./quota.ts";
import { originOf } from "./origin.ts";
import { type Advert, type LaneEffect, type LaneFacts, LaneRegistry, type LanesState, type Verdict, type View } from "./registry.ts";
import type { DirectTopics } from "./topics.ts";

/** A connection as the lanes see it: a session, or the gateway's own reader. */
export interface LaneClient {
  readonly peer: Peer;
  /** Its number at the desk of services; 0 is the gateway itself. */
  readonly number: number;
  /** The gateway itself: reads everything, costs nobody's share. */
  readonly trusted?: boolean;
  /** Sends a message with duplicates of the descriptors, after the announcement of the topic that it names; false = it was not sent. */
  say(message: LaneServerMessage, descriptors: readonly Descriptor[], topic?: string): boolean;
  /** The number of an origin, which the client has been told. */
  originId(name: string): number;
  /** Says something that answers no call of its own. */
  tell(status: number, text: string): void;
}

export interface LaneBrokerOptions {
  limits: LaneLimits;
  quota: Quota;
  policy: Pick<AccessPolicy, "mayRead" | "mayWrite">;
  topics: DirectTopics;
  clock: Clock;
  /** For a successor: what `state` of this client says has changed, or it is gone. */
  changed?: (client: LaneClient) => void;
}

/** What a successor needs of a client's lanes. */
export interface ClientLanesState extends LanesState {
  /** Readers' ends of bells that wait for a page: lane number and descriptor. */
  bells: { lane: number; bell: number }[];
}

type Effect = LaneEffect<LaneClient, Descriptor>;

/** Where a lane's header keeps the sequence of its newest message: docs/specs/lanes.md. */
const HEAD_AT = 256;
const headBytes = Buffer.alloc(8);

export interface RestoredSubscription {
  id: number;
  policy: SubscriptionPolicy;
  matches(topic: string): boolean;
}

export class LaneBroker {
  readonly #options: LaneBrokerOptions;
  readonly #registry: LaneRegistry<LaneClient, Descriptor>;
  /** The writers' ends of bells whose readers have not attached yet, and pages on their way. */
  readonly #bells = new Map<View<LaneClient, Descriptor>, Descriptor>();
  readonly #pages = new Map<View<LaneClient, Descriptor>, Descriptor>();
  /** Messages of lanes that have ended, by topic. */
  readonly #counts = new Map<string, { ended: number }>();
  readonly #touched = new Set<LaneClient>();
  #performing = false;
  #cancelTimer: (() => void) | undefined;

  constructor(options: LaneBrokerOptions) {
    this.#options = options;
    const { limits, quota, policy, topics } = options;
    this.#registry = new LaneRegistry({
      limits, quota: new SharedLaneQuota(quota, limits.laneBytesPerUid), topics,
      mayRead: (who, topic) => policy.mayRead(who, topic), mayWrite: (who, topic) => policy.mayWrite(who, topic),
    });
  }

  get limits(): LaneLimits {
    return this.#options.limits;
  }

  open(client: LaneClient): void {
    this.#registry.open(client, client.peer, { trusted: client.trusted === true });
    this.#touch(client);
  }

  close(client: LaneClient): void {
    this.#registry.close(client);
    this.#touch(client);
    this.perform();
  }

  // --- a successor ----------------------------------------------------------------------------------------------------------------

  has(client: LaneClient): boolean {
    return this.#registry.has(client);
  }

  /** What a successor needs of a client's lanes; undefined: there is no such client. */
  state(client: LaneClient, name: (descriptor: Descriptor) => number): ClientLanesState | undefined {
    const state = this.#registry.state(client, name, ({ number }) => number);
    if (!state) return undefined;
    const bells = [...this.#bells].flatMap(([view, bell]) => (view.connection === client ? [{ lane: view.lane, bell: name(bell) }] : []));
    return { ...state, bells };
  }

  /**
   * Goes on with the lanes of all clients, which are open already, as a predecessor had them. `take` gives a descriptor, once. `subscriptionsOf`: their subscriptions that read lanes.
   * The predecessor's own reader is dismissed: this gateway's has a page of its own.
   */
  restore(
    states: ReadonlyMap<number, ClientLanesState>, { clients, take, subscriptionsOf }: { clients: ReadonlyMap<number, LaneClient>; take(number: number): Descriptor | undefined; subscriptionsOf(client: number): readonly RestoredSubscription[] },
  ): void {
    for (const [number, client] of clients) {
      const state = states.get(number);
      if (state) this.#registry.restoreAdverts(client, state, take);
      for (const { id, policy, matches } of subscriptionsOf(number)) this.#registry.restoreSubscription(client, { number: id, policy: lanePolicyOf(policy), matches });
    }
    for (const [number, state] of states) {
      const client = clients.get(number);
      if (client) this.#restoreViews(client, state, clients, take);
      else this.#dismiss(state, clients);
    }
    for (const topic of new Set([...this.#registry.report()].map((each) => each.topic))) this.#count(topic);
    this.#registry.settle();
    for (const client of clients.values()) this.#touch(client);
    this.perform();
  }

  #restoreViews(client: LaneClient, state: ClientLanesState, clients: ReadonlyMap<number, LaneClient>, take: (number: number) => Descriptor | undefined): void {
    for (const view of this.#registry.restoreViews(client, state, (number) => clients.get(number))) {
      const waiting = state.bells.find(({ lane }) => lane === view.lane);
      const bell = waiting && take(waiting.bell);
      if (bell) this.#bells.set(view, bell);
    }
  }

  /** The readers of who is not here any more: their writers are told. */
  #dismiss({ views }: LanesState, clients: ReadonlyMap<number, LaneClient>): void {
    for (const { writer, advert, reader } of views) {
      const client = clients.get(writer);
      if (client && reader !== undefined) this.#registry.dismissReader(client, advert, reader);
    }
  }

  /** Tells the readers of a client's topics that it goes. */
  leaving(client: LaneClient, text: string): void {
    this.#registry.leaving(client, text);
    this.perform();
  }

  // Each of these takes the descriptors over and answers; what follows from it is done by `perform`, after the answer has been sent.

  advertise(client: LaneClient, message: AdvertiseMessage, lane: Descriptor): ServiceAnswer {
    this.#touch(client);
    const { topic, encoding, layout, jsonSchema, policy, deadlineMs } = message;
    const facts = describeFacts(lane);
    if (facts && !isMadeBy(lane, client.peer.uid)) return refuseForeign(lane);
    const { advert, ...verdict } = this.#registry.advertise(client, { topic, encoding, schemaHash: BigInt(`0x${message.schemaHash}`), layout, jsonSchema, policy, deadlineMs }, lane, facts);
    if (!advert) {
      lane.close();
      return verdict;
    }
    this.#count(topic);
    return { status: Status.ok, body: { advert: advert.number, topicId: advert.topicId } };
  }

  relane(client: LaneClient, advert: number, lane: Descriptor): Verdict {
    this.#touch(client);
    const facts = describeFacts(lane);
    if (facts && !isMadeBy(lane, client.peer.uid)) return refuseForeign(lane);
    const verdict = this.#registry.relane(client, advert, lane, facts);
    if (verdict.status >= 200) lane.close();
    return verdict;
  }

  unadvertise(client: LaneClient, advert: number): Verdict {
    this.#touch(client);
    return this.#registry.unadvertise(client, advert);
  }

  attach(client: LaneClient, lane: number, page: Descriptor): Verdict {
    this.#touch(client);
    const { view, ...verdict } = this.#registry.viewToAttach(client, lane);
    const refusal = !view ? verdict : isPageOf(page, view.advert.facts.laneId) ? undefined : { status: Status.badRequest, text: `the descriptor is not a reader's page of lane ${lane}` };
    if (!view || refusal) {
      page.close();
      return refusal ?? verdict;
    }
    this.#pages.set(view, page);
    this.#registry.attach(view);
    return verdict;
  }

  detach(client: LaneClient, lane: number): Verdict {
    this.#touch(client);
    return this.#registry.detach(client, lane);
  }

  /** Returns how many lanes the subscription gets at once. */
  subscribe(client: LaneClient, number: number, policy: SubscriptionPolicy, matches: (topic: string) => boolean): number {
    this.#touch(client);
    return this.#registry.subscribe(client, { number, policy: lanePolicyOf(policy), matches });
  }

  unsubscribe(client: LaneClient, number: number): void {
    this.#touch(client);
    this.#registry.unsubscribe(client, number);
    this.perform();
  }

  /** The policy has changed. */
  recheck(): void {
    this.#registry.recheck(this.#options.clock.nowUs());
    this.perform();
  }

  /** The last `count` messages of a topic's lanes, oldest first, as far as they are kept and fit an answer. */
  history(topic: string, topicId: number, count: number): LaneHistory {
    const { queryBytes, readPayloadBytesMax } = this.#options.limits;
    return laneHistory(this.#registry.advertsOf(topic).map(({ lane, peer }) => ({ lane, origin: originOf(peer) })), { topicId, count, bytesMax: queryBytes, payloadBytesMax: readPayloadBytesMax });
  }

  /** Makes the newest message of a topic's lanes its last value in the gateway, if nobody has read it there. */
  refresh(topic: string): void {
    const [last] = this.history(topic, 0, 1).answers;
    if (last) this.#options.topics.store(topic, last.bytes, last.timeUs, last.quality, last.origin);
  }

  report(): LaneReport[] {
    return [...this.#registry.report()].map(({ topic, advert, readers }) => ({
      topic, writer: originOf(advert.peer), pid: advert.peer.pid, policy: advert.facts.policy, readers, messages: messagesOf(advert),
    }));
  }

  /** Does what the registry has decided, what follows from that included. */
  perform(): void {
    if (this.#performing) return;
    this.#performing = true;
    const { changed } = this.#options;
    try {
      for (let effects = this.#registry.takeEffects(); effects.length > 0; effects = this.#registry.takeEffects()) {
        for (const effect of effects) {
          if (changed) this.#touchBy(effect);
          this.#do(effect);
        }
      }
    } finally {
      this.#performing = false;
    }
    if (changed) for (const client of this.#touched) changed(client);
    this.#touched.clear();
    this.#schedule();
  }

  /** No timer is left behind. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #touch(client: LaneClient): void {
    if (this.#options.changed) this.#touched.add(client);
  }

  /** Whose state an effect comes from. */
  #touchBy(effect: Effect): void {
    if ("to" in effect) this.#touched.add(effect.to);
    if ("view" in effect) this.#touched.add(effect.view.connection).add(effect.view.advert.connection);
  }

  #do(effect: Effect): void {
    switch (effect.do) {
      case "sendLane":
        return this.#sendLane(effect.to, effect.view, effect.replaces);
      case "sendReader":
        return this.#sendReader(effect.to, effect.view, effect.reader);
      case "sendUnlane":
        return void effect.to.say({ op: "unlane", lane: effect.lane, status: effect.status, text: effect.text }, []);
      case "sendUnreader":
        return void effect.to.say({ op: "unreader", advert: effect.advert, reader: effect.reader }, []);
      case "sendRekey":
        return void effect.to.say({ op: "rekey", advert: effect.advert }, []);
      case "sendUnadvert":
        return void effect.to.say({ op: "unadvert", advert: effect.advert, status: effect.status, text: effect.text }, []);
      case "tell":
        return effect.to.tell(effect.status, effect.text);
      case "dropView":
        return this.#drop(effect.view);
      case "dropLane":
        return this.#dropLane(effect.topic, effect.lane, effect.facts);
      default:
        return effect satisfies never;
    }
  }

  #sendLane(client: LaneClient, view: View<LaneClient, Descriptor>, replaces: number | undefined): void {
    const { advert, lane, subscription, policy } = view;
    const bell = newBell();
    if (!bell) return client.tell(Status.insufficientStorage, `${advert.topic} is left out: the gateway has no descriptors left`);
    const said = client.say({
      op: "lane", subscription, topicId: advert.topicId, lane, origin: client.originId(originOf(advert.peer)), policy, schemaHash: hashText(advert.facts.schemaHash), replaces,
    }, [advert.lane, bell.reader], advert.topic);
    bell.reader.close();
    if (said) this.#bells.set(view, bell.writer);
    else bell.writer.close();
  }

  #sendReader(client: LaneClient, view: View<LaneClient, Descriptor>, reader: number): void {
    const page = this.#pages.get(view);
    const bell = this.#bells.get(view);
    if (page && bell) client.say({ op: "reader", advert: view.advert.number, reader, policy: view.policy, deadlineMs: view.advert.deadlineMs }, [page, bell]);
    this.#drop(view);
  }

  #drop(view: View<LaneClient, Descriptor>): void {
    this.#pages.get(view)?.close();
    this.#pages.delete(view);
    this.#bells.get(view)?.close();
    this.#bells.delete(view);
  }

  #dropLane(topic: string, lane: Descriptor, facts: LaneFacts): void {
    const counter = this.#counts.get(topic);
    if (counter) counter.ended += messagesOf({ lane, facts });
    lane.close();
    if (!counter || this.#registry.advertsOf(topic).length > 0) return;
    this.#counts.delete(topic);
    const total = counter.ended;
    this.#options.topics.countBy(topic, () => total);
  }

  /** Lets the topic know how many messages its lanes have had: a rate is shown without reading them. */
  #count(topic: string): void {
    if (this.#counts.has(topic)) return;
    const { topics } = this.#options;
    const counter = { ended: topics.messages(topic) };
    this.#counts.set(topic, counter);
    topics.countBy(topic, () => counter.ended + this.#registry.advertsOf(topic).reduce((sum, advert) => sum + messagesOf(advert), 0));
  }

  #schedule(): void {
    const { clock } = this.#options;
    this.#cancelTimer?.();
    const dueUs = this.#registry.nextDeadlineUs;
    this.#cancelTimer = dueUs === undefined ? undefined : clock.at(dueUs, () => {
      this.#registry.poll(clock.nowUs());
      this.perform();
    });
  }
}

function refuseForeign(lane: Descriptor): Verdict {
  lane.close();
  return { status: Status.forbidden, text: "the lane is somebody else's memory" };
}

function lanePolicyOf(policy: SubscriptionPolicy): LanePolicy {
  return "lossless" in policy ? "lossless" : "queueSamples" in policy ? "queue" : "latest";
}

/** From the lane's header, as its writer keeps it: wrong figures harm nobody. */
function messagesOf({ lane, facts }: Pick<Advert<LaneClient, Descriptor>, "lane" | "facts">): number {
  if (readSync(lane.fd, headBytes, 0, 8, HEAD_AT) !== 8) return 0;
  const count = headBytes.readBigUInt64LE(0) + 1n - facts.firstSequence;
  return count > 0n && count < 1n << 53n ? Number(count) : 0;
}

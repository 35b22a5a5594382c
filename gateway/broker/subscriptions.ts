/**
 * The subscriptions of one client: takes the gateway's samples and puts them into the outbox, rate limits applied. Says which topics and origins the
 * client must be told about before the samples can go.
 */
import { QUEUE_SAMPLES_MAX } from "../../shm/protocol/limits.ts";
import type { SubscriptionPolicy } from "../../shm/protocol/messages.ts";
import { SampleFlag } from "../../shm/protocol/samples.ts";
import type { SampleSink, TopicEntry, TopicSource } from "../topics/topicSource.ts";
import type { OriginTable } from "./origins.ts";
import { Feed, type Outbox, type Owed, Subscription } from "./outbox.ts";

export interface SubscriptionsOptions {
  outbox: Outbox;
  topics: TopicSource;
  origins: OriginTable;
  feedsMax: number;
  mayRead(topic: string): boolean;
  nowUs(): number;
  /** There is something to send. Called often: at most once per turn has an effect. */
  wake(): void;
  /** A topic was left out because the client has as many as it may. */
  tooMany(topic: string): void;
  /** What `state` says has changed. */
  changed(): void;
}

/** Subscriptions as a successor needs them. */
export interface SubscriptionsState {
  next: number;
  list: { id: number; pattern: string; policy: SubscriptionPolicy; rateHzMax?: number | undefined; readsLanes: boolean }[];
  /** Ids of topics and origins that the client has been told about. */
  described: number[];
  origins: number[];
}

interface Active extends SampleSink {
  wanted: SubscriptionsState["list"][number];
  subscription: Subscription;
  stop: () => void;
  lastValueOf(topic: TopicEntry): void;
}

export class Subscriptions {
  readonly #options: SubscriptionsOptions;
  readonly #active = new Map<number, Active>();
  readonly #described = new Set<number>();
  readonly #knownOrigins = new Set<number>();
  /** Topics that a subscription met and may not read. */
  readonly #refused = new WeakMap<Active, Set<number>>();
  #newTopics: TopicEntry[] = [];
  #newOrigins: number[] = [];
  /** Rate-limited feeds with a message that waits for its time. */
  #held: Feed[] = [];
  #nextId = 1;
  #feeds = 0;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#active.size;
  }

  /** Begins a subscription and returns its number. The pattern has been checked. */
  open(
    pattern: string, { policy, rateHzMax, lastValue, matches, readsLanes }: { policy: SubscriptionPolicy; rateHzMax: number | undefined; lastValue: boolean; matches: (name: string) => boolean; readsLanes: boolean },
  ): number {
    // What does not come by a lane has no writer who could wait: lossless is then the longest queue.
    const queueSamples = "lossless" in policy ? QUEUE_SAMPLES_MAX : "queueSamples" in policy ? policy.queueSamples : 0;
    const subscription = new Subscription(this.#nextId++, { queueSamples, intervalUs: rateHzMax === undefined ? 0 : 1e6 / rateHzMax });
    this.#options.outbox.add(subscription);
    const active = this.#activate(subscription, { id: subscription.id, pattern, policy, rateHzMax, readsLanes });
    this.#active.set(subscription.id, active);
    this.#options.changed();
    if (lastValue) {
      for (const topic of this.#options.topics.entries()) {
        // Whoever reads its lanes has its last value from there.
        if (topic.sequence > 0 && matches(topic.name) && !(readsLanes && topic.writers > 0)) active.lastValueOf(topic);
      }
    }
    active.stop = this.#options.topics.watch(pattern, active);
    return subscription.id;
  }

  /** Ends a subscription; false = there is none of this number. */
  close(id: number): boolean {
    const active = this.#active.get(id);
    if (!active) return false;
    this.#active.delete(id);
    this.#options.changed();
    active.stop();
    this.#feeds -= active.subscription.feeds.size;
    this.#options.outbox.remove(active.subscription);
    return true;
  }

  closeAll(): void {
    for (const id of this.#active.keys()) this.close(id);
  }

  /** Drops what the client may no longer read; what it may read now comes with the next sample. */
  recheck(): void {
    for (const { subscription } of this.#active.values()) {
      for (const feed of subscription.feeds.values()) {
        if (this.#options.mayRead(feed.topic.name)) continue;
        this.#options.outbox.forget(feed);
        this.#feeds -= 1;
      }
    }
    for (const active of this.#active.values()) this.#refused.delete(active);
  }

  /** A topic is gone: nothing more comes of it, and nothing is owed. */
  gone(topic: TopicEntry): void {
    this.#described.delete(topic.id);
    for (const active of this.#active.values()) {
      this.#refused.get(active)?.delete(topic.id);
      const feed = active.subscription.feeds.get(topic.id);
      if (!feed) continue;
      this.#options.outbox.forget(feed);
      this.#feeds -= 1;
    }
  }

  /** Whether the client does not know this origin; it does from now on. */
  learnsOrigin(id: number): boolean {
    if (this.#knownOrigins.has(id)) return false;
    this.#knownOrigins.add(id);
    this.#options.changed();
    return true;
  }

  /** Topics and origins that samples in the outbox name and the client does not know yet. */
  takeNews(): { topics: TopicEntry[]; origins: number[] } | undefined {
    if (this.#newTopics.length === 0 && this.#newOrigins.length === 0) return undefined;
    const news = { topics: this.#newTopics, origins: this.#newOrigins };
    this.#newTopics = [];
    this.#newOrigins = [];
    return news;
  }

  /** The client has been told about a topic in another way. */
  described(topic: TopicEntry): void {
    if (this.#described.has(topic.id)) return;
    this.#described.add(topic.id);
    this.#options.changed();
  }

  state(): SubscriptionsState {
    return { next: this.#nextId, list: [...this.#active.values()].map(({ wanted }) => wanted), described: [...this.#described], origins: [...this.#knownOrigins] };
  }

  /** Goes on where a predecessor has left off; `matcher` makes a pattern's test. */
  restore({ next, list, described, origins }: SubscriptionsState, matcher: (pattern: string) => (name: string) => boolean): void {
    for (const id of described) this.#described.add(id);
    for (const id of origins) this.#knownOrigins.add(id);
    for (const { id, pattern, policy, rateHzMax, readsLanes } of list) {
      this.#nextId = id;
      this.open(pattern, { policy, rateHzMax, lastValue: false, matches: matcher(pattern), readsLanes });
    }
    this.#nextId = next;
  }

  /** What a predecessor still owed: the newest value where it is known, and the rest told as lost. To be called after `restore`, when all topics have their values. */
  restoreOwed(owed: readonly Owed[]): void {
    const topics = new Map([...this.#options.topics.entries()].map((topic) => [topic.id, topic]));
    for (const { subscription, topicId, given, lost } of owed) {
      const active = this.#active.get(subscription);
      const topic = topics.get(topicId);
      const count = given === undefined ? (lost ?? 0) : (topic?.sequence ?? 0) - given;
      if (!active || !topic || count <= 0) continue;
      if (given !== undefined) active.sample(topic, topic.lastBytes, 0, topic.lastLength, count - 1);
      else {
        const feed = active.subscription.feeds.get(topicId) ?? this.#newFeed(active, topic);
        if (feed) this.#options.outbox.lose(feed, count);
        this.#options.wake();
      }
    }
  }

  isDescribed(topic: TopicEntry): boolean {
    return this.#described.has(topic.id);
  }

  /** Releases what has waited long enough; returns when to come again, µs, or undefined. */
  release(nowUs: number): number | undefined {
    let nextUs: number | undefined;
    const still: Feed[] = [];
    for (const feed of this.#held) {
      if (feed.dueUs <= nowUs) this.#send(feed, nowUs);
      else {
        still.push(feed);
        nextUs = Math.min(nextUs ?? Infinity, feed.dueUs);
      }
    }
    this.#held = still;
    return nextUs;
  }

  get nextDueUs(): number | undefined {
    return this.#held.length === 0 ? undefined : this.#held.reduce((least, feed) => Math.min(least, feed.dueUs), Infinity);
  }

  #activate(subscription: Subscription, wanted: Active["wanted"]): Active {
    const { outbox } = this.#options;
    const feeds = subscription.feeds;
    const active: Active = {
      wanted, subscription,
      readsLanes: wanted.readsLanes,
      stop: () => {},
      sample: (topic, bytes, at, lengthBytes, lostBefore) => {
        const feed = feeds.get(topic.id) ?? this.#newFeed(active, topic);
        if (!feed) return;
        if (feed.originName !== topic.origin) this.#newOrigin(feed, topic.origin);
        if (subscription.intervalUs > 0) this.#limited(feed, lostBefore);
        else if (subscription.queueSamples > 0) outbox.append(feed, 0, bytes, at, lengthBytes, lostBefore);
        else outbox.mark(feed, 0, lostBefore);
        this.#options.wake();
      },
      lastValueOf: (topic) => {
        const feed = feeds.get(topic.id) ?? this.#newFeed(active, topic);
        if (!feed) return;
        this.#newOrigin(feed, topic.origin);
        if (subscription.queueSamples > 0) outbox.append(feed, SampleFlag.lastValue, topic.lastBytes, 0, topic.lastLength, 0);
        else outbox.mark(feed, SampleFlag.lastValue, 0);
        this.#options.wake();
      },
    };
    return active;
  }

  #newFeed(active: Active, topic: TopicEntry): Feed | undefined {
    let refused = this.#refused.get(active);
    if (refused?.has(topic.id)) return undefined;
    const permitted = this.#options.mayRead(topic.name);
    if (!permitted || this.#feeds >= this.#options.feedsMax) {
      this.#refused.set(active, (refused ??= new Set()).add(topic.id));
      if (permitted) this.#options.tooMany(topic.name);
      return undefined;
    }
    const feed = new Feed(active.subscription, topic);
    active.subscription.feeds.set(topic.id, feed);
    this.#feeds += 1;
    if (!this.#described.has(topic.id)) {
      this.#described.add(topic.id);
      this.#newTopics.push(topic);
      this.#options.changed();
    }
    return feed;
  }

  #newOrigin(feed: Feed, name: string): void {
    feed.originName = name;
    feed.originId = this.#options.origins.idOf(name);
    if (this.learnsOrigin(feed.originId)) this.#newOrigins.push(feed.originId);
  }

  /** A sample under a rate limit: goes at once if its time has come, else the newest one goes when it has. Those left out are not losses; those lost upstream are. */
  #limited(feed: Feed, lostBefore: number): void {
    feed.lost += lostBefore;
    if (feed.held) {
      feed.flags |= SampleFlag.conflated;
      return;
    }
    const nowUs = this.#options.nowUs();
    if (feed.dueUs <= nowUs) this.#send(feed, nowUs);
    else {
      feed.held = true;
      this.#held.push(feed);
    }
  }

  #send(feed: Feed, nowUs: number): void {
    const { intervalUs } = feed.subscription;
    // From the due time rather than from now, so that lateness does not add up; after a pause from now.
    feed.dueUs = feed.dueUs + intervalUs > nowUs ? feed.dueUs + intervalUs : nowUs + intervalUs;
    feed.held = false;
    if (feed.subscription.feeds.get(feed.topic.id) === feed) this.#options.outbox.mark(feed, feed.flags, 0);
  }
}

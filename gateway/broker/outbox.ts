/**
 * What one client is still to be sent: pure bookkeeping between the gateway's samples and the client's packets.
 *
 * Two kinds of subscriptions share it. *latest* keeps nothing but a mark: the sample is taken from the topic's last value when there is room for a packet.
 * *queue(n)* appends samples, in their final form, to a chain of packets; while the client reads, a chain of one that is sent at the end of the turn.
 *
 * While it does not read, the chain grows to `reserve`'s limit. A queue that exceeds its n owes a drop: `debt` counts samples that will not be sent, always
 * the oldest ones of their subscription, and they are taken out when their packet's turn comes (or when they are most of the chain). So overflow costs nothing
 * per sample. Each loss is added to the `lostBefore` of the next sample of the same topic and subscription that is sent, or reported as a gap
 * if there is none: what a client receives plus what it is told it lost is always exactly what the topic had.
 */
import { PACKET_BYTES_MAX } from "../../shm/protocol/limits.ts";
import { PAYLOAD_BYTES_MAX, SampleBatchWriter, SampleFlag } from "../../shm/protocol/samples.ts";
import type { TopicEntry } from "../topics/topicSource.ts";

/** A subscription as the outbox sees it. */
export class Subscription {
  readonly id: number;
  /** Samples it wants kept; 0 = the latest value of each topic. */
  readonly queueSamples: number;
  /** µs between two messages of one topic; 0 = no limit. */
  readonly intervalUs: number;
  readonly feeds = new Map<number, Feed>();
  /** Samples in the chain that will be sent; valid in `epoch`. */
  queued = 0;
  /** Oldest samples in the chain that will not be sent. */
  debt = 0;
  epoch = 0;

  constructor(id: number, { queueSamples, intervalUs }: { queueSamples: number; intervalUs: number }) {
    this.id = id;
    this.queueSamples = queueSamples;
    this.intervalUs = intervalUs;
  }
}

/** One topic of one subscription. */
export class Feed {
  readonly subscription: Subscription;
  readonly topic: TopicEntry;
  /** Samples lost since the last one sent, not yet told. */
  lost = 0;
  /** Flags of the next latest sample. */
  flags = 0;
  /** Marked: the topic's last value is to be sent. */
  dirty = false;
  /** The epoch in which it last had samples in the chain. */
  epoch = 0;
  /** Its samples in the chain, and what was lost before them; valid in `epoch`. */
  waiting = 0;
  /** For a rate limit: when the next message may go, and whether one waits for that. */
  dueUs = 0;
  held = false;
  originName = "";
  originId = 0;

  constructor(subscription: Subscription, topic: TopicEntry) {
    this.subscription = subscription;
    this.topic = topic;
  }
}

/** Packets in use and spare; shared by all clients. */
export class PacketPool {
  readonly #spare: SampleBatchWriter[] = [];

  take(): SampleBatchWriter {
    const batch = this.#spare.pop() ?? new SampleBatchWriter();
    batch.reset();
    return batch;
  }

  give(batch: SampleBatchWriter): void {
    // 2 MiB: enough for thirty clients in one turn; what a burst needed beyond goes back to the system.
    if (this.#spare.length < 32) this.#spare.push(batch);
  }
}

export interface OutboxOptions {
  pool: PacketPool;
  /** Asks for memory for one more packet of a client that does not read, and gives it back. */
  reserve(bytes: number): boolean;
  release(bytes: number): void;
}

/** What a client has not been given of one topic of a subscription, for a successor who has nothing of what waits. */
export interface Owed {
  subscription: number;
  topicId: number;
  /** The last sequence that it has: all behind are owed. Absent where sequences do not say it (a rate limit leaves some out, lanes have their own). */
  given?: number | undefined;
  /** So many are owed. */
  lost?: number | undefined;
}

export interface Gap {
  subscription: number;
  topicId: number;
  lost: number;
}

const LOST_MAX = 0xffff_ffff;

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #subscriptions = new Map<number, Subscription>();
  #chain: SampleBatchWriter[] = [];
  #samples = 0;
  #debt = 0;
  /** Counts how often the chain has been empty; what feeds and subscriptions say about an earlier epoch is void. */
  #epoch = 1;
  #dirty: Feed[] = [];
  readonly #lossy = new Set<Feed>();
  /** What `owed` says may have changed since it was asked. */
  #owedChanged = false;
  /** Which kind goes first when both wait. */
  #latestFirst = false;
  #lastTopic: TopicEntry | undefined;
  /** Whether the client is behind. Only then do queues overflow: what arrives in one turn goes out together, however much it is. */
  behind = false;
  sent = 0;
  dropped = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  add(subscription: Subscription): void {
    this.#subscriptions.set(subscription.id, subscription);
  }

  /** Forgets a subscription; its samples in the chain are skipped when their turn comes. */
  remove(subscription: Subscription): void {
    this.#subscriptions.delete(subscription.id);
    if (subscription.epoch === this.#epoch) this.#debt -= subscription.debt;
    for (const feed of subscription.feeds.values()) this.forget(feed);
  }

  /** Forgets one topic of a subscription. */
  forget(feed: Feed): void {
    this.#lossy.delete(feed);
    feed.dirty = false;
    feed.subscription.feeds.delete(feed.topic.id);
  }

  get pendingBytes(): number {
    return this.#chain.length * PACKET_BYTES_MAX;
  }

  get hasWork(): boolean {
    return this.#chain.length > 0 || this.#dirty.length > 0 || this.#lossy.size > 0;
  }

  /** Whether `owed` may say something else than when this was asked last. */
  takeOwedChanged(): boolean {
    const changed = this.#owedChanged;
    this.#owedChanged = false;
    return changed;
  }

  /** What is not with the client yet: all that would be lost with this gateway, and has to be told as lost then. */
  owed(): Owed[] {
    const owed: Owed[] = [];
    for (const subscription of this.#subscriptions.values()) {
      for (const feed of subscription.feeds.values()) {
        const count = this.#owedOf(feed);
        if (count <= 0) continue;
        const { id: topicId, sequence } = feed.topic;
        owed.push({ subscription: subscription.id, topicId, ...(countsBySequence(feed) ? { given: sequence - count } : { lost: count }) });
      }
    }
    return owed;
  }

  /** So many samples of a feed are lost: told with its next one, or as a gap. */
  lose(feed: Feed, count: number): void {
    this.#owedChanged = true;
    this.#addLoss(feed, count);
  }

  /** Whether the packet being filled is full: worth sending within the turn. */
  get isFull(): boolean {
    return this.#chain.length > 1;
  }

  /** A sample of a queueing subscription: copies the payload. */
  append(feed: Feed, flags: number, payload: Uint8Array, at: number, lengthBytes: number, lostBefore: number): void {
    const { topic, subscription } = feed;
    if (lengthBytes > PAYLOAD_BYTES_MAX) return this.#lose(feed, 1 + lostBefore);
    let lost = lostBefore;
    if (feed.lost > 0 && feed.epoch !== this.#epoch) {
      lost += feed.lost;
      feed.lost = 0;
      this.#lossy.delete(feed);
    }
    const add = (tail: SampleBatchWriter): boolean =>
      tail.append(topic.id, subscription.id, topic.sequence, topic.timeUs, Math.min(lost, LOST_MAX), feed.originId, topic.quality, flags, payload, at, lengthBytes);
    const tail = this.#chain.at(-1);
    // An empty packet takes any sample of the size checked above.
    if (!tail || !add(tail)) add(this.#extend());
    // Only now: extending may have emptied the chain and begun a new epoch.
    const begins = feed.epoch !== this.#epoch;
    if (begins || feed.waiting === 0 || lostBefore > 0 || !countsBySequence(feed)) this.#owedChanged = true;
    // The value a subscription began with was no sample of its time: it is not owed.
    feed.waiting = (begins ? lost - lostBefore + feed.lost : feed.waiting) + lostBefore + (flags & SampleFlag.lastValue ? 0 : 1);
    feed.epoch = this.#epoch;
    if (subscription.epoch !== this.#epoch) {
      subscription.epoch = this.#epoch;
      subscription.queued = 0;
      subscription.debt = 0;
    }
    this.#lastTopic = topic;
    this.#samples += 1;
    subscription.queued += 1;
    if (this.behind && subscription.queued > subscription.queueSamples) this.#owe(subscription);
  }

  /** A sample of a latest subscription, which replaces one that has not gone yet. */
  mark(feed: Feed, flags: number, lostBefore: number): void {
    if (!feed.dirty || lostBefore > 0 || !countsBySequence(feed)) this.#owedChanged = true;
    feed.lost += lostBefore;
    if (feed.dirty) {
      // The value a subscription began with was no sample of its time: replacing it loses nothing.
      if (!(feed.flags & SampleFlag.lastValue)) {
        feed.lost += 1;
        feed.flags |= SampleFlag.conflated;
        this.dropped += 1;
      }
    } else {
      feed.dirty = true;
      this.#dirty.push(feed);
    }
    feed.flags = (feed.flags & ~SampleFlag.lastValue) | flags;
    this.#lastTopic = feed.topic;
  }

  /**
   * Sends what waits: calls `send` with finished packets until it returns false (the client is behind) or nothing is left.
   * `send` has taken the packet in either case. Before, the caller has made sure that one packet will be taken.
   */
  pack(send: (batch: SampleBatchWriter) => boolean): void {
    let room = true;
    while (room && (this.#chain.length > 0 || this.#dirty.length > 0)) {
      const batch = this.#next();
      this.#owedChanged = true;
      if (batch.count > 0) {
        batch.finish(wallOffsetUs(this.#lastTopic));
        this.sent += batch.count;
        room = send(batch);
      }
      this.#options.pool.give(batch);
    }
  }

  /** Losses with nothing behind them that could tell; empty unless everything else has gone. */
  takeGaps(): Gap[] {
    if (this.#lossy.size === 0 || this.#chain.length > 0) return [];
    const gaps: Gap[] = [];
    for (const feed of this.#lossy) {
      // A marked feed's next sample tells.
      if (feed.dirty) continue;
      this.#owedChanged = true;
      gaps.push({ subscription: feed.subscription.id, topicId: feed.topic.id, lost: feed.lost });
      feed.lost = 0;
      this.#lossy.delete(feed);
    }
    return gaps;
  }

  /** Gives all memory back. Returns how many samples are lost with it. */
  clear(): number {
    let lost = this.#dirty.filter((feed) => feed.dirty).length - this.#debt;
    while (this.#chain.length > 0) {
      lost += this.#chain[0]!.count;
      this.#options.pool.give(this.#shift());
    }
    this.#dirty = [];
    this.#lossy.clear();
    this.#subscriptions.clear();
    this.dropped += lost;
    return lost;
  }

  /** The next packet, out of the chain. */
  #next(): SampleBatchWriter {
    const both = this.#chain.length > 0 && this.#dirty.length > 0;
    this.#latestFirst = both && this.#chain.length > 1 && !this.#latestFirst;
    if (this.#chain.length === 0 || this.#latestFirst) return this.#addLatest(this.#options.pool.take());
    const whole = this.#chain.length === 1;
    const first = this.#chain[0]!;
    // Without losses a packet goes as it is.
    const batch = this.#debt === 0 && this.#lossy.size === 0 ? first : this.#rewrite(first, true);
    if (batch === first && !whole) this.#uncount(first);
    this.#shift();
    if (batch !== first) this.#options.pool.give(first);
    return whole ? this.#addLatest(batch) : batch;
  }

  #shift(): SampleBatchWriter {
    const first = this.#chain.shift()!;
    this.#samples -= first.count;
    // The chain's one and only packet is not counted, see #extend.
    if (this.#chain.length > 0) this.#options.release(PACKET_BYTES_MAX);
    if (this.#chain.length === 0) {
      this.#epoch += 1;
      this.#samples = 0;
      this.#debt = 0;
    }
    return first;
  }

  /** Fills the rest of a packet with the topics whose latest value is to be sent. */
  #addLatest(batch: SampleBatchWriter): SampleBatchWriter {
    let taken = 0;
    for (const feed of this.#dirty) {
      const { topic, subscription } = feed;
      if (feed.dirty) {
        if (topic.lastLength > PAYLOAD_BYTES_MAX) this.#lose(feed, 1);
        else if (!batch.append(topic.id, subscription.id, topic.sequence, topic.timeUs, Math.min(feed.lost, LOST_MAX), feed.originId, topic.quality, feed.flags, topic.lastBytes, 0, topic.lastLength)) break;
        else {
          feed.lost = 0;
          this.#lossy.delete(feed);
        }
        feed.dirty = false;
        feed.flags = 0;
      }
      taken += 1;
    }
    this.#dirty = taken === this.#dirty.length ? [] : this.#dirty.slice(taken);
    return batch;
  }

  /** A new packet at the end of the chain. Every client may have one; without memory for more, the oldest is dropped. */
  #extend(): SampleBatchWriter {
    // Mostly debts: one pass over the chain frees at least half of it.
    if (this.#chain.length > 1 && this.#debt * 2 > this.#samples) this.#compact();
    while (this.#chain.length > 0 && !this.#options.reserve(PACKET_BYTES_MAX)) this.#dropFirst();
    const batch = this.#options.pool.take();
    this.#chain.push(batch);
    return batch;
  }

  #dropFirst(): void {
    const first = this.#chain[0]!;
    let at = first.start;
    for (let i = 0; i < first.count; i++, at += first.sampleBytesAt(at)) {
      const feed = this.#feedAt(first, at);
      if (!feed) continue;
      const { subscription } = feed;
      if (subscription.debt > 0) this.#payDebt(subscription);
      else {
        subscription.queued -= 1;
        this.dropped += 1;
      }
      this.#addLoss(feed, 1 + first.lostBeforeAt(at));
    }
    this.#options.pool.give(this.#shift());
  }

  /** Takes the samples of a packet that leaves as it is out of their queues' counts; when the chain's last packet leaves, the epoch does that for all. */
  #uncount(batch: SampleBatchWriter): void {
    let at = batch.start;
    for (let i = 0; i < batch.count; i++, at += batch.sampleBytesAt(at)) {
      const subscription = this.#subscriptions.get(batch.tagAt(at));
      if (!subscription) continue;
      subscription.queued -= 1;
      const feed = subscription.feeds.get(batch.topicIdAt(at));
      if (feed) feed.waiting -= batch.lostBeforeAt(at) + (batch.flagsAt(at) & SampleFlag.lastValue ? 0 : 1);
    }
  }

  /** The samples of `batch` that are not owed as drops, in a packet of their own, with the losses before them; the samples leave the queues' counts if `leaving`. */
  #rewrite(batch: SampleBatchWriter, leaving: boolean): SampleBatchWriter {
    const into = this.#options.pool.take();
    let at = batch.start;
    for (let i = 0; i < batch.count; i++, at += batch.sampleBytesAt(at)) {
      const feed = this.#feedAt(batch, at);
      if (!feed) continue;
      const { subscription } = feed;
      const lost = batch.lostBeforeAt(at);
      if (subscription.debt > 0) {
        this.#payDebt(subscription);
        this.#addLoss(feed, 1 + lost);
        continue;
      }
      if (leaving) {
        subscription.queued -= 1;
        feed.waiting -= lost + feed.lost + (batch.flagsAt(at) & SampleFlag.lastValue ? 0 : 1);
      }
      into.appendCopy(batch, at, Math.min(lost + feed.lost, LOST_MAX), batch.flagsAt(at));
      if (feed.lost > 0) {
        feed.lost = 0;
        this.#lossy.delete(feed);
      }
    }
    return into;
  }

  /** Rewrites the whole chain without the owed drops, into as few packets as possible. */
  #compact(): void {
    const { pool } = this.#options;
    const old = this.#chain;
    const compacted: SampleBatchWriter[] = [];
    let samples = 0;
    for (const batch of old) {
      const rewritten = this.#rewrite(batch, false);
      let tail = compacted.at(-1);
      if (tail && tail.packetBytes + rewritten.packetBytes <= PACKET_BYTES_MAX) {
        let at = rewritten.start;
        for (let i = 0; i < rewritten.count; i++, at += rewritten.sampleBytesAt(at)) tail.appendCopy(rewritten, at, rewritten.lostBeforeAt(at), rewritten.flagsAt(at));
        pool.give(rewritten);
      } else {
        tail = rewritten;
        compacted.push(tail);
      }
      samples += rewritten.count;
      pool.give(batch);
    }
    for (let i = Math.max(1, compacted.length); i < old.length; i++) this.#options.release(PACKET_BYTES_MAX);
    this.#chain = compacted;
    this.#samples = samples;
  }

  #owedOf(feed: Feed): number {
    if (feed.subscription.queueSamples > 0) return feed.epoch === this.#epoch && this.#chain.length > 0 ? feed.waiting : feed.lost;
    return feed.lost + (feed.dirty && (feed.flags & SampleFlag.lastValue) === 0 ? 1 : 0);
  }

  /** Whose sample it is; undefined when its subscription has ended. */
  #feedAt(batch: SampleBatchWriter, at: number): Feed | undefined {
    return this.#subscriptions.get(batch.tagAt(at))?.feeds.get(batch.topicIdAt(at));
  }

  /** The oldest samples beyond the queue's size are not to be sent. */
  #owe(subscription: Subscription): void {
    const excess = subscription.queued - subscription.queueSamples;
    subscription.queued = subscription.queueSamples;
    subscription.debt += excess;
    this.#debt += excess;
    this.dropped += excess;
  }

  #payDebt(subscription: Subscription): void {
    subscription.debt -= 1;
    this.#debt -= 1;
  }

  #lose(feed: Feed, count: number): void {
    this.dropped += 1;
    if (feed.epoch === this.#epoch) feed.waiting += count;
    this.#owedChanged = true;
    this.#addLoss(feed, count);
  }

  #addLoss(feed: Feed, count: number): void {
    feed.lost += count;
    this.#lossy.add(feed);
  }
}

/** Whether a difference of the topic's sequence is what was lost between. */
function countsBySequence({ subscription, topic }: Feed): boolean {
  return subscription.intervalUs === 0 && topic.writers === 0;
}

/** Wall time minus monotonic time. The topic table derives every wall time from one offset, so any topic tells. */
function wallOffsetUs(topic: TopicEntry | undefined): number {
  return topic === undefined ? 0 : Number(topic.wallTimeNs) / 1e3 - topic.timeUs;
}

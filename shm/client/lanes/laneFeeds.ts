/**
 * The lanes that a program's subscriptions read (a client's, or the gateway's own): opened when the gateway hands them out, read to their end when their writer goes, continued where a new lane replaces one,
 * kept while the gateway is away and recognised when it hands them out again.
 *
 * Order: a lane that replaces another begins when that has been read to its end; the two meet without a gap, because the writer changed between two messages.
 */
import { IpcnetError, Status } from "../../../schemas/status.ts";
import { describeLane, type LaneBatch, LaneError, LaneReader } from "../../lanes/index.ts";
import type { LaneMessage } from "../../protocol/laneMessages.ts";
import { closeAll, type Descriptor } from "../../sockets/index.ts";

/** A subscription, as the lanes see it. */
export interface LaneSubscriber<T> {
  /** Whether to begin with the last value of lanes that were there before. */
  readonly lastValue: boolean;
  /** Messages of one lane, in order; the batch is borrowed until it returns. `isOpen` says whether this subscription still reads it. */
  batch(batch: LaneBatch, source: LaneSource<T>): void;
}

/** Where a batch comes from; the same object for all batches of a lane. */
export interface LaneSource<T> {
  readonly topic: T;
  readonly origin: string;
  readonly isOpen: boolean;
  /** The subscription's own count. */
  unfit: number;
}

export interface FeedPorts<T> {
  topic(id: number): T | undefined;
  nameOf(topic: T): string;
  /** Lanes with larger payloads are left out: reading one needs that much memory. Absent: the program chooses its topics itself. */
  readonly payloadBytesMax?: number;
  origin(id: number): string;
  /** Hands the page to the gateway. The descriptor stays the reader's. */
  attach(lane: number, page: Descriptor): void;
  detach(lane: number): void;
  failed(error: unknown): void;
  /** Calls back after `ms`, unless the returned function was called before. */
  after(ms: number, callback: () => void): () => void;
}

/**
 * A lane that its writer has left ends by itself, when all of it has been read. This is for a writer that breaks the rules and writes on: no more than the ring holds is taken of it,
 * and nothing after a pause of so many milliseconds.
 */
const DRAIN_IDLE_MS = 1_000;

interface Feed<T> {
  readonly subscriber: LaneSubscriber<T>;
  readonly reader: LaneReader;
  readonly laneId: string;
  readonly slots: number;
  readonly source: { topic: T; origin: string; isOpen: boolean; unfit: number };
  /** The gateway's number for it; undefined when the gateway has taken it back or is away. */
  lane: number | undefined;
  state: "waiting" | "reading" | "ended";
  successor: Feed<T> | undefined;
  /** Its writer has left it: how many messages are still taken, and what ends a pause. */
  draining: { left: number; cancel: () => void } | undefined;
}

export class LaneFeeds<T> {
  readonly #ports: FeedPorts<T>;
  readonly #feeds = new Set<Feed<T>>();
  #byLane = new Map<number, Feed<T>>();

  constructor(ports: FeedPorts<T>) {
    this.#ports = ports;
  }

  /** Takes over the descriptors. `early`: one of the lanes that were there when the subscription began. */
  lane(message: LaneMessage, [lane, bell]: readonly [Descriptor, Descriptor], subscriber: LaneSubscriber<T> | undefined, { early }: { early: boolean }): void {
    const topic = this.#ports.topic(message.topicId);
    const description = this.#describe(lane);
    if (!subscriber || !topic || !description) {
      closeAll([lane, bell]);
      this.#ports.detach(message.lane);
      return;
    }
    const laneId = Buffer.from(description.laneId).toString("hex");
    const kept = [...this.#feeds].find((feed) => feed.subscriber === subscriber && feed.laneId === laneId && feed.state !== "ended");
    const origin = this.#ports.origin(message.origin);
    if (kept) {
      closeAll([lane, bell]);
      Object.assign(kept.source, { topic, origin });
      kept.lane = message.lane;
      this.#byLane.set(message.lane, kept);
      this.#ports.attach(message.lane, kept.reader.page);
      return;
    }
    const start = early ? (subscriber.lastValue ? "last" : "next") : message.policy === "latest" ? "last" : { sequence: description.firstSequence };
    const reader = this.#open(lane, bell, { policy: message.policy, start, schemaHash: BigInt(`0x${message.schemaHash}`) }, topic);
    if (!reader) {
      this.#ports.detach(message.lane);
      return;
    }
    const feed: Feed<T> = { subscriber, reader, laneId, slots: description.slots, source: { topic, origin, isOpen: true, unfit: 0 }, lane: message.lane, state: "waiting", successor: undefined, draining: undefined };
    this.#feeds.add(feed);
    this.#byLane.set(message.lane, feed);
    reader.onEnd((why) => this.#ended(feed, why));
    const before = message.replaces === undefined ? undefined : this.#byLane.get(message.replaces);
    if (before && before.state !== "ended") before.successor = feed;
    else this.#begin(feed);
    this.#ports.attach(message.lane, reader.page);
  }

  /** 103: read it to its end; anything else: drop it at once. */
  unlane(lane: number, status: number): void {
    const feed = this.#byLane.get(lane);
    if (!feed) return;
    this.#byLane.delete(lane);
    feed.lane = undefined;
    if (feed.state === "ended") this.#feeds.delete(feed);
    else if (status === Status.noContent) this.#drain(feed);
    else this.#finish(feed);
  }

  /** The gateway is away: what is mapped flows on, numbers mean nothing any more. */
  lost(): void {
    this.#byLane = new Map();
    for (const feed of this.#feeds) {
      feed.lane = undefined;
      if (feed.state === "ended") this.#feeds.delete(feed);
    }
  }

  /** The subscription ends. */
  drop(subscriber: LaneSubscriber<T>): void {
    for (const feed of this.#feeds) if (feed.subscriber === subscriber) this.#finish(feed, { quietly: true });
  }

  closeAll(): void {
    for (const feed of this.#feeds) this.#finish(feed, { quietly: true });
  }

  get count(): number {
    return this.#feeds.size;
  }

  #describe(lane: Descriptor): ReturnType<typeof describeLane> {
    try {
      return describeLane(lane);
    } catch (error) {
      if (!(error instanceof LaneError)) throw error;
      this.#ports.failed(new IpcnetError(Status.insufficientStorage, error.message));
      return undefined;
    }
  }

  #open(lane: Descriptor, bell: Descriptor, options: Parameters<typeof LaneReader.open>[2], topic: T): LaneReader | undefined {
    const { payloadBytesMax = Infinity } = this.#ports;
    try {
      const reader = LaneReader.open(lane, bell, options);
      if (reader.payloadBytesMax <= payloadBytesMax) return reader;
      reader.close();
      this.#ports.failed(new IpcnetError(Status.payloadTooLarge, `${this.#ports.nameOf(topic)}: messages of up to ${reader.payloadBytesMax} bytes`));
      return undefined;
    } catch (error) {
      if (!(error instanceof LaneError)) throw error;
      this.#ports.failed(new IpcnetError(Status.badGateway, `${this.#ports.nameOf(topic)}: a lane cannot be read: ${error.message}`));
      return undefined;
    } finally {
      lane.close();
    }
  }

  #begin(feed: Feed<T>): void {
    feed.state = "reading";
    if (feed.draining) this.#waitForPause(feed, feed.draining);
    feed.reader.onMessages((batch) => {
      const { count } = batch;
      feed.subscriber.batch(batch, feed.source);
      if (feed.draining) this.#drained(feed, feed.draining, count);
    });
  }

  #drain(feed: Feed<T>): void {
    feed.draining = { left: feed.slots, cancel: () => {} };
    if (feed.state === "reading") this.#waitForPause(feed, feed.draining);
  }

  #drained(feed: Feed<T>, draining: NonNullable<Feed<T>["draining"]>, count: number): void {
    draining.left -= count;
    if (draining.left <= 0) this.#finish(feed);
    else this.#waitForPause(feed, draining);
  }

  #waitForPause(feed: Feed<T>, draining: NonNullable<Feed<T>["draining"]>): void {
    draining.cancel();
    if (feed.state === "reading") draining.cancel = this.#ports.after(DRAIN_IDLE_MS, () => this.#finish(feed));
  }

  #ended(feed: Feed<T>, why: "closed" | "gone" | "broken"): void {
    if (feed.state === "ended") return;
    if (why === "broken") {
      this.#ports.failed(new IpcnetError(Status.integrityFailure, `${this.#ports.nameOf(feed.source.topic)}: its writer ${feed.source.origin} breaks the rules of its lane`));
      if (feed.lane !== undefined) this.#ports.detach(feed.lane);
    }
    this.#finish(feed);
  }

  /** Nothing more comes of it; what waited for its end begins. One that the gateway has not taken back yet stays known by its number, for the lane that will replace it. */
  #finish(feed: Feed<T>, { quietly = false } = {}): void {
    const { successor } = feed;
    feed.draining?.cancel();
    feed.state = "ended";
    feed.source.isOpen = false;
    feed.successor = undefined;
    feed.reader.close();
    if (quietly && feed.lane !== undefined) this.#byLane.delete(feed.lane);
    if (quietly || feed.lane === undefined) this.#feeds.delete(feed);
    if (successor && !quietly && successor.state === "waiting") this.#begin(successor);
  }
}

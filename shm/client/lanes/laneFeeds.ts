/**
 * The lanes that this program's subscriptions read: opened when the gateway hands them out, read to their end when their writer goes, continued where a new lane replaces one,
 * kept while the gateway is away and recognised when it hands them out again.
 *
 * Order: a lane that replaces another begins when that has been read to its end; the two meet without a gap, because the writer changed between two messages.
 */
import { IpcnetError, Status } from "../../../schemas/status.ts";
import { describeLane, type LaneBatch, LaneError, LaneReader } from "../../lanes/index.ts";
import type { LaneMessage } from "../../protocol/laneMessages.ts";
import { closeAll, type Descriptor } from "../../sockets/index.ts";
import type { KnownTopic } from "../message.ts";

/** A subscription, as the lanes see it. */
export interface LaneSubscriber {
  readonly lastValue: boolean;
  /** Messages of a lane, borrowed until it returns. */
  batch(batch: LaneBatch, topic: KnownTopic, origin: string): void;
}

export interface FeedPorts {
  topic(id: number): KnownTopic | undefined;
  origin(id: number): string;
  /** Hands the page to the gateway. The descriptor stays the reader's. */
  attach(lane: number, page: Descriptor): void;
  detach(lane: number): void;
  failed(error: unknown): void;
  /** Calls back after `ms`, unless the returned function was called before. */
  after(ms: number, callback: () => void): () => void;
}

/** A writer that has gone has closed its lane or its end of the bell, and what it wrote is there; this is for one that breaks the rules. */
const DRAIN_MS = 1_000;

interface Feed {
  readonly subscriber: LaneSubscriber;
  readonly reader: LaneReader;
  readonly laneId: string;
  topic: KnownTopic;
  origin: string;
  /** The gateway's number for it; undefined when the gateway has taken it back or is away. */
  lane: number | undefined;
  state: "waiting" | "reading" | "ended";
  successor: Feed | undefined;
  cancelDrain: (() => void) | undefined;
}

export class LaneFeeds {
  readonly #ports: FeedPorts;
  readonly #feeds = new Set<Feed>();
  #byLane = new Map<number, Feed>();

  constructor(ports: FeedPorts) {
    this.#ports = ports;
  }

  /** Takes over the descriptors. `early`: one of the lanes that were there when the subscription began. */
  lane(message: LaneMessage, [lane, bell]: readonly [Descriptor, Descriptor], subscriber: LaneSubscriber | undefined, { early }: { early: boolean }): void {
    const topic = this.#ports.topic(message.topicId);
    const description = describeLane(lane);
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
      Object.assign(kept, { topic, origin, lane: message.lane });
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
    const feed: Feed = { subscriber, reader, laneId, topic, origin, lane: message.lane, state: "waiting", successor: undefined, cancelDrain: undefined };
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
    else if (status === Status.noContent) feed.cancelDrain = this.#ports.after(DRAIN_MS, () => this.#finish(feed));
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
  drop(subscriber: LaneSubscriber): void {
    for (const feed of this.#feeds) if (feed.subscriber === subscriber) this.#finish(feed, { quietly: true });
  }

  closeAll(): void {
    for (const feed of this.#feeds) this.#finish(feed, { quietly: true });
  }

  get count(): number {
    return this.#feeds.size;
  }

  #open(lane: Descriptor, bell: Descriptor, options: Parameters<typeof LaneReader.open>[2], topic: KnownTopic): LaneReader | undefined {
    try {
      return LaneReader.open(lane, bell, options);
    } catch (error) {
      if (!(error instanceof LaneError)) throw error;
      this.#ports.failed(new IpcnetError(Status.badGateway, `${topic.announcement.name}: a lane cannot be read: ${error.message}`));
      return undefined;
    } finally {
      lane.close();
    }
  }

  #begin(feed: Feed): void {
    feed.state = "reading";
    feed.reader.onMessages((batch) => feed.subscriber.batch(batch, feed.topic, feed.origin));
  }

  #ended(feed: Feed, why: "closed" | "gone" | "broken"): void {
    if (feed.state === "ended") return;
    if (why === "broken") {
      this.#ports.failed(new IpcnetError(Status.integrityFailure, `${feed.topic.announcement.name}: its writer ${feed.origin} breaks the rules of its lane`));
      if (feed.lane !== undefined) this.#ports.detach(feed.lane);
    }
    this.#finish(feed);
  }

  /** Nothing more comes of it; what waited for its end begins. One that the gateway has not taken back yet stays known by its number, for the lane that will replace it. */
  #finish(feed: Feed, { quietly = false } = {}): void {
    const { successor } = feed;
    feed.cancelDrain?.();
    feed.state = "ended";
    feed.successor = undefined;
    feed.reader.close();
    if (quietly && feed.lane !== undefined) this.#byLane.delete(feed.lane);
    if (quietly || feed.lane === undefined) this.#feeds.delete(feed);
    if (successor && !quietly && successor.state === "waiting") this.#begin(successor);
  }
}

/**
 * The gateway as a reader of lanes: for whoever in the gateway needs a topic's samples and reads no lanes itself (bridges, mirrors, rate-limited and simple subscribers).
 * It reads all that is still in the ring, tells exactly what it lost, and leaves as soon as nobody needs it.
 */
import type { Clock } from "../../../schemas/clock.ts";
import { LaneFeeds, type LaneSubscriber } from "../../../shm/client/lanes/laneFeeds.ts";
import type { LaneBatch } from "../../../shm/lanes/index.ts";
import type { LaneServerMessage } from "../../../shm/protocol/laneMessages.ts";
import { closeAll, type Descriptor, SocketError } from "../../../shm/sockets/index.ts";
import type { Peer } from "../ports.ts";
import type { LaneBroker, LaneClient } from "./laneBroker.ts";
import type { DirectTopics } from "./topics.ts";

/** The gateway's own reader has no session. */
const GATEWAY = 0;

export interface LaneTapOptions {
  lanes: LaneBroker;
  topics: DirectTopics;
  /** The gateway itself. */
  peer: Peer;
  clock: Clock;
}

export class LaneTap implements LaneClient {
  readonly trusted = true;
  readonly number = GATEWAY;
  readonly peer: Peer;
  readonly #lanes: LaneBroker;
  readonly #feeds: LaneFeeds<string>;
  readonly #subscribers = new Map<number, LaneSubscriber<string>>();
  readonly #stop: () => void;
  /** Topic and origin of the lane that is being handed out: numbers are for connections. */
  #topic = "";
  #origin = "";
  /** The lanes that come now were there before the need for them. */
  #early = false;
  /** Lanes that could not be read, or were broken; only rises. */
  failed = 0;

  constructor({ lanes, topics, peer, clock }: LaneTapOptions) {
    this.peer = peer;
    this.#lanes = lanes;
    this.#feeds = new LaneFeeds({
      payloadBytesMax: lanes.limits.readPayloadBytesMax, topic: () => this.#topic, nameOf: (topic) => topic, origin: () => this.#origin, failed: () => (this.failed += 1), after: (ms, callback) => clock.at(clock.nowUs() + ms * 1e3, callback),
      attach: (lane, page) => {
        const [copy] = this.#copies([page]) ?? [];
        if (copy) lanes.attach(this, lane, copy);
      },
      detach: (lane) => void lanes.detach(this, lane),
    });
    lanes.open(this);
    const subscriber: LaneSubscriber<string> = {
      lastValue: false,
      batch: (batch: LaneBatch, { topic, origin }) => {
        for (let i = 0; i < batch.count; i++) topics.sample(topic, batch.payload(i), { timeUs: batch.timeUs(i), quality: batch.quality(i), origin, lostBefore: batch.lostBefore(i) });
      },
    };
    this.#stop = topics.onNeed(({ id, name }, needed) => (needed ? this.#join(id, name, { ...subscriber }) : this.#leave(id)));
  }

  close(): void {
    this.#stop();
    this.#lanes.close(this);
    this.#feeds.closeAll();
  }

  say(message: LaneServerMessage, descriptors: readonly Descriptor[], topic = ""): boolean {
    if (message.op === "unlane") this.#feeds.unlane(message.lane, message.status);
    if (message.op !== "lane") return true;
    this.#topic = topic;
    const copies = this.#copies(descriptors);
    if (copies) this.#feeds.lane(message, copies as [Descriptor, Descriptor], this.#subscribers.get(message.subscription), { early: this.#early });
    return true;
  }

  originId(name: string): number {
    this.#origin = name;
    return 0;
  }

  tell(): void {
    this.failed += 1;
  }

  /** undefined = this process has no descriptors left: then these samples are missed, and nothing else is. */
  #copies(descriptors: readonly Descriptor[]): Descriptor[] | undefined {
    const copies: Descriptor[] = [];
    try {
      for (const descriptor of descriptors) copies.push(descriptor.dup());
      return copies;
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      closeAll(copies);
      this.failed += 1;
      return undefined;
    }
  }

  #join(id: number, name: string, subscriber: LaneSubscriber<string>): void {
    this.#subscribers.set(id, subscriber);
    this.#lanes.subscribe(this, id, { queueSamples: 1 }, (topic) => topic === name);
    this.#early = true;
    this.#lanes.perform();
    this.#early = false;
  }

  #leave(id: number): void {
    const subscriber = this.#subscribers.get(id);
    if (!subscriber) return;
    this.#subscribers.delete(id);
    this.#lanes.unsubscribe(this, id);
    this.#feeds.drop(subscriber);
  }
}

/**
 * The gateway as a reader of lanes: for whoever in the gateway needs a topic's samples and reads no lanes itself (bridges, mirrors, rate-limited and simple subscribers).
 * It reads all that is still in the ring, tells exactly what it lost, and leaves as soon as nobody needs it.
 */
import { Status } from "../../../schemas/status.ts";
import { type LaneBatch, LaneError, LaneReader } from "../../../shm/lanes/index.ts";
import type { LaneMessage, LaneServerMessage } from "../../../shm/protocol/laneMessages.ts";
import type { Descriptor } from "../../../shm/sockets/index.ts";
import type { Peer } from "../ports.ts";
import type { LaneBroker, LaneClient } from "./laneBroker.ts";
import type { DirectTopics } from "./topics.ts";

interface Tapped {
  subscription: number;
  reader: LaneReader;
  topic: string;
  origin: string;
}

export class LaneTap implements LaneClient {
  readonly trusted = true;
  readonly peer: Peer;
  readonly #lanes: LaneBroker;
  readonly #topics: DirectTopics;
  readonly #tapped = new Map<number, Tapped>();
  /** The last origin that was asked for: the next lane's. */
  #origin = "";
  readonly #stop: () => void;
  /** Lanes that could not be read; only rises. */
  failed = 0;

  constructor({ lanes, topics, peer }: { lanes: LaneBroker; topics: DirectTopics; peer: Peer }) {
    this.peer = peer;
    this.#lanes = lanes;
    this.#topics = topics;
    lanes.open(this);
    this.#stop = topics.onNeed(({ id, name }, needed) => {
      if (needed) lanes.subscribe(this, id, { queueSamples: 1 }, (topic) => topic === name);
      else this.#leave(id);
      lanes.perform();
    });
  }

  close(): void {
    this.#stop();
    this.#lanes.close(this);
    for (const { reader } of this.#tapped.values()) reader.close();
    this.#tapped.clear();
  }

  say(message: LaneServerMessage, descriptors: readonly Descriptor[], topic = ""): boolean {
    if (message.op === "lane") this.#read(message, topic, descriptors);
    else if (message.op === "unlane") this.#end(message.lane, message.status);
    return true;
  }

  originId(name: string): number {
    this.#origin = name;
    return 0;
  }

  tell(): void {
    this.failed += 1;
  }

  #read({ lane, subscription, policy, schemaHash }: LaneMessage, topic: string, [memory, bell]: readonly Descriptor[]): void {
    // The descriptors stay the broker's.
    const ears = bell!.dup();
    try {
      const reader = LaneReader.open(memory!, ears, { policy, start: "next", schemaHash: BigInt(`0x${schemaHash}`) });
      const tapped: Tapped = { subscription, reader, topic, origin: this.#origin };
      this.#tapped.set(lane, tapped);
      reader.onMessages((batch) => this.#batch(tapped, batch));
      reader.onEnd((why) => {
        if (why === "broken") this.failed += 1;
        this.#close(lane);
      });
      this.#lanes.attach(this, lane, reader.page.dup());
    } catch (error) {
      if (!(error instanceof LaneError)) throw error;
      this.failed += 1;
    }
  }

  #batch({ topic, origin }: Tapped, batch: LaneBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const { payload, timeNs, quality, lostBefore } = batch.at(i);
      this.#topics.sample(topic, payload, { timeUs: Number(timeNs) / 1e3, quality, origin, lostBefore });
    }
  }

  /** What its writer had written when it went is in the lane; whoever reads to its end is told by the lane itself. */
  #end(lane: number, status: number): void {
    if (status !== Status.noContent) this.#close(lane);
  }

  #close(lane: number): void {
    const tapped = this.#tapped.get(lane);
    this.#tapped.delete(lane);
    tapped?.reader.close();
  }

  #leave(subscription: number): void {
    this.#lanes.unsubscribe(this, subscription);
    for (const [lane, tapped] of this.#tapped) {
      if (tapped.subscription !== subscription) continue;
      this.#tapped.delete(lane);
      tapped.reader.close();
    }
  }
}

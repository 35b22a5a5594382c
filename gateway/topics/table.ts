/**
 * All topics of the gateway: one entry each, with the last value, its time and quality, and the sinks that watch it.
 *
 * Publishing costs a copy of the payload into the entry plus one call per sink; it allocates nothing. Patterns are matched when a topic
 * or a watch appears, never per sample. Time is an argument; wall time is derived from one offset that `setWallOffset` refreshes.
 */
import { schemaHash } from "../../schemas/topics/schemaHash.ts";
import { topicMatcher, topicNameFault } from "../../schemas/topics/topicName.ts";
import type { RecordLayout } from "../../schemas/records/layout.ts";
import type { Encoding, Quality, SampleSink, TopicEntry, TopicSource } from "./topicSource.ts";

/** Bounds a mistaken template of the configuration, and programs that make up topics: those of one user are bounded by its share of the lanes. */
export const TOPICS_MAX = 16_384;

export interface TopicDeclaration {
  name: string;
  encoding: Encoding;
  schemaHash?: bigint;
  layout?: RecordLayout;
  jsonSchema?: object;
  writable?: boolean;
  /** One writer at a time by a lane. */
  exclusive?: boolean;
  cycleTimeMs?: number | undefined;
  /** Without a sample for so long its value is stale, ms. Default: three cycle times, at least 20 ms; without a cycle time never. */
  timeoutMs?: number | undefined;
}

export class Topic implements TopicEntry {
  readonly id: number;
  readonly name: string;
  readonly encoding: Encoding;
  readonly schemaHash: bigint;
  readonly layout: RecordLayout | undefined;
  readonly jsonSchema: object | undefined;
  readonly writable: boolean;
  readonly exclusive: boolean;
  readonly cycleTimeMs: number | undefined;
  /** µs; Infinity = never stale. */
  readonly timeoutUs: number;
  writers = 0;
  sequence = 0;
  timeUs = 0;
  quality: Quality = 1;
  origin = "";
  lastBytes: Uint8Array;
  lastLength = 0;
  rateHz = 0;
  /** Sinks that watch this topic; a plain array because it is walked per sample, replaced as a whole because a sink may leave while it is walked. */
  sinks: readonly SampleSink[] = [];
  /** How many messages its lanes have had, whether or not the gateway read them; undefined = it never had a lane. */
  laneMessages: (() => number) | undefined;
  /** Samples of `sequence` that came by lanes. */
  fromLanes = 0;
  #countAtLastRate = 0;
  readonly #wall: WallOffset;

  constructor(id: number, declaration: TopicDeclaration, wall: WallOffset) {
    this.id = id;
    this.name = declaration.name;
    this.encoding = declaration.encoding;
    this.schemaHash = declaration.schemaHash ?? declaration.layout?.hash ?? schemaHash(declaration.encoding, declaration.jsonSchema);
    this.layout = declaration.layout;
    this.jsonSchema = declaration.jsonSchema;
    this.writable = declaration.writable ?? false;
    this.exclusive = declaration.exclusive ?? false;
    this.cycleTimeMs = declaration.cycleTimeMs;
    // 1.5 cycles would take one late frame for a lost one; at three, two in a row are missing.
    const timeoutMs = declaration.timeoutMs ?? (declaration.cycleTimeMs ? Math.max(20, 3 * declaration.cycleTimeMs) : Infinity);
    this.timeoutUs = timeoutMs * 1e3;
    this.lastBytes = new Uint8Array(declaration.layout?.sizeBytes ?? 0);
    this.#wall = wall;
  }

  get wallTimeNs(): bigint {
    return BigInt(Math.round(this.timeUs + this.#wall.offsetUs)) * 1000n;
  }

  /** Whether somebody is to be handed samples that come by lanes. */
  get needsLanes(): boolean {
    return this.sinks.some(({ readsLanes }) => readsLanes !== true);
  }

  /** What a predecessor of this gateway had last. */
  restore({ sequence, timeUs, quality, origin, fromLanes, bytes }: { sequence: number; timeUs: number; quality: Quality; origin: string; fromLanes: number; bytes: Uint8Array }): void {
    this.sequence = sequence;
    this.timeUs = timeUs;
    this.quality = quality;
    this.origin = origin;
    this.fromLanes = fromLanes;
    this.lastBytes = bytes.slice();
    this.lastLength = bytes.length;
    this.#countAtLastRate = sequence;
  }

  /** Closes a counting interval of `seconds`. */
  closeRateInterval(seconds: number): void {
    const count = this.sequence - this.fromLanes + (this.laneMessages?.() ?? this.fromLanes);
    this.rateHz = (count - this.#countAtLastRate) / seconds;
    this.#countAtLastRate = count;
  }
}

/** Wall time minus monotonic time, µs; shared by all entries. */
interface WallOffset {
  offsetUs: number;
}

/** A topic was declared twice with different contents, or with a name that cannot be. Both are faults of the configuration and found by its check. */
export class TopicDeclarationError extends Error {}

export class TopicTable implements TopicSource {
  readonly #byName = new Map<string, Topic>();
  readonly #watches = new Set<{ matches: (name: string) => boolean; sink: SampleSink }>();
  readonly #listeners = new Set<(topic: TopicEntry) => void>();
  readonly #goneListeners = new Set<(topic: TopicEntry) => void>();
  readonly #needListeners = new Set<(topic: Topic) => void>();
  readonly #wall: WallOffset = { offsetUs: 0 };
  #nextId = 1;

  /** To be called now and then (once a second): NTP may have moved wall time. */
  setWallOffset(wallTimeNs: bigint, nowUs: number): void {
    this.#wall.offsetUs = Number(wallTimeNs / 1000n) - nowUs;
  }

  /** `id`: the one that a predecessor gave it. */
  declare(declaration: TopicDeclaration, id = this.#nextId): Topic {
    const fault = topicNameFault(declaration.name);
    if (fault) throw new TopicDeclarationError(`topic name "${declaration.name}": ${fault}`);
    if (this.#byName.has(declaration.name)) throw new TopicDeclarationError(`topic "${declaration.name}" is declared twice`);
    if (this.#byName.size >= TOPICS_MAX) throw new TopicDeclarationError(`more than ${TOPICS_MAX} topics`);
    this.#nextId = Math.max(this.#nextId, id + 1);
    const topic = new Topic(id, declaration, this.#wall);
    this.#byName.set(topic.name, topic);
    topic.sinks = [...this.#watches].filter(({ matches }) => matches(topic.name)).map(({ sink }) => sink);
    for (const listener of this.#listeners) listener(topic);
    if (topic.needsLanes) this.#tellNeed(topic);
    return topic;
  }

  /** A topic that came into being with a writer goes. What watched its pattern goes on watching. */
  remove(topic: Topic): void {
    if (this.#byName.get(topic.name) !== topic) return;
    this.#byName.delete(topic.name);
    this.#setSinks(topic, []);
    for (const listener of this.#goneListeners) listener(topic);
  }

  /** Stores a sample as the topic's last value and hands it to every sink. */
  publish(topic: Topic, bytes: Uint8Array, at: number, lengthBytes: number, timeUs: number, quality: Quality, origin: string, lostBefore: number): void {
    this.store(topic, bytes, at, lengthBytes, timeUs, quality, origin);
    const sinks = topic.sinks;
    for (let i = 0; i < sinks.length; i++) sinks[i]!.sample(topic, bytes, at, lengthBytes, lostBefore);
  }

  /** The same for a sample that came by a lane: those who read lanes themselves have it already. */
  publishFromLane(topic: Topic, bytes: Uint8Array, at: number, lengthBytes: number, timeUs: number, quality: Quality, origin: string, lostBefore: number): void {
    this.store(topic, bytes, at, lengthBytes, timeUs, quality, origin);
    topic.fromLanes += 1;
    const sinks = topic.sinks;
    for (let i = 0; i < sinks.length; i++) if (sinks[i]!.readsLanes !== true) sinks[i]!.sample(topic, bytes, at, lengthBytes, lostBefore);
  }

  /** Makes a sample the topic's last value and tells nobody. */
  store(topic: Topic, bytes: Uint8Array, at: number, lengthBytes: number, timeUs: number, quality: Quality, origin: string): void {
    topic.sequence += 1;
    topic.timeUs = timeUs;
    topic.quality = quality;
    topic.origin = origin;
    if (topic.lastBytes.length < lengthBytes) topic.lastBytes = new Uint8Array(lengthBytes);
    copyBytes(bytes, at, lengthBytes, topic.lastBytes);
    topic.lastLength = lengthBytes;
  }

  entries(): Iterable<Topic> {
    return this.#byName.values();
  }

  get size(): number {
    return this.#byName.size;
  }

  get(name: string): Topic | undefined {
    return this.#byName.get(name);
  }

  watch(pattern: string, sink: SampleSink): () => void {
    const watch = { matches: topicMatcher(pattern), sink };
    this.#watches.add(watch);
    for (const topic of this.#byName.values()) if (watch.matches(topic.name)) this.#setSinks(topic, [...topic.sinks, sink]);
    return () => {
      if (!this.#watches.delete(watch)) return;
      for (const topic of this.#byName.values()) {
        if (!watch.matches(topic.name)) continue;
        const index = topic.sinks.indexOf(sink);
        this.#setSinks(topic, topic.sinks.filter((_, i) => i !== index));
      }
    };
  }

  onTopic(listener: (topic: TopicEntry) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onGone(listener: (topic: TopicEntry) => void): () => void {
    this.#goneListeners.add(listener);
    return () => this.#goneListeners.delete(listener);
  }

  /** Calls `listener` whenever `needsLanes` of a topic has changed, and for each topic of which it is true already. */
  onNeed(listener: (topic: Topic) => void): () => void {
    this.#needListeners.add(listener);
    for (const topic of this.#byName.values()) if (topic.needsLanes) listener(topic);
    return () => this.#needListeners.delete(listener);
  }

  #setSinks(topic: Topic, sinks: readonly SampleSink[]): void {
    const before = topic.needsLanes;
    topic.sinks = sinks;
    if (topic.needsLanes !== before) this.#tellNeed(topic);
  }

  #tellNeed(topic: Topic): void {
    for (const listener of this.#needListeners) listener(topic);
  }
}

/** Small payloads are copied by a loop: a TypedArray.set with a subarray allocates a view and costs several times as much below 64 bytes. */
function copyBytes(from: Uint8Array, at: number, lengthBytes: number, to: Uint8Array): void {
  if (lengthBytes > 128) {
    to.set(from.subarray(at, at + lengthBytes));
    return;
  }
  for (let i = 0; i < lengthBytes; i++) to[i] = from[at + i]!;
}

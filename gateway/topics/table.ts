/**
 * All topics of the gateway: one entry each, with the last value, its time and quality, and the sinks that watch it.
 *
 * Publishing costs a copy of the payload into the entry plus one call per sink; it allocates nothing. Patterns are matched when a topic
 * or a watch appears, never per sample. Time is an argument; wall time is derived from one offset that `setWallOffset` refreshes.
 */
import { topicMatcher, topicNameFault } from "../../schemas/topics/topicName.ts";
import type { RecordLayout } from "../../schemas/records/layout.ts";
import type { Encoding, Quality, SampleSink, TopicEntry, TopicSource } from "./topicSource.ts";

/** Application topics can be declared by configuration only, so this bounds a mistaken template, not an attacker. */
export const TOPICS_MAX = 16_384;

export interface TopicDeclaration {
  name: string;
  encoding: Encoding;
  schemaHash?: bigint;
  layout?: RecordLayout;
  jsonSchema?: object;
  writable?: boolean;
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
  readonly cycleTimeMs: number | undefined;
  /** µs; Infinity = never stale. */
  readonly timeoutUs: number;
  sequence = 0;
  timeUs = 0;
  quality: Quality = 1;
  origin = "";
  lastBytes: Uint8Array;
  lastLength = 0;
  rateHz = 0;
  /** Sinks that watch this topic; a plain array because it is walked per sample, replaced as a whole because a sink may leave while it is walked. */
  sinks: readonly SampleSink[] = [];
  #countAtLastRate = 0;
  readonly #wall: WallOffset;

  constructor(id: number, declaration: TopicDeclaration, wall: WallOffset) {
    this.id = id;
    this.name = declaration.name;
    this.encoding = declaration.encoding;
    this.schemaHash = declaration.schemaHash ?? declaration.layout?.hash ?? 0n;
    this.layout = declaration.layout;
    this.jsonSchema = declaration.jsonSchema;
    this.writable = declaration.writable ?? false;
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

  /** Closes a counting interval of `seconds`. */
  closeRateInterval(seconds: number): void {
    this.rateHz = (this.sequence - this.#countAtLastRate) / seconds;
    this.#countAtLastRate = this.sequence;
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
  readonly #wall: WallOffset = { offsetUs: 0 };
  #nextId = 1;

  /** To be called now and then (once a second): NTP may have moved wall time. */
  setWallOffset(wallTimeNs: bigint, nowUs: number): void {
    this.#wall.offsetUs = Number(wallTimeNs / 1000n) - nowUs;
  }

  declare(declaration: TopicDeclaration): Topic {
    const fault = topicNameFault(declaration.name);
    if (fault) throw new TopicDeclarationError(`topic name "${declaration.name}": ${fault}`);
    if (this.#byName.has(declaration.name)) throw new TopicDeclarationError(`topic "${declaration.name}" is declared twice`);
    if (this.#byName.size >= TOPICS_MAX) throw new TopicDeclarationError(`more than ${TOPICS_MAX} topics`);
    const topic = new Topic(this.#nextId++, declaration, this.#wall);
    this.#byName.set(topic.name, topic);
    for (const watch of this.#watches) if (watch.matches(topic.name)) topic.sinks = [...topic.sinks, watch.sink];
    for (const listener of this.#listeners) listener(topic);
    return topic;
  }

  /** Stores a sample as the topic's last value and hands it to every sink. */
  publish(topic: Topic, bytes: Uint8Array, at: number, lengthBytes: number, timeUs: number, quality: Quality, origin: string, lostBefore: number): void {
    topic.sequence += 1;
    topic.timeUs = timeUs;
    topic.quality = quality;
    topic.origin = origin;
    if (topic.lastBytes.length < lengthBytes) topic.lastBytes = new Uint8Array(lengthBytes);
    copyBytes(bytes, at, lengthBytes, topic.lastBytes);
    topic.lastLength = lengthBytes;
    const sinks = topic.sinks;
    for (let i = 0; i < sinks.length; i++) sinks[i]!.sample(topic, bytes, at, lengthBytes, lostBefore);
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
    for (const topic of this.#byName.values()) if (watch.matches(topic.name)) topic.sinks = [...topic.sinks, sink];
    return () => {
      if (!this.#watches.delete(watch)) return;
      for (const topic of this.#byName.values()) {
        if (!watch.matches(topic.name)) continue;
        const index = topic.sinks.indexOf(sink);
        topic.sinks = topic.sinks.filter((_, i) => i !== index);
      }
    };
  }

  onTopic(listener: (topic: TopicEntry) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
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

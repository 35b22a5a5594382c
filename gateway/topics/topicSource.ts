/**
 * How the rest of the gateway sees topics: the broker, the bridges and the recorder read them through `TopicSource` and are handed samples
 * through `SampleSink`. The table behind it is in `table.ts`.
 */
import type { RecordLayout } from "../../schemas/records/layout.ts";
import type { TopicEncoding } from "../../shm/protocol/messages.ts";

/** 0 good; 1 stale: its cycle time has passed; 2 bad: its integrity check is in state INVALID. */
export type Quality = 0 | 1 | 2;

export type Encoding = TopicEncoding;

/** A topic and its last value. The fields below `cycleTimeMs` change with each sample. */
export interface TopicEntry {
  readonly id: number;
  readonly name: string;
  readonly encoding: Encoding;
  readonly schemaHash: bigint;
  readonly layout: RecordLayout | undefined;
  /** JSON Schema of cbor and json topics that have one. */
  readonly jsonSchema: object | undefined;
  /** Whether local clients may publish it (application topics, commands). */
  readonly writable: boolean;
  readonly cycleTimeMs: number | undefined;
  /** Programs that write it by lanes of their own. */
  readonly writers: number;
  /** Samples so far; the first has 1, 0 = none yet. */
  readonly sequence: number;
  /** CLOCK_MONOTONIC of the last sample, µs. */
  readonly timeUs: number;
  readonly wallTimeNs: bigint;
  readonly quality: Quality;
  readonly origin: string;
  /** The last value: the first `lastLength` bytes. Overwritten by the next sample. */
  readonly lastBytes: Uint8Array;
  readonly lastLength: number;
  /** Samples per second over the last full second. */
  readonly rateHz: number;
}

export interface SampleSink {
  /** It reads the topics' lanes itself: samples that came to the gateway by a lane are not handed to it. */
  readonly readsLanes?: boolean;
  /** Called for each sample, in order. The bytes are borrowed until it returns. It must not throw and must not block. */
  sample(topic: TopicEntry, bytes: Uint8Array, at: number, lengthBytes: number, lostBefore: number): void;
}

export interface TopicSource {
  entries(): Iterable<TopicEntry>;
  get(name: string): TopicEntry | undefined;
  /** Hands every further sample of the topics under `pattern`, also of topics declared later, to `sink`; returns a function that ends it. */
  watch(pattern: string, sink: SampleSink): () => void;
  onTopic(listener: (topic: TopicEntry) => void): () => void;
  /** Calls `listener` when a topic is gone: its id is never used again. */
  onGone(listener: (topic: TopicEntry) => void): () => void;
}

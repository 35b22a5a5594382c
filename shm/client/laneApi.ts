/** The client API of topics that go from program to program by lanes. `api.ts` has the rest. */
import type { MediaConstraints } from "../../schemas/media/index.ts";
import type { FieldDefinition, RecordLayout } from "../../schemas/records/index.ts";
import type { AdvertEncoding } from "../protocol/laneMessages.ts";
import type { Message, Quality } from "./api.ts";

export interface AdvertiseOptions {
  /** Default: "record" with a layout, else "cbor". */
  encoding?: AdvertEncoding;
  /** The fields of a record. All writers and readers of a topic must agree on them. */
  layout?: readonly FieldDefinition[] | RecordLayout;
  /** For cbor and json: what readers may expect. It names the topic's schema; each end checks values as it likes. */
  jsonSchema?: object;
  /** For media types: what all messages have in common, such as `{ dtype: "f32", shape: [3, null, null] }` (docs/specs/media.md). All writers and readers must agree. */
  constraints?: MediaConstraints;
  /** The number that names the schema, when it is known from elsewhere. */
  schemaHash?: bigint;
  /**
   * The most that readers may ask for. "latest": the newest message. "queue" (default): all that is still in the ring, in order, gaps told exactly.
   * "lossless": the writer waits for readers that ask for it, each at most for `deadlineMs`.
   */
  policy?: "latest" | "queue" | "lossless";
  /** Messages that the lane remembers, rounded up to a power of two; default 256. */
  queue?: number;
  /** Largest payload, bytes; default 64 KiB. The lane's memory is some four times that. */
  payloadBytesMax?: number;
  /** How long a lossless reader may keep this writer waiting; then it is demoted to "queue". Default 1000. */
  deadlineMs?: number;
}

/** What travels with a message. */
export interface SampleOptions {
  /** The value is worthless after so many milliseconds: readers drop and count it then. */
  ttlMs?: number;
  /** The messages from which this one was made, at most 15. */
  lineage?: readonly Message[];
  quality?: Quality;
  /** For encoded video: whether decoding can begin here. */
  keyFrame?: boolean;
}

export interface TopicWriter {
  readonly topic: string;
  /**
   * Resolves when this program has closed it (or the client). Rejects with an `IpcnetError` when it can write no more: 303 every gateway is dead and the client does not reconnect (a program
   * that looks neither here nor by `Client.onClose` ends with that error), 202 or 204 the topic was taken away (each publish says so too). With `reconnect`, writers go on over each new connection.
   */
  readonly ended: Promise<void>;
  /**
   * Publishes a value, or the bytes of one in the topic's own encoding. False: a lossless reader is behind, nothing was published; try again after `space()`.
   * Throws an `IpcnetError`: 209 the value does not fit the schema, 208 it is too large, 202 or 204 the topic was taken away, 303 the writer is closed.
   */
  publish(value: unknown, options?: SampleOptions): boolean;
  /** Publishes in order until a lossless reader is behind; returns how many. Readers are woken once. */
  publishMany(values: readonly unknown[], options?: SampleOptions): number;
  /** Resolves when there may be room again. */
  space(): Promise<void>;
  /** Room in the lane itself, to be filled in place; undefined = a lossless reader is behind. One at a time. `lineageCount`: entries that `commit` will bring. */
  loan(bytes: number, lineageCount?: number): Loan | undefined;
  /** Attached readers, the gateway's own included. */
  readonly readers: number;
  /** Sequence of the next message. */
  readonly nextSequence: bigint;
  /** Ends the topic's lane; readers read it to its end. */
  close(): Promise<void>;
}

export interface Loan {
  readonly bytes: Uint8Array;
  /** Publishes the first `lengthBytes` (default: all). */
  commit(lengthBytes?: number, options?: SampleOptions): void;
  giveUp(): void;
}

/** An input of a message: who wrote it, on which topic, as which number. The ids are hashes of the names (docs/specs/lanes.md). */
export interface LineageEntry {
  origin: bigint;
  topic: bigint;
  sequence: bigint;
}

export interface LaneApi {
  /**
   * Becomes a writer of a topic by a lane of this program's own: what is published goes to the readers without the gateway in between.
   * Rejects with an `IpcnetError`: 202 this program may not write it, 205 somebody else owns it alone, 206 it exists with another schema, 210 a quota.
   */
  advertise(topic: string, options?: AdvertiseOptions): Promise<TopicWriter>;
}

/** The client API: what a local program sees of the gateway. `connect` (connect.ts) makes a `Client`. */
import type { GatewayIdentity } from "../protocol/messages.ts";
import type { TopicEncoding } from "../protocol/messages.ts";
import type { LaneApi, LineageEntry } from "./laneApi.ts";
import type { ServiceApi } from "./serviceApi.ts";

export type { GatewayIdentity } from "../protocol/messages.ts";
export type * from "./laneApi.ts";
export type * from "./serviceApi.ts";

export interface ConnectOptions {
  /** Default: $IPCNET_SOCKET, else /run/ipcnet/ipcnet.sock, else $XDG_RUNTIME_DIR/ipcnet/ipcnet.sock (the first that exists; without that variable /tmp/ipcnet-UID/ipcnet.sock, in a folder of this user). */
  socketPath?: string;
  /** What the gateway's status calls this client; default: the program's file name. */
  name?: string;
  /** For the whole of connecting, ms; default 2000. */
  timeoutMs?: number;
  /** Closes this whole process to others of its user (tracing, memory, descriptors; no core file), for good; off by default. A user of its own is better still. */
  protect?: boolean;
  /**
   * Whether to come back when the gateway restarts: off by default. When on, lanes go on while it is away, adverts and subscriptions are renewed (the next message through the gateway
   * tells the exact gap if the same gateway process answers), calls made meanwhile are refused with 303, and `onClose` speaks only when `close()` ended it.
   */
  reconnect?: boolean | { delayMinMs?: number; delayMaxMs?: number };
  /** Whether to read the lanes of other programs, without the gateway in between; default true. Without, the gateway reads them and passes on what fits a packet. */
  lanes?: boolean;
}

export interface Client extends LaneApi, ServiceApi {
  readonly gateway: GatewayIdentity;
  /** Topics under `pattern` (`+` one level, `#` the rest; default all) that this client may read or write. */
  topics(pattern?: string): Promise<TopicDescription[]>;
  /** Calls `listener` for each message of the topics under `pattern`, also of topics that appear later. Resolves when the gateway has accepted. */
  subscribe(pattern: string, options: SubscribeOptions, listener: (message: Message) => void): Promise<Subscription>;
  /**
   * Publishes a value: an object for topics of encoding record, cbor or json, or bytes in the topic's own encoding.
   * Resolves when the gateway has accepted it; rejects with an `IpcnetError` (202 not permitted, 203 no such topic, 207 not armed, 209 out of range, 211 expired …).
   */
  publish(topic: string, value: unknown, options?: PublishOptions): Promise<void>;
  /** The last value of a topic, undefined while it has none. */
  query(topic: string): Promise<Message | undefined>;
  /** The last messages of a topic, oldest first, at most `last` (1 … 1000), as far as its lanes keep them. */
  query(topic: string, options: { last: number }): Promise<Message[]>;
  /** Called once when the connection has ended, with the reason. Returns a function that removes the listener. */
  onClose(listener: (why: string) => void): () => void;
  /** What the gateway says without being asked: refused unacknowledged publishes, losses with no message behind them. */
  onNotice(listener: (notice: Notice) => void): () => void;
  close(): Promise<void>;
}

export interface SubscribeOptions {
  /**
   * What to keep while this client is behind: "latest" (default) keeps the newest message of each topic, `{ queue: n }` the newest n messages of the subscription.
   * What is dropped is counted in the next message's `lostBefore`, exactly. "lossless": the writer waits for this program, up to the topic's deadline.
   * A topic that another program writes by a lane keeps as many messages as its writer has chosen, and gives at most what its policy allows.
   */
  policy?: "latest" | "lossless" | { queue: number };
  /** At most so many messages of each topic per second, the newest ones; those left out are not losses. */
  rateHzMax?: number;
  /** Whether to begin with the value each topic has now. */
  lastValue?: boolean;
}

export interface Subscription {
  /** Messages that were not delivered because their time to live had passed; only rises. */
  readonly expired: number;
  /**
   * Resolves when this program has closed it (or the client). Rejects with an `IpcnetError` 303 when the connection has ended and nothing can come any more. A program that looks neither here nor by
   * `Client.onClose` ends with that error, instead of waiting for messages that never come or leaving as if all were well.
   */
  readonly ended: Promise<void>;
  /** Ends it: no message is delivered after the call. */
  close(): Promise<void>;
}

export interface PublishOptions {
  /** The value is worthless after so many milliseconds: the gateway then refuses it (211). */
  ttlMs?: number;
  /** The caller's own name for this command, for logs and for telling repetitions. */
  id?: string;
  /** false: resolve as soon as it is on its way; refusals come through `onNotice`. Ten times the rate. Default true. */
  acknowledge?: boolean;
}

export type Quality = "good" | "stale" | "bad";

export interface Message {
  topic: string;
  /** The payload in the topic's own encoding. A view into the packet it came in: copy it to keep it for long. */
  bytes: Uint8Array;
  /** The payload decoded (object, bytes or CAN frame), at the first access. */
  value: unknown;
  /** Counts the topic's samples from 1: those of its writer if it came by a lane, else those in the gateway. */
  sequence: number;
  /** CLOCK_MONOTONIC of this machine, µs. */
  timeUs: number;
  wallTimeNs: bigint;
  quality: Quality;
  /** Messages of this topic that this subscription lost just before this one. */
  lostBefore: number;
  /** Who made it, such as "can/arm" or "planner/-/4711/0badcafe" (component/version/instance/boot). */
  origin: string;
  /** Its time to live, if it has one. */
  ttlMs: number | undefined;
  /** For encoded video: whether decoding can begin here. */
  keyFrame: boolean;
  /** The messages that it was made from; empty if its writer does not say. */
  lineage: readonly LineageEntry[];
}

export interface TopicDescription {
  name: string;
  id: number;
  encoding: TopicEncoding;
  /** 16 hexadecimal digits. */
  schemaHash: string;
  /** The record's layout (RecordLayout as JSON), for encoding "record". */
  layout: unknown;
  jsonSchema: unknown;
  writable: boolean;
  cycleTimeMs: number | undefined;
  /** Programs that write it by lanes of their own; 0 for topics that come through the gateway alone. */
  writers: number;
  rateHz: number;
  quality: Quality;
}

export interface Notice {
  status: number;
  text: string;
  /** How often since the last notice of its kind. */
  count: number;
}

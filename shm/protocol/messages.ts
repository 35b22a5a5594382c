/** The control messages of the client socket, as they are after decoding. Each is a CBOR map with `op`; docs/specs/client-socket.md lists the fields. */
import type { LaneClientMessage, LaneServerMessage } from "./laneMessages.ts";
import type { ServiceClientMessage, ServiceServerMessage } from "./serviceMessages.ts";

/** How the payloads of a topic are to be read. The media types are described in schemas/media. */
export const topicEncodings = ["record", "cbor", "json", "bytes", "canframe", "tensor", "video", "audio", "points", "haptic", "file"] as const;
export type TopicEncoding = (typeof topicEncodings)[number];

/** How much of a topic a subscriber wants when it cannot have all: the latest value of each topic, or the last `queueSamples` samples of the subscription; `lossless`: all of them, up to the writer's deadline (lanes), else as many as can be queued. */
export type SubscriptionPolicy = { latest: true } | { queueSamples: number } | { lossless: true };

export type ClientMessage =
  | { op: "hello"; versions: readonly number[]; name: string }
  | { op: "topics"; seq: number; pattern: string }
  | { op: "subscribe"; seq: number; pattern: string; policy: SubscriptionPolicy; rateHzMax: number | undefined; lastValue: boolean; lanes: boolean }
  | { op: "unsubscribe"; seq: number; subscription: number }
  | PublishMessage
  | { op: "query"; seq: number; topic: string; last: number | undefined }
  | LaneClientMessage
  | ServiceClientMessage
  | { op: "ping"; seq: number }
  | { op: "goodbye"; text: string };

export interface PublishMessage {
  op: "publish";
  seq: number;
  topic: string;
  /** native: `value` is a byte array in the topic's own encoding; cbor: any value, to be encoded by the gateway. */
  encoding: "native" | "cbor";
  value: unknown;
  ttlMs: number | undefined;
  /** When it was handed over, CLOCK_MONOTONIC µs: its life begins then. */
  sentUs: number | undefined;
  id: string | undefined;
  /** Whether a reply is wanted when it worked; a refusal is always reported. */
  acknowledge: boolean;
}

export type ClientOp = ClientMessage["op"];

export interface GatewayIdentity {
  robot: string;
  version: string;
  instance: string;
  /** Changes with each start of the gateway. */
  boot: string;
}

/** A topic as it is announced: what a reader needs to decode its samples. */
export interface TopicAnnouncement {
  id: number;
  name: string;
  encoding: TopicEncoding;
  /** 64 bits, 16 hexadecimal digits. */
  schemaHash: string;
  /** RecordLayout as JSON, for encoding "record". */
  layout: unknown;
  jsonSchema: unknown;
  writable: boolean;
  cycleTimeMs: number | undefined;
  /** Programs that write it by lanes. */
  writers: number;
  rateHz: number;
  quality: 0 | 1 | 2;
}

/** The reply to `query`. */
export interface QueryAnswer {
  topicId: number;
  bytes: Uint8Array;
  sequence: number;
  timeUs: number;
  wallTimeNs: bigint;
  quality: 0 | 1 | 2;
  origin: string;
  /** Its lineage as a lane has it: entries of 24 bytes {u64 origin, u64 topic, u64 sequence}, little-endian. */
  lineage?: Uint8Array;
}

export type ServerMessage =
  | { op: "welcome"; version: number; gateway: GatewayIdentity }
  | { op: "refused"; status: number; text: string; versions: readonly number[] }
  | { op: "reply"; seq: number; status: number; text: string; body: unknown }
  | LaneServerMessage
  | ServiceServerMessage
  | { op: "announce"; topics: readonly TopicAnnouncement[] }
  | { op: "origins"; origins: readonly { id: number; name: string }[] }
  /** Samples lost with nothing queued behind them that could say so. */
  | { op: "gap"; gaps: readonly { subscription: number; topicId: number; lost: number }[] }
  /** Something the client should know that answers no call of its own, such as an unacknowledged publish that was refused. */
  | { op: "notice"; status: number; text: string; count: number }
  | { op: "goodbye"; status: number; text: string };

export type ServerOp = ServerMessage["op"];

/** What a decoder found instead of a message. `seq` is the caller's number where it could be read, else 0. */
export interface ControlFault {
  code: "badCbor" | "notAMap" | "unknownOp" | "badField";
  text: string;
  seq: number;
}

/** `fds`: how many descriptors the message says it came with; the receiver compares it with those that did. */
export type ControlResult<M> = { ok: true; message: M; fds: number } | { ok: false; fault: ControlFault };

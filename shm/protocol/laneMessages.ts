/**
 * The control messages of lanes: topics that go from program to program without the gateway in between. docs/specs/client-socket.md, section "Lanes".
 * Numbers of adverts, lanes and readers count per connection from 1 and are never used again.
 */
import { seq, status, U32_MAX } from "./commonFields.ts";
import type { Fields } from "./fields.ts";
import { LOSSLESS_DEADLINE_MS_MAX, TOPIC_LENGTH_MAX } from "./limits.ts";

export const lanePolicies = ["latest", "queue", "lossless"] as const;
/** What happens to a reader that is behind; in this order of what it costs the writer. */
export type LanePolicy = (typeof lanePolicies)[number];

export const advertEncodings = ["record", "cbor", "json", "bytes", "tensor", "video", "audio", "points", "haptic", "file"] as const;
export type AdvertEncoding = (typeof advertEncodings)[number];

export interface AdvertiseMessage {
  op: "advertise";
  seq: number;
  topic: string;
  encoding: AdvertEncoding;
  /** 16 hexadecimal digits. */
  schemaHash: string;
  /** RecordLayout as JSON, for encoding "record". */
  layout: unknown;
  jsonSchema: unknown;
  /** The most that readers may ask for. */
  policy: LanePolicy;
  /** How long a lossless reader may keep the writer from overwriting; then it is demoted to `queue`. */
  deadlineMs: number | undefined;
}

export type LaneClientMessage =
  | AdvertiseMessage
  /** The advert's new lane, which continues the count of the one it replaces. */
  | { op: "relane"; seq: number; advert: number }
  | { op: "unadvertise"; seq: number; advert: number }
  /** With the reader's page. */
  | { op: "attach"; seq: number; lane: number }
  | { op: "detach"; seq: number; lane: number };

export interface LaneMessage {
  op: "lane";
  subscription: number;
  topicId: number;
  lane: number;
  /** Who writes it: a number that was announced. */
  origin: number;
  /** The most that this reader gets. */
  policy: LanePolicy;
  schemaHash: string;
  /** The lane that it continues. */
  replaces: number | undefined;
}

export interface ReaderMessage {
  op: "reader";
  advert: number;
  reader: number;
  policy: LanePolicy;
  deadlineMs: number;
}

export type LaneServerMessage =
  | LaneMessage
  /** 103: its writer is gone or has replaced it: read it to its end. 202: no longer permitted: drop it at once. */
  | { op: "unlane"; lane: number; status: number; text: string }
  | ReaderMessage
  | { op: "unreader"; advert: number; reader: number }
  /** Somebody lost the right to read: make a new lane within a second (`relane`), or lose the topic. */
  | { op: "rekey"; advert: number }
  /** The topic was taken from its writer: 202 it may no longer write it, 204 it did not answer `rekey`. */
  | { op: "unadvert"; advert: number; status: number; text: string };

type Table<M extends { op: string }> = { readonly [O in M["op"]]: (fields: Fields) => Extract<M, { op: O }> };

export const laneFromClient: Table<LaneClientMessage> = {
  advertise: (f) => ({
    op: "advertise", seq: seq(f), topic: f.text("topic", TOPIC_LENGTH_MAX), encoding: f.choice("encoding", advertEncodings), schemaHash: schemaHash(f), layout: f.any("layout"), jsonSchema: f.any("jsonSchema"),
    policy: f.choice("policy", lanePolicies), deadlineMs: f.optionalNumber("deadlineMs", 0, LOSSLESS_DEADLINE_MS_MAX),
  }),
  relane: (f) => ({ op: "relane", seq: seq(f), advert: number(f, "advert") }),
  unadvertise: (f) => ({ op: "unadvertise", seq: seq(f), advert: number(f, "advert") }),
  attach: (f) => ({ op: "attach", seq: seq(f), lane: number(f, "lane") }),
  detach: (f) => ({ op: "detach", seq: seq(f), lane: number(f, "lane") }),
};

export const laneFromGateway: Table<LaneServerMessage> = {
  lane: (f) => ({
    op: "lane", subscription: number(f, "subscription"), topicId: f.integer("topicId", 0, U32_MAX), lane: number(f, "lane"), origin: f.integer("origin", 0, U32_MAX), policy: f.choice("policy", lanePolicies),
    schemaHash: schemaHash(f), replaces: f.optionalInteger("replaces", 1, U32_MAX),
  }),
  unlane: (f) => ({ op: "unlane", lane: number(f, "lane"), status: status(f), text: f.text("text") }),
  reader: (f) => ({ op: "reader", advert: number(f, "advert"), reader: number(f, "reader"), policy: f.choice("policy", lanePolicies), deadlineMs: f.number("deadlineMs", 0, LOSSLESS_DEADLINE_MS_MAX) }),
  unreader: (f) => ({ op: "unreader", advert: number(f, "advert"), reader: number(f, "reader") }),
  rekey: (f) => ({ op: "rekey", advert: number(f, "advert") }),
  unadvert: (f) => ({ op: "unadvert", advert: number(f, "advert"), status: status(f), text: f.text("text") }),
};

/** How many descriptors come with each message: no other number is right. In this order: the lane; the page; the lane and the reader's end of the bell; the page and the writer's end. */
export const laneDescriptors = { advertise: 1, relane: 1, attach: 1, lane: 2, reader: 2 } as const;

function number(f: Fields, name: string): number {
  return f.integer(name, 1, U32_MAX);
}

function schemaHash(f: Fields): string {
  return f.hex("schemaHash", 16);
}

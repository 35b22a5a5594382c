/** Control messages to and from CBOR. The decoders are total: any bytes give a message or a fault with a sentence, and nothing else. */
import { LINEAGE_ENTRY_BYTES } from "./lineage.ts";
import { type CborLimits, decodeCbor } from "./cborReader.ts";
import type { CborWriter } from "./cborWriter.ts";
import { seq, status, U32_MAX } from "./commonFields.ts";
import { Fields, isMap } from "./fields.ts";
import {
  CBOR_DEPTH_MAX, CBOR_ITEMS_MAX_TO_CLIENT, CBOR_ITEMS_MAX_TO_GATEWAY, CLIENT_NAME_LENGTH_MAX, DESCRIPTIONS_PER_MESSAGE_MAX, DESCRIPTORS_PER_MESSAGE_MAX, PUBLISH_ID_LENGTH_MAX,
  QUERY_LAST_MAX, QUEUE_SAMPLES_MAX, TEXT_LENGTH_MAX, TOPIC_LENGTH_MAX, TTL_MS_MAX,
} from "./limits.ts";
import { laneFromClient, laneFromGateway } from "./laneMessages.ts";
import {
  type ClientMessage, type ClientOp, type ControlFault, type ControlResult, type QueryAnswer, type ServerMessage, type ServerOp, type SubscriptionPolicy, type TopicAnnouncement, topicEncodings,
} from "./messages.ts";
import { serviceFromClient, serviceFromGateway } from "./serviceMessages.ts";

const fromClient: { readonly [O in ClientOp]: (fields: Fields) => Extract<ClientMessage, { op: O }> } = {
  hello: (f) => ({ op: "hello", versions: f.integers("versions", 16), name: f.text("name", CLIENT_NAME_LENGTH_MAX) }),
  topics: (f) => ({ op: "topics", seq: seq(f), pattern: f.optionalText("pattern", TOPIC_LENGTH_MAX) ?? "#" }),
  subscribe: (f) => ({
    op: "subscribe", seq: seq(f), pattern: f.text("pattern", TOPIC_LENGTH_MAX), policy: policy(f), rateHzMax: f.optionalNumber("rateHzMax", 0.001, 1e6), lastValue: f.boolean("lastValue", false),
    lanes: f.boolean("lanes", false),
  }),
  unsubscribe: (f) => ({ op: "unsubscribe", seq: seq(f), subscription: f.integer("subscription", 1, U32_MAX) }),
  publish: (f) => {
    const encoding = f.choice("encoding", ["native", "cbor"]);
    return {
      op: "publish", seq: seq(f), topic: f.text("topic", TOPIC_LENGTH_MAX), encoding, value: encoding === "native" ? f.bytes("value") : f.any("value"),
      ttlMs: f.optionalNumber("ttlMs", 0, TTL_MS_MAX), sentUs: f.optionalNumber("sentUs", 0, Number.MAX_SAFE_INTEGER), id: f.optionalText("id", PUBLISH_ID_LENGTH_MAX), acknowledge: f.boolean("acknowledge", true),
    };
  },
  query: (f) => ({ op: "query", seq: seq(f), topic: f.text("topic", TOPIC_LENGTH_MAX), last: f.optionalInteger("last", 1, QUERY_LAST_MAX) }),
  ping: (f) => ({ op: "ping", seq: seq(f) }),
  goodbye: (f) => ({ op: "goodbye", text: f.text("text") }),
  ...laneFromClient,
  ...serviceFromClient,
};

const fromGateway: { readonly [O in ServerOp]: (fields: Fields) => Extract<ServerMessage, { op: O }> } = {
  welcome: (f) => {
    const g = f.map("gateway");
    const gateway = { robot: g.text("robot"), version: g.text("version"), instance: g.text("instance"), boot: g.text("boot") };
    f.fault ??= g.fault;
    return { op: "welcome", version: f.integer("version", 1, 255), gateway };
  },
  refused: (f) => ({ op: "refused", status: status(f), text: f.text("text"), versions: f.integers("versions", 16) }),
  reply: (f) => ({ op: "reply", seq: f.integer("seq", 0, U32_MAX), status: status(f), text: f.optionalText("text") ?? "", body: f.any("body") }),
  announce: (f) => ({ op: "announce", topics: f.list("topics", DESCRIPTIONS_PER_MESSAGE_MAX, announcement) }),
  origins: (f) => ({ op: "origins", origins: f.list("origins", 65_536, (o) => ({ id: o.integer("id", 0, U32_MAX), name: o.text("name") })) }),
  gap: (f) => ({
    op: "gap",
    gaps: f.list("gaps", 65_536, (g) => ({ subscription: g.integer("subscription", 1, U32_MAX), topicId: g.integer("topicId", 0, U32_MAX), lost: g.integer("lost", 1, Number.MAX_SAFE_INTEGER) })),
  }),
  notice: (f) => ({ op: "notice", status: status(f), text: f.text("text"), count: f.integer("count", 1, U32_MAX) }),
  goodbye: (f) => ({ op: "goodbye", status: status(f), text: f.text("text") }),
  ...laneFromGateway,
  ...serviceFromGateway,
};

/** Decodes what a client sent. */
export function decodeClientMessage(cbor: Uint8Array, at?: number, lengthBytes?: number): ControlResult<ClientMessage> {
  return decode<ClientMessage>(cbor, at, lengthBytes, { depthMax: CBOR_DEPTH_MAX, itemsMax: CBOR_ITEMS_MAX_TO_GATEWAY }, fromClient);
}

/** Decodes what the gateway sent. */
export function decodeServerMessage(cbor: Uint8Array, at?: number, lengthBytes?: number): ControlResult<ServerMessage> {
  return decode<ServerMessage>(cbor, at, lengthBytes, { depthMax: CBOR_DEPTH_MAX, itemsMax: CBOR_ITEMS_MAX_TO_CLIENT }, fromGateway);
}

/**
 * Appends a message as CBOR, and the number of descriptors that will go with it. Fields that are undefined are left out. Throws `CborValueError` when a value of the caller's
 * has no encoding.
 */
export function encodeControl(writer: CborWriter, message: ClientMessage | ServerMessage, fds = 0): CborWriter {
  return writer.value(fds > 0 ? { ...message, fds } : message);
}

/**
 * The message {op: "announce", topics: […]} from descriptions that were encoded before, so that a topic's layout is encoded once and not once per client.
 * Splits at `DESCRIPTIONS_PER_MESSAGE_MAX` and before `bytesMax`. What it yields is borrowed until the next step.
 */
export function* encodeAnnouncements(writer: CborWriter, encoded: readonly Uint8Array[], bytesMax: number): Generator<Uint8Array> {
  let from = 0;
  while (from < encoded.length) {
    let to = from;
    let bytes = 32;
    while (to < encoded.length && to - from < DESCRIPTIONS_PER_MESSAGE_MAX && (to === from || bytes + encoded[to]!.length <= bytesMax)) bytes += encoded[to++]!.length;
    writer.reset().map(2).text("op").text("announce").text("topics").array(to - from);
    for (let i = from; i < to; i++) writer.raw(encoded[i]!);
    yield writer.bytes.subarray(0, writer.length);
    from = to;
  }
}

/** Reads the body of the reply to `topics`; undefined when it is not one. */
export function readAnnouncements(body: unknown): TopicAnnouncement[] | undefined {
  const f = new Fields({ topics: body });
  const topics = f.list("topics", CBOR_ITEMS_MAX_TO_CLIENT, announcement);
  return f.fault === undefined ? topics : undefined;
}

/** Reads the body of the reply to `query` with `last`; undefined when it is not one. */
export function readQueryAnswers(body: unknown): QueryAnswer[] | undefined {
  if (!Array.isArray(body) || body.length > QUERY_LAST_MAX) return undefined;
  const answers = body.map(readQueryAnswer);
  return answers.every((answer) => answer !== undefined) ? answers : undefined;
}

/** Reads the body of the reply to `query`; undefined when it is not one. */
export function readQueryAnswer(body: unknown): QueryAnswer | undefined {
  if (!isMap(body)) return undefined;
  const f = new Fields(body);
  const wall = f.any("wallTimeNs");
  const answer: QueryAnswer = {
    topicId: f.integer("topicId", 0, U32_MAX), bytes: f.bytes("bytes"), sequence: f.number("sequence", 0, Number.MAX_SAFE_INTEGER), timeUs: f.number("timeUs", 0, Number.MAX_VALUE),
    wallTimeNs: typeof wall === "bigint" ? wall : BigInt(f.integer("wallTimeNs", 0, Number.MAX_SAFE_INTEGER)), quality: quality(f), origin: f.text("origin"),
    ...(f.has("lineage") ? { lineage: f.bytes("lineage") } : {}),
  };
  return f.fault === undefined && (answer.lineage?.length ?? 0) % LINEAGE_ENTRY_BYTES === 0 ? answer : undefined;
}

function decode<M>(
  cbor: Uint8Array, at: number | undefined, lengthBytes: number | undefined, limits: CborLimits, table: Readonly<Record<string, (fields: Fields) => M>>,
): ControlResult<M> {
  const decoded = decodeCbor(cbor, { at: at ?? 0, lengthBytes: lengthBytes ?? cbor.length - (at ?? 0), limits });
  if (!decoded.ok) return bad("badCbor", `not a CBOR value: ${decoded.code} at byte ${decoded.at}`, 0);
  if (!isMap(decoded.value)) return bad("notAMap", "a control message is a map", 0);
  const fields = new Fields(decoded.value);
  const number = decoded.value["seq"];
  const known = typeof number === "number" && Number.isInteger(number) && number >= 0 && number <= U32_MAX ? number : 0;
  const op = decoded.value["op"];
  if (typeof op !== "string" || !Object.hasOwn(table, op)) return bad("unknownOp", `unknown op ${typeof op === "string" ? JSON.stringify(op.slice(0, 32)) : "(none)"}`, known);
  const message = table[op]!(fields);
  const fds = fields.optionalInteger("fds", 0, DESCRIPTORS_PER_MESSAGE_MAX) ?? 0;
  return fields.fault === undefined ? { ok: true, message, fds } : bad("badField", `${op}: ${fields.fault}`, known);
}

function bad(code: ControlFault["code"], text: string, number: number): { ok: false; fault: ControlFault } {
  return { ok: false, fault: { code, text, seq: number } };
}

function quality(f: Fields): 0 | 1 | 2 {
  return f.integer("quality", 0, 2) as 0 | 1 | 2;
}

function policy(f: Fields): SubscriptionPolicy {
  if (!f.has("policy")) return { latest: true };
  const map = f.map("policy");
  const chosen: SubscriptionPolicy = map.boolean("lossless", false) ? { lossless: true }
    : map.has("queueSamples") ? { queueSamples: map.integer("queueSamples", 1, QUEUE_SAMPLES_MAX) } : { latest: true };
  f.fault ??= map.fault;
  return chosen;
}

function announcement(f: Fields): TopicAnnouncement {
  return {
    id: f.integer("id", 0, U32_MAX), name: f.text("name", TOPIC_LENGTH_MAX), encoding: f.choice("encoding", topicEncodings), schemaHash: f.text("schemaHash", 16), layout: f.any("layout"), jsonSchema: f.any("jsonSchema"),
    writable: f.boolean("writable", false), cycleTimeMs: f.optionalNumber("cycleTimeMs", 0, Number.MAX_VALUE), writers: f.optionalInteger("writers", 0, U32_MAX) ?? 0, rateHz: f.number("rateHz", 0, Number.MAX_VALUE), quality: quality(f),
  };
}

/** A sentence cut to what a decoder at the other end accepts. */
export function cutText(text: string): string {
  return text.length <= TEXT_LENGTH_MAX ? text : `${text.slice(0, TEXT_LENGTH_MAX - 1)}…`;
}

/**
 * Fuzz targets of the client socket: each takes arbitrary bytes and must return: no exception, no hang, no memory beyond a small multiple of the input.
 * Where random bytes would only ever fail the integrity check, the target seals them first, so that what lies behind is reached.
 */
import { Channel } from "./channel.ts";
import { decodeCbor } from "./cborReader.ts";
import { CborWriter } from "./cborWriter.ts";
import { decodeClientMessage, decodeServerMessage, encodeControl, readAnnouncements, readQueryAnswer, readQueryAnswers } from "./control.ts";
import { laneFromClient, laneFromGateway } from "./laneMessages.ts";
import { CONTROL_BYTES_MAX_TO_GATEWAY, PACKET_BYTES_MAX } from "./limits.ts";
import type { ClientMessage, ServerMessage } from "./messages.ts";
import { claimedDataId, dataId, type PacketSeal } from "./packet.ts";
import { SampleBatchReader } from "./samples.ts";
import { serviceFromClient, serviceFromGateway } from "./serviceMessages.ts";

export interface FuzzTarget {
  name: string;
  run(input: Uint8Array): void;
  /** Inputs to begin with. */
  seeds?: Uint8Array[];
}

/** Accepts every packet whose Data ID is as claimed: the header's arithmetic is fuzzed by its own tests. */
const trusting: PacketSeal = {
  seal: () => {},
  open: (bytes, at, _lengthBytes, id) => (claimedDataId(bytes, at) === id ? "ok" : "dataId"),
};
const nowhere = { send: () => "sent" as const, hasRoomFor: () => true };
const scratch = new Uint8Array(PACKET_BYTES_MAX);
const writer = new CborWriter({ lengthMax: 16 * PACKET_BYTES_MAX });

/** The input cut into packets (first byte: kind, second: length), as a peer with a correct seal would send them. */
function conversation(input: Uint8Array): void {
  const channel = new Channel({ role: "gateway", seal: trusting, transport: nowhere, controlBytesMax: CONTROL_BYTES_MAX_TO_GATEWAY, scratch });
  const reader = new SampleBatchReader();
  const kinds = ["handshake", "control", "data"] as const;
  for (let at = 0; at + 2 <= input.length;) {
    const kind = kinds[input[at]! % 3]!;
    const body = input.subarray(at + 2, at + 2 + input[at + 1]!);
    at += 2 + body.length;
    const packet = new Uint8Array(20 + body.length);
    new DataView(packet.buffer).setUint32(16, dataId("toGateway", kind));
    packet.set(body, 20);
    const result = channel.receive(packet, 0, packet.length);
    if (result === "control" || result === "handshake") decodeClientMessage(channel.body, channel.bodyAt, channel.bodyBytes);
    else if (result === "data") walk(reader, packet);
    else if (result !== "more") return;
  }
}

/** Looks at every byte a sample claims to have: reading beyond the packet would give undefined and NaN. */
function walk(reader: SampleBatchReader, packet: Uint8Array): void {
  if (reader.open(packet, 0, packet.length) !== undefined) return;
  let sum = 0;
  while (reader.next()) for (let i = 0; i < reader.payloadBytes; i++) sum += packet[reader.payloadAt + i]!;
  if (Number.isNaN(sum)) throw new Error("a sample reached beyond its packet");
}

const serviceFields = [
  "seq", "service", "group", "body", "timeoutMs", "stream", "idempotent", "fds", "offer", "capacity", "allow", "deny", "rateHzMax", "callsMax", "description", "request", "items", "call", "status", "text",
  "more", "resource", "mode", "deadlineMs", "forMs", "what", "pattern", "component", "caller",
] as const;
const serviceOps = [...Object.keys(serviceFromClient), ...Object.keys(serviceFromGateway)];

/** A message of services with some of its fields, each with a value that the input spells: behind the op and the field names, where random bytes alone hardly come. */
function serviceMessage(input: Uint8Array): void {
  const message: Record<string, unknown> = { op: serviceOps[(input[0] ?? 0) % serviceOps.length] };
  for (let at = 1; at + 2 <= input.length;) {
    const lengthBytes = Math.min(input[at + 1]! % 16, input.length - at - 2);
    const decoded = decodeCbor(input, { at: at + 2, lengthBytes });
    message[serviceFields[input[at]! % serviceFields.length]!] = decoded.ok ? decoded.value : input[at + 1]! - 8;
    at += 2 + lengthBytes;
  }
  const encoded = writer.reset().value(message).take();
  for (const result of [decodeClientMessage(encoded), decodeServerMessage(encoded)]) {
    if (!result.ok) continue;
    // What was accepted is within its bounds, and is accepted again.
    const again = writer.reset().value(result.message).take();
    if (!decodeClientMessage(again).ok && !decodeServerMessage(again).ok) throw new Error(`${result.message.op} was accepted once and not twice`);
  }
}

/** What decodes is written and read again: the result must not change (but for the sign of NaN). */
function roundTrip(input: Uint8Array): void {
  const first = decodeCbor(input);
  if (!first.ok) return;
  const encoded = writer.reset().value(first.value).take();
  const second = decodeCbor(encoded);
  if (!second.ok) throw new Error(`what was written cannot be read: ${second.code}`);
  const again = writer.reset().value(second.value).take();
  if (Buffer.compare(encoded, again) !== 0) throw new Error("a value changed on its way");
}

/** What decodes as a message of lanes says the same when it is written and read again: the descriptors that belong to it are counted by its op, not by its word. */
function laneMessage(input: Uint8Array): void {
  for (const decode of [decodeClientMessage, decodeServerMessage]) {
    const first = decode(input);
    if (!first.ok || !(Object.hasOwn(laneFromClient, first.message.op) || Object.hasOwn(laneFromGateway, first.message.op))) continue;
    const again = decode(encodeControl(writer.reset(), first.message, first.fds).take());
    if (!again.ok) throw new Error(`${first.message.op}: what was written cannot be read: ${again.fault.text}`);
  }
}

const laneSeeds: readonly (ClientMessage | ServerMessage)[] = [
  { op: "advertise", seq: 9, topic: "arm/pose", encoding: "record", schemaHash: "00112233aabbccdd", layout: { sizeBytes: 16 }, jsonSchema: undefined, policy: "lossless", deadlineMs: 250 },
  { op: "relane", seq: 10, advert: 1 }, { op: "unadvertise", seq: 11, advert: 1 }, { op: "attach", seq: 12, lane: 2 }, { op: "detach", seq: 13, lane: 2 },
  { op: "lane", subscription: 1, topicId: 2, lane: 4, origin: 4, policy: "latest", schemaHash: "00112233aabbccdd", replaces: 3 }, { op: "unlane", lane: 3, status: 103, text: "replaced" },
  { op: "reader", advert: 1, reader: 2, policy: "lossless", deadlineMs: 250 }, { op: "unreader", advert: 1, reader: 2 }, { op: "rekey", advert: 1 }, { op: "unadvert", advert: 1, status: 202, text: "no" },
];

export const fuzzTargets: readonly FuzzTarget[] = [
  { name: "client socket: CBOR", run: roundTrip },
  { name: "client socket: control message to the gateway", run: (input) => void decodeClientMessage(input) },
  {
    name: "client socket: control message to the client",
    run: (input) => {
      const result = decodeServerMessage(input);
      if (!result.ok || result.message.op !== "reply") return;
      readQueryAnswer(result.message.body);
      readQueryAnswers(result.message.body);
      readAnnouncements(result.message.body);
    },
  },
  { name: "client socket: messages of services", run: serviceMessage },
  { name: "client socket: messages of lanes", run: laneMessage, seeds: laneSeeds.map((message) => encodeControl(writer.reset(), message).take()) },
  { name: "client socket: batch of samples", run: (input) => walk(new SampleBatchReader(), input) },
  { name: "client socket: packets", run: conversation },
];

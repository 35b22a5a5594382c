/** Decodes payloads by what was announced about their topic. */
import { mediaCodec, type MediaEncoding } from "../../schemas/media/index.ts";
import { isInLimits, isPresent, layoutFromJson, readField, readRecord, type RecordLayout } from "../../schemas/records/index.ts";
import { IpcnetError, Status } from "../../schemas/status.ts";
import { hashText } from "../../schemas/topics/schemaHash.ts";
import { decodeCbor } from "../protocol/cborReader.ts";
import type { TopicAnnouncement } from "../protocol/messages.ts";

export type DecodePayload = (payload: Uint8Array) => unknown;

/** Says what is wrong with a payload that came from another program, before anybody looks into it; undefined = nothing. */
export type CheckPayload = (payload: Uint8Array) => string | undefined;

/** Records must have their layout's length and every value within its declared limits; the other encodings are judged when they are decoded. */
export function payloadCheck(topic: TopicAnnouncement): CheckPayload | undefined {
  if (topic.encoding !== "record") return undefined;
  const layout = announcedLayout(topic);
  if (!layout) return () => "its layout was not announced";
  const limited = layout.fields.map((field, index) => ({ field, index })).filter(({ field }) => field.minimum !== undefined || field.maximum !== undefined);
  return (payload) => {
    if (payload.length !== layout.sizeBytes) return `${payload.length} bytes instead of ${layout.sizeBytes}`;
    if (limited.length === 0) return undefined;
    const view = viewOf(payload);
    for (const { field, index } of limited) {
      // NaN lies within no limits.
      if (isPresent(layout, index, view, 0) && !isInLimits(readField(field, view, 0), field)) return `${field.name} is out of range`;
    }
    return undefined;
  };
}

/** The decoder of a topic's payloads. It throws an `IpcnetError` (209) for a payload that does not fit the announcement. */
export function payloadDecoder(topic: TopicAnnouncement): DecodePayload {
  switch (topic.encoding) {
    case "record":
      return recordDecoder(topic);
    case "cbor":
      return (payload) => {
        const result = decodeCbor(payload);
        if (!result.ok) throw unfit(topic, `not a CBOR value: ${result.code} at byte ${result.at}`);
        return result.value;
      };
    case "json":
      return (payload) => parseJson(topic, payload);
    case "bytes":
      return (payload) => payload;
    case "tensor":
    case "video":
    case "audio":
    case "points":
    case "haptic":
    case "file":
      return mediaDecoder(topic, topic.encoding);
    case "canframe":
      return (payload) => canFrame(topic, payload);
    default:
      return topic.encoding satisfies never;
  }
}

function announcedLayout(topic: TopicAnnouncement): RecordLayout | undefined {
  const layout = layoutFromJson(topic.layout);
  return layout && hashText(layout.hash) === topic.schemaHash ? layout : undefined;
}

/** Frames, tensors and their like: views into the payload, nothing is copied. */
function mediaDecoder(topic: TopicAnnouncement, encoding: MediaEncoding): DecodePayload {
  const codec = mediaCodec(encoding);
  return (payload) => {
    const result = codec.decode(payload);
    if (!result.ok) throw unfit(topic, result.text);
    return result.value;
  };
}

function recordDecoder(topic: TopicAnnouncement): DecodePayload {
  const layout = announcedLayout(topic);
  if (!layout) {
    return () => {
      throw unfit(topic, "its layout was not announced");
    };
  }
  return (payload) => {
    if (payload.length !== layout.sizeBytes) throw unfit(topic, `${payload.length} bytes instead of ${layout.sizeBytes}`);
    return readRecord(layout, viewOf(payload));
  };
}

function parseJson(topic: TopicAnnouncement, payload: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("utf8"));
  } catch (error) {
    throw unfit(topic, error instanceof Error ? error.message : String(error));
  }
}

/** The 88-byte record of drivers/can/frame.ts (docs/specs/client-socket.md), which this storey must not import. */
const FRAME_BYTES = 88;
const Flag = { extended: 1, fd: 2, bitRateSwitch: 4, errorStateIndicator: 8, remote: 16, error: 32, echo: 64 } as const;

export interface CanFrameValue {
  canId: number;
  extended: boolean;
  fd: boolean;
  bitRateSwitch: boolean;
  errorStateIndicator: boolean;
  remote: boolean;
  /** An error report: canId holds Linux's CAN_ERR_* classes. */
  error: boolean;
  /** The gateway's own frame, transmitted. */
  echo: boolean;
  /** For a remote request the length asked for. */
  lengthBytes: number;
  data: Uint8Array;
  timeUs: number;
}

function canFrame(topic: TopicAnnouncement, payload: Uint8Array): CanFrameValue {
  if (payload.length !== FRAME_BYTES) throw unfit(topic, `${payload.length} bytes instead of ${FRAME_BYTES}`);
  const view = viewOf(payload);
  const flags = view.getUint8(12);
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const lengthBytes = Math.min(view.getUint8(13), 64);
  return {
    canId: view.getUint32(8, true), extended: has(Flag.extended), fd: has(Flag.fd), bitRateSwitch: has(Flag.bitRateSwitch), errorStateIndicator: has(Flag.errorStateIndicator), remote: has(Flag.remote),
    error: has(Flag.error), echo: has(Flag.echo), lengthBytes, data: payload.slice(24, has(Flag.remote) ? 24 : 24 + lengthBytes), timeUs: view.getFloat64(0, true),
  };
}

function viewOf(payload: Uint8Array): DataView {
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
}

function unfit(topic: TopicAnnouncement, what: string): IpcnetError {
  return new IpcnetError(Status.unprocessableContent, `${topic.name}: ${what}`);
}

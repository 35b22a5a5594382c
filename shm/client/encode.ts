/** Encodes values by what was said about their topic: the counterpart of decode.ts. */
import { isMediaEncoding, mediaCodec, type MediaCodec, type MediaConstraints, type MediaEncoding, mediaSchemaHash } from "../../schemas/media/index.ts";
import { layoutFromFields, type FieldDefinition, type RecordLayout, writeRecord } from "../../schemas/records/index.ts";
import { IpcnetError, Status } from "../../schemas/status.ts";
import { schemaHash } from "../../schemas/topics/schemaHash.ts";
import { CborValueError, CborWriter } from "../protocol/cborWriter.ts";
import type { AdvertEncoding } from "../protocol/laneMessages.ts";

export interface EncodePayload {
  /** Gives the payload of a value: borrowed until the next call. Throws an `IpcnetError` (209) for a value that does not fit. */
  (value: unknown): Uint8Array;
  /** For large values: how many bytes one takes, and writing it where it shall be. */
  inPlace?: { payloadBytes(value: unknown): number; write(value: unknown, out: Uint8Array): void };
}

/** How a topic's payloads are made, with the number that names it. */
export interface TopicSchema {
  encoding: AdvertEncoding;
  layout: RecordLayout | undefined;
  jsonSchema: object | undefined;
  hash: bigint;
}

/** `layout`: of a record, as fields or compiled. A record's layout from fields is named by its topic, so that equal fields give equal hashes. */
export function topicSchema(topic: string, { encoding, layout, jsonSchema, constraints, hash }: { encoding?: AdvertEncoding; layout?: readonly FieldDefinition[] | RecordLayout; jsonSchema?: object; constraints?: MediaConstraints; hash?: bigint }): TopicSchema {
  const chosen = encoding ?? (layout ? "record" : "cbor");
  if ((chosen === "record") !== (layout !== undefined)) throw new IpcnetError(Status.badRequest, `${topic}: a layout belongs to the encoding record, and only to that`);
  const compiled = layout === undefined ? undefined : "sizeBytes" in layout ? layout : layoutFromFields(topic, layout);
  // What a topic of media fixes is announced in the place of a JSON Schema (docs/specs/media.md).
  return { encoding: chosen, layout: compiled, jsonSchema: jsonSchema ?? constraints, hash: hash ?? compiled?.hash ?? (isMediaEncoding(chosen) ? mediaSchemaHash(chosen, constraints) : schemaHash(chosen, jsonSchema)) };
}

export function payloadEncoder(topic: string, { encoding, layout }: TopicSchema, payloadBytesMax: number): EncodePayload {
  switch (encoding) {
    case "record":
      return recordEncoder(topic, layout!);
    case "cbor":
      return cborEncoder(payloadBytesMax);
    case "json":
      return (value) => jsonText(topic, value);
    case "bytes":
      return (value) => {
        if (value instanceof Uint8Array) return value;
        throw unfit(`${topic} takes bytes`);
      };
    case "tensor":
    case "video":
    case "audio":
    case "points":
    case "haptic":
    case "file":
      return mediaEncoder(topic, encoding);
    default:
      return encoding satisfies never;
  }
}

function recordEncoder(topic: string, layout: RecordLayout): EncodePayload {
  const record = new Uint8Array(layout.sizeBytes);
  const view = new DataView(record.buffer);
  return (value) => {
    if (value instanceof Uint8Array) {
      if (value.length !== layout.sizeBytes) throw unfit(`${topic}: ${value.length} bytes instead of ${layout.sizeBytes}`);
      return value;
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw unfit(`${topic} takes an object of fields`);
    const written = writeRecord(layout, value as Record<string, unknown>, view);
    if (!written.ok) throw unfit(`${topic}: ${written.text}`);
    return record;
  };
}

function mediaEncoder(topic: string, encoding: MediaEncoding): EncodePayload {
  // The input is checked by the codec, whatever its type says here.
  const codec = mediaCodec(encoding) as MediaCodec<unknown, never>;
  const write = (value: unknown, out: Uint8Array): void => {
    const written = codec.encodeInto(value as never, out);
    if (!written.ok) throw unfit(`${topic}: ${written.text}`);
  };
  const payloadBytes = (value: unknown): number => {
    try {
      const bytes = codec.payloadBytes(value as never);
      if (Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
    } catch (error) {
      // What has not even the right parts has no size.
      if (!(error instanceof TypeError)) throw error;
    }
    throw unfit(`${topic} takes a ${encoding}: this value is none`);
  };
  const encode = (value: unknown): Uint8Array => {
    if (value instanceof Uint8Array) return value;
    const out = new Uint8Array(payloadBytes(value));
    write(value, out);
    return out;
  };
  return Object.assign(encode, { inPlace: { payloadBytes, write } });
}

/** Bytes are taken as CBOR that is encoded already, as everywhere in this API. */
function cborEncoder(payloadBytesMax: number): EncodePayload {
  const writer = new CborWriter({ lengthMax: payloadBytesMax });
  return (value) => {
    if (value instanceof Uint8Array) return value;
    try {
      writer.reset().value(value);
      return writer.bytes.subarray(0, writer.length);
    } catch (error) {
      if (error instanceof CborValueError) throw unfit(error.message);
      throw error;
    }
  };
}

function jsonText(topic: string, value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  const text = JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "bigint" ? inner.toString() : inner));
  if (text === undefined) throw unfit(`${topic}: the value has no JSON form`);
  return Buffer.from(text);
}

function unfit(text: string): IpcnetError {
  return new IpcnetError(Status.unprocessableContent, text);
}

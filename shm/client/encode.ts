/** Encodes values by what was said about their topic: the counterpart of decode.ts. */
import { type MediaEncoding, mediaCodec, type MediaResult } from "../../schemas/media/index.ts";
import { layoutFromFields, type FieldDefinition, type RecordLayout, writeRecord } from "../../schemas/records/index.ts";
import { IpcnetError, Status } from "../../schemas/status.ts";
import { schemaHash } from "../../schemas/topics/schemaHash.ts";
import { CborValueError, CborWriter } from "../protocol/cborWriter.ts";
import type { AdvertEncoding } from "../protocol/laneMessages.ts";

/** Gives the payload of a value: borrowed until the next call. Throws an `IpcnetError` (209) for a value that does not fit. */
export type EncodePayload = (value: unknown) => Uint8Array;

/** How a topic's payloads are made, with the number that names it. */
export interface TopicSchema {
  encoding: AdvertEncoding;
  layout: RecordLayout | undefined;
  jsonSchema: object | undefined;
  hash: bigint;
}

/** `layout`: of a record, as fields or compiled. A record's layout from fields is named by its topic, so that equal fields give equal hashes. */
export function topicSchema(topic: string, { encoding, layout, jsonSchema, hash }: { encoding?: AdvertEncoding; layout?: readonly FieldDefinition[] | RecordLayout; jsonSchema?: object; hash?: bigint }): TopicSchema {
  const chosen = encoding ?? (layout ? "record" : "cbor");
  if ((chosen === "record") !== (layout !== undefined)) throw new IpcnetError(Status.badRequest, `${topic}: a layout belongs to the encoding record, and only to that`);
  const compiled = layout === undefined ? undefined : "sizeBytes" in layout ? layout : layoutFromFields(topic, layout);
  return { encoding: chosen, layout: compiled, jsonSchema, hash: hash ?? compiled?.hash ?? schemaHash(chosen, jsonSchema) };
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

/** What the codec of schemas/media takes (TensorInput, VideoInput …), or a payload that is encoded already. */
function mediaEncoder(topic: string, encoding: MediaEncoding): EncodePayload {
  const { encode } = mediaCodec(encoding) as { encode(input: object): MediaResult<Uint8Array> };
  return (value) => {
    if (value instanceof Uint8Array) return value;
    if (typeof value !== "object" || value === null) throw unfit(`${topic} takes what makes up a ${encoding}, or its payload`);
    const encoded = tried(() => encode(value));
    if (!encoded.ok) throw unfit(`${topic}: ${encoded.text}`);
    return encoded.value;
  };
}

/** An object without the members that it must have makes a TypeError: the program's mistake, told as such. */
function tried(encode: () => MediaResult<Uint8Array>): MediaResult<Uint8Array> | { ok: false; text: string } {
  try {
    return encode();
  } catch (error) {
    if (error instanceof TypeError) return { ok: false, text: error.message };
    throw error;
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

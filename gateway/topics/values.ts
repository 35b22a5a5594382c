/** Between the bytes of a sample and the values people and rules work with. Cold paths only: routes with conditions, mirrors, commands. */
import { CborWriter } from "../../shm/protocol/cborWriter.ts";
import { decodeCbor } from "../../shm/protocol/cborReader.ts";
import { readFrame } from "../../drivers/can/frame.ts";
import { readRecord } from "../../schemas/records/layout.ts";
import type { TopicEntry } from "./topicSource.ts";

/** Longest encoded value of an application topic: fits one packet of the client socket. */
export const VALUE_BYTES_MAX = 65_000;

export type ValueResult = { ok: true; value: unknown } | { ok: false; text: string };

/** Decodes a sample in the topic's own encoding. Never throws. */
export function readValue(topic: Pick<TopicEntry, "encoding" | "layout">, bytes: Uint8Array, at: number, lengthBytes: number): ValueResult {
  switch (topic.encoding) {
    case "record": {
      if (topic.layout === undefined || lengthBytes !== topic.layout.sizeBytes) return { ok: false, text: `the record has ${lengthBytes} bytes, its layout ${topic.layout?.sizeBytes ?? 0}` };
      return { ok: true, value: readRecord(topic.layout, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at) };
    }
    case "cbor": {
      const result = decodeCbor(bytes, { at, lengthBytes });
      return result.ok ? result : { ok: false, text: `CBOR: ${result.code} at byte ${result.at}` };
    }
    case "json":
      try {
        return { ok: true, value: JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset + at, lengthBytes).toString("utf8")) };
      } catch (error) {
        return { ok: false, text: `JSON: ${(error as Error).message}` };
      }
    case "bytes":
    case "tensor":
    case "video":
    case "audio":
    case "points":
    case "haptic":
    case "file":
      return { ok: true, value: bytes.slice(at, at + lengthBytes) };
    case "canframe":
      return { ok: true, value: readFrame(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at) };
    default:
      return topic.encoding satisfies never;
  }
}

const writer = new CborWriter({ lengthMax: VALUE_BYTES_MAX });

/** Encodes a value for a cbor, json or bytes topic. */
export function writeValue(encoding: "cbor" | "json" | "bytes", value: unknown): { ok: true; bytes: Uint8Array } | { ok: false; text: string } {
  try {
    if (encoding === "cbor") return { ok: true, bytes: writer.reset().value(value).take() };
    if (encoding === "bytes") return value instanceof Uint8Array ? { ok: true, bytes: value } : { ok: false, text: "the topic takes bytes" };
    const text = JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "bigint" ? inner.toString() : inner));
    return text === undefined ? { ok: false, text: "the value has no JSON form" } : { ok: true, bytes: Buffer.from(text) };
  } catch (error) {
    return { ok: false, text: (error as Error).message };
  }
}

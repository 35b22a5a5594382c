/** Files: name, MIME type, size and SHA-256, in front of the bytes or of nothing when a sealed descriptor has them. docs/specs/media.md. */
import { createHash } from "node:crypto";
import { beginHeader, bytesOf, fault, getSize, isCount, isZero, openHeader, setSize, type MediaFault, type MediaResult } from "./header.ts";
import { FILE_HEADER_BYTES, FILE_NAME_BYTES_MAX, FILE_TYPE_BYTES_MAX } from "./limits.ts";

export interface FilePayload {
  /** One path component: no separators, no control characters, not "." or "..". */
  name: string;
  /** MIME type without parameters; "" = unknown. */
  type: string;
  sizeBytes: number;
  sha256: Uint8Array;
  /** The content, a view of the payload; undefined: it is in the sealed descriptor that travels with the message. */
  content: Uint8Array | undefined;
}

export interface FileInput {
  name: string;
  type?: string;
  /** Either the content, … */
  content?: ArrayBufferView;
  /** … or what is in the descriptor. */
  sizeBytes?: number;
  sha256?: Uint8Array;
}

const MAGIC = "IPFI";
const NAME_AT = 64;
const TYPE_AT = 320;

/** Reads the header. The hash is not checked here: `isFileContent` does, where the content is used. */
export function decodeFile(payload: Uint8Array): MediaResult<FilePayload> {
  const opened = openHeader(payload, MAGIC, FILE_HEADER_BYTES);
  if (!opened.ok) return opened;
  const { view, data } = opened.value;
  const place = view.getUint8(24);
  const nameBytes = view.getUint8(25);
  const typeBytes = view.getUint8(26);
  if (!isZero(view, 27, 32) || !isZero(view, NAME_AT + nameBytes, TYPE_AT) || !isZero(view, TYPE_AT + Math.min(typeBytes, FILE_TYPE_BYTES_MAX), FILE_HEADER_BYTES)) return fault("notZero", "bytes without meaning are not zero");
  if (place > 1) return fault("badType", `place ${place}`);
  const sizeBytes = getSize(view, 16);
  if (typeBytes > FILE_TYPE_BYTES_MAX || !Number.isSafeInteger(sizeBytes)) return fault("badShape", `${typeBytes} bytes of MIME type, ${sizeBytes} of content`);
  const inline = place === 0;
  if (data.length !== (inline ? sizeBytes : 0)) return fault("outOfBounds", `${sizeBytes} bytes ${inline ? "inline" : "in a descriptor"}, there are ${data.length}`);
  const name = utf8(payload.subarray(NAME_AT, NAME_AT + nameBytes));
  const type = String.fromCharCode(...payload.subarray(TYPE_AT, TYPE_AT + typeBytes));
  return checkNames(name, type) ?? { ok: true, value: { name: name!, type, sizeBytes, sha256: payload.subarray(32, 64), content: inline ? data : undefined } };
}

function utf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

function checkNames(name: string | undefined, type: string): MediaFault | undefined {
  if (!isFileName(name)) return fault("badName", "not the name of a file");
  return type === "" || /^[A-Za-z0-9!#$&^_.+-]+\/[A-Za-z0-9!#$&^_.+-]+$/.test(type) ? undefined : fault("badName", "not a MIME type");
}

/** Whether a name is one path component that may be used as it is: no "/" or "\", no control characters (U+0000 … U+001F, U+007F), not "." or "..", 1 to 255 bytes of UTF-8. */
export function isFileName(name: unknown): name is string {
  if (typeof name !== "string" || name === "" || name === "." || name === ".." || /\p{Surrogate}/u.test(name)) return false;
  for (const character of name) if (character < " " || character === "\u007f" || character === "/" || character === "\\") return false;
  return Buffer.byteLength(name) <= FILE_NAME_BYTES_MAX;
}

/** Whether `content` is what the header says: its size and SHA-256. */
export function isFileContent({ sizeBytes, sha256 }: Pick<FilePayload, "sizeBytes" | "sha256">, content: Uint8Array): boolean {
  return content.length === sizeBytes && createHash("sha256").update(content).digest().equals(sha256);
}

export function filePayloadBytes(input: FileInput): number {
  return FILE_HEADER_BYTES + (input.content?.byteLength ?? 0);
}

/** Writes the header, and the content if it is given, into `out`, which has exactly `filePayloadBytes(input)` bytes. The hash of given content is computed. */
export function encodeFileInto(input: FileInput, out: Uint8Array): MediaResult<undefined> {
  const { name, type = "" } = input;
  const content = input.content && bytesOf(input.content);
  const sizeBytes = content ? content.length : input.sizeBytes;
  const sha256 = content ? createHash("sha256").update(content).digest() : input.sha256;
  if (!isCount(sizeBytes, 0, Number.MAX_SAFE_INTEGER) || sha256?.length !== 32) return fault("badShape", "give the content, or its size and SHA-256");
  if (type.length > FILE_TYPE_BYTES_MAX) return fault("badShape", `${type.length} bytes of MIME type`);
  const refused = checkNames(name, type);
  if (refused) return refused;
  if (out.length !== filePayloadBytes(input)) return fault("badLength", `${out.length} bytes of room, ${filePayloadBytes(input)} needed`);
  const view = beginHeader(out, MAGIC, FILE_HEADER_BYTES, content?.length ?? 0);
  const nameBytes = Buffer.from(name, "utf8");
  setSize(view, 16, sizeBytes);
  view.setUint8(24, content ? 0 : 1);
  view.setUint8(25, nameBytes.length);
  view.setUint8(26, type.length);
  out.set(sha256, 32);
  out.set(nameBytes, NAME_AT);
  out.set(Buffer.from(type, "latin1"), TYPE_AT);
  if (content) out.set(content, FILE_HEADER_BYTES);
  return { ok: true, value: undefined };
}

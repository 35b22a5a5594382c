/**
 * What a COBS frame holds: AUTOSAR E2E profile 8 (CRC-32, length, counter, Data ID; 16 bytes, big-endian), the message's number
 * (u16, little-endian), its body. See docs/specs/serial-link.md.
 *
 * The two directions have different Data IDs, so that a loop-back plug or a half-duplex echo is not taken for the peer.
 */
import { FrameProtector, Verdict, e2eCodec } from "../../schemas/e2e/index.ts";
import type { FrameCodec } from "../../schemas/e2e/index.ts";
import { cobsEncode, cobsEncodedBytesMax } from "./cobs.ts";
import { SERIAL_LIMITS } from "./limits.ts";

export const E2E_HEADER_BYTES = 16;
const ID_BYTES = 2;
export const FRAME_BYTES_MIN = E2E_HEADER_BYTES + ID_BYTES;
export const FRAME_BYTES_MAX = FRAME_BYTES_MIN + SERIAL_LIMITS.bodyBytes;

/** Reserved for the link itself: see `Hello`. */
export const HELLO_ID = 0xffff;

export type SerialRole = "gateway" | "device";

/** The Data ID of what `sender` sends, from the one that the configuration gives the link. */
export function directionDataId(dataId: number, sender: SerialRole): number {
  return (sender === "gateway" ? dataId : dataId ^ 0x8000_0000) >>> 0;
}

/** Profile 8 for one direction of a link. */
export function serialCodec(dataId: number, sender: SerialRole): FrameCodec {
  return e2eCodec({ profile: "P08", dataId: directionDataId(dataId, sender), minLengthBytes: FRAME_BYTES_MIN, maxLengthBytes: FRAME_BYTES_MAX });
}

/** Builds frames as they go on the wire, the counter rising with each. */
export class SerialFrameWriter {
  readonly #protector: FrameProtector;
  readonly #scratch = new Uint8Array(FRAME_BYTES_MAX);

  constructor(codec: FrameCodec) {
    this.#protector = new FrameProtector(codec);
  }

  /** 0x00, COBS, 0x00; the memory is the caller's. The body has at most `SERIAL_LIMITS.bodyBytes`. */
  write(id: number, body: Uint8Array): Uint8Array {
    const lengthBytes = FRAME_BYTES_MIN + body.length;
    const frame = this.#scratch.subarray(0, lengthBytes);
    frame[E2E_HEADER_BYTES] = id;
    frame[E2E_HEADER_BYTES + 1] = id >>> 8;
    frame.set(body, FRAME_BYTES_MIN);
    this.#protector.protect(frame, 0, lengthBytes, 0);
    const wire = new Uint8Array(cobsEncodedBytesMax(lengthBytes) + 2);
    return wire.subarray(0, cobsEncode(frame, wire, 1) + 2);
  }
}

export function idOf(frame: Uint8Array): number {
  return frame[E2E_HEADER_BYTES]! | (frame[E2E_HEADER_BYTES + 1]! << 8);
}

export function bodyOf(frame: Uint8Array): Uint8Array {
  return frame.subarray(FRAME_BYTES_MIN);
}

/** Why a frame is not the peer's, by itself. */
export type FrameFault = "badLength" | "crcMismatch" | "wrongDataId";

/** Undefined when the frame is whole and meant for us. */
export function frameFault(codec: FrameCodec, frame: Uint8Array): FrameFault | undefined {
  const verdict = codec.inspect(frame, 0, frame.length, 0);
  switch (verdict) {
    case Verdict.ok:
      return undefined;
    case Verdict.badLength:
      return "badLength";
    case Verdict.crcMismatch:
      return "crcMismatch";
    case Verdict.wrongDataId:
      return "wrongDataId";
  }
}

/**
 * The body of a hello: who speaks, and whom it has heard. Sent until the peer has answered, again when it started anew, and as a sign of
 * life when there is nothing else to say. Any of them may be lost, the first after opening a tty often is.
 *
 * | offset | type | field |
 * |---|---|---|
 * | 0 | u8 | version of this protocol, 1 |
 * | 1 | u8 | 0 gateway, 1 device |
 * | 2 | u16 | longest body it takes, bytes |
 * | 4 | u32 | session: a number drawn anew at each start, never 0 |
 * | 8 | u32 | the peer's session that it has heard, 0 if none |
 * | 12 | u8 | length of the name |
 * | 13 | UTF-8 | name, at most 32 bytes |
 */
export interface Hello {
  role: SerialRole;
  bodyBytesMax: number;
  session: number;
  heardSession: number;
  name: string;
}

const HELLO_BYTES_MIN = 13;
const NAME_BYTES_MAX = 32;
export const LINK_VERSION = 1;

export function encodeHello({ role, bodyBytesMax, session, heardSession, name }: Hello): Uint8Array {
  const nameBytes = Buffer.from(name).subarray(0, NAME_BYTES_MAX);
  const body = new Uint8Array(HELLO_BYTES_MIN + nameBytes.length);
  const view = new DataView(body.buffer);
  body[0] = LINK_VERSION;
  body[1] = role === "gateway" ? 0 : 1;
  view.setUint16(2, bodyBytesMax, true);
  view.setUint32(4, session, true);
  view.setUint32(8, heardSession, true);
  body[12] = nameBytes.length;
  body.set(nameBytes, HELLO_BYTES_MIN);
  return body;
}

export type HelloResult = { ok: true; hello: Hello } | { ok: false; code: "badHello" | "otherVersion" };

export function decodeHello(body: Uint8Array): HelloResult {
  if (body.length < HELLO_BYTES_MIN) return { ok: false, code: "badHello" };
  if (body[0] !== LINK_VERSION) return { ok: false, code: "otherVersion" };
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const role = body[1] === 0 ? "gateway" : body[1] === 1 ? "device" : undefined;
  const nameBytes = body[12]!;
  const session = view.getUint32(4, true);
  if (role === undefined || session === 0 || nameBytes > NAME_BYTES_MAX || body.length !== HELLO_BYTES_MIN + nameBytes) return { ok: false, code: "badHello" };
  const name = Buffer.from(body.buffer, body.byteOffset + HELLO_BYTES_MIN, nameBytes).toString("utf8");
  return { ok: true, hello: { role, bodyBytesMax: view.getUint16(2, true), session, heardSession: view.getUint32(8, true), name } };
}

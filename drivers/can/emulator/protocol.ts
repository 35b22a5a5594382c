/**
 * The emulated bus's socket protocol: fixed 96-byte little-endian records, an 8-byte head and one 88-byte frame record
 * (docs/specs/bus-emulator.md). The C side is core/emulator_socket.c.
 */
import { FRAME_STRIDE_BYTES } from "../frame.ts";

export const HEAD_BYTES = 8;
export const RECORD_BYTES = HEAD_BYTES + FRAME_STRIDE_BYTES;
export const PROTOCOL_VERSION = 1;
/** In a record's head: unused on the wire (0); in a controller's outbox, whose frame was echoed or dropped (controller.ts). */
export const OWNER_OFFSET = 2;

export const Kind = { hello: 1, welcome: 2, frame: 3, echo: 4, dropped: 5, link: 6, control: 7, state: 8, refused: 9 } as const;
export const HelloFlag = { fd: 1, listenOnly: 2, echoes: 4 } as const;
export const WelcomeFlag = { fd: 1, linkDown: 2 } as const;
/** In WELCOME's frame part: the controller's state, its first byte of data. */
export const WELCOME_STATE_OFFSET = 24;
/** Why a frame left the queue without having been sent. `refused`: the bus or the node cannot carry it at all. */
export const DropReason = { purge: 1, busOff: 2, linkDown: 3, queueFull: 4, refused: 5 } as const;
export const Control = { purge: 1, restart: 2, linkUp: 3, linkDown: 4 } as const;
export const NODE_STATES = ["errorActive", "warning", "passive", "busOff"] as const;
export type NodeState = (typeof NODE_STATES)[number];

/** A growing run of records: what the bus has for a node, or a node for the bus. */
export class RecordBuffer {
  bytes: Buffer;
  view: DataView;
  count = 0;

  constructor(capacityRecords = 16) {
    this.bytes = Buffer.alloc(capacityRecords * RECORD_BYTES);
    this.view = viewOf(this.bytes);
  }

  /** Adds a record with a blank head but for these fields and returns where its frame part starts; that part holds old bytes, the caller fills it. */
  append(kind: number, arg: number, value: number): number {
    const at = this.count * RECORD_BYTES;
    if (at + RECORD_BYTES > this.bytes.length) this.#grow();
    this.bytes[at] = kind;
    this.bytes[at + 1] = arg;
    this.bytes[at + 2] = 0;
    this.bytes[at + 3] = 0;
    this.view.setUint32(at + 4, value, true);
    this.count += 1;
    return at + HEAD_BYTES;
  }

  /** Notes in the record whose frame part is at `frameAt` whose frame it is. */
  setOwner(frameAt: number, owner: number): void {
    this.view.setUint16(frameAt - HEAD_BYTES + OWNER_OFFSET, owner, true);
  }

  /** Adds a record without a frame. */
  appendBlank(kind: number, arg: number, value: number): number {
    const at = this.append(kind, arg, value);
    this.bytes.fill(0, at, at + FRAME_STRIDE_BYTES);
    return at;
  }

  /** The filled part; valid until the next append or clear. */
  filled(): Buffer {
    return this.bytes.subarray(0, this.count * RECORD_BYTES);
  }

  /** Hands the filled part over for good and starts with a new, small buffer. */
  take(): Buffer {
    const taken = this.filled();
    const capacity = Math.min(1024, Math.max(16, this.count));
    // Not zeroed: every record is written whole before it is read.
    this.bytes = Buffer.allocUnsafeSlow(capacity * RECORD_BYTES);
    this.view = viewOf(this.bytes);
    this.count = 0;
    return taken;
  }

  clear(): void {
    this.count = 0;
  }

  #grow(): void {
    const wider = Buffer.alloc(this.bytes.length * 2);
    this.bytes.copy(wider);
    this.bytes = wider;
    this.view = viewOf(wider);
  }
}

/** A view over exactly the bytes of `buffer`. */
export function viewOf(buffer: Uint8Array): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/** Cuts a byte stream into records. What `push` hands to `each` is borrowed until it returns. Memory: one partial record. */
export class RecordReader {
  readonly #partial = Buffer.alloc(RECORD_BYTES);
  readonly #partialView = viewOf(this.#partial);
  #held = 0;

  push(chunk: Uint8Array, each: (bytes: Buffer, view: DataView, at: number) => void): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = 0;
    if (this.#held > 0) {
      at = Math.min(RECORD_BYTES - this.#held, bytes.length);
      bytes.copy(this.#partial, this.#held, 0, at);
      this.#held += at;
      if (this.#held < RECORD_BYTES) return;
      this.#held = 0;
      each(this.#partial, this.#partialView, 0);
    }
    const view = viewOf(bytes);
    for (; at + RECORD_BYTES <= bytes.length; at += RECORD_BYTES) each(bytes, view, at);
    this.#held = bytes.length - at;
    if (this.#held > 0) bytes.copy(this.#partial, 0, at);
  }
}

/** Writes UTF-8 texts into a record's payload, each ended by a zero byte; cut at 64 bytes. */
export function putTexts(bytes: Buffer, frameAt: number, texts: readonly string[]): void {
  bytes.fill(0, frameAt, frameAt + FRAME_STRIDE_BYTES);
  bytes.write(texts.join("\0"), frameAt + 24, 64, "utf8");
}

/** The zero-ended texts in a record's payload, at least one (perhaps empty). */
export function getTexts(bytes: Buffer, frameAt: number): [string, ...string[]] {
  const [first, ...others] = bytes.toString("utf8", frameAt + 24, frameAt + FRAME_STRIDE_BYTES).split("\0");
  return [first ?? "", ...others];
}

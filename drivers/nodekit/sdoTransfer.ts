/**
 * One SDO transfer with a node, from the client's side (CiA 301): reads, small writes and block writes. Pure: the caller sends what `take` gives and hands in the node's answers.
 * A block's segments need no answer, so `take` gives as many as the caller has room for; a node acknowledges what has come in sequence, and the rest is given again.
 */
import { crc16Ibm3740 } from "../../schemas/crc/index.ts";
import { canopenIds, type NodeFrame } from "./canopen.ts";

export type SdoRequest =
  | { type: "read"; index: number; subindex: number }
  /** At most 4 bytes. */
  | { type: "write"; index: number; subindex: number; bytes: Uint8Array }
  | { type: "writeBlock"; index: number; subindex: number; bytes: Uint8Array };

export type SdoResult =
  /** `bytes`: what was read. */
  | { ok: true; bytes: Uint8Array }
  | { ok: false; code: "aborted"; abortCode: number }
  | { ok: false; code: "timedOut" }
  /** An answer that does not belong to this transfer or breaks its rules. */
  | { ok: false; code: "unexpected" };

/** Without an answer for so long, µs: longer than a node takes to erase a page, shorter than a node's own 2 s. */
export const SDO_TIMEOUT_US = 1_500_000;
/** A read longer than this is refused: nothing of the node kit is. */
export const SDO_READ_BYTES_MAX = 4_096;

const TIMED_OUT = 0x05040000;
const UNEXPECTED = 0x05040001;
const GIVEN_UP = 0x08000000;

type Stage = "begin" | "reading" | "segments" | "blockEnd" | "done";

export class SdoTransfer {
  readonly #node: number;
  readonly #request: SdoRequest;
  readonly #out: Uint8Array[] = [];
  #stage: Stage = "begin";
  #result: SdoResult | undefined;
  #heardUs: number;
  #read = new Uint8Array(0);
  #readBytes = 0;
  #toggle = 0;
  /** Bytes of a block write that the node has. */
  #acknowledged = 0;
  #blockSegments = 0;
  /** Segments of this block that were given to be sent. */
  #given = 0;

  constructor(node: number, request: SdoRequest, nowUs: number) {
    if (request.type === "write" && (request.bytes.length === 0 || request.bytes.length > 4)) throw new RangeError("a small write has 1 to 4 bytes");
    this.#node = node;
    this.#request = request;
    this.#heardUs = nowUs;
    this.#out.push(this.#begin());
  }

  get result(): SdoResult | undefined {
    return this.#result;
  }

  /** How much of a block write the node has acknowledged, 0…1. */
  get progress(): number {
    return this.#request.type === "writeBlock" && this.#request.bytes.length > 0 ? this.#acknowledged / this.#request.bytes.length : 0;
  }

  /** What is to be sent now, at most `max` frames. */
  take(max = Infinity): NodeFrame[] {
    const frames: NodeFrame[] = [];
    while (frames.length < max) {
      const data = this.#out.shift() ?? this.#nextSegment();
      if (!data) break;
      frames.push({ id: canopenIds.sdoRequest + this.#node, data });
    }
    return frames;
  }

  /** Any frame of the bus; those of others are ignored. */
  hear({ id, data }: NodeFrame, nowUs: number): void {
    if (id !== canopenIds.sdoAnswer + this.#node || this.#result || data.length !== 8 || this.#isOfAnother(data)) return;
    this.#heardUs = nowUs;
    if (data[0] === 0x80) {
      this.#end({ ok: false, code: "aborted", abortCode: word(data, 4) });
      return;
    }
    if (!this.#answer(data)) this.#fail({ ok: false, code: "unexpected" }, UNEXPECTED);
  }

  /** The late answer to a transfer that was given up: what names an object names another one. (Answers within a transfer name none.) */
  #isOfAnother(data: Uint8Array): boolean {
    if (this.#stage !== "begin" && data[0] !== 0x80) return false;
    const { index, subindex } = this.#request;
    return (data[1]! | (data[2]! << 8)) !== index || data[3] !== subindex;
  }

  /** Time passed. A transfer that times out tells the node so. */
  poll(nowUs: number): void {
    if (!this.#result && nowUs - this.#heardUs >= SDO_TIMEOUT_US) this.#fail({ ok: false, code: "timedOut" }, TIMED_OUT);
  }

  /** Gives up; the node is told so. */
  abort(): void {
    if (!this.#result) this.#fail({ ok: false, code: "unexpected" }, GIVEN_UP);
  }

  /** Whether the answer was understood. */
  #answer(data: Uint8Array): boolean {
    switch (this.#stage) {
      case "begin": return this.#begun(data);
      case "reading": return this.#readSegment(data);
      case "segments": return this.#blockAcknowledged(data);
      case "blockEnd":
        if (data[0] !== 0xa1) return false;
        this.#end({ ok: true, bytes: new Uint8Array(0) });
        return true;
      case "done": return true;
      default: return this.#stage satisfies never;
    }
  }

  #begin(): Uint8Array {
    const { type } = this.#request;
    if (type === "read") return this.#frame(0x40);
    const { bytes } = this.#request;
    if (type === "write") {
      const frame = this.#frame(0x23 | ((4 - bytes.length) << 2));
      frame.set(bytes, 4);
      return frame;
    }
    const frame = this.#frame(0xc6);
    new DataView(frame.buffer).setUint32(4, bytes.length, true);
    return frame;
  }

  #begun(data: Uint8Array): boolean {
    const { type } = this.#request;
    const first = data[0]!;
    if (type === "write") {
      if (first !== 0x60) return false;
      this.#end({ ok: true, bytes: new Uint8Array(0) });
      return true;
    }
    if (type === "writeBlock") {
      if ((first & 0xe1) !== 0xa0 || data[4]! < 1 || data[4]! > 127) return false;
      this.#blockSegments = data[4]!;
      this.#stage = "segments";
      return true;
    }
    if ((first & 0xe3) === 0x43) {
      this.#end({ ok: true, bytes: data.slice(4, 8 - ((first >> 2) & 3)) });
      return true;
    }
    if (first !== 0x41 || word(data, 4) > SDO_READ_BYTES_MAX) return false;
    this.#read = new Uint8Array(word(data, 4));
    this.#stage = "reading";
    this.#out.push(Uint8Array.of(0x60, 0, 0, 0, 0, 0, 0, 0));
    return true;
  }

  #readSegment(data: Uint8Array): boolean {
    const first = data[0]!;
    const length = 7 - ((first >> 1) & 7);
    const last = (first & 1) === 1;
    if (first >> 5 !== 0 || ((first >> 4) & 1) !== this.#toggle || this.#readBytes + length > this.#read.length) return false;
    this.#read.set(data.subarray(1, 1 + length), this.#readBytes);
    this.#readBytes += length;
    this.#toggle ^= 1;
    if (last !== (this.#readBytes === this.#read.length)) return false;
    if (last) this.#end({ ok: true, bytes: this.#read });
    else this.#out.push(Uint8Array.of(0x60 | (this.#toggle << 4), 0, 0, 0, 0, 0, 0, 0));
    return true;
  }

  #nextSegment(): Uint8Array | undefined {
    if (this.#stage !== "segments" || this.#request.type !== "writeBlock" || this.#given === this.#blockSegments) return undefined;
    const { bytes } = this.#request;
    const at = this.#acknowledged + this.#given * 7;
    if (at >= bytes.length) return undefined;
    this.#given += 1;
    const frame = new Uint8Array(8);
    frame[0] = this.#given | (at + 7 >= bytes.length ? 0x80 : 0);
    frame.set(bytes.subarray(at, at + 7), 1);
    return frame;
  }

  #blockAcknowledged(data: Uint8Array): boolean {
    if (this.#request.type !== "writeBlock" || (data[0]! & 0xe3) !== 0xa2 || data[1]! > this.#given || data[2]! < 1 || data[2]! > 127) return false;
    const { bytes } = this.#request;
    this.#acknowledged = Math.min(bytes.length, this.#acknowledged + data[1]! * 7);
    this.#blockSegments = data[2]!;
    this.#given = 0;
    if (this.#acknowledged < bytes.length) return true;
    const crc = crc16Ibm3740(bytes, 0, bytes.length, 0);
    this.#out.push(Uint8Array.of(0xc1 | (((7 - (bytes.length % 7)) % 7) << 2), crc & 0xff, crc >> 8, 0, 0, 0, 0, 0));
    this.#stage = "blockEnd";
    return true;
  }

  #fail(result: SdoResult, abortCode: number): void {
    const frame = this.#frame(0x80);
    new DataView(frame.buffer).setUint32(4, abortCode, true);
    this.#end(result);
    this.#out.push(frame);
  }

  #end(result: SdoResult): void {
    this.#out.length = 0;
    this.#stage = "done";
    this.#result = result;
  }

  #frame(first: number): Uint8Array {
    const { index, subindex } = this.#request;
    return Uint8Array.of(first, index & 0xff, index >> 8, subindex, 0, 0, 0, 0);
  }
}

function word(data: Uint8Array, at: number): number {
  return new DataView(data.buffer, data.byteOffset).getUint32(at, true);
}

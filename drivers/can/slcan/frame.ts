/**
 * slcan, the ASCII protocol of Lawicel's adapters and their many relatives (docs/specs/slcan.md). Pure: bytes in, values out.
 *
 * A line ends with CR; a refusal is a single BEL. There is no checksum: a line that is not exactly right is skipped whole, never guessed at,
 * because half a frame of a motor command may look like another one.
 */
import type { CanFrame } from "../frame.ts";
import { CanFlag, FD_LENGTHS_BYTES } from "../frame.ts";

export const CR = 0x0d;
export const BEL = 0x07;
/** `B`, 8 of identifier, 1 of length code, 64 bytes, 4 of time stamp; the CR is not counted. A classic adapter's longest is 30. */
export const LINE_BYTES_MAX = 1 + 8 + 1 + 128 + 4;

/** Bit rates of `S0` … `S8`, bit/s. */
export const BITRATES_BPS = [10_000, 20_000, 50_000, 100_000, 125_000, 250_000, 500_000, 800_000, 1_000_000] as const;

/** Bits of the answer to `F` (those of the SJA1000's registers). */
export const StatusFlag = { rxFifoFull: 0x01, txFifoFull: 0x02, warning: 0x04, overrun: 0x08, passive: 0x20, arbitrationLost: 0x40, busError: 0x80 } as const;

/** What an adapter says. */
export type SlcanEvent =
  /** `timestampMs`: adapter time 0…59999, if it stamps. `frame.timeUs` is 0. */
  | { type: "frame"; frame: CanFrame; timestampMs: number | undefined }
  /** CR alone: the oldest command was carried out. */
  | { type: "ok" }
  /** BEL: the oldest command was refused. */
  | { type: "error" }
  /** `z` or `Z`: the oldest frame was taken for transmission. */
  | { type: "taken"; extended: boolean }
  | { type: "status"; flags: number }
  /** The answer to `V`, `v` or `N`, with its letter. */
  | { type: "identity"; text: string }
  /** The end of an answer to `A`. */
  | { type: "pollEnd" }
  /** Bytes that were no line, skipped. */
  | { type: "bad"; skippedBytes: number };

const HEX = new Int8Array(256).fill(-1);
for (let value = 0; value < 16; value++) {
  HEX["0123456789ABCDEF".charCodeAt(value)] = value;
  HEX["0123456789abcdef".charCodeAt(value)] = value;
}

/** Which letters are frames, and what they say. */
const FRAME_FLAGS: Partial<Record<string, number>> = {
  t: 0, T: CanFlag.extended, r: CanFlag.remote, R: CanFlag.remote | CanFlag.extended,
  d: CanFlag.fd, D: CanFlag.fd | CanFlag.extended, b: CanFlag.fd | CanFlag.bitRateSwitch, B: CanFlag.fd | CanFlag.bitRateSwitch | CanFlag.extended,
};
const LETTER_OF_FLAGS = new Map(Object.entries(FRAME_FLAGS).map(([letter, flags]) => [flags, letter]));
const FRAME_MASK = CanFlag.extended | CanFlag.remote | CanFlag.fd | CanFlag.bitRateSwitch;

/** The line for a frame, CR included; undefined for what slcan cannot carry (a length that does not exist). */
export function encodeFrame(frame: CanFrame, timestampMs?: number): string | undefined {
  const letter = LETTER_OF_FLAGS.get(frame.flags & FRAME_MASK);
  const lengthBytes = frame.lengthBytes ?? frame.data.length;
  const dlc = (FD_LENGTHS_BYTES as readonly number[]).indexOf(lengthBytes);
  const extended = (frame.flags & CanFlag.extended) !== 0;
  if (letter === undefined || dlc < 0 || ((frame.flags & CanFlag.fd) === 0 && dlc > 8)) return undefined;
  if (frame.canId > (extended ? 0x1fff_ffff : 0x7ff)) return undefined;
  let line = letter + frame.canId.toString(16).toUpperCase().padStart(extended ? 8 : 3, "0") + dlc.toString(16).toUpperCase();
  if ((frame.flags & CanFlag.remote) === 0) line += Buffer.from(frame.data.buffer, frame.data.byteOffset, lengthBytes).toString("hex").toUpperCase();
  if (timestampMs !== undefined) line += timestampMs.toString(16).toUpperCase().padStart(4, "0");
  return `${line}\r`;
}

/**
 * A frame line without its CR, exactly as long as it says, with or without a time stamp; undefined for anything else.
 * Accepts a remote frame without length code, which some tools send. `fd`: whether the letters of the FD extension are known.
 */
export function decodeFrame(line: Uint8Array, fd: boolean): { frame: CanFrame; timestampMs: number | undefined } | undefined {
  const flags = FRAME_FLAGS[String.fromCharCode(line[0] ?? 0)];
  if (flags === undefined || ((flags & CanFlag.fd) !== 0 && !fd)) return undefined;
  const dlcAt = (flags & CanFlag.extended) === 0 ? 4 : 9;
  const canId = hexNumber(line, 1, dlcAt);
  if (canId < 0 || canId > ((flags & CanFlag.extended) === 0 ? 0x7ff : 0x1fff_ffff)) return undefined;
  const remote = (flags & CanFlag.remote) !== 0;
  if (remote && line.length === dlcAt) return { frame: { timeUs: 0, canId, flags, lengthBytes: 0, data: new Uint8Array(0) }, timestampMs: undefined };
  const dlc = HEX[line[dlcAt] ?? 0]!;
  if (dlc < 0 || (dlc > 8 && (flags & CanFlag.fd) === 0)) return undefined;
  const lengthBytes = FD_LENGTHS_BYTES[dlc]!;
  const dataAt = dlcAt + 1;
  const end = dataAt + (remote ? 0 : 2 * lengthBytes);
  if (line.length !== end && line.length !== end + 4) return undefined;
  const data = new Uint8Array(remote ? 0 : lengthBytes);
  for (let index = 0; index < data.length; index++) {
    const byte = hexNumber(line, dataAt + 2 * index, dataAt + 2 * index + 2);
    if (byte < 0) return undefined;
    data[index] = byte;
  }
  const timestampMs = line.length === end ? undefined : hexNumber(line, end, end + 4);
  if (timestampMs !== undefined && (timestampMs < 0 || timestampMs > 0xffff)) return undefined;
  return { frame: { timeUs: 0, canId, flags, lengthBytes, data }, timestampMs };
}

/** The number in [from, to), or −1 if one of the characters is no hexadecimal digit. */
function hexNumber(line: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let index = from; index < to; index++) {
    const digit = HEX[line[index] ?? 0]!;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

/** Cuts bytes into lines of at most LINE_BYTES_MAX. What is longer is skipped up to its CR. Memory: one line. */
export class LineReader {
  readonly #line = new Uint8Array(LINE_BYTES_MAX);
  #length = 0;
  #skipped = 0;

  /** Calls `line` for each line (without CR, borrowed until it returns; may be empty), `bel` for a BEL, `bad` for what was skipped. */
  push(bytes: Uint8Array, on: { line(line: Uint8Array): void; bel(): void; bad(skippedBytes: number): void }): void {
    for (const byte of bytes) {
      if (byte === CR) {
        if (this.#skipped > 0) on.bad(this.#skipped);
        else on.line(this.#line.subarray(0, this.#length));
        this.#length = 0;
        this.#skipped = 0;
      } else if (byte === BEL) {
        // A BEL stands alone: what came before it in this line was cut off.
        const cut = this.#skipped + this.#length;
        this.#length = 0;
        this.#skipped = 0;
        if (cut > 0) on.bad(cut);
        on.bel();
      } else if (this.#skipped > 0) this.#skipped += 1;
      else if (this.#length === LINE_BYTES_MAX) {
        this.#skipped = this.#length + 1;
        this.#length = 0;
      } else this.#line[this.#length++] = byte;
    }
  }
}

/** Decodes what an adapter sends. Any chunking gives the same events. */
export class SlcanDecoder {
  readonly #reader = new LineReader();
  readonly #fd: boolean;

  constructor({ fd = false }: { fd?: boolean } = {}) {
    this.#fd = fd;
  }

  push(bytes: Uint8Array): SlcanEvent[] {
    const events: SlcanEvent[] = [];
    this.#reader.push(bytes, {
      line: (line) => void events.push(this.#event(line)),
      bel: () => void events.push({ type: "error" }),
      bad: (skippedBytes) => void events.push({ type: "bad", skippedBytes }),
    });
    return events;
  }

  #event(line: Uint8Array): SlcanEvent {
    if (line.length === 0) return { type: "ok" };
    const bad = { type: "bad", skippedBytes: line.length + 1 } as const;
    const letter = String.fromCharCode(line[0]!);
    switch (letter) {
      case "z":
      case "Z":
        return line.length === 1 ? { type: "taken", extended: letter === "Z" } : bad;
      case "F": {
        const flags = line.length === 3 ? hexNumber(line, 1, 3) : -1;
        return flags < 0 ? bad : { type: "status", flags };
      }
      case "V":
      case "v":
      case "N":
        return line.length <= 17 ? { type: "identity", text: Buffer.from(line).toString("latin1") } : bad;
      case "A":
        return line.length === 1 ? { type: "pollEnd" } : bad;
      default: {
        const decoded = decodeFrame(line, this.#fd);
        return decoded ? { type: "frame", ...decoded } : bad;
      }
    }
  }
}

const WRAP_US = 60_000_000;
/** Quartz clocks differ by up to this much; the offset follows so fast. */
const DRIFT = 200e-6;

/**
 * Turns adapter milliseconds, which wrap each minute, into host time. The smallest delay seen is taken as the true one, so that what the serial
 * line and the scheduler add falls out; it is let grow slowly, because the clocks drift apart.
 */
export class AdapterClock {
  #adapterUs = 0;
  #offsetUs = Number.POSITIVE_INFINITY;
  #seenUs = 0;

  /** Host time of a frame stamped `timestampMs` that arrived at `nowUs`; never later than `nowUs`. */
  toHostUs(timestampMs: number, nowUs: number): number {
    const stampUs = timestampMs * 1000;
    if (this.#offsetUs === Number.POSITIVE_INFINITY) this.#adapterUs = stampUs;
    else {
      // Frames come in order; the silence between two may have been longer than a minute, which host time tells.
      const expectedUs = this.#adapterUs + (nowUs - this.#seenUs);
      this.#adapterUs = stampUs + WRAP_US * Math.round((expectedUs - stampUs) / WRAP_US);
    }
    const offsetUs = nowUs - this.#adapterUs;
    this.#offsetUs = Math.min(offsetUs, this.#offsetUs + DRIFT * (nowUs - this.#seenUs));
    this.#seenUs = nowUs;
    return this.#adapterUs + this.#offsetUs;
  }
}

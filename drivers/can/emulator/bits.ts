/**
 * What a CAN frame looks like on the wire: how long it is, and who wins when two start together.
 *
 * Classic frames are counted exactly: the real bits with their real CRC-15 are laid out and stuffed (ISO 11898-1 §10.5). FD frames are
 * exact in the dynamically stuffed part; their CRC field has fixed stuff bits, so its length follows from the formula
 * (27 bits for CRC-17, 32 for CRC-21, stuff count included) and the CRC itself is never computed.
 */
import { CanFlag } from "../frame.ts";

/** ISO 11898-1: CRC delimiter 1, ACK slot 1, ACK delimiter 1, end of frame 7. */
const TAIL_BITS = 10;
/** Intermission between frames. */
export const INTERMISSION_BITS = 3;
/** Error flag 6, error delimiter 8, intermission 3: what an error costs after the bit that broke. */
export const ERROR_FRAME_BITS = 17;
/** An error-passive transmitter waits so long before it starts again. */
export const SUSPEND_BITS = 8;
/** Recessive bits a controller must see before it takes part (after power-on, link up, restart). */
export const INTEGRATION_BITS = 11;

const DLC_OF_LENGTH = new Uint8Array(65).map((_, length) => {
  if (length <= 8) return length;
  return [12, 16, 20, 24, 32, 48, 64].findIndex((step) => length <= step) + 9;
});

/** The longest stuffed part: SOF to the end of 64 data bytes, or of a classic frame's CRC. */
const scratch = new Uint8Array(1 + 32 + 9 + 64 * 8 + 15);
let used = 0;

function put(value: number, width: number): void {
  for (let bit = width - 1; bit >= 0; bit--) scratch[used++] = (value >>> bit) & 1;
}

/** The head up to and with the identifier; the bit after it (RTR or RRS) is the caller's to give. */
function putIdentifier(canId: number, extended: boolean, remoteBit: number): void {
  put(0, 1); // start of frame
  if (extended) {
    put(canId >>> 18, 11);
    put(0b11, 2); // SRR, IDE
    put(canId & 0x3ffff, 18);
    put(remoteBit, 1);
  } else {
    put(canId, 11);
    put(remoteBit, 1);
    put(0, 1); // IDE
  }
}

/** CRC-15/CAN over the scratch bits. */
function crc15(): number {
  let crc = 0;
  for (let index = 0; index < used; index++) {
    const top = ((crc >>> 14) & 1) ^ scratch[index]!;
    crc = (crc << 1) & 0x7fff;
    if (top !== 0) crc ^= 0x4599;
  }
  return crc;
}

/** Stuff bits that the scratch bits in [from, to) cause; `run` carries level and length across a boundary. */
function stuffBits(from: number, to: number, run: { level: number; length: number }): number {
  let stuffed = 0;
  let { level, length } = run;
  for (let index = from; index < to; index++) {
    const bit = scratch[index]!;
    if (bit === level) length += 1;
    else {
      level = bit;
      length = 1;
    }
    if (length === 5) {
      stuffed += 1;
      level ^= 1;
      length = 1;
    }
  }
  run.level = level;
  run.length = length;
  return stuffed;
}

export interface WireLength {
  /** Bits at the nominal rate, intermission included. */
  nominalBits: number;
  /** Bits at the data rate (0 unless FD with bit-rate switch). */
  dataBits: number;
}

/**
 * Length on the wire of the frame whose payload starts at `dataAt` in `bytes`. `lengthBytes` must be one the frame can carry.
 * The result is reused by the next call.
 */
export function wireLength(canId: number, flags: number, lengthBytes: number, bytes: Uint8Array, dataAt: number): WireLength {
  const extended = (flags & CanFlag.extended) !== 0;
  const fd = (flags & CanFlag.fd) !== 0;
  const remote = (flags & CanFlag.remote) !== 0;
  const run = { level: -1, length: 0 };
  used = 0;
  putIdentifier(canId, extended, remote ? 1 : 0);
  if (!fd) {
    put(0, extended ? 2 : 1); // reserved bits
    put(lengthBytes, 4);
    if (!remote) for (let index = 0; index < lengthBytes; index++) put(bytes[dataAt + index]!, 8);
    put(crc15(), 15);
    result.nominalBits = used + stuffBits(0, used, run) + TAIL_BITS + INTERMISSION_BITS;
    result.dataBits = 0;
    return result;
  }
  const switches = (flags & CanFlag.bitRateSwitch) !== 0;
  put(0b10, 2); // FDF, res
  put(switches ? 1 : 0, 1);
  const nominalUsed = used;
  put((flags & CanFlag.errorStateIndicator) === 0 ? 0 : 1, 1);
  put(DLC_OF_LENGTH[lengthBytes]!, 4);
  for (let index = 0; index < lengthBytes; index++) put(bytes[dataAt + index]!, 8);
  const headBits = nominalUsed + stuffBits(0, nominalUsed, run);
  const fastBits = used - nominalUsed + stuffBits(nominalUsed, used, run) + (lengthBytes <= 16 ? 27 : 32);
  result.nominalBits = headBits + (switches ? 0 : fastBits) + TAIL_BITS + INTERMISSION_BITS;
  result.dataBits = switches ? fastBits : 0;
  return result;
}
const result: WireLength = { nominalBits: 0, dataBits: 0 };

/**
 * The arbitration field as one number: the lower one wins. A standard data frame beats a standard remote frame, which beats an extended
 * frame with the same leading 11 bits (its SRR and IDE bits are recessive).
 */
export function arbitrationKey(canId: number, flags: number): number {
  const remote = (flags & CanFlag.remote) === 0 ? 0 : 1;
  if ((flags & CanFlag.extended) === 0) return ((canId << 21) | (remote << 20)) >>> 0;
  return (((canId >>> 18) << 21) | (0b11 << 19) | ((canId & 0x3ffff) << 1) | remote) >>> 0;
}

/**
 * Honda: the checksum is the last nibble of the frame, so that it and all nibbles of identifier and data add up to 8 (modulo 16), or to
 * 11 for extended identifiers; the counter is the two bits above it.
 */
import type { VendorChecksum } from "./checksum.ts";

/** Messages whose two bits belong to a signal instead (0x1D0: a wheel speed). */
const withoutCounter = new Set([0x1d0]);

export const honda: VendorChecksum = {
  name: "honda",
  origin: "recording of a car (6,158 frames, ICSim sample-can.log); extended identifiers: opendbc's published checksum values of LKAS_HUD_A",
  locate(lengthBytes, canId) {
    if (lengthBytes < 1) return undefined;
    const byte = lengthBytes - 1;
    return { checksum: { byte, shiftBits: 0, lengthBits: 4 }, counter: withoutCounter.has(canId) ? undefined : { byte, shiftBits: 4, lengthBits: 2 } };
  },
  compute(bytes, at, lengthBytes, canId, extended) {
    let sum = 0;
    for (let id = canId; id !== 0; id >>>= 4) sum += id & 0xf;
    const last = at + lengthBytes - 1;
    for (let i = at; i < last; i++) sum += (bytes[i]! >>> 4) + (bytes[i]! & 0xf);
    sum += bytes[last]! >>> 4;
    return ((extended ? 11 : 8) - sum) & 0xf;
  },
};

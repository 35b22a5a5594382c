/** Toyota: the last byte is the sum, modulo 256, of the length, the identifier's bytes and the bytes before it. No counter. */
import type { VendorChecksum } from "./checksum.ts";

export const toyota: VendorChecksum = {
  name: "toyota",
  origin: "constant frames of the driving support unit as openpilot sends them in its place (0x141, 0x283, 0x344)",
  locate: (lengthBytes) => (lengthBytes < 1 ? undefined : { checksum: { byte: lengthBytes - 1, shiftBits: 0, lengthBits: 8 }, counter: undefined }),
  compute(bytes, at, lengthBytes, canId) {
    let sum = lengthBytes;
    for (let id = canId; id !== 0; id >>>= 8) sum += id & 0xff;
    for (let i = at; i < at + lengthBytes - 1; i++) sum += bytes[i]!;
    return sum & 0xff;
  },
};

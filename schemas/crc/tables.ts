/**
 * Tables for table-driven CRCs, made once when the module is loaded. "Reflected" CRCs shift right and take their polynomial
 * bit-reversed; the others shift left. Both are given by the polynomial as the catalogue prints it.
 */

/** 256 entries for a CRC of 8 or 16 bits that shifts left. */
export function tableMsbFirst(widthBits: 8 | 16, polynomial: number): Uint16Array {
  const table = new Uint16Array(256);
  const top = 1 << (widthBits - 1);
  const mask = (1 << widthBits) - 1;
  for (let byte = 0; byte < 256; byte++) {
    let value = byte << (widthBits - 8);
    for (let bit = 0; bit < 8; bit++) value = (value & top ? (value << 1) ^ polynomial : value << 1) & mask;
    table[byte] = value;
  }
  return table;
}

/** `slices` × 256 entries for a reflected CRC of up to 32 bits. Row k holds the effect of a byte followed by k zero bytes. */
export function tableReflected(widthBits: 16 | 32, polynomial: number, slices = 1): Int32Array {
  const reversed = reverseBits(polynomial, widthBits);
  const table = new Int32Array(256 * slices);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ reversed : value >>> 1;
    table[byte] = value;
  }
  for (let index = 256; index < table.length; index++) {
    const before = table[index - 256]!;
    table[index] = (before >>> 8) ^ table[before & 0xff]!;
  }
  return table;
}

/** A reflected 64-bit table as two halves, because a JavaScript number holds 53 bits and BigInt allocates. */
export function tableReflected64(polynomialHigh: number, polynomialLow: number): { low: Int32Array; high: Int32Array } {
  const reversedLow = reverseBits(polynomialHigh, 32);
  const reversedHigh = reverseBits(polynomialLow, 32);
  const low = new Int32Array(256);
  const high = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let lowBits = byte;
    let highBits = 0;
    for (let bit = 0; bit < 8; bit++) {
      const carry = lowBits & 1;
      lowBits = (lowBits >>> 1) | (highBits << 31);
      highBits >>>= 1;
      if (carry) {
        lowBits ^= reversedLow;
        highBits ^= reversedHigh;
      }
    }
    low[byte] = lowBits;
    high[byte] = highBits;
  }
  return { low, high };
}

function reverseBits(value: number, widthBits: number): number {
  let reversed = 0;
  for (let bit = 0; bit < widthBits; bit++) reversed = (reversed << 1) | ((value >>> bit) & 1);
  return reversed;
}

/** A signal's bits out of a frame and into one, as C: bytes and shifts only, so that neither the processor's byte order nor its alignment matters. */
import { bitPath } from "../../dbc/bits.ts";
import type { Signal } from "../../dbc/model.ts";
import { hex } from "./numbers.ts";

/** The word in which a signal is put together. */
export function wordOf({ lengthBits }: Pick<Signal, "lengthBits">): "uint32_t" | "uint64_t" {
  return lengthBits <= 32 ? "uint32_t" : "uint64_t";
}

/** The raw bits as an unsigned word. */
export function readBits(signal: Signal, frame: string): string {
  const { byte, shift, step } = bitPath(signal);
  const word = wordOf(signal);
  const wordBytes = word === "uint32_t" ? 4 : 8;
  const bytes = Math.ceil((shift + signal.lengthBits) / 8);
  const at = (k: number): string => `(${word})${frame}[${byte + step * k}]`;
  const parts = Array.from({ length: Math.min(bytes, wordBytes) }, (_, k) => (k === 0 ? at(0) : `(${at(k)} << ${8 * k})`));
  let text = parts.length === 1 ? parts[0]! : `(${parts.join(" | ")})`;
  if (shift > 0) text = `(${text} >> ${shift})`;
  if (bytes > wordBytes) text = `(${text} | (${at(wordBytes)} << ${8 * wordBytes - shift}))`;
  const spare = bytes > wordBytes ? signal.lengthBits < 8 * wordBytes : (shift + signal.lengthBits) % 8 !== 0;
  return spare ? `(${text} & ${maskOf(signal)})` : text;
}

/** Ones where the signal's bits are in its word. */
export function maskOf(signal: Signal): string {
  const mask = (1n << BigInt(signal.lengthBits)) - 1n;
  return wordOf(signal) === "uint32_t" ? hex(mask) : `UINT64_C(0x${mask.toString(16).toUpperCase()})`;
}

/** Lines that put the low bits of the word `value` into the frame; all other bits stay. */
export function writeBits(signal: Signal, frame: string, value: string): string[] {
  const { byte, shift, step } = bitPath(signal);
  const lines: string[] = [];
  let bit = 0;
  for (let k = 0; bit < signal.lengthBits; k++) {
    const from = k === 0 ? shift : 0;
    const count = Math.min(8 - from, signal.lengthBits - bit);
    const target = `${frame}[${byte + step * k}]`;
    const part = bit === 0 ? value : `(${value} >> ${bit})`;
    const mask = (1 << count) - 1;
    if (count === 8) lines.push(`${target} = (uint8_t)(${part} & 0xFFu);`);
    else {
      const low = `(uint32_t)(${part} & ${hex(mask)})`;
      lines.push(`${target} = (uint8_t)(((uint32_t)${target} & ${hex(0xff & ~(mask << from))}) | ${from === 0 ? low : `(${low} << ${from})`});`);
    }
    bit += count;
  }
  return lines;
}

/** For tests: what generated C answered to a frame or to values, held against the TypeScript codec. Returns what is wrong in words; undefined when all agrees. */
import { readUnsigned } from "../../dbc/bits.ts";
import { compileMessage, type MessageCodec } from "../../dbc/codec.ts";
import { DecodeFault, EncodeFault } from "../../dbc/faults.ts";
import { isFloat } from "../../dbc/scaling.ts";
import { reasonOf, toWord, type FrameAnswer } from "./harness.ts";
import type { CMessage, CSignal } from "./model.ts";

const codecs = new WeakMap<CMessage, { plain: MessageCodec; strict: MessageCodec }>();

export function codecsOf(message: CMessage): { plain: MessageCodec; strict: MessageCodec } {
  let pair = codecs.get(message);
  if (pair === undefined) codecs.set(message, (pair = { plain: compileMessage(message.message, { checkRanges: false }), strict: compileMessage(message.message, { checkRanges: true }) }));
  return pair;
}

/** A frame decoded and encoded again. */
export function frameTrouble(message: CMessage, data: Uint8Array, answer: FrameAnswer): string | undefined {
  const { plain, strict } = codecsOf(message);
  const decoded = plain.decode(data, 0, data.length);
  if (!decoded.ok) {
    const expected = DecodeFault[decoded.code];
    return reasonOf(answer.read.status) === expected && reasonOf(answer.unpacked.status) === expected ? undefined : `read ${answer.read.status}, unpack ${answer.unpacked.status}, expected ${decoded.code}`;
  }
  if (answer.read.status !== 0) return `read ${answer.read.status}, expected ok`;
  for (const [place, signal] of message.signals.entries()) {
    const raw = decoded.raw[signal.signal.name];
    const expected = raw === undefined ? "0" : isFloat(signal.signal) ? String(readUnsigned(data, 0, signal.signal)) : String(raw);
    if (answer.read.values[place] !== expected) return `raw ${signal.signal.name} is ${answer.read.values[place]}, expected ${expected}`;
  }
  const written = plain.encode(decoded.raw, { raw: true });
  if (written.ok && answer.written.hex !== hexOf(written.data)) return `write_raw ${answer.written.status} ${answer.written.hex}, expected ${hexOf(written.data)}`;
  if (!written.ok && written.code === "signalsOverlap" && reasonOf(answer.written.status) !== EncodeFault.signalsOverlap) return `write_raw ${answer.written.status}, expected ${written.code}`;

  const checked = strict.decode(data, 0, data.length);
  // Of several faults C names the first multiplexor's, TypeScript the first signal's.
  if (!checked.ok) return [DecodeFault.outOfRange, DecodeFault.notANumber].some((code) => code === reasonOf(answer.unpacked.status)) ? undefined : `unpack ${answer.unpacked.status}, expected ${checked.code}`;
  if (answer.unpacked.status !== 0) return `unpack ${answer.unpacked.status}, expected ok`;
  let place = 0;
  for (const signal of message.signals) {
    if (signal.field === undefined) continue;
    const value = answer.unpacked.values[place++];
    const raw = checked.raw[signal.signal.name];
    const expected = raw === undefined ? toWord(0, signal.conversion.type) : fieldWord(signal, raw, checked.signals[signal.signal.name] as number | bigint);
    if (value !== expected && !near(signal, value!, expected)) return `${signal.signal.name} is ${value}, expected ${expected}`;
  }
  const packed = strict.encode(checked.raw, { raw: true });
  if (packed.ok && answer.packed.hex !== hexOf(packed.data)) return `pack ${answer.packed.status} ${answer.packed.hex}, expected ${hexOf(packed.data)}`;
  if (!packed.ok && reasonOf(answer.packed.status) !== (EncodeFault as Record<string, number>)[packed.code]) return `pack ${answer.packed.status}, expected ${packed.code}`;
  return undefined;
}

/** What the struct's field holds for a raw and a physical value, as the harness writes it. */
function fieldWord(signal: CSignal, raw: number | bigint, physical: number | bigint): string {
  const { conversion } = signal;
  switch (conversion.kind) {
    case "same":
    case "scaled":
      return String(raw);
    case "whole":
      return String(physical);
    case "bits":
      return String(BigInt(`0x${toWord(raw, signal.signal.kind === "float64" ? "double" : "float")}`));
    case "real":
    case "ieee":
      return toWord(physical, conversion.type);
    default:
      return conversion satisfies never;
  }
}

/** In single precision the last digits are C's own: what counts is that the frame comes back, which is compared as well. */
function near({ conversion }: CSignal, value: string, expected: string): boolean {
  if (conversion.type !== "float" || conversion.kind === "ieee" && !conversion.isScaled) return false;
  const [own, other] = [value, expected].map((word) => new DataView(Uint8Array.from(Buffer.from(word, "hex")).buffer).getFloat32(0));
  return Math.abs(own! - other!) <= Math.max(Math.abs(other!), 2 ** -100) * 2 ** -10 || Math.abs(own! - other!) <= 1e-3;
}

/** The frame that C made of values, against `values` (physical, of the signals that are present) encoded in TypeScript. */
export function valuesTrouble(message: CMessage, values: Readonly<Record<string, unknown>>, answer: string): string | undefined {
  const [, status, text] = answer.split(" ");
  const encoded = codecsOf(message).strict.encode(values);
  if (encoded.ok) return text === (hexOf(encoded.data) || "-") && status === "0" ? undefined : `pack ${status} ${text}, expected ${hexOf(encoded.data)}`;
  const reason = reasonOf(Number(status));
  // Of several faults C names NaN before ranges and multiplexors, TypeScript the first signal's.
  const isValueFault = (code: number | undefined): boolean => code === EncodeFault.outOfRange || code === EncodeFault.notANumber || code === EncodeFault.unknownMultiplexer;
  const expected = (EncodeFault as Record<string, number>)[encoded.code];
  return reason === expected || (isValueFault(reason) && isValueFault(expected)) ? undefined : `pack ${status} ${text}, expected ${encoded.code} (${encoded.text})`;
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex").toUpperCase();
}

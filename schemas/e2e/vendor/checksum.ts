/**
 * Checksums that manufacturers invented. A plug-in says where checksum and counter lie and computes the checksum of a frame; sequence,
 * time and channel state are judged as for AUTOSAR profiles. Such checksums are weak: most see one changed bit, few see two.
 */
import { assertProtectable, Verdict } from "../codec.ts";
import type { FrameCodec } from "../codec.ts";

/** Bits inside one byte, counted from its least significant one. */
export interface BitField {
  byte: number;
  shiftBits: number;
  lengthBits: number;
}

export interface VendorPlaces {
  checksum: BitField;
  counter: BitField | undefined;
}

export interface VendorChecksum {
  readonly name: string;
  /** Where the rule and the figures that pin it come from. */
  readonly origin: string;
  /** Where the fields of this message lie; undefined when so short a frame cannot carry them. */
  locate(lengthBytes: number, canId: number): VendorPlaces | undefined;
  /** The checksum that `bytes[at, at + lengthBytes)` should carry. Must not depend on the checksum field itself. No allocation. */
  compute(bytes: Uint8Array, at: number, lengthBytes: number, canId: number, extended: boolean): number;
}

export interface VendorMessage {
  lengthBytes: number;
  canId: number;
  extended: boolean;
  /** Replaces the plug-in's own idea of the counter; "none": this message has none. */
  counter?: BitField | "none" | undefined;
}

/** One message protected by a vendor checksum. Made by `vendorCodec`. */
class VendorCodec implements FrameCodec {
  readonly counterCount: number;
  readonly firstCounter = 0;
  readonly #plugin: VendorChecksum;
  readonly #lengthBytes: number;
  readonly #extended: boolean;
  readonly #checksum: BitField;
  readonly #counter: BitField | undefined;

  constructor(plugin: VendorChecksum, message: VendorMessage, places: VendorPlaces) {
    this.#plugin = plugin;
    this.#lengthBytes = message.lengthBytes;
    this.#extended = message.extended;
    this.#checksum = places.checksum;
    this.#counter = places.counter;
    this.counterCount = places.counter ? 1 << places.counter.lengthBits : 1;
  }

  inspect(bytes: Uint8Array, at: number, lengthBytes: number, canId: number): Verdict {
    if (lengthBytes !== this.#lengthBytes) return Verdict.badLength;
    return readField(bytes, at, this.#checksum) === this.#plugin.compute(bytes, at, lengthBytes, canId, this.#extended) ? Verdict.ok : Verdict.crcMismatch;
  }

  counterOf(bytes: Uint8Array, at: number): number {
    return this.#counter ? readField(bytes, at, this.#counter) : 0;
  }

  protect(bytes: Uint8Array, at: number, lengthBytes: number, canId: number, counter: number): void {
    assertProtectable(this, lengthBytes === this.#lengthBytes, lengthBytes, counter);
    if (this.#counter) writeField(bytes, at, this.#counter, counter);
    writeField(bytes, at, this.#checksum, this.#plugin.compute(bytes, at, lengthBytes, canId, this.#extended));
  }
}

/** The codec of one message, or a sentence saying why it cannot be. */
export function vendorCodec(plugin: VendorChecksum, message: VendorMessage): { ok: true; codec: FrameCodec } | { ok: false; message: string } {
  const places = plugin.locate(message.lengthBytes, message.canId);
  if (!places) return { ok: false, message: `a frame of ${message.lengthBytes} bytes is too short for checksum ${plugin.name}` };
  const counter = message.counter === "none" ? undefined : (message.counter ?? places.counter);
  for (const field of [places.checksum, counter]) {
    if (field && field.byte >= message.lengthBytes) return { ok: false, message: `byte ${field.byte} lies outside a frame of ${message.lengthBytes} bytes` };
  }
  if (counter && overlap(counter, places.checksum)) return { ok: false, message: "the counter lies on the checksum" };
  return { ok: true, codec: new VendorCodec(plugin, message, { checksum: places.checksum, counter }) };
}

function overlap(a: BitField, b: BitField): boolean {
  return a.byte === b.byte && a.shiftBits < b.shiftBits + b.lengthBits && b.shiftBits < a.shiftBits + a.lengthBits;
}

function readField(bytes: Uint8Array, at: number, field: BitField): number {
  return (bytes[at + field.byte]! >>> field.shiftBits) & ((1 << field.lengthBits) - 1);
}

function writeField(bytes: Uint8Array, at: number, field: BitField, value: number): void {
  const mask = ((1 << field.lengthBits) - 1) << field.shiftBits;
  bytes[at + field.byte] = (bytes[at + field.byte]! & ~mask) | ((value << field.shiftBits) & mask);
}

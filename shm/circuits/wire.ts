/**
 * Frames as bytes, and back. One frame carries one record of one circuit: varint id, a head byte, what its kind has. See docs/specs/circuits.md.
 * Decoding checks everything that can be known without state; a varint must have its shortest form, so that one meaning has one encoding.
 */
import { DEADLINE_MS_MAX, FIRST_CIRCUIT, FRAME_BYTES_MAX, FRAME_BYTES_MIN, DESCRIPTORS_MAX, GRANTS_PER_FRAME, MAX_CIRCUITS, NAME_BYTES_MAX, PROTOCOL_NAME_BYTES_MAX, TEXT_BYTES_MAX } from "./limits.ts";

export const CIRCUITS_VERSION = 1;
/** Reserved ids; 3 and 6 to 15 are kept for later and refused. */
export const CONTROL = 0;
export const LIVENESS = 1;
export const CREDIT = 2;
/** Always there for asking what the other side serves, also when every other circuit is busy. */
export const DISCOVERY: Readonly<Record<Role, number>> = { initiator: 4, acceptor: 5 };

/** initiator: who connected (or the gateway on a line); its circuits have even ids, the acceptor's odd ones. */
export type Role = "initiator" | "acceptor";

const Kind = { hello: 1, goodbye: 2, ping: 3, pong: 4, credit: 5, begin: 8, data: 9, accept: 10, end: 11, abort: 12 } as const;
type KindNumber = (typeof Kind)[keyof typeof Kind];

const GENERATION = 0x10;
const MORE = 0x20;
const LAST = 0x40;
const DESCRIPTORS = 0x80;

export interface HelloFrame {
  kind: "hello";
  role: Role;
  carriesDescriptors: boolean;
  /** Longest frame it takes, seal included. */
  frameBytesMax: number;
  maxCircuits: number;
  windowUnits: number;
  messageBytesMax: number;
  silenceMs: number;
  name: string;
}

export interface Grant {
  circuit: number;
  generation: number;
  units: number;
}

interface OnCircuit {
  circuit: number;
  /** 0 or 1, the other one for each conversation of a circuit. */
  generation: number;
}

interface Payload extends OnCircuit {
  /** The message goes on in the next frame. */
  more: boolean;
  /** The sender's direction ends with this frame, with status 100. */
  last: boolean;
  descriptors: number;
  /** Borrowed from the frame. */
  body: Uint8Array;
}

export interface BeginFrame extends Payload {
  kind: "begin";
  /** A number from 1, or a name. */
  protocol: number | string;
  /** 0: none. */
  deadlineMs: number;
  /** 0 (background) to 3 (urgent); 1 is usual. */
  priority: number;
}

export interface DataFrame extends Payload {
  kind: "data";
}

export interface AcceptFrame extends OnCircuit {
  kind: "accept";
}

export interface FinalFrame extends OnCircuit {
  kind: "end" | "abort";
  status: number;
  text: string;
}

export type Frame = HelloFrame | { kind: "goodbye"; status: number; text: string } | { kind: "ping" | "pong"; token: number } | { kind: "credit"; grants: Grant[] } | BeginFrame | DataFrame | AcceptFrame | FinalFrame;

/** `circuit` is set when the frame names an application's circuit: then only that one is hurt. */
export interface BadFrame {
  kind: "bad";
  fault: "malformed" | "reservedCircuit" | "badHello" | "otherVersion";
  circuit?: number;
}

const malformed: BadFrame = { kind: "bad", fault: "malformed" };

class Reader {
  readonly bytes: Uint8Array;
  at: number;
  ok = true;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  u8(): number {
    const byte = this.bytes[this.at++];
    if (byte === undefined) this.ok = false;
    return byte ?? 0;
  }

  varint(): number {
    let value = 0;
    for (let i = 0; i < 5; i++) {
      const byte = this.u8();
      if (!this.ok) return 0;
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) {
        if ((byte === 0 && i > 0) || value > 0xffff_ffff) this.ok = false;
        return value;
      }
    }
    this.ok = false;
    return 0;
  }

  text(bytesMax: number): string {
    const lengthBytes = this.u8();
    if (lengthBytes > bytesMax || this.at + lengthBytes > this.bytes.length) {
      this.ok = false;
      return "";
    }
    const part = this.bytes.subarray(this.at, this.at + lengthBytes);
    this.at += lengthBytes;
    try {
      return utf8.decode(part);
    } catch {
      this.ok = false; // not UTF-8: as malformed as any other field
      return "";
    }
  }

  get done(): boolean {
    return this.ok && this.at === this.bytes.length;
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Whether `circuit` is one that runs conversations. */
export function isConversation(circuit: number): boolean {
  return circuit === 4 || circuit === 5 || (circuit >= FIRST_CIRCUIT && circuit < FIRST_CIRCUIT + MAX_CIRCUITS);
}

/** Decodes `frame` from `at` on (behind the seal). Borrows the body from `frame`. */
export function decodeFrame(frame: Uint8Array, at = 0): Frame | BadFrame {
  const reader = new Reader(frame, at);
  const circuit = reader.varint();
  const head = reader.u8();
  if (!reader.ok) return malformed;
  const kind = (head & 0x0f) as KindNumber;
  if (isConversation(circuit)) return decodeConversation(reader, circuit, kind, head) ?? { ...malformed, circuit };
  const reserved = circuit === CONTROL ? kind === Kind.hello || kind === Kind.goodbye : circuit === LIVENESS ? kind === Kind.ping || kind === Kind.pong : circuit === CREDIT && kind === Kind.credit;
  if (!reserved) return { kind: "bad", fault: "reservedCircuit" };
  if (head !== kind) return malformed;
  if (kind === Kind.hello) return decodeHello(reader);
  if (kind === Kind.credit) return decodeGrants(reader);
  const value = reader.varint();
  if (kind !== Kind.goodbye) return reader.done ? { kind: kind === Kind.ping ? "ping" : "pong", token: value } : malformed;
  const text = reader.text(TEXT_BYTES_MAX);
  return reader.done ? { kind: "goodbye", status: value, text } : malformed;
}

function decodeConversation(reader: Reader, circuit: number, kind: KindNumber, head: number): Frame | undefined {
  const generation = head & GENERATION ? 1 : 0;
  if (kind === Kind.begin || kind === Kind.data) {
    const more = (head & MORE) !== 0;
    const last = (head & LAST) !== 0;
    const descriptors = head & DESCRIPTORS ? reader.u8() : 0;
    // Descriptors come with the frame that completes a message: nothing half received ever holds any.
    if ((more && (last || descriptors > 0)) || descriptors > DESCRIPTORS_MAX || (head & DESCRIPTORS && descriptors === 0)) return undefined;
    if (kind === Kind.data) return reader.ok ? { kind: "data", circuit, generation, more, last, descriptors, body: reader.bytes.subarray(reader.at) } : undefined;
    const number = reader.varint();
    const protocol = number === 0 ? reader.text(PROTOCOL_NAME_BYTES_MAX) : number;
    const timing = reader.varint();
    if (!reader.ok || protocol === "") return undefined;
    return { kind: "begin", circuit, generation, more, last, descriptors, protocol, deadlineMs: Math.floor(timing / 4), priority: timing & 3, body: reader.bytes.subarray(reader.at) };
  }
  if (head & (MORE | LAST | DESCRIPTORS)) return undefined;
  if (kind === Kind.accept) return reader.done ? { kind: "accept", circuit, generation } : undefined;
  if (kind !== Kind.end && kind !== Kind.abort) return undefined;
  const status = reader.varint();
  const text = reader.text(TEXT_BYTES_MAX);
  return reader.done ? { kind: kind === Kind.end ? "end" : "abort", circuit, generation, status, text } : undefined;
}

function decodeHello(reader: Reader): Frame | BadFrame {
  if (reader.u8() !== CIRCUITS_VERSION) return { kind: "bad", fault: reader.ok ? "otherVersion" : "badHello" };
  const role = reader.u8();
  const flags = reader.u8();
  const frameBytesMax = reader.varint();
  const maxCircuits = reader.varint();
  const windowUnits = reader.varint();
  const messageBytesMax = reader.varint();
  const silenceMs = reader.varint();
  const name = reader.text(NAME_BYTES_MAX);
  const sound = reader.done && role <= 1 && flags <= 1 && frameBytesMax >= FRAME_BYTES_MIN && maxCircuits > 0 && windowUnits >= FRAME_BYTES_MIN && silenceMs > 0;
  if (!sound) return { kind: "bad", fault: "badHello" };
  return { kind: "hello", role: role === 0 ? "initiator" : "acceptor", carriesDescriptors: flags === 1, frameBytesMax, maxCircuits, windowUnits, messageBytesMax, silenceMs, name };
}

function decodeGrants(reader: Reader): Frame | BadFrame {
  const grants: Grant[] = [];
  while (reader.ok && reader.at < reader.bytes.length) {
    const tagged = reader.varint();
    const units = reader.varint();
    const circuit = Math.floor(tagged / 2);
    if (!reader.ok || units === 0 || !isConversation(circuit) || grants.length === GRANTS_PER_FRAME) return malformed;
    grants.push({ circuit, generation: tagged & 1, units });
  }
  return grants.length > 0 && reader.ok ? { kind: "credit", grants } : malformed;
}

/** Writes into memory of its own; fields are the caller's responsibility (the core's limits hold them in range). */
class Writer {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(lengthBytesMax: number, at: number) {
    this.#bytes = new Uint8Array(lengthBytesMax);
    this.#at = at;
  }

  u8(value: number): this {
    this.#bytes[this.#at++] = value;
    return this;
  }

  varint(value: number): this {
    let rest = value;
    while (rest >= 0x80) {
      this.u8((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    return this.u8(rest);
  }

  text(value: string, bytesMax: number): this {
    const encoded = textBytes(value, bytesMax);
    return this.u8(encoded.length).raw(encoded);
  }

  raw(bytes: Uint8Array): this {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }

  end(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }
}

/** UTF-8 of at most `bytesMax` bytes, cut between characters. */
export function textBytes(value: string, bytesMax: number): Uint8Array {
  const bytes = new Uint8Array(bytesMax);
  return bytes.subarray(0, new TextEncoder().encodeInto(value, bytes).written);
}

/** Most bytes in front of a body: id 2, head 1, descriptors 1; a begin's protocol 1 + 1 + 40 or 5, and timing 5. */
const HEAD_BYTES_MAX = 4;
const BEGIN_BYTES_MAX = HEAD_BYTES_MAX + 2 + PROTOCOL_NAME_BYTES_MAX + 5;

/** The bytes of a begin or data frame in front of its body: for fitting bodies into frames. */
export function overheadBytes(frame: Omit<BeginFrame, "body"> | Omit<DataFrame, "body">): number {
  return encodeFrame({ ...frame, body: nothing }).length;
}

const nothing = new Uint8Array(0);

/** `frame` as bytes, with `at` bytes left free in front for the seal. */
export function encodeFrame(frame: Frame, at = 0): Uint8Array {
  switch (frame.kind) {
    case "hello":
      return new Writer(at + FRAME_BYTES_MIN, at).u8(CONTROL).u8(Kind.hello).u8(CIRCUITS_VERSION).u8(frame.role === "initiator" ? 0 : 1).u8(frame.carriesDescriptors ? 1 : 0)
        .varint(Math.min(frame.frameBytesMax, FRAME_BYTES_MAX)).varint(frame.maxCircuits).varint(frame.windowUnits).varint(frame.messageBytesMax).varint(frame.silenceMs).text(frame.name, NAME_BYTES_MAX).end();
    case "goodbye":
      return new Writer(at + 8 + TEXT_BYTES_MAX, at).u8(CONTROL).u8(Kind.goodbye).varint(frame.status).text(frame.text, TEXT_BYTES_MAX).end();
    case "ping":
    case "pong":
      return new Writer(at + 7, at).u8(LIVENESS).u8(Kind[frame.kind]).varint(frame.token).end();
    case "credit": {
      const writer = new Writer(at + 2 + frame.grants.length * 8, at).u8(CREDIT).u8(Kind.credit);
      for (const { circuit, generation, units } of frame.grants) writer.varint(circuit * 2 + generation).varint(units);
      return writer.end();
    }
    case "begin":
    case "data":
      return encodePayload(frame, at);
    case "accept":
      return new Writer(at + 3, at).varint(frame.circuit).u8(Kind.accept | (frame.generation ? GENERATION : 0)).end();
    case "end":
    case "abort":
      return new Writer(at + 9 + TEXT_BYTES_MAX, at).varint(frame.circuit).u8(Kind[frame.kind] | (frame.generation ? GENERATION : 0)).varint(frame.status).text(frame.text, TEXT_BYTES_MAX).end();
  }
}

function encodePayload(frame: BeginFrame | DataFrame, at: number): Uint8Array {
  const flags = (frame.generation ? GENERATION : 0) | (frame.more ? MORE : 0) | (frame.last ? LAST : 0) | (frame.descriptors > 0 ? DESCRIPTORS : 0);
  const writer = new Writer(at + BEGIN_BYTES_MAX + frame.body.length, at).varint(frame.circuit).u8(Kind[frame.kind] | flags);
  if (frame.descriptors > 0) writer.u8(frame.descriptors);
  if (frame.kind === "begin") {
    if (typeof frame.protocol === "number") writer.varint(frame.protocol);
    else writer.u8(0).text(frame.protocol, PROTOCOL_NAME_BYTES_MAX);
    writer.varint(Math.min(frame.deadlineMs, DEADLINE_MS_MAX) * 4 + frame.priority);
  }
  return writer.raw(frame.body).end();
}

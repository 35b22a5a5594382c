/**
 * The journal's records: what a turn of the active has changed, in one transaction that is there whole or not at all. Pure.
 *
 * A transaction is an E2E P07 header (20 bytes; the counter numbers the transactions of one journal from 0), then records one behind the other, little-endian:
 * `state` key → value (CBOR, opaque here) with the descriptors it names; `gone` key; `counted` in which slot of the page a connection is, how many of its packets were taken and how many it was given; `output` a packet for a
 * connection, numbered by its counter. The first transaction of a journal is a snapshot of everything.
 */
import { Buffer } from "node:buffer";
import type { PacketSeal } from "../../shm/protocol/packet.ts";
import { PAIR_VERSION } from "./version.ts";

export const TRANSACTION_HEADER_BYTES = 20;
/** "PJ" and the major version: a journal of another one is no journal. */
const DATA_ID = (0x504a_0000 | (PAIR_VERSION.major << 8)) >>> 0;
/** A transaction is the work of one turn: megabytes at most; a snapshot is all sessions. */
const TRANSACTION_BYTES_MAX = 1 << 28;

const Kind = { state: 1, gone: 2, counted: 3, output: 4 } as const;

export class TransactionWriter {
  #buffer = Buffer.alloc(65_536);
  length = TRANSACTION_HEADER_BYTES;

  get bytes(): Uint8Array {
    return this.#buffer;
  }

  get isEmpty(): boolean {
    return this.length === TRANSACTION_HEADER_BYTES;
  }

  reset(): this {
    this.length = TRANSACTION_HEADER_BYTES;
    // What a snapshot needed once should not cost its memory for ever.
    if (this.#buffer.length > 4 << 20) this.#buffer = Buffer.alloc(65_536);
    return this;
  }

  state(key: string, descriptors: readonly number[], value: Uint8Array): this {
    this.#head(Kind.state, 4 + Buffer.byteLength(key) + 4 * descriptors.length + 4 + value.length);
    this.#key(key);
    this.#descriptors(descriptors);
    return this.#value(value, 0, value.length);
  }

  gone(key: string): this {
    this.#head(Kind.gone, 2 + Buffer.byteLength(key));
    this.#key(key);
    return this;
  }

  counted(connection: number, slot: number, taken: number, given: number): this {
    this.#head(Kind.counted, 16);
    return this.#word(connection).#word(slot).#word(taken).#word(given);
  }

  output(connection: number, counter: number, descriptors: readonly number[], bytes: Uint8Array, at: number, lengthBytes: number): this {
    this.#head(Kind.output, 8 + 2 + 4 * descriptors.length + 4 + lengthBytes);
    this.#word(connection).#word(counter);
    this.#descriptors(descriptors);
    return this.#value(bytes, at, lengthBytes);
  }

  /** Writes the header; what stands in `bytes[0 … length)` is the transaction. */
  seal(seal: PacketSeal, counter: number): void {
    seal.seal(this.#buffer, 0, this.length, DATA_ID, counter);
  }

  #head(kind: number, bytes: number): void {
    const needed = this.length + 5 + bytes;
    if (needed > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(needed, 2 * this.#buffer.length));
      this.#buffer.copy(larger, 0, 0, this.length);
      this.#buffer = larger;
    }
    this.#buffer[this.length] = kind;
    this.length += 1;
  }

  #word(word: number): this {
    this.#buffer.writeUInt32LE(word >>> 0, this.length);
    this.length += 4;
    return this;
  }

  #key(key: string): void {
    const bytes = this.#buffer.write(key, this.length + 2, "utf8");
    this.#buffer.writeUInt16LE(bytes, this.length);
    this.length += 2 + bytes;
  }

  #descriptors(descriptors: readonly number[]): void {
    this.#buffer.writeUInt16LE(descriptors.length, this.length);
    this.length += 2;
    for (const each of descriptors) this.#word(each);
  }

  #value(bytes: Uint8Array, at: number, lengthBytes: number): this {
    this.#word(lengthBytes);
    this.#buffer.set(bytes.subarray(at, at + lengthBytes), this.length);
    this.length += lengthBytes;
    return this;
  }
}

/** What the records are handed to. Bytes are borrowed until the call returns (and may be a Buffer, whose `slice` copies nothing). */
export interface TransactionSink {
  state(key: string, descriptors: number[], value: Uint8Array): void;
  gone(key: string): void;
  counted(connection: number, slot: number, taken: number, given: number): void;
  output(connection: number, counter: number, descriptors: number[], bytes: Uint8Array): void;
}

export type JournalFault = "tooLong" | "length" | "crc" | "counter" | "dataId" | "record";

/** How many bytes the transaction at the beginning of `bytes` has; undefined: its head is not all there; 0: it is none. */
export function transactionBytes(bytes: Uint8Array): number | undefined {
  if (bytes.length < TRANSACTION_HEADER_BYTES) return undefined;
  const lengthBytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readUInt32BE(8);
  return lengthBytes < TRANSACTION_HEADER_BYTES || lengthBytes > TRANSACTION_BYTES_MAX ? 0 : lengthBytes;
}

/** Checks a whole transaction and, if all of it is well-formed, hands its records on. */
export function readTransaction(bytes: Uint8Array, counter: number, seal: PacketSeal, sink: TransactionSink): "ok" | JournalFault {
  if (bytes.length > TRANSACTION_BYTES_MAX) return "tooLong";
  const verdict = seal.open(bytes, 0, bytes.length, DATA_ID, counter);
  if (verdict !== "ok") return verdict;
  // First without a sink: a transaction is there whole or not at all.
  return walk(bytes, undefined) && walk(bytes, sink) ? "ok" : "record";
}

function walk(bytes: Uint8Array, sink: TransactionSink | undefined): boolean {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = TRANSACTION_HEADER_BYTES;
  const has = (count: number): boolean => at + count <= view.length;
  const word = (): number => {
    at += 4;
    return view.readUInt32LE(at - 4);
  };
  const key = (): string | undefined => {
    if (!has(2)) return undefined;
    const length = view.readUInt16LE(at);
    if (!has(2 + length)) return undefined;
    at += 2 + length;
    return view.toString("utf8", at - length, at);
  };
  const descriptors = (): number[] | undefined => {
    if (!has(2)) return undefined;
    const length = view.readUInt16LE(at);
    if (!has(2 + 4 * length)) return undefined;
    at += 2;
    return Array.from({ length }, word);
  };
  const value = (): Uint8Array | undefined => {
    if (!has(4)) return undefined;
    const length = word();
    if (!has(length)) return undefined;
    at += length;
    return view.subarray(at - length, at);
  };
  while (at < view.length) {
    const kind = view[at++];
    if (kind === Kind.state) {
      const name = key();
      const named = name === undefined ? undefined : descriptors();
      const bytesOf = named === undefined ? undefined : value();
      if (bytesOf === undefined) return false;
      sink?.state(name!, named!, bytesOf);
    } else if (kind === Kind.gone) {
      const name = key();
      if (name === undefined) return false;
      sink?.gone(name);
    } else if (kind === Kind.counted) {
      if (!has(16)) return false;
      const [connection, slot, taken, given] = [word(), word(), word(), word()];
      sink?.counted(connection, slot, taken, given);
    } else if (kind === Kind.output) {
      if (!has(8)) return false;
      const [connection, counter] = [word(), word()];
      const named = descriptors();
      const bytesOf = named === undefined ? undefined : value();
      if (bytesOf === undefined) return false;
      sink?.output(connection, counter, named!, bytesOf);
    } else return false;
  }
  return true;
}

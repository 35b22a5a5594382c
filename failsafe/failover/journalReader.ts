/** Reads a journal as it grows: whole transactions, in order. Pure but for the `pread` that it is given. */
import { Buffer } from "node:buffer";
import type { PacketSeal } from "../../shm/protocol/packet.ts";
import { readTransaction, type TransactionSink, transactionBytes, TRANSACTION_HEADER_BYTES } from "./journal.ts";

const CHUNK_BYTES = 1 << 20;

export class JournalReader {
  readonly #pread: (chunk: Uint8Array, at: number) => number;
  readonly #seal: PacketSeal;
  /** Transactions so far. */
  transactions = 0;
  #at = 0;
  #chunk = Buffer.alloc(CHUNK_BYTES);

  /** `pread` fills the chunk from a place of the journal on, and returns how many bytes there were. */
  constructor(pread: (chunk: Uint8Array, at: number) => number, seal: PacketSeal) {
    this.#pread = pread;
    this.#seal = seal;
  }

  /** Hands on all transactions that are there whole. */
  read(sink: TransactionSink): void {
    for (;;) {
      const count = this.#pread(this.#chunk, this.#at);
      const used = this.#readChunk(count, sink);
      this.#at += used;
      if (used > 0) continue;
      const lengthBytes = transactionBytes(this.#chunk.subarray(0, count)) ?? 0;
      if (lengthBytes <= this.#chunk.length) return;
      this.#chunk = Buffer.alloc(lengthBytes);
    }
  }

  /** Returns how many bytes were whole transactions. */
  #readChunk(count: number, sink: TransactionSink): number {
    let used = 0;
    for (;;) {
      const rest = this.#chunk.subarray(used, count);
      const lengthBytes = transactionBytes(rest);
      // A torn one is one that never was: its writer died within the system call.
      if (lengthBytes === undefined || lengthBytes < TRANSACTION_HEADER_BYTES || lengthBytes > rest.length) return used;
      if (readTransaction(rest.subarray(0, lengthBytes), this.transactions, this.#seal, sink) !== "ok") return used;
      this.transactions += 1;
      used += lengthBytes;
    }
  }
}

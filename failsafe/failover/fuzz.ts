/** Fuzz targets: what a twin, or a store that outlived it, may hand over. A transaction of garbage changes nothing; a link message of garbage is a sentence. */
import { nativeSeal } from "../../shm/sockets/index.ts";
import { readTransaction, type TransactionSink, transactionBytes, TransactionWriter } from "./journal.ts";
import { decodeLinkMessage } from "./pairLink.ts";

const seal = nativeSeal();

function seedTransaction(): Uint8Array {
  const writer = new TransactionWriter();
  writer.state("session:1", [1, 2], new Uint8Array([0xa1, 0x61, 0x61, 0x01])).counted(1, 2, 3, 4).output(1, 2, [3], new Uint8Array([1, 2, 3]), 0, 3).gone("call:1:2").seal(seal, 0);
  return new Uint8Array(writer.bytes.subarray(0, writer.length));
}

/** The records of a transaction that is whole, or none. */
function fuzzJournal(input: Uint8Array): void {
  let records = 0;
  const count = (): void => {
    records += 1;
  };
  const sink: TransactionSink = { state: count, gone: count, counted: count, output: count };
  transactionBytes(input);
  const check = (bytes: Uint8Array): void => {
    records = 0;
    if (readTransaction(bytes, 0, seal, sink) !== "ok" && records > 0) throw new Error("records of a transaction that was refused");
  };
  check(input);
  if (input.length < 20) return;
  // With a right header, so that the records are reached.
  const sealed = input.slice();
  seal.seal(sealed, 0, sealed.length, 0x504a_0100, 0);
  check(sealed);
}

export const fuzzTargets = [
  { name: "failover/journal", run: fuzzJournal, seeds: [seedTransaction()] },
  { name: "failover/link", run: (input: Uint8Array): void => void decodeLinkMessage(input, 0, input.length) },
];

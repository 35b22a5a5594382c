/**
 * The active's side: collects what a turn of the event loop takes in, changes and gives out, and makes it one transaction: written to the journal, then sent, then taken for good from
 * the clients' sockets. Whatever instant it dies at, its successor finds a turn done or not begun.
 *
 * The journal is a file in memory that outlives its writer; the standby reads behind. Descriptors go over the link before the transaction that names them is written. Without a
 * standby nothing is written: states are only registered, so that one who joins later gets a snapshot.
 */
import { writeSync } from "node:fs";
import { CborWriter } from "../../shm/protocol/cborWriter.ts";
import type { PacketSeal } from "../../shm/protocol/packet.ts";
import { closeAll, type Descriptor, memoryFile, noDescriptors, type OwnPage } from "../../shm/sockets/index.ts";
import { TransactionWriter } from "./journal.ts";
import { Word } from "./page.ts";

/** Gives a descriptor its number in a state; the descriptor stays its owner's. */
export type Naming = (descriptor: Descriptor) => number;
export type StateOf = (name: Naming) => unknown;

/** A connection as the turn sees it: see handedConnection.ts. */
export interface TurnConnection {
  readonly number: number;
  /** Of the handover page. */
  readonly slot: number;
  /** Packets handled, and packets that it was given or is to be given. */
  readonly counts: { readonly taken: number; readonly given: number };
  /** Sends what was put off; the bytes are borrowed. */
  give(bytes: Uint8Array, at: number, lengthBytes: number, descriptors: readonly Descriptor[]): void;
  /** The turn is over: the packets it had looked at are taken away, and what waited for that happens. */
  settle(): void;
  /** Packets that wait for the client to read, oldest first. */
  waiting(): { bytes: Uint8Array; descriptors: readonly Descriptor[] }[];
}

/** Where journals and descriptors go: the standby, systemd's store, or both. */
export interface Heir {
  /** A new journal begins with a snapshot; the one before is closed. */
  journal(descriptor: Descriptor): void;
  /** The descriptor is kept by whoever needs it from now on, under this number. */
  handOver(number: number, descriptor: Descriptor): void;
  dropped(numbers: readonly number[]): void;
}

interface PutOff {
  connection: TurnConnection;
  counter: number;
  at: number;
  lengthBytes: number;
  descriptors: Descriptor[];
}

interface Live {
  readonly state: StateOf;
  names: number[];
}

/** A journal is replaced by a snapshot beyond so many bytes: at 1 KiB a turn and 10,000 turns a second that is once in 1.6 s, and reading it takes some milliseconds. */
const JOURNAL_BYTES_MAX = 16 << 20;
/** A state is a session with all its subscriptions, or a call with its body. */
const STATE_BYTES_MAX = 32 << 20;

export class Keeper {
  readonly #page: Pick<OwnPage, "words">;
  readonly #seal: PacketSeal;
  readonly #checkpoint: ((point: "opened" | "written") => void) | undefined;
  readonly #writer = new TransactionWriter();
  readonly #cbor = new CborWriter({ lengthMax: STATE_BYTES_MAX });
  readonly #live = new Map<string, Live>();
  readonly #changed = new Set<string>();
  readonly #gone = new Set<string>();
  readonly #connections = new Map<number, TurnConnection>();
  readonly #touched = new Set<TurnConnection>();
  readonly #numbers = new WeakMap<Descriptor, number>();
  readonly #handed = new Map<number, Descriptor>();
  readonly #beforeCommit: (() => void)[] = [];
  readonly #afterCommit: (() => void)[] = [];
  #outputs: PutOff[] = [];
  #arena = new Uint8Array(1 << 20);
  #arenaBytes = 0;
  #heir: Heir | undefined;
  #journal: Descriptor | undefined;
  #journalBytes = 0;
  #transactions = 0;
  #lastNumber = 0;
  #given: (() => void) | undefined;
  #scheduled = false;
  #committing = false;
  /** The journal is long enough. */
  #renew = false;
  /** Counters that only rise. */
  readonly counters = { turns: 0, journalBytes: 0, journals: 0 };

  /** `checkpoint`: whoever supervises the turns. */
  constructor({ page, seal, checkpoint }: { page: Pick<OwnPage, "words">; seal: PacketSeal; checkpoint?: (point: "opened" | "written") => void }) {
    this.#page = page;
    this.#checkpoint = checkpoint;
    this.#seal = seal;
  }

  /** Called before each commit: what is still to come in this turn comes now. */
  beforeCommit(hook: () => void): void {
    this.#beforeCommit.push(hook);
  }

  /** Called once after the next commit. */
  afterCommit(hook: () => void): void {
    this.#afterCommit.push(hook);
    this.#schedule();
  }

  /** Called once, when the next turn that sends something has sent it. */
  onceGiven(listener: () => void): void {
    this.#given = listener;
  }

  /** The state under `key` has changed; it is asked for at the end of the turn. */
  note(key: string, state: StateOf): void {
    if (!this.#live.has(key)) this.#live.set(key, { state, names: [] });
    this.#changed.add(key);
    this.#schedule();
  }

  /** There is no such state any more. */
  forget(key: string): void {
    if (!this.#live.has(key)) return;
    this.#changed.add(key);
    this.#gone.add(key);
    this.#schedule();
  }

  /** A connection begins. */
  join(connection: TurnConnection): void {
    this.#connections.set(connection.number, connection);
  }

  leave(connection: TurnConnection): void {
    this.#connections.delete(connection.number);
    this.#outputs = this.#outputs.filter((each) => {
      if (each.connection !== connection) return true;
      closeAll(each.descriptors);
      return false;
    });
  }

  /** A packet of this connection is handled in this turn. */
  touch(connection: TurnConnection): void {
    this.#touched.add(connection);
    this.#schedule();
  }

  /** Puts a packet off until the turn is written. Copies the bytes and the descriptors. */
  putOff(connection: TurnConnection, counter: number, bytes: Uint8Array, at: number, lengthBytes: number, descriptors: readonly Descriptor[]): void {
    if (this.#arenaBytes + lengthBytes > this.#arena.length) {
      const larger = new Uint8Array(2 * this.#arena.length + lengthBytes);
      larger.set(this.#arena.subarray(0, this.#arenaBytes));
      this.#arena = larger;
    }
    this.#arena.set(at === 0 && lengthBytes === bytes.length ? bytes : bytes.subarray(at, at + lengthBytes), this.#arenaBytes);
    this.#outputs.push({ connection, counter, at: this.#arenaBytes, lengthBytes, descriptors: descriptors.length === 0 ? noDescriptors : descriptors.map((each) => each.dup()) });
    this.#arenaBytes += lengthBytes;
    this.#touched.add(connection);
    this.#schedule();
  }

  /** From now on everything goes to `heir` too, beginning with a snapshot; undefined: to nobody. */
  setHeir(heir: Heir | undefined): void {
    this.commit();
    this.#heir = heir;
    this.#journal?.close();
    this.#journal = undefined;
    // Whoever comes knows none of the numbers that another one knew.
    this.#handed.clear();
    for (const live of this.#live.values()) live.names = [];
    if (heir) this.#snapshot();
  }

  /** How far the journal is written, for status. */
  get written(): { transactions: number; bytes: number } {
    return { transactions: this.#transactions, bytes: this.#journalBytes };
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#checkpoint?.("opened");
    queueMicrotask(() => this.commit());
  }

  /** The turn was cut short by a mistake in the program: nothing of it is written or sent, and no other one begins. The process is to end. */
  abandon(): void {
    this.#committing = true;
  }

  /** Ends the turn. */
  commit(): void {
    if (this.#committing) return;
    this.#committing = true;
    for (const hook of this.#beforeCommit) hook();
    this.#record();
    const outputs = this.#outputs;
    const touched = [...this.#touched];
    this.#outputs = [];
    this.#touched.clear();
    this.#changed.clear();
    this.#gone.clear();
    for (const { connection, at, lengthBytes, descriptors } of outputs) {
      connection.give(this.#arena, at, lengthBytes, descriptors);
      closeAll(descriptors);
    }
    this.#arenaBytes = 0;
    if (this.#given && outputs.length > 0) {
      this.#given();
      this.#given = undefined;
    }
    this.counters.turns += 1;
    // From here on nothing of this turn is done again.
    this.#page.words[Word.connection] = 0;
    if (this.#scheduled) this.#checkpoint?.("written");
    this.#scheduled = false;
    this.#committing = false;
    for (const connection of touched) connection.settle();
    for (const hook of this.#afterCommit.splice(0)) hook();
  }

  /** Writes the turn as one transaction. */
  #record(): void {
    const heir = this.#heir;
    if (!heir) {
      for (const key of this.#gone) this.#live.delete(key);
      return;
    }
    const writer = this.#writer.reset();
    const dropped: number[] = [];
    for (const key of this.#changed) this.#recordState(key, dropped);
    for (const connection of this.#touched) if (this.#connections.has(connection.number)) writer.counted(connection.number, connection.slot, connection.counts.taken, connection.counts.given);
    for (const { connection, counter, at, lengthBytes, descriptors } of this.#outputs) writer.output(connection.number, counter, this.#handOverAll(descriptors), this.#arena, at, lengthBytes);
    if (writer.isEmpty) return;
    this.#write();
    if (dropped.length > 0) {
      for (const number of dropped) this.#handed.delete(number);
      heir.dropped(dropped);
    }
    if (this.#journalBytes > JOURNAL_BYTES_MAX) this.#renew = true;
    if (this.#renew) queueMicrotask(() => this.#snapshotIfDue());
  }

  #snapshotIfDue(): void {
    if (!this.#renew || this.#committing) return;
    this.commit();
    if (this.#heir && this.#renew) this.#snapshot();
  }

  #recordState(key: string, dropped: number[]): void {
    const live = this.#live.get(key);
    if (!live) return;
    const before = live.names;
    if (this.#gone.has(key)) {
      this.#live.delete(key);
      this.#writer.gone(key);
      dropped.push(...before);
      return;
    }
    const names: number[] = [];
    const value = live.state((descriptor) => {
      const number = this.#name(descriptor);
      names.push(number);
      return number;
    });
    live.names = names;
    this.#writer.state(key, names, this.#encode(value));
    for (const number of before) if (!names.includes(number)) dropped.push(number);
  }

  #encode(value: unknown): Uint8Array {
    this.#cbor.reset().value(value);
    return this.#cbor.bytes.subarray(0, this.#cbor.length);
  }

  /** The number of a descriptor that a state names; handed over with the first. */
  #name(descriptor: Descriptor): number {
    let number = this.#numbers.get(descriptor);
    if (number === undefined || !this.#handed.has(number)) {
      number = this.#lastNumber += 1;
      this.#numbers.set(descriptor, number);
      this.#handed.set(number, descriptor);
      this.#heir?.handOver(number, descriptor);
    }
    return number;
  }

  /** Those of a packet get numbers of their own: they are gone when the packet is sent. */
  #handOverAll(descriptors: readonly Descriptor[]): number[] {
    return descriptors.map((descriptor) => {
      const number = (this.#lastNumber += 1);
      this.#heir?.handOver(number, descriptor);
      return number;
    });
  }

  #write(): void {
    const writer = this.#writer;
    writer.seal(this.#seal, this.#transactions);
    const written = writeSync(this.#journal!.fd, writer.bytes, 0, writer.length, this.#journalBytes);
    // Memory without room is a machine about to fail: the standby goes on with what it has.
    if (written !== writer.length) throw new Error(`the journal took ${written} of ${writer.length} bytes`);
    this.#transactions += 1;
    this.#journalBytes += written;
    this.counters.journalBytes += written;
    this.#page.words[Word.committed] = this.#transactions;
  }

  /** A new journal, with everything there is. */
  #snapshot(): void {
    const heir = this.#heir!;
    this.#renew = false;
    const journal = memoryFile("ipcnet-journal");
    const writer = this.#writer.reset();
    const dropped: number[] = [];
    for (const key of this.#live.keys()) this.#recordState(key, dropped);
    for (const connection of this.#connections.values()) {
      const { number, slot, counts } = connection;
      writer.counted(number, slot, counts.taken, counts.given);
      const waiting = connection.waiting();
      waiting.forEach(({ bytes, descriptors }, i) => writer.output(number, (counts.given - waiting.length + i) >>> 0, this.#handOverAll(descriptors), bytes, 0, bytes.length));
    }
    this.#journal?.close();
    this.#journal = journal;
    this.#journalBytes = 0;
    this.#transactions = 0;
    this.counters.journals += 1;
    this.#write();
    // Handed over when it is whole: until then the one before is the last word.
    heir.journal(journal);
  }
}

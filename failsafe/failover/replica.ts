/**
 * The standby's picture of the active, made from the journal: every state as it was last written, and the packets that may not have reached their socket yet. Pure; values stay bytes
 * until somebody has to stand in.
 */
import type { TransactionSink } from "./journal.ts";

export interface Output {
  counter: number;
  descriptors: number[];
  bytes: Uint8Array;
}

export interface Counts {
  /** Of the predecessor's page. */
  slot: number;
  /** Packets of the connection that were handled. */
  taken: number;
  /** Packets that it was given or is to be given. */
  given: number;
}

export interface ReplicaOptions {
  /** Packets that the connection in a slot was given for certain; what is before needs not be kept. undefined: not known. */
  sent(slot: number): number | undefined;
  /** Nobody names these descriptors any more. */
  drop(descriptors: readonly number[]): void;
}

/** Keys of connections: what was to be sent goes with them. */
export const SESSION = "session:";

interface Stored {
  descriptors: readonly number[];
  value: Uint8Array;
}

export class Replica implements TransactionSink {
  readonly #options: ReplicaOptions;
  readonly #states = new Map<string, Stored>();
  readonly #counts = new Map<number, Counts>();
  readonly #outputs = new Map<number, Output[]>();

  constructor(options: ReplicaOptions) {
    this.#options = options;
  }

  state(key: string, descriptors: number[], value: Uint8Array): void {
    const before = this.#states.get(key);
    this.#states.set(key, { descriptors, value: new Uint8Array(value) });
    if (before && before.descriptors.length > 0) this.#drop(before.descriptors.filter((each) => !descriptors.includes(each)));
  }

  gone(key: string): void {
    const before = this.#states.get(key);
    if (!before) return;
    this.#states.delete(key);
    this.#drop(before.descriptors);
    if (!key.startsWith(SESSION)) return;
    const connection = Number(key.slice(SESSION.length));
    this.#counts.delete(connection);
    this.#shed(connection, this.#outputs.get(connection)?.length ?? 0);
    this.#outputs.delete(connection);
  }

  counted(connection: number, slot: number, taken: number, given: number): void {
    this.#counts.set(connection, { slot, taken, given });
  }

  output(connection: number, counter: number, descriptors: number[], bytes: Uint8Array): void {
    const waiting = this.#outputs.get(connection) ?? [];
    waiting.push({ counter, descriptors, bytes: new Uint8Array(bytes) });
    if (waiting.length === 1) this.#outputs.set(connection, waiting);
  }

  /** Lets go of the packets that have arrived; to be called after each batch of transactions. */
  prune(): void {
    for (const [connection, waiting] of this.#outputs) {
      const slot = this.#counts.get(connection)?.slot;
      const sent = slot === undefined ? undefined : this.#options.sent(slot);
      if (sent === undefined) continue;
      let count = 0;
      while (count < waiting.length && isBefore(waiting[count]!.counter, sent)) count += 1;
      this.#shed(connection, count);
      if (waiting.length === 0) this.#outputs.delete(connection);
    }
  }

  /** All states whose key begins with `prefix`, in the order in which their keys appeared. */
  *states(prefix: string): Generator<{ key: string; value: Uint8Array; descriptors: readonly number[] }> {
    for (const [key, { value, descriptors }] of this.#states) if (key.startsWith(prefix)) yield { key, value, descriptors };
  }

  get(key: string): Uint8Array | undefined {
    return this.#states.get(key)?.value;
  }

  countsOf(connection: number): Counts {
    return this.#counts.get(connection) ?? { slot: 0, taken: 0, given: 0 };
  }

  /** Packets from `sent` on, oldest first. */
  outputsFrom(connection: number, sent: number): Output[] {
    return (this.#outputs.get(connection) ?? []).filter(({ counter }) => !isBefore(counter, sent));
  }

  /** All descriptors that states and packets name. */
  named(): Set<number> {
    const numbers = new Set<number>();
    for (const { descriptors } of this.#states.values()) for (const number of descriptors) numbers.add(number);
    for (const waiting of this.#outputs.values()) for (const { descriptors } of waiting) for (const number of descriptors) numbers.add(number);
    return numbers;
  }

  get size(): { states: number; outputs: number; outputBytes: number } {
    let outputs = 0;
    let outputBytes = 0;
    for (const waiting of this.#outputs.values()) {
      outputs += waiting.length;
      for (const { bytes } of waiting) outputBytes += bytes.length;
    }
    return { states: this.#states.size, outputs, outputBytes };
  }

  #shed(connection: number, count: number): void {
    for (const { descriptors } of this.#outputs.get(connection)?.splice(0, count) ?? []) this.#drop(descriptors);
  }

  #drop(descriptors: readonly number[]): void {
    if (descriptors.length > 0) this.#options.drop(descriptors);
  }
}

/** Serial numbers (RFC 1982): counters wrap. */
export function isBefore(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

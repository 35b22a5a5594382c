/** What a dead predecessor has left, for whoever builds the broker again: states by key, descriptors by number, connections with what they are still owed. */
import { closeAll, type Descriptor } from "../../shm/sockets/index.ts";
import { decodeCbor } from "../../shm/protocol/cborReader.ts";
import type { ConnectionState, Inherited } from "./connections.ts";
import type { Handling } from "./page.ts";
import type { Replica } from "./replica.ts";

export interface InheritanceParts {
  replica: Replica;
  descriptors: Map<number, Descriptor>;
  /** How many packets the connection in a slot of the predecessor's page was given. */
  sent(slot: number): number;
  /** What it was at when it died. */
  handling: Handling | undefined;
}

/** States are our own; the bounds only keep a broken journal from taking the machine. */
const LIMITS = { depthMax: 64, itemsMax: 4_000_000 };

export class Inheritance {
  readonly #parts: InheritanceParts;

  constructor(parts: InheritanceParts) {
    this.#parts = parts;
  }

  get handling(): Handling | undefined {
    return this.#parts.handling;
  }

  /** All states whose key begins with `prefix`, in the order in which the keys appeared. What cannot be read is left out. They are what this release or the one before has noted. */
  *states(prefix: string): Generator<{ key: string; state: unknown }> {
    for (const { key, value } of this.#parts.replica.states(prefix)) {
      const decoded = decodeCbor(value, { at: 0, lengthBytes: value.length, limits: LIMITS });
      if (decoded.ok) yield { key, state: decoded.value };
    }
  }

  /** The descriptor of a number: the caller's from now on. undefined: it never came, or was taken before. */
  take(number: number): Descriptor | undefined {
    const descriptor = this.#parts.descriptors.get(number);
    this.#parts.descriptors.delete(number);
    return descriptor;
  }

  /** A connection to go on with; undefined: its socket has not come over. */
  connection(state: ConnectionState): Inherited | undefined {
    const socket = this.take(state.socket);
    if (!socket) return undefined;
    const { replica } = this.#parts;
    const sent = this.#parts.sent(state.slot);
    const outputs = replica.outputsFrom(state.number, sent).map((output) => ({ ...output, copies: output.descriptors.flatMap((number) => this.take(number) ?? []) }));
    const { taken } = replica.countsOf(state.number);
    return { state, socket, pidfd: state.pidfd === undefined ? undefined : this.take(state.pidfd), counts: { taken, given: (sent + outputs.length) >>> 0 }, sent, outputs };
  }

  /** Closes what nobody took: their other ends see it. */
  close(): void {
    closeAll([...this.#parts.descriptors.values()]);
    this.#parts.descriptors.clear();
  }
}

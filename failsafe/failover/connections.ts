/** The clients' connections of the active: their numbers, their slots in the handover page, and what a successor needs to go on with each. */
import { type ConnectionOptions, type Descriptor, HANDOVER_SLOTS, type OwnPage, type PeerIdentity, SeqpacketConnection } from "../../shm/sockets/index.ts";
import { HandedConnection } from "./handedConnection.ts";
import type { Keeper, Naming } from "./keeper.ts";
import type { Counts, Output } from "./replica.ts";

/** A connection in a session's state. */
export interface ConnectionState {
  number: number;
  slot: number;
  socket: number;
  pidfd?: number | undefined;
  pid: number;
  uid: number;
  gid: number;
  groups: readonly number[];
  startTime?: number | undefined;
}

/** A connection that a predecessor has left. */
export interface Inherited {
  state: ConnectionState;
  socket: Descriptor;
  pidfd: Descriptor | undefined;
  counts: Pick<Counts, "taken" | "given">;
  /** Packets that its socket was given for certain. */
  sent: number;
  /** Those behind, with their descriptors. */
  outputs: readonly (Output & { copies: readonly Descriptor[] })[];
}

export interface HandedConnectionsOptions {
  keeper: Keeper;
  page: Pick<OwnPage, "words">;
  connection: ConnectionOptions;
  failpoint?: ((bytes: Uint8Array, at: number, lengthBytes: number) => void) | undefined;
  /** Of the handover page; default: those for clients. */
  slots?: readonly number[];
}

/** The last of the page: a rehearsal's connections (gateway/bin/rehearsal.ts) are marked where no client's ever is. */
const REHEARSAL_COUNT = 16;
export const REHEARSAL_SLOTS: readonly number[] = Array.from({ length: REHEARSAL_COUNT }, (_, i) => HANDOVER_SLOTS - REHEARSAL_COUNT + i);
const CLIENT_SLOTS: readonly number[] = Array.from({ length: HANDOVER_SLOTS - REHEARSAL_COUNT }, (_, slot) => slot);

export class HandedConnections {
  readonly #keeper: Keeper;
  readonly #page: Pick<OwnPage, "words">;
  readonly #queue: ConnectionOptions;
  readonly #failpoint: ((bytes: Uint8Array, at: number, lengthBytes: number) => void) | undefined;
  readonly #free: number[];
  /** Copies of the sockets, for those who join later. */
  readonly #sockets = new WeakMap<HandedConnection, Descriptor>();
  readonly #open = new Set<HandedConnection>();
  #frozen = false;
  #lastNumber = 0;
  #slot: number | undefined;

  constructor({ keeper, page, connection, failpoint, slots = CLIENT_SLOTS }: HandedConnectionsOptions) {
    this.#free = [...slots];
    this.#keeper = keeper;
    this.#page = page;
    this.#queue = connection;
    this.#failpoint = failpoint;
  }

  /** For the next connection that is accepted: `accepted` must be called with it. Without a slot it is an ordinary one. */
  options(): ConnectionOptions {
    // Those of closed connections go to the end, so that a reader of the page meets an old number as late as possible.
    this.#slot = this.#free.shift();
    return this.#slot === undefined ? {} : { handover: { slot: this.#slot, sentBefore: 0 } };
  }

  /** Nothing more is read from anybody: what comes waits for the successor. */
  freeze(): void {
    this.#frozen = true;
    for (const connection of this.#open) connection.freeze();
  }

  /** undefined: there was no slot for it. */
  accepted(inner: SeqpacketConnection): HandedConnection | undefined {
    const slot = this.#slot;
    this.#slot = undefined;
    return slot === undefined ? undefined : this.#make(inner, (this.#lastNumber += 1), slot);
  }

  /** Goes on with a connection: what it was still to be given goes first. Throws a `SocketError`. */
  inherit({ state, socket, pidfd, counts, sent, outputs }: Inherited): HandedConnection {
    const slot = this.#free.shift();
    if (slot === undefined) throw new RangeError("the predecessor had more connections than there are slots");
    const { number, pid, uid, gid, groups, startTime } = state;
    const peer: PeerIdentity = { pid, uid, gid, groups, startTime, pidfd };
    const inner = SeqpacketConnection.of(socket, { ...this.#queue, peer, handover: { slot, sentBefore: sent } });
    this.#lastNumber = Math.max(this.#lastNumber, number);
    const connection = this.#make(inner, number, slot, counts);
    for (const { bytes, copies } of outputs) {
      inner.send(bytes, 0, bytes.length, copies);
      for (const copy of copies) copy.close();
    }
    return connection;
  }

  /** What a successor needs of it. */
  stateOf(connection: HandedConnection, name: Naming): ConnectionState {
    let socket = this.#sockets.get(connection);
    if (!socket) {
      socket = connection.descriptor();
      this.#sockets.set(connection, socket);
    }
    const { pid, uid, gid, groups, startTime, pidfd } = connection.peer;
    return { number: connection.number, slot: connection.slot, socket: name(socket), ...(pidfd?.isOpen ? { pidfd: name(pidfd) } : {}), pid, uid, gid, groups, ...(startTime === undefined ? {} : { startTime }) };
  }

  #make(inner: SeqpacketConnection, number: number, slot: number, counts?: Pick<Counts, "taken" | "given">): HandedConnection {
    const connection: HandedConnection = new HandedConnection(inner, {
      number, slot, keeper: this.#keeper, words: this.#page.words, ...(counts ? { counts } : {}), failpoint: this.#failpoint,
      ended: () => {
        this.#open.delete(connection);
        this.#sockets.get(connection)?.close();
        this.#free.push(slot);
      },
    });
    this.#open.add(connection);
    if (this.#frozen) connection.freeze();
    return connection;
  }
}

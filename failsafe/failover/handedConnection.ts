/**
 * A client's connection that a successor can go on with: what it sends waits until the turn is written, what it reads is taken away only then. To the session above it is a connection
 * like any other.
 */
import type { SendVerdict } from "../../shm/protocol/channel.ts";
import { type CloseReason, type Descriptor, noDescriptors, type PacketListener, type PeerIdentity, type SeqpacketConnection } from "../../shm/sockets/index.ts";
import type { Keeper, TurnConnection } from "./keeper.ts";
import { Word } from "./page.ts";
import { isBefore } from "./replica.ts";

/** What one turn may put off for one connection before its owner is told to slow down. */
const PUT_OFF_BYTES_MAX = 1 << 20;

export interface HandedOptions {
  number: number;
  /** Slot of the handover page. */
  slot: number;
  keeper: Keeper;
  /** Words of this process's own page. */
  words: Uint32Array;
  /** Packets that a predecessor has handled and given. */
  counts?: { taken: number; given: number };
  /** The connection has ended: its slot is free. */
  ended(): void;
  /** For tests of the pair: looks at each packet before it is handled. */
  failpoint?: ((bytes: Uint8Array, at: number, lengthBytes: number) => void) | undefined;
}

/** Who looks at packets before they are handled. */
export interface PacketGuard {
  /** Counter of a packet that a predecessor died over. */
  readonly suspect: number | undefined;
  /** Whether all packets are to be looked at. */
  isNeeded(): boolean;
  /** True: it must not be handled. */
  stops(packet: Uint8Array, isSuspect: boolean): boolean;
}

export class HandedConnection implements TurnConnection {
  readonly number: number;
  readonly slot: number;
  readonly peer: PeerIdentity;
  guard: PacketGuard | undefined;
  readonly counts: { taken: number; given: number };
  readonly #inner: SeqpacketConnection;
  readonly #keeper: Keeper;
  readonly #words: Uint32Array;
  readonly #failpoint: HandedOptions["failpoint"];
  #drain: (() => void) | undefined;
  #closed: ((reason: CloseReason) => void) | undefined;
  /** Packets that were looked at and are still in the socket. */
  #looked = 0;
  #putOffBytes = 0;
  #slowed = false;
  #frozen = false;
  #ending = false;
  readonly #ended: () => void;

  constructor(inner: SeqpacketConnection, { number, slot, keeper, words, counts = { taken: 0, given: 0 }, ended, failpoint }: HandedOptions) {
    this.#inner = inner;
    this.number = number;
    this.slot = slot;
    this.peer = inner.peer;
    this.counts = { ...counts };
    this.#keeper = keeper;
    this.#words = words;
    this.#failpoint = failpoint;
    this.#ended = ended;
    keeper.join(this);
  }

  onPacket(listener: PacketListener): void {
    this.#inner.onPacket((bytes, at, lengthBytes, descriptors) => {
      this.#looked += 1;
      this.#keeper.touch(this);
      const counter = counterOf(bytes, at, lengthBytes);
      // A predecessor has handled it, and died before it could take it away.
      if (counter !== undefined && isBefore(counter, this.counts.taken)) return closeDescriptors(descriptors);
      const words = this.#words;
      words[Word.counter] = this.counts.taken;
      words[Word.lengthBytes] = lengthBytes;
      words[Word.connection] = this.number;
      const isSuspect = this.guard?.suspect === this.counts.taken;
      this.counts.taken = (this.counts.taken + 1) >>> 0;
      if (this.guard && (isSuspect || this.guard.isNeeded()) && this.guard.stops(bytes.subarray(at, at + lengthBytes), isSuspect)) return closeDescriptors(descriptors);
      try {
        this.#failpoint?.(bytes, at, lengthBytes);
        listener(bytes, at, lengthBytes, descriptors);
      } catch (error) {
        // This process is about to die of it. What it has half done must not be written before.
        this.#keeper.abandon();
        throw error;
      }
    });
  }

  onDrain(listener: () => void): void {
    this.#drain = listener;
    this.#inner.onDrain(listener);
  }

  onClose(listener: (reason: CloseReason) => void): void {
    this.#closed = listener;
    this.#inner.onClose((reason) => {
      this.#keeper.leave(this);
      this.#ended();
      this.#closed?.(reason);
    });
  }

  send(bytes: Uint8Array, at = 0, lengthBytes = bytes.length - at, descriptors: readonly Descriptor[] = noDescriptors): SendVerdict {
    if (!this.#inner.isOpen || this.#ending) return "closed";
    if (!this.#inner.hasRoomFor(this.#putOffBytes + lengthBytes, 1, descriptors.length)) return "full";
    this.#keeper.putOff(this, this.counts.given, bytes, at, lengthBytes, descriptors);
    this.counts.given = (this.counts.given + 1) >>> 0;
    this.#putOffBytes += lengthBytes;
    if (this.#inner.pendingBytes === 0 && this.#putOffBytes < PUT_OFF_BYTES_MAX) return "sent";
    this.#slowed = true;
    return "queued";
  }

  hasRoomFor(bytes: number, packets: number, descriptors = 0): boolean {
    return this.#inner.hasRoomFor(this.#putOffBytes + bytes, packets, descriptors);
  }

  get pendingBytes(): number {
    return this.#inner.pendingBytes + (this.#putOffBytes < PUT_OFF_BYTES_MAX ? 0 : this.#putOffBytes);
  }

  get isOpen(): boolean {
    return this.#inner.isOpen;
  }

  pauseReading(): void {
    this.#inner.pauseReading();
  }

  resumeReading(): void {
    if (!this.#frozen) this.#inner.resumeReading();
  }

  /** Reads nothing any more, for good. */
  freeze(): void {
    this.#frozen = true;
    this.#inner.pauseReading();
  }

  /** Closes when everything has been sent. */
  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#keeper.touch(this);
  }

  close(reason?: CloseReason): void {
    this.#inner.close(reason);
  }

  /** A copy of the socket, to hand over. */
  descriptor(): Descriptor {
    return this.#inner.descriptor();
  }

  // --- for the turn ---------------------------------------------------------------------------------------------------------------

  give(bytes: Uint8Array, at: number, lengthBytes: number, descriptors: readonly Descriptor[]): void {
    this.#putOffBytes -= lengthBytes;
    this.#inner.send(bytes, at, lengthBytes, descriptors);
  }

  settle(): void {
    if (this.#looked > 0) this.#inner.consume(this.#looked);
    this.#looked = 0;
    if (this.#ending) return this.#inner.end();
    if (!this.#slowed || this.#inner.pendingBytes > 0) return;
    this.#slowed = false;
    this.#drain?.();
  }

  waiting(): { bytes: Uint8Array; descriptors: readonly Descriptor[] }[] {
    return this.#inner.waiting();
  }
}

/** The counter that a packet's header claims; whether that is right is the channel's to say. */
function counterOf(bytes: Uint8Array, at: number, lengthBytes: number): number | undefined {
  return lengthBytes < 16 ? undefined : ((bytes[at + 12]! << 24) | (bytes[at + 13]! << 16) | (bytes[at + 14]! << 8) | bytes[at + 15]!) >>> 0;
}

function closeDescriptors(descriptors: readonly Descriptor[]): void {
  for (const descriptor of descriptors) descriptor.close();
}

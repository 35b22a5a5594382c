/**
 * The one who writes a lane. A publish never waits and makes no system call while the readers are busy; a small payload (up to 4 KiB) is put into the staging memory and published by one call into the addon.
 */
import { closeAll, Descriptor } from "../sockets/descriptor.ts";
import { hub, type Pollable, Ready } from "../sockets/native.ts";
import { Errno, externalError, LaneError, laneError } from "./errors.ts";
import { type LanesMemory, lanesMemory, STAGING_MANY_MAX, STAGING_PAYLOAD_AT, STAGING_PAYLOAD_BYTES } from "./memory.ts";
import { type LaneMeta, stageMeta } from "./meta.ts";
import { type LanePolicy, policyCode } from "./policy.ts";

export interface LaneOptions {
  schemaHash: bigint;
  /** The most that readers may ask for. */
  policy: LanePolicy;
  /** Messages that the ring remembers: a power of two, 2 … 65536. */
  slots: number;
  /** Lineage and payload up to this stand in the slot: 64, 192, 320 … 4032. */
  inlineBytes: number;
  /** For larger payloads, a multiple of 4096; a payload may take at most half of it. 0 = none. */
  largeBytes: number;
  /** Of the first message, from 1: a lane that replaces another continues its count. */
  firstSequence?: bigint;
  /** 16 bytes; left out = random. */
  laneId?: Uint8Array;
}

export interface LaneWriterStats {
  published: number;
  payloadBytes: number;
  /** System calls made to wake readers. */
  rings: number;
  ringsUnheard: number;
  refusedFull: number;
  demoted: number;
  pagesMistrusted: number;
  readers: number;
}

/** Room in the lane itself, to be filled in place. */
export interface LaneLoan {
  /** Visible to readers' processes as it is written, but no message until `commit`; empty afterwards. */
  readonly bytes: Uint8Array;
  /** Publishes the first `lengthBytes` (all by default). With as many lineage entries as the loan was made for. */
  commit(lengthBytes?: number, meta?: LaneMeta): void;
  giveUp(): void;
}

/** Larger payloads are read where they are: looking up a typed array costs as much as copying this many bytes. */
const STAGED_BYTES_MAX = 4096;
const NO_RING = 1;
const META = 2;
const GIVE_UP = 0xffff_ffff;

/** Closes the lanes of writers that were forgotten. */
const forgotten = new FinalizationRegistry<number>((id) => hub().native.laneWriterClose(id));

export class LaneWriter {
  /** 16 bytes. */
  readonly laneId: Uint8Array;
  /** To hand out: opened read-only. The writer's: send or dup it. */
  readonly descriptor: Descriptor;
  /** Largest payload. */
  readonly payloadBytesMax: number;
  readonly #memory: LanesMemory;
  #id: number;
  #loan: Loan | undefined;
  #space: SpaceWatch | undefined;

  private constructor(id: number, memory: LanesMemory) {
    this.#id = id;
    this.#memory = memory;
    const words = new BigUint64Array(4);
    const fd = memory.native.laneWriterInfo(id, words);
    if (fd < 0) {
      memory.native.laneWriterClose(id);
      throw laneError(fd, "cannot make a lane");
    }
    this.descriptor = Descriptor.ofHeld(fd);
    this.laneId = new Uint8Array(words.buffer.slice(0, 16));
    this.payloadBytesMax = Number(words[3]);
    forgotten.register(this, id, this);
  }

  /** Makes the memory off the JavaScript thread (0.6 ms per MiB). Rejects with a `LaneError`. */
  static async create({ schemaHash, policy, slots, inlineBytes, largeBytes, firstSequence = 1n, laneId }: LaneOptions): Promise<LaneWriter> {
    if (![slots, inlineBytes, largeBytes].every((n) => Number.isSafeInteger(n) && n >= 0) || slots > 65_536 || inlineBytes > 4096 || (laneId && laneId.length !== 16) || firstSequence < 1n) throw new LaneError("badOptions", "cannot make a lane: an option is out of range");
    const memory = lanesMemory();
    const words = BigUint64Array.of(0n, 0n, schemaHash, firstSequence, BigInt(slots), BigInt(inlineBytes), BigInt(largeBytes));
    if (laneId) new Uint8Array(words.buffer).set(laneId);
    const id = await memory.native.laneCreate(words, policyCode[policy]);
    if (id < 0) throw laneError(id, "cannot make a lane");
    return new LaneWriter(id, memory);
  }

  /** Publishes a copy. "full": a lossless reader has not read what would be overwritten. Throws a RangeError when the payload or the meta is too large, a `LaneError` once the lane is closed. */
  publish(payload: Uint8Array, meta?: LaneMeta): "published" | "full" {
    if (meta) stageMeta(this.#memory, meta);
    return this.#took(this.#publish(payload, meta ? META : 0), payload.length);
  }

  /** Publishes one after the other and wakes the readers once. Returns how many were taken: fewer than all when a lossless reader is behind. */
  publishMany(payloads: readonly Uint8Array[]): number {
    const { staging, lengths, native } = this.#memory;
    let taken = 0;
    while (taken < payloads.length) {
      let at = STAGING_PAYLOAD_AT;
      let count = 0;
      while (count < STAGING_MANY_MAX && taken + count < payloads.length) {
        const payload = payloads[taken + count]!;
        if (at + payload.length > STAGING_PAYLOAD_AT + STAGING_PAYLOAD_BYTES) break;
        staging.set(payload, at);
        lengths[count++] = payload.length;
        at += payload.length;
      }
      // One that is larger than the staging memory goes from where it is; the ring for it comes with the rest.
      const status = count > 0 ? native.lanePublishMany(this.#id, count) : this.#publish(payloads[taken]!, taken + 1 < payloads.length ? NO_RING : 0);
      const done = count > 0 ? status : status === 0 ? 1 : status;
      if (done < 0 && done !== -Errno.again) this.#took(done, payloads[taken]!.length);
      if (done > 0) taken += done;
      if (done < Math.max(1, count)) {
        native.laneRing(this.#id);
        break;
      }
    }
    return taken;
  }

  /** Room for a payload of up to `bytes`, in the lane itself; "full" as of `publish`. One at a time. Throws a RangeError when it is too large, a `LaneError` where the runtime allows no such buffers. */
  loan(bytes: number, lineageCount = 0): LaneLoan | "full" {
    const result = this.#memory.native.laneLoan(this.#id, bytes, lineageCount);
    if (typeof result !== "number") {
      this.#loan = new Loan(this, new Uint8Array(result));
      return this.#loan;
    }
    if (result === -Errno.again) return "full";
    if (result === -Errno.msgsize) throw new RangeError(`a payload of this lane has at most ${this.payloadBytesMax} bytes`);
    throw externalError(result, "cannot lend memory of the lane");
  }

  /** For loans: takes the memory back; `bytes` undefined gives it up. */
  endLoan(loan: LaneLoan, bytes: number | undefined, meta?: LaneMeta): void {
    if (this.#loan !== loan) throw new LaneError("closed", "the loan was committed or given up before");
    if (meta) stageMeta(this.#memory, meta);
    this.#loan = undefined;
    const status = this.#memory.native.laneLoanEnd(this.#id, bytes ?? GIVE_UP, meta ? META : 0);
    if (status === -Errno.stale) throw new LaneError("transferred", "the buffer of the loan was transferred away: nothing is published");
    this.#took(status, bytes ?? 0);
  }

  /**
   * Takes on a reader: its page and the writer's end of its bell, both the lane's from then on, also on failure. `deadlineMs` is how long a lossless reader may keep the writer from
   * overwriting. Returns its number; throws a `LaneError`.
   */
  addReader(page: Descriptor, bell: Descriptor, policy: LanePolicy, deadlineMs: number): number {
    // Both are there, before one of them is given away.
    if (!page.isOpen || !bell.isOpen) closeAll([page, bell]);
    const number = this.#memory.native.laneAddReader(this.#id, page.release(), bell.release(), policyCode[policy], Math.max(0, Math.min(deadlineMs, 0xffff_ffff)));
    if (number < 0) throw laneError(number, "cannot take on a reader");
    return number;
  }

  removeReader(reader: number): void {
    this.#memory.native.laneRemoveReader(this.#id, reader);
  }

  /** Sets the listener that is called when a publish that was "full" may be tried again: a lossless reader has read on, or was demoted. Keeps the program alive until the lane is closed. */
  onSpace(listener: () => void): void {
    this.#space ??= new SpaceWatch(this, this.#memory, this.#id);
    this.#space.listener = listener;
  }

  get nextSequence(): bigint {
    return this.#stats()[0]!;
  }

  stats(): LaneWriterStats {
    const [, published, payloadBytes, rings, ringsUnheard, refusedFull, demoted, pagesMistrusted, readers] = Array.from(this.#stats(), Number) as [number, number, number, number, number, number, number, number, number];
    return { published, payloadBytes, rings, ringsUnheard, refusedFull, demoted, pagesMistrusted, readers };
  }

  get isOpen(): boolean {
    return this.#id >= 0;
  }

  /** Marks the lane closed: readers read it to its end. A loan that is out is taken back. */
  close(): void {
    if (this.#id < 0) return;
    forgotten.unregister(this);
    this.#space?.close();
    this.#loan = undefined;
    this.#memory.native.laneWriterClose(this.#id);
    this.#id = -1;
    this.descriptor.close();
  }

  #publish(payload: Uint8Array, flags: number): number {
    if (payload.length > STAGED_BYTES_MAX) return this.#memory.native.lanePublishFrom(this.#id, payload, flags);
    this.#memory.staging.set(payload, STAGING_PAYLOAD_AT);
    return this.#memory.native.lanePublish(this.#id, payload.length, flags);
  }

  #took(status: number, bytes: number): "published" | "full" {
    if (status === 0) return "published";
    if (status === -Errno.again) return "full";
    if (status === -Errno.msgsize) throw new RangeError(`a payload of this lane has at most ${this.payloadBytesMax} bytes, this one has ${bytes}`);
    if (status === -Errno.inval) throw new RangeError("the meta is out of range, or the length larger than the loan");
    throw laneError(status, "cannot publish");
  }

  #stats(): BigUint64Array {
    const words = new BigUint64Array(9);
    const status = this.#memory.native.laneWriterStats(this.#id, words);
    if (status < 0) throw laneError(status, "cannot tell about a lane");
    return words;
  }
}

class Loan implements LaneLoan {
  readonly bytes: Uint8Array;
  readonly #writer: LaneWriter;

  constructor(writer: LaneWriter, bytes: Uint8Array) {
    this.#writer = writer;
    this.bytes = bytes;
  }

  commit(lengthBytes: number = this.bytes.length, meta?: LaneMeta): void {
    if (lengthBytes < 0 || lengthBytes > this.bytes.length) throw new RangeError(`the loan has ${this.bytes.length} bytes`);
    this.#writer.endLoan(this, lengthBytes, meta);
  }

  giveUp(): void {
    this.#writer.endLoan(this, undefined);
  }
}

/** Hears when there is space again. */
class SpaceWatch implements Pollable {
  readonly id: number;
  /** Holds on to the writer: its descriptor must not be closed while it is polled. */
  readonly writer: LaneWriter;
  readonly #memory: LanesMemory;
  readonly #lane: number;
  listener: () => void = () => {};

  constructor(writer: LaneWriter, memory: LanesMemory, lane: number) {
    this.writer = writer;
    this.#memory = memory;
    this.#lane = lane;
    this.id = memory.native.laneSpaceWatch(lane);
    if (this.id < 0) throw laneError(this.id, "cannot watch a lane");
    hub().add(this);
    hub().arm(this);
  }

  interest(): number {
    return Ready.read;
  }

  ready(): void {
    this.#memory.native.laneSpaceTaken(this.#lane);
    this.listener();
  }

  close(): void {
    hub().close(this);
  }
}

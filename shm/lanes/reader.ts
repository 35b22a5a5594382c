/**
 * One reader of a lane. It trusts nothing of what it reads: the addon copies, checks the copy, and hands out that. Reading costs the writer nothing; a reader that is too slow is told what it lost.
 */
import { Descriptor } from "../sockets/descriptor.ts";
import { hub, type Pollable, Ready } from "../sockets/native.ts";
import { LaneBatch, type LaneSample } from "./batch.ts";
import { Errno, externalError, LaneError, laneError } from "./errors.ts";
import { BATCH_MESSAGES_MAX, shareBuffer, takeOwnBuffer, type LanesMemory, lanesMemory, RECORD_BYTES } from "./memory.ts";
import { type LanePolicy, policyCode } from "./policy.ts";

export interface LaneReaderOptions {
  /** At most the lane's. */
  policy: LanePolicy;
  /** next: what is published from now on; last: the last value, then what follows; oldest: all that is kept; a sequence: what is gone before it counts as lost. */
  start: "next" | "last" | "oldest" | { sequence: bigint };
  /** Expected; left out = whatever it is. */
  schemaHash?: bigint;
  /** Longest spin before sleep, µs, while messages come that fast; 0 = never. Default 50, what two sleeps and wake-ups cost: programs that answer each other at once are ten times quicker for it. */
  spinUs?: number;
}

/** closed: the writer closed the lane; gone: its process is gone; broken: it broke the rules. All that was published before has been read, but for "broken". */
export type LaneEnd = "closed" | "gone" | "broken";

export interface LaneReaderStats {
  samples: number;
  /** Overwritten before they were read. */
  lost: number;
  /** Of these: overwritten while being read; and refused because a check failed. */
  torn: number;
  corrupt: number;
  sleeps: number;
  /** A lossless reader that missed its deadline and is a queue now. */
  demoted: boolean;
}

/** A message in place. Its payload may be overwritten at any time; `release` tells whether it was. */
export interface LaneLease extends LaneSample {
  /** Takes the payload back (it is empty then). True: it was whole to the end; false: overwritten meanwhile, what was computed from it is void. */
  release(): boolean;
}

/** Messages per turn of the event loop: at 10 µs of work each, timers and sockets wait 10 ms at the most. */
const MESSAGES_PER_TURN = 1000;
/** A reader whose writer has stopped ringing it (because it cost too much) looks by itself, ms. */
const SILENT_LOOK_MS = 100;
const DEMOTED_QUEUE = 1;
const DEMOTED_SILENT = 2;
const SPIN_US_DEFAULT = 50;
/** Modes of laneDrain. */
const Drain = { only: 0, orSleep: 1, spinOrSleep: 2 } as const;
const TOO_SMALL = -1002;
const ends: Readonly<Record<number, LaneEnd>> = { [-1003]: "closed", [-1004]: "gone", [-1005]: "broken" };
const startCode = { next: 0, last: 1, oldest: 2 } as const;
const FROM_SEQUENCE = 3;

/** Closes the readers that were forgotten. */
const forgotten = new FinalizationRegistry<number>((id) => hub().native.laneReaderClose(id));

let batch: LaneBatch | undefined;
/** Those that listen, of this thread. */
const listening = new Set<LaneReader>();
let silentTimer: NodeJS.Timeout | undefined;

export class LaneReader implements Pollable {
  /** Number of the bell among the sockets; -1 before `onMessages`. */
  id = -1;
  /** 16 bytes. */
  readonly laneId: Uint8Array;
  readonly schemaHash: bigint;
  /** To be sent to the writer. The reader's: send or dup it. */
  readonly page: Descriptor;
  readonly payloadBytesMax: number;
  /** Set once everything has been read after the end. */
  ended: LaneEnd | undefined;
  readonly #memory: LanesMemory;
  readonly #batch: LaneBatch;
  readonly #kept: { slots: number; inlineBytes: number; largeBytes: number };
  #lane: number;
  #messages: ((batch: LaneBatch) => void) | undefined;
  #end: ((why: LaneEnd) => void) | undefined;
  #lease: Lease | undefined;
  #scheduled = false;

  private constructor(lane: number, memory: LanesMemory) {
    this.#lane = lane;
    this.#memory = memory;
    batch ??= new LaneBatch(memory);
    this.#batch = batch;
    const words = new BigUint64Array(7);
    const fd = memory.native.laneReaderInfo(lane, words);
    if (fd < 0) {
      memory.native.laneReaderClose(lane);
      throw laneError(fd, "cannot open a lane");
    }
    this.page = Descriptor.ofHeld(fd);
    this.laneId = new Uint8Array(words.buffer.slice(0, 16));
    this.schemaHash = words[2]!;
    this.payloadBytesMax = Number(words[3]);
    this.#kept = { slots: Number(words[4]), inlineBytes: Number(words[5]), largeBytes: Number(words[6]) };
    forgotten.register(this, lane, this);
  }

  /** Maps a lane that came from elsewhere. `lane` stays the caller's; the bell (the reader's end) becomes the reader's, also on failure. Without a bell one polls with `read`. Throws a `LaneError`. */
  static open(lane: Descriptor, bell: Descriptor | undefined, { policy, start, schemaHash = 0n, spinUs = SPIN_US_DEFAULT }: LaneReaderOptions): LaneReader {
    const memory = lanesMemory();
    const words = BigUint64Array.of(typeof start === "object" ? start.sequence : 0n, schemaHash, BigInt(Math.round(Math.max(0, Math.min(spinUs, 1e6)) * 1e3)));
    const from = typeof start === "object" ? FROM_SEQUENCE : startCode[start];
    const id = memory.native.laneOpen(lane.fd, bell === undefined ? 0 : bell.release() + 1, policyCode[policy], from, words);
    if (id < 0) throw laneError(id, "cannot open a lane");
    return new LaneReader(id, memory);
  }

  /**
   * Sets the listener and starts: it is called from the event loop with the messages that came, up to 1000 per turn. The batch is valid until it returns. Keeps the program alive until the end or
   * `close`. Throws a `LaneError` for a reader without a bell.
   */
  onMessages(listener: (batch: LaneBatch) => void): void {
    this.#messages = listener;
    if (this.id >= 0 || this.#lane < 0) return;
    const id = this.#memory.native.laneBellWatch(this.#lane);
    if (id < 0) throw id === -Errno.badf ? new LaneError("closed", "a reader without a bell cannot be told of messages: poll with read()") : laneError(id, "cannot listen to a lane");
    this.id = id;
    hub().add(this);
    hub().arm(this);
    listening.add(this);
    silentTimer ??= setInterval(lookForSilent, SILENT_LOOK_MS).unref();
    this.#later();
  }

  /** Sets the listener that is called once when the lane has ended and all of it has been read; close the reader then. */
  onEnd(listener: (why: LaneEnd) => void): void {
    this.#end = listener;
  }

  /** The next message, or undefined when there is none for now (or no more: see `ended`). */
  read(): LaneSample | undefined {
    const sample = this.#drain(1, Drain.only) === 1 ? this.#batch.sample(0) : undefined;
    shareBuffer(this.#memory);
    return sample;
  }

  /** The last `count` (up to 1000) messages that are kept, oldest first. Moves nothing. */
  history(count: number): LaneSample[] {
    const wanted = Math.max(0, Math.min(Math.floor(count), MESSAGES_PER_TURN));
    const { slots, inlineBytes, largeBytes } = this.#kept;
    const messages = Math.min(wanted, slots);
    // All that they can have: each in its slot, or together in the ring of large payloads.
    const buffer = new Uint8Array(messages * (inlineBytes + 8) + Math.min(largeBytes, messages * (largeBytes / 2)));
    const found = this.#lane < 0 ? 0 : this.#memory.native.laneHistory(this.#lane, messages, buffer);
    if (found < 0) throw laneError(found, "cannot read a lane's history");
    return Array.from({ length: found }, (_, i) => this.#batch.sample(i, buffer.slice(this.#batch.payloadAt(i), this.#batch.payloadAt(i) + this.#batch.payloadBytes(i))));
  }

  /** The next message in place, for those who trust the writer or check as they go; undefined when there is none. One at a time. Throws a `LaneError` where the runtime allows no such buffers. */
  lease(): LaneLease | undefined {
    const result = this.#memory.native.laneLease(this.#lane);
    if (typeof result !== "number") {
      this.#lease = new Lease(this, this.#batch.sample(0, new Uint8Array(result)));
      return this.#lease;
    }
    if (result in ends) this.#noteEnd(ends[result]!);
    else if (result < 0) throw externalError(result, "cannot lend a message");
    return undefined;
  }

  /** For leases. */
  endLease(lease: LaneLease): boolean {
    if (this.#lease !== lease) return false;
    this.#lease = undefined;
    const status = this.#memory.native.laneRelease(this.#lane);
    if (status === -Errno.perm) throw new LaneError("transferred", "the payload of a lease was transferred away");
    return status === 0;
  }

  stats(): LaneReaderStats {
    const words = new BigUint64Array(6);
    const status = this.#memory.native.laneReaderStats(this.#lane, words);
    if (status < 0) throw laneError(status, "cannot tell about a reader");
    const [samples, lost, torn, corrupt, sleeps, demoted] = Array.from(words, Number) as [number, number, number, number, number, number];
    return { samples, lost, torn, corrupt, sleeps, demoted: (demoted & DEMOTED_QUEUE) !== 0 };
  }

  get isOpen(): boolean {
    return this.#lane >= 0;
  }

  /** Stops and unmaps. A lease that is out is taken back: its payload is empty then. */
  close(): void {
    if (this.#lane < 0) return;
    this.#stop();
    forgotten.unregister(this);
    this.#lease = undefined;
    this.#messages = undefined;
    this.#memory.native.laneReaderClose(this.#lane);
    this.#lane = -1;
    this.page.close();
  }

  interest(): number {
    return Ready.read;
  }

  ready(): void {
    this.#turn(Drain.orSleep);
  }

  /** Whether its writer does not ring it any more. */
  lookIfSilent(): void {
    const words = new BigUint64Array(6);
    if (this.#memory.native.laneReaderStats(this.#lane, words) === 0 && Number(words[5]) & DEMOTED_SILENT) this.#later();
  }

  #later(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#turn(Drain.spinOrSleep);
    });
  }

  /** Hands out what there is, up to the turn's budget, and sleeps when there is nothing left. Only the first look of a turn may spin: what the listener has started is to run before. */
  #turn(mode: number): void {
    let left = MESSAGES_PER_TURN;
    let asleep = false;
    try {
      while (this.#messages && this.id >= 0 && left > 0) {
        const count = this.#drain(left, mode);
        if (count <= 0) {
          asleep = count === 0;
          break;
        }
        mode = Drain.orSleep;
        left -= count;
        this.#batch.count = count;
        this.#messages(this.#batch);
      }
    } finally {
      shareBuffer(this.#memory);
      // More to come, or the listener has thrown: the loop comes back.
      if (!asleep && this.#messages && this.id >= 0) this.#later();
    }
  }

  /** How many messages stand in the batch; 0 none and asleep (if it was to); less: none, look again. */
  #drain(messagesMax: number, mode: number): number {
    shareBuffer(this.#memory);
    for (;;) {
      if (this.#lane < 0 || this.ended) return 0;
      const count = this.#memory.native.laneDrain(this.#lane, Math.min(messagesMax, BATCH_MESSAGES_MAX), mode);
      if (count >= 0) return count;
      if (count === TOO_SMALL) takeOwnBuffer(this.#memory, this.#memory.words[RECORD_BYTES / 4 - 3]!);
      else if (count in ends) {
        this.#noteEnd(ends[count]!);
        return 0;
      } else return count;
    }
  }

  #noteEnd(why: LaneEnd): void {
    if (this.ended) return;
    this.ended = why;
    this.#stop();
    this.#end?.(why);
  }

  #stop(): void {
    listening.delete(this);
    if (listening.size === 0) {
      clearInterval(silentTimer);
      silentTimer = undefined;
    }
    if (this.id < 0) return;
    hub().close(this);
    this.id = -1;
  }
}

class Lease implements LaneLease {
  readonly sequence: bigint;
  readonly lostBefore: number;
  readonly timeNs: bigint;
  readonly wallTimeNs: bigint;
  readonly schemaHash: bigint;
  readonly origin: number;
  readonly ttlMs: number;
  readonly quality: 0 | 1 | 2;
  readonly keyFrame: boolean;
  readonly kind: number;
  readonly lineage: LaneSample["lineage"];
  readonly payload: Uint8Array;
  readonly #reader: LaneReader;

  constructor(reader: LaneReader, sample: LaneSample) {
    this.#reader = reader;
    ({
      sequence: this.sequence, lostBefore: this.lostBefore, timeNs: this.timeNs, wallTimeNs: this.wallTimeNs, schemaHash: this.schemaHash, origin: this.origin, ttlMs: this.ttlMs,
      quality: this.quality, keyFrame: this.keyFrame, kind: this.kind, lineage: this.lineage, payload: this.payload,
    } = sample);
  }

  release(): boolean {
    return this.#reader.endLease(this);
  }
}

function lookForSilent(): void {
  for (const reader of listening) reader.lookIfSilent();
}

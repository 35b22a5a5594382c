/** Loads the addon and hands its readiness reports to the sockets they are for. One hub per thread: workers share nothing. */
import { createRequire } from "node:module";
import { getSystemErrorName } from "node:util";
import { addonPath } from "./addonPath.ts";

/** The addon's functions; see shm/addon/addon.c. Results below 0 are negative errno values. */
export interface NativeShm {
  start(callback: (count: number) => void, ready: Uint32Array, thread: boolean): number;
  listen(path: string, mode: number, group: number, backlog: number): number;
  connect(path: string): number;
  pair(ids: Uint32Array): number;
  accept(id: number): number;
  peer(id: number, result: Uint32Array, pidfd: number): number;
  isAlive(pidfd: number): number;
  setSendBuffer(id: number, bytes: number): number;
  arm(id: number, events: number): number;
  watch(fd: number): number;
  receive(id: number, buffer: Uint8Array, strideBytes: number, info: Uint32Array): number;
  peek(id: number, buffer: Uint8Array, strideBytes: number, info: Uint32Array): number;
  peekFromStart(id: number): number;
  consume(id: number, count: number): number;
  shutDown(id: number): number;
  send(id: number, buffer: Uint8Array, spans: Uint32Array, count: number, descriptors?: Uint32Array): number;
  send(id: number, buffer: Uint8Array, spans: Uint32Array, count: number, descriptors: Uint32Array | undefined, mark: number): number;
  close(id: number): number;
  reference(on: boolean): void;
  descriptorOpen(path: string, flags: number): number;
  descriptorDup(fd: number): number;
  descriptorAdopt(fd: number): number;
  descriptorCopy(fd: number): number;
  descriptorPair(fds: Uint32Array): number;
  socketOf(fd: number): number;
  descriptorOf(id: number): number;
  listenerOf(fd: number, path: string): number;
  keepPath(id: number): number;
  handoverMake(): number;
  handoverWords(): ArrayBuffer | number;
  handoverOpen(fd: number): ArrayBuffer | number;
  handoverBegin(slot: number, count: number): number;
  handoverMarkCrash(word: number, value: number): number;
  handoverSent(slot: number): number;
  lifeWatch(pid: number, pidfd: number, result: Uint32Array): number;
  lifeKill(): number;
  lifeEnd(): number;
  lockFile(path: string): number;
  killBehind(pidfd: number): number;
  memoryFile(name: string): number;
  notify(path: string, text: Uint8Array, fdPlusOne: number): number;
  descriptorClose(fd: number): number;
  laneMemory(staging: Uint8Array, records: Uint8Array, lineage: BigUint64Array): void;
  laneBuffer(buffer: Uint8Array): void;
  laneCreate(words: BigUint64Array, policy: number): Promise<number>;
  laneWriterInfo(lane: number, words: BigUint64Array): number;
  lanePublish(lane: number, lengthBytes: number, flags: number): number;
  lanePublishFrom(lane: number, payload: Uint8Array, flags: number): number;
  lanePublishMany(lane: number, count: number): number;
  laneRing(lane: number): number;
  laneLoan(lane: number, lengthBytes: number, lineageCount: number): ArrayBuffer | number;
  laneLoanEnd(lane: number, lengthBytes: number, flags: number): number;
  laneAddReader(lane: number, page: number, bell: number, policy: number, deadlineMs: number): number;
  laneRemoveReader(lane: number, reader: number): number;
  laneSpaceWatch(lane: number): number;
  laneSpaceTaken(lane: number): number;
  laneWriterStats(lane: number, words: BigUint64Array): number;
  laneWriterClose(lane: number): number;
  laneOpen(fd: number, bellPlusOne: number, policy: number, start: number, words: BigUint64Array): number;
  laneReaderInfo(lane: number, words: BigUint64Array): number;
  laneBellWatch(lane: number): number;
  laneDrain(lane: number, messagesMax: number, mode: number): number;
  laneHistory(lane: number, count: number, buffer: Uint8Array): number;
  laneLease(lane: number): ArrayBuffer | number;
  laneRelease(lane: number): number;
  laneReaderStats(lane: number, words: BigUint64Array): number;
  laneReaderClose(lane: number): number;
  laneBell(fds: Uint32Array): number;
  laneDescribe(fd: number, words: BigUint64Array): number;
  laneCheckPage(fd: number, laneId: Uint8Array): number;
  protectProcess(): number;
  sealBytes(bytes: Uint8Array): number;
  sealedSize(fd: number): number;
  readSealed(fd: number, offset: number, bytes: Uint8Array): number;
  sealPacket(bytes: Uint8Array, at: number, lengthBytes: number, dataId: number, counter: number): void;
  openPacket(bytes: Uint8Array, at: number, lengthBytes: number, dataId: number, counter: number): number;
}

export const Ready = { read: 1, write: 2, hangup: 4 } as const;

/** enum ipcnet_seqpacket_state */
export const ReceiveState = { more: 0, drained: 1, end: 2, truncated: 3, tooManyDescriptors: 4, descriptorsLost: 5 } as const;

const ANY = Ready.read | Ready.write | Ready.hangup;
const PACKETS_PER_CALL = 16;
/** Descriptors with one packet. */
export const DESCRIPTORS_PER_PACKET_MAX = 4;
/** Where `receive` puts things in its info: state, lengths, counts of descriptors, descriptors (4 places a packet). */
export const ReceiveInfo = { state: 0, lengths: 1, descriptorCounts: 1 + PACKETS_PER_CALL, descriptors: 1 + 2 * PACKETS_PER_CALL } as const;

/** Something that is told when its socket is ready and says what to wait for next. */
export interface Pollable {
  readonly id: number;
  /** Called with what came of the last interest; afterwards the interest is asked again. */
  ready(events: number): void;
  /** Bits of `Ready` to wait for; 0 for nothing at all. A hang-up is waited for until it is known. */
  interest(): number;
}

/** A socket and what it waits for. */
interface Entry {
  readonly socket: Pollable;
  armed: number;
}

export class Hub {
  readonly native: NativeShm;
  readonly #ready = new Uint32Array(128);
  readonly #sockets = new Map<number, Entry>();
  #toArm = new Set<Pollable>();
  /** Polling is done on Node's own loop, else by a thread (where libuv cannot be reached, and where IPCNET_POLLING=thread asks for it). */
  readonly onLoop: boolean;
  /** For every receive of this thread: 16 packets of `strideBytes`. Only touched pages cost memory. */
  #receiveBuffer = new Uint8Array(0);
  readonly receiveInfo = new Uint32Array(ReceiveInfo.descriptors + PACKETS_PER_CALL * DESCRIPTORS_PER_PACKET_MAX);

  constructor() {
    const path = addonPath("ipcnet_shm", import.meta.dirname);
    if (path === undefined) throw new Error("the addon ipcnet_shm.node is missing: run `npm run build` (in the repository) or `npm rebuild ipcnet` (in a program that uses the package; needs gcc)");
    this.native = createRequire(import.meta.url)(path) as NativeShm;
    const status = this.native.start((count) => this.#dispatch(count), this.#ready, process.env["IPCNET_POLLING"] === "thread");
    if (status < 0) throw new SocketError(-status, "cannot start the socket poller");
    this.onLoop = status === 1;
  }

  receiveBuffer(strideBytes: number): Uint8Array {
    const lengthBytes = strideBytes * PACKETS_PER_CALL;
    if (this.#receiveBuffer.length < lengthBytes) this.#receiveBuffer = new Uint8Array(lengthBytes);
    return this.#receiveBuffer;
  }

  add(socket: Pollable): void {
    this.#sockets.set(socket.id, { socket, armed: 0 });
    // The thread reports hang-ups from the first.
    if (this.onLoop) this.arm(socket);
  }

  /** Closes the descriptor; reports still on their way are dropped. */
  close(socket: Pollable): void {
    this.#sockets.delete(socket.id);
    this.native.close(socket.id);
  }

  /**
   * Waits for what `socket` is interested in, from the end of this turn of the event loop on: however busy one socket is, it is served once per turn,
   * and timers and other I/O get theirs.
   */
  arm(socket: Pollable): void {
    if (this.#toArm.size === 0) setImmediate(() => this.#armAll());
    this.#toArm.add(socket);
  }

  #armAll(): void {
    const sockets = this.#toArm;
    this.#toArm = new Set();
    for (const socket of sockets) {
      const entry = this.#sockets.get(socket.id);
      if (entry?.socket === socket) this.#arm(entry);
    }
  }

  #arm(entry: Entry): void {
    const interest = entry.socket.interest();
    // By the thread a report is asked for once; on the loop reports go on until something else is asked for.
    if (interest === entry.armed && (this.onLoop || interest === 0)) return;
    entry.armed = interest;
    this.native.arm(entry.socket.id, interest);
  }

  /** After a report. */
  #rearm(entry: Entry, events: number): void {
    if (!this.onLoop) {
      entry.armed = 0;
      return this.arm(entry.socket);
    }
    // An error on the socket stops its polling: all three bits say so.
    if (events === ANY) entry.armed = 0;
    if (this.#sockets.get(entry.socket.id) === entry) this.#arm(entry);
  }

  #dispatch(count: number): void {
    for (let i = 0; i < count; i++) {
      const entry = this.#sockets.get(this.#ready[2 * i]!);
      if (!entry) continue;
      const events = this.#ready[2 * i + 1]!;
      try {
        entry.socket.ready(events);
      } catch (error) {
        // A listener's exception is the program's to see, as from any event; the other sockets of this round are served all the same.
        queueMicrotask(() => {
          throw error;
        });
      }
      this.#rearm(entry, events);
    }
  }
}

let shared: Hub | undefined;

/** This thread's hub. Throws when the addon is missing. */
export function hub(): Hub {
  shared ??= new Hub();
  return shared;
}

/** A system call failed. `code` is the errno name, such as "EADDRINUSE". */
export class SocketError extends Error {
  readonly code: string;
  constructor(errno: number, what: string) {
    const code = getSystemErrorName(-errno);
    super(`${what}: ${code}`);
    this.name = "SocketError";
    this.code = code;
  }
}

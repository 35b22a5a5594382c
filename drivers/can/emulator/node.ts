/**
 * One controller on the emulated bus: its finite transmit queue, its error counters, its outbox.
 * Pure state; the bus (bus.ts) moves it. Queue order is first in, first out, as in a kernel interface: arbitration is between heads.
 */
import type { CanFrame } from "../frame.ts";
import { CanFlag, FRAME_OFFSET, FRAME_STRIDE_BYTES, writeFrame } from "../frame.ts";
import { DropReason, Kind, NODE_STATES, RecordBuffer, viewOf } from "./protocol.ts";
import type { NodeState } from "./protocol.ts";

export interface NodeOptions {
  /** For people. */
  name?: string;
  /** Transmit queue, frames; further frames are dropped with reason `queueFull`. */
  queueFrames?: number;
  /** Neither acknowledges nor sends nor signals errors. */
  listenOnly?: boolean;
  /** Wants FD frames; others are acknowledged but not handed up. */
  fd?: boolean;
  /** Wants its own frames back when the bus has taken them. */
  echoes?: boolean;
}

export interface NodeStatistics {
  sentFrames: number;
  receivedFrames: number;
  droppedFrames: number;
  /** Times that it started together with a more important frame and gave way. */
  arbitrationLost: number;
  /** Transmissions that ended in an error frame or without acknowledgement. */
  failedAttempts: number;
}

export const NODE_QUEUE_FRAMES_DEFAULT = 16;
/** 64 Ki frames of 88 bytes are 5.6 MiB: more than any interface queues. */
export const NODE_QUEUE_FRAMES_MAX = 65_536;

/** Linux's numbers (linux/can/error.h). */
export const CAN_ERR = {
  lostArbitration: 0x02, controller: 0x04, protocol: 0x08, ack: 0x20, busOff: 0x40, busError: 0x80, restarted: 0x100, counters: 0x200,
} as const;
const CONTROLLER = { rxWarning: 0x04, txWarning: 0x08, rxPassive: 0x10, txPassive: 0x20, active: 0x40 } as const;
export const WARNING_LEVEL = 96;
export const PASSIVE_LEVEL = 128;
export const BUS_OFF_LEVEL = 256;

export class BusNode {
  readonly id: number;
  readonly name: string;
  readonly queueFrames: number;
  readonly listenOnly: boolean;
  readonly fd: boolean;
  readonly echoes: boolean;
  /** What the bus has for this node, as protocol records; whoever owns the node empties it after each poll. */
  readonly outbox = new RecordBuffer();
  readonly statistics: NodeStatistics = { sentFrames: 0, receivedFrames: 0, droppedFrames: 0, arbitrationLost: 0, failedAttempts: 0 };

  attached = true;
  powered = true;
  linkUp = true;
  state: NodeState = "errorActive";
  /** Transmit and receive error counters. */
  tec = 0;
  rec = 0;
  /** When it joined the bus: it acknowledges only frames that started later. */
  joinedAtUs: number;
  /** Earliest start of its next frame (suspend transmission, integration). */
  notBeforeUs: number;
  /** Runs of 11 recessive bits still to be seen before it leaves bus-off; 0 when it is not restarting. */
  recoveryRuns = 0;
  babbler: (() => CanFrame) | undefined;

  readonly #queue: Buffer;
  readonly #queueView: DataView;
  /** Who queued each frame, when several share the controller (controller.ts); 0 nobody in particular. */
  readonly #owners: Uint16Array;
  readonly #babble = Buffer.alloc(FRAME_STRIDE_BYTES);
  #babbleLoaded = false;
  #head = 0;
  #queued = 0;

  constructor(id: number, options: NodeOptions, nowUs: number) {
    this.id = id;
    this.name = options.name ?? `node ${id}`;
    this.queueFrames = Math.min(NODE_QUEUE_FRAMES_MAX, Math.max(1, options.queueFrames ?? NODE_QUEUE_FRAMES_DEFAULT));
    this.listenOnly = options.listenOnly ?? false;
    this.fd = options.fd ?? false;
    this.echoes = options.echoes ?? true;
    this.joinedAtUs = nowUs;
    this.notBeforeUs = nowUs;
    this.#queue = Buffer.alloc(this.queueFrames * FRAME_STRIDE_BYTES);
    this.#queueView = viewOf(this.#queue);
    this.#owners = new Uint16Array(this.queueFrames);
  }

  /** Whether its controller takes part in traffic. */
  get onBus(): boolean {
    return this.attached && this.powered && this.linkUp && this.state !== "busOff";
  }

  /** As STATE and WELCOME carry them. */
  get counters(): number {
    return ((Math.min(0xffff, this.tec) << 16) | this.rec) >>> 0;
  }

  get queuedFrames(): number {
    return this.#queued;
  }

  /** When it could start its next frame, or undefined if it has none. */
  readyUs(): number | undefined {
    if (!this.onBus) return undefined;
    if (this.babbler) return this.notBeforeUs;
    if (this.#queued === 0) return undefined;
    return Math.max(this.notBeforeUs, this.#queueView.getFloat64(this.#head * FRAME_STRIDE_BYTES, true));
  }

  /** The frame it would send next; valid until `finishHead`. */
  head(): { bytes: Buffer; at: number } {
    if (this.babbler) {
      if (!this.#babbleLoaded) writeFrame(this.#babble, viewOf(this.#babble), 0, this.babbler());
      this.#babbleLoaded = true;
      headOf.bytes = this.#babble;
      headOf.at = 0;
    } else {
      headOf.bytes = this.#queue;
      headOf.at = this.#head * FRAME_STRIDE_BYTES;
    }
    return headOf;
  }

  /** The head was transmitted: removes it and, where wanted, echoes it (its owner in the record's head, see `OWNER_OFFSET`). `endUs` is the end of frame. */
  finishHead(endUs: number): void {
    this.statistics.sentFrames += 1;
    if (this.babbler) {
      this.#babbleLoaded = false;
      return;
    }
    if (this.echoes) {
      const at = this.outbox.append(Kind.echo, 0, 0);
      const from = this.#head * FRAME_STRIDE_BYTES;
      this.#queue.copy(this.outbox.bytes, at, from, from + FRAME_STRIDE_BYTES);
      this.outbox.view.setFloat64(at, endUs, true);
      this.outbox.bytes[at + FRAME_OFFSET.flags]! |= CanFlag.echo;
      this.outbox.setOwner(at, this.#owners[this.#head]!);
    }
    this.#head = (this.#head + 1) % this.queueFrames;
    this.#queued -= 1;
  }

  /** Takes a frame record into the queue; false when it is full. Flags that a sender has no say in are cleared. */
  enqueue(bytes: Buffer, at: number, nowUs: number, owner = 0): boolean {
    if (this.#queued === this.queueFrames) return false;
    const place = (this.#head + this.#queued) % this.queueFrames;
    this.#owners[place] = owner;
    const slot = place * FRAME_STRIDE_BYTES;
    bytes.copy(this.#queue, slot, at, at + FRAME_STRIDE_BYTES);
    this.#queueView.setFloat64(slot, nowUs, true);
    this.#queueView.setUint32(slot + FRAME_OFFSET.lostBefore, 0, true);
    const flags = this.#queue[slot + FRAME_OFFSET.flags]!;
    const passive = (flags & CanFlag.fd) !== 0 && this.state === "passive" ? CanFlag.errorStateIndicator : 0;
    this.#queue[slot + FRAME_OFFSET.flags] = (flags & (CanFlag.extended | CanFlag.fd | CanFlag.bitRateSwitch | CanFlag.remote)) | passive;
    const lengthBytes = (flags & CanFlag.remote) === 0 ? this.#queue[slot + FRAME_OFFSET.lengthBytes]! : 0;
    this.#queue.fill(0, slot + FRAME_OFFSET.data + lengthBytes, slot + FRAME_STRIDE_BYTES);
    this.#queued += 1;
    return true;
  }

  /** Tells the owner that the frame at `at` will not be sent. */
  refuse(bytes: Buffer, at: number, reason: number, owner = 0): void {
    this.statistics.droppedFrames += 1;
    const to = this.outbox.append(Kind.dropped, reason, 0);
    bytes.copy(this.outbox.bytes, to, at, at + FRAME_STRIDE_BYTES);
    this.outbox.setOwner(to, owner);
  }

  /** Whoever queued them has gone: its frames stay in the queue, as a kernel keeps those of a closed socket, and are nobody's. */
  disown(owner: number): void {
    for (let index = 0; index < this.#queued; index++) {
      const place = (this.#head + index) % this.queueFrames;
      if (this.#owners[place] === owner) this.#owners[place] = 0;
    }
  }

  /** Empties the queue; each frame is reported with `reason`. Returns how many there were. */
  dropQueue(reason: (typeof DropReason)[keyof typeof DropReason]): number {
    const dropped = this.#queued;
    for (; this.#queued > 0; this.#queued -= 1) {
      this.refuse(this.#queue, this.#head * FRAME_STRIDE_BYTES, reason, this.#owners[this.#head]!);
      this.#head = (this.#head + 1) % this.queueFrames;
    }
    return dropped;
  }

  /** Writes a received frame into the outbox and returns where its record starts. */
  receive(bytes: Buffer, at: number, endUs: number): number {
    this.statistics.receivedFrames += 1;
    const to = this.outbox.append(Kind.frame, 0, 0);
    bytes.copy(this.outbox.bytes, to, at, at + FRAME_STRIDE_BYTES);
    this.outbox.view.setFloat64(to, endUs, true);
    this.outbox.view.setUint32(to + FRAME_OFFSET.token, 0, true);
    return to;
  }

  /** An error report as Linux hands it up: classes in canId, details in data[0…5], counters in data[6…7]. */
  report(classes: number, timeUs: number, details: { controller?: number; protocol?: number; location?: number } = {}): void {
    const to = this.outbox.appendBlank(Kind.frame, 0, 0);
    const { bytes, view } = this.outbox;
    view.setFloat64(to, timeUs, true);
    view.setUint32(to + FRAME_OFFSET.canId, classes | CAN_ERR.counters, true);
    bytes[to + FRAME_OFFSET.flags] = CanFlag.error;
    bytes[to + FRAME_OFFSET.lengthBytes] = 8;
    bytes[to + FRAME_OFFSET.data + 1] = details.controller ?? 0;
    bytes[to + FRAME_OFFSET.data + 2] = details.protocol ?? 0;
    bytes[to + FRAME_OFFSET.data + 3] = details.location ?? 0;
    bytes[to + FRAME_OFFSET.data + 6] = Math.min(255, this.tec);
    bytes[to + FRAME_OFFSET.data + 7] = Math.min(255, this.rec);
  }

  /** Sends the state and the counters as a STATE record. */
  tellState(): void {
    this.outbox.appendBlank(Kind.state, NODE_STATES.indexOf(this.state), this.counters);
  }

  /** Sets the counters and, when a threshold is crossed, the state, with its report. Returns whether it has just gone bus-off. */
  count(tec: number, rec: number, timeUs: number): boolean {
    this.tec = Math.max(0, tec);
    this.rec = Math.min(255, Math.max(0, rec));
    const next = stateOf(this.tec, this.rec);
    if (next === this.state) return false;
    this.state = next;
    if (next === "busOff") this.report(CAN_ERR.busOff, timeUs);
    else this.report(CAN_ERR.controller, timeUs, { controller: controllerDetail(next, this.tec, this.rec) });
    this.tellState();
    return next === "busOff";
  }

  /** A controller reset: counters zero, error-active; no report, as after an interface was taken down and up. */
  reset(): void {
    const changed = this.state !== "errorActive" || this.tec !== 0 || this.rec !== 0;
    this.tec = 0;
    this.rec = 0;
    this.state = "errorActive";
    this.recoveryRuns = 0;
    if (changed) this.tellState();
  }
}

const headOf: { bytes: Buffer; at: number } = { bytes: Buffer.alloc(0), at: 0 };

function stateOf(tec: number, rec: number): NodeState {
  if (tec >= BUS_OFF_LEVEL) return "busOff";
  if (tec >= PASSIVE_LEVEL || rec >= PASSIVE_LEVEL) return "passive";
  return tec >= WARNING_LEVEL || rec >= WARNING_LEVEL ? "warning" : "errorActive";
}

function controllerDetail(state: NodeState, tec: number, rec: number): number {
  if (state === "passive") return (tec >= PASSIVE_LEVEL ? CONTROLLER.txPassive : 0) | (rec >= PASSIVE_LEVEL ? CONTROLLER.rxPassive : 0);
  if (state === "warning") return (tec >= WARNING_LEVEL ? CONTROLLER.txWarning : 0) | (rec >= WARNING_LEVEL ? CONTROLLER.rxWarning : 0);
  return CONTROLLER.active;
}

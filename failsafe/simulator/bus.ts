/**
 * An emulated CAN bus in virtual time: arbitration by identifier, a frame's own time on the wire, acknowledgement by any other station, one queue per interface that outlives the
 * process that filled it. What goes wrong is set from outside: loss and corruption at single receivers, repetition, interfaces that hold their frames back, stations that are cut off, a wire that
 * is split in two.
 */
import type { EventQueue } from "./queue.ts";

/** What the simulator knows of a frame and nobody on the bus does. */
export interface FrameTruth {
  /** Which life of which process handed it over; undefined: a node's, or a stranger's. */
  life?: Life;
  /** For how long that life had not run before. */
  stoodStillUs: number;
  /** Its epoch when the frame was handed over. */
  epoch: number;
  kind: "command" | "pose" | "claim" | "probe" | "other" | "replay";
  /** Rises with every frame that a process hands over. */
  order: number;
  /** Until when it was allowed to be handed over, true time. */
  deadlineUs: number;
  handedOverUs: number;
  /** For how long the process slept within the very system call that sends, where no clock is asked any more. */
  sleptUs: number;
}

/** One life of a process: what the bus's delays are measured against, for only a process that runs can notice them. */
export class Life {
  /** When it turned last, and when it died; true time. */
  turnedUs: number;
  diedUs = Infinity;
  #stoodStillUs = 0;

  constructor(nowUs: number) {
    this.turnedUs = nowUs;
  }

  turned(nowUs: number): void {
    this.#stoodStillUs = this.stoodStillUs(nowUs);
    this.turnedUs = nowUs;
  }

  /** For how long it has not run when it should have, in all, µs. A dead one never runs. */
  stoodStillUs(nowUs: number): number {
    return this.#stoodStillUs + Math.max(0, nowUs - this.turnedUs - TURN_SLACK_US);
  }
}

/** Between two turns: one millisecond, and what a wake takes. */
const TURN_SLACK_US = 1_200;

export interface BusFrame {
  canId: number;
  data: Uint8Array;
  length: number;
  token: number;
  sender: Station;
  /** The socket it came from. */
  socket: object | undefined;
  truth: FrameTruth;
}

export interface Station {
  readonly name: string;
  readonly queue: BusFrame[];
  /** Acknowledges what others send. */
  isOn: boolean;
  /** Hears everything and acknowledges nothing. */
  readonly onlyListens?: boolean;
  isConnected: boolean;
  /** Which half of a split wire it is on. */
  half: number;
  /** Takes part in arbitration again then. */
  heldUntilUs: number;
  /** A frame of another station, or `own`: ours, as it was on the wire. */
  receive(frame: BusFrame, data: Uint8Array, own: boolean): void;
}

/** Chances while something is wrong with the wire. */
export interface Wire {
  lossChance: number;
  corruptionChance: number;
  repetitionChance: number;
  isSplit: boolean;
}

const FRAME_BITS = 135;

export class SimBus {
  readonly stations: Station[] = [];
  readonly wire: Wire = { lossChance: 0, corruptionChance: 0, repetitionChance: 0, isSplit: false };
  /** Of the newest frame that a process handed over. */
  order = 0;
  /** Frames that were on the wire. */
  frames = 0;
  readonly #queue: EventQueue;
  readonly #random: () => number;
  readonly #frameUs: number;
  readonly #busy = [false, false];

  constructor({ queue, random, bitrateBps }: { queue: EventQueue; random: () => number; bitrateBps: number }) {
    this.#queue = queue;
    this.#random = random;
    this.#frameUs = Math.ceil((FRAME_BITS * 1e6) / bitrateBps);
  }

  get frameUs(): number {
    return this.#frameUs;
  }

  send(frame: BusFrame): void {
    frame.sender.queue.push(frame);
    this.kick();
  }

  /** Something has changed: whoever can send begins. */
  kick(): void {
    this.#begin(0);
    if (this.wire.isSplit) this.#begin(1);
  }

  /** The interface keeps its frames to itself for a while. */
  hold(station: Station, forUs: number): void {
    station.heldUntilUs = this.#queue.nowUs + forUs;
    this.#queue.after(forUs, () => this.kick());
  }

  #segmentOf(station: Station): number {
    return this.wire.isSplit ? station.half : 0;
  }

  #begin(segment: number): void {
    if (this.#busy[segment]) return;
    let winner: BusFrame | undefined;
    let heard = 0;
    for (const station of this.stations) {
      if (!station.isConnected || this.#segmentOf(station) !== segment) continue;
      if (station.isOn) heard += 1;
      const head = station.queue[0];
      if (head && station.heldUntilUs <= this.#queue.nowUs && (winner === undefined || head.canId < winner.canId)) winner = head;
    }
    // Nobody else there to acknowledge: the controller repeats it for ever, and it waits.
    if (!winner || heard - (winner.sender.isOn ? 1 : 0) < 1) return;
    this.#busy[segment] = true;
    const frame = winner;
    this.#queue.after(this.#frameUs, () => this.#end(segment, frame));
  }

  #end(segment: number, frame: BusFrame): void {
    this.#busy[segment] = false;
    const { queue } = frame.sender;
    // Purged while it was on the wire: it still counts as sent.
    const at = queue.indexOf(frame);
    if (at >= 0) queue.splice(at, 1);
    if (frame.sender.isConnected) this.#deliver(segment, frame);
    this.kick();
  }

  #deliver(segment: number, frame: BusFrame): void {
    this.frames += 1;
    const { lossChance, corruptionChance, repetitionChance } = this.wire;
    for (const station of this.stations) {
      if (station === frame.sender || !(station.isOn || station.onlyListens === true) || !station.isConnected || this.#segmentOf(station) !== segment) continue;
      if (lossChance > 0 && this.#random() < lossChance) continue;
      const data = corruptionChance > 0 && this.#random() < corruptionChance ? this.#corrupted(frame) : frame.data;
      station.receive(frame, data, false);
      if (repetitionChance > 0 && this.#random() < repetitionChance) station.receive(frame, data, false);
    }
    if (frame.sender.isOn) frame.sender.receive(frame, frame.data, true);
  }

  /** What the CAN controller's own CRC let through. */
  #corrupted(frame: BusFrame): Uint8Array {
    const data = frame.data.slice();
    const flips = 1 + Math.floor(this.#random() * 3);
    for (let i = 0; i < flips; i++) {
      const bit = Math.floor(this.#random() * frame.length * 8);
      data[bit >> 3]! ^= 1 << (bit & 7);
    }
    return data;
  }
}

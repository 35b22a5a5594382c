/**
 * The edge around the pure bus: owns a clock, polls, hands each node's records to whoever owns the node. Also the place where tests
 * and demos reach in: faults, power, counters, statistics.
 */
import type { Clock } from "../../../schemas/clock.ts";
import { systemClock } from "../../../schemas/clock.ts";
import type { CanFrame } from "../frame.ts";
import type { BusOptions, BusStatistics } from "./bus.ts";
import { CanBus } from "./bus.ts";
import { type Participant, SharedController, type Sink } from "./controller.ts";
import type { Fault } from "./faults.ts";
import { BusNode, type NodeOptions } from "./node.ts";
import { Control, HEAD_BYTES, Kind } from "./protocol.ts";

export interface BusHostOptions extends BusOptions {
  /** By which clients ask for it. */
  name: string;
  clock?: Clock;
  /** Transmit queue of nodes that do not ask for another length. */
  queueFrames?: number;
  /**
   * "timer": deliveries come with the process's timers, up to about a millisecond late (time stamps are exact all the same).
   * "spin": the event loop is kept turning while the bus is busy; on time to some microseconds, costs a core.
   */
  precision?: "timer" | "spin";
}

export interface ParticipantOptions extends NodeOptions {
  /** Number of the controller that it shares with whoever names the same one; 0 or none: a controller of its own. */
  controller?: number;
}

/** Shared controllers at a time: one for each client that the server takes. */
export const CONTROLLERS_MAX = 64;

export class BusHost {
  readonly name: string;
  readonly bus: CanBus;
  readonly queueFrames: number;
  readonly clock: Clock;
  readonly #spin: boolean;
  readonly #sinks = new Map<BusNode, Sink>();
  readonly #shared = new Map<number, SharedController>();
  readonly #behind = new Set<Participant>();
  #cancelTimer: (() => void) | undefined;
  #timerAtUs = Number.POSITIVE_INFINITY;
  #immediate: NodeJS.Immediate | undefined;
  #running = false;
  #closed = false;

  constructor(options: BusHostOptions) {
    this.name = options.name;
    this.bus = new CanBus(options);
    this.clock = options.clock ?? systemClock;
    this.queueFrames = options.queueFrames ?? 16;
    this.#spin = options.precision === "spin";
  }

  /** Puts somebody on the bus, with a controller of its own or through a shared one, which is made for the first who names it and then stays. A text: why not. */
  open({ controller = 0, ...options }: ParticipantOptions, sink: Sink): Participant | string {
    if (controller === 0) return { node: this.attach(options, sink), shared: undefined, number: 0, sink };
    let shared = this.#shared.get(controller);
    if (!shared) {
      if (this.#shared.size >= CONTROLLERS_MAX) return `there are ${CONTROLLERS_MAX} controllers already`;
      const made = (shared = new SharedController(this.attach({ ...options, name: controllerName(controller), fd: this.bus.fd, echoes: true }, () => made.deliver())));
      this.#shared.set(controller, shared);
    } else if (shared.node.listenOnly !== (options.listenOnly ?? false)) return `its controller ${shared.node.listenOnly ? "only listens" : "does not only listen"}`;
    return shared.join(options, sink);
  }

  /** The end of what `open` began. A shared controller stays, with what is in its queue. */
  leave(participant: Participant): void {
    this.setBehind(participant, false);
    if (participant.shared) participant.shared.leave(participant);
    else this.detach(participant.node);
  }

  /** Puts a node on the bus; its sink gets what the bus has for it. */
  attach(options: NodeOptions, sink: Sink): BusNode {
    const node = this.bus.attach({ queueFrames: this.queueFrames, ...options }, this.clock.nowUs());
    this.#sinks.set(node, sink);
    this.kick();
    return node;
  }

  detach(node: BusNode): void {
    this.#sinks.delete(node);
    this.bus.detach(node, this.clock.nowUs());
    this.kick();
  }

  /** Takes one protocol record of a participant, or of who has a node to itself; false if its kind is none that a client may send. Call `kick` after the last of a run. */
  accept(from: Participant | BusNode, bytes: Buffer, at: number): boolean {
    const isNode = from instanceof BusNode;
    const node = isNode ? from : from.node;
    const shared = isNode ? undefined : from.shared;
    const nowUs = this.clock.nowUs();
    if (bytes[at] === Kind.frame) {
      // An unpaced bus is never too slow for its sender: make room first.
      if (this.bus.bitrateBps === 0 && node.queuedFrames === node.queueFrames && !this.bus.held) this.bus.poll(nowUs);
      if (!shared || isNode) this.bus.send(node, bytes, at + HEAD_BYTES, nowUs);
      else if (shared.admits(from, bytes, at + HEAD_BYTES)) this.bus.send(node, bytes, at + HEAD_BYTES, nowUs, from.number);
      return true;
    }
    const what = bytes[at + 1];
    if (bytes[at] !== Kind.control) return false;
    if (what === Control.purge) {
      this.bus.purge(node, nowUs);
      if (shared && !isNode) shared.interrupted(from);
    }
    else if (what === Control.restart) this.bus.restart(node, nowUs);
    else if (what === Control.linkUp || what === Control.linkDown) this.bus.setLink(node, what === Control.linkUp, nowUs);
    else return false;
    return true;
  }

  /** Lets the bus run at the next turn of the event loop. */
  kick(): void {
    if (this.#closed || this.#immediate) return;
    this.#immediate = setImmediate(() => {
      this.#immediate = undefined;
      this.run();
    });
  }

  /** Lets the bus run up to now, empties the outboxes, arms the timer. */
  run(): void {
    if (this.#running || this.#closed) return;
    const nowUs = this.clock.nowUs();
    const nextUs = this.bus.poll(nowUs);
    this.#running = true;
    try {
      for (const node of this.bus.nodes) if (node.outbox.count > 0) this.#sinks.get(node)?.(node.outbox);
    } finally {
      this.#running = false;
    }
    this.#arm(nextUs, nowUs);
  }

  /** Says whether `participant` cannot take more for now: an unpaced bus waits for it, a paced one does not. */
  setBehind(participant: Participant, behind: boolean): void {
    if (behind) this.#behind.add(participant);
    else this.#behind.delete(participant);
    const hold = this.bus.bitrateBps === 0 && this.#behind.size > 0;
    if (this.bus.held && !hold) this.kick();
    this.bus.held = hold;
  }

  /** Adds a fault rule; the returned function removes it. */
  inject(fault: Fault): () => void {
    return this.bus.faults.add(fault);
  }

  setPower(node: BusNode, on: boolean): void {
    this.bus.setPower(node, on, this.clock.nowUs());
    this.kick();
  }

  setLink(node: BusNode, up: boolean): void {
    this.bus.setLink(node, up, this.clock.nowUs());
    this.kick();
  }

  babble(node: BusNode, source: (() => CanFrame) | undefined): void {
    this.bus.babble(node, source, this.clock.nowUs());
    this.kick();
  }

  setCounters(node: BusNode, tec: number, rec: number): void {
    this.bus.setCounters(node, tec, rec, this.clock.nowUs());
    this.kick();
  }

  /** The controllers that are shared, by their numbers. */
  get controllers(): ReadonlyMap<number, SharedController> {
    return this.#shared;
  }

  /** The node with this name that is attached now. */
  node(name: string): BusNode | undefined {
    return this.bus.nodes.find((node) => node.name === name);
  }

  statistics(): Readonly<BusStatistics> & { load: number } {
    return { ...this.bus.statistics, load: this.bus.load(this.clock.nowUs()) };
  }

  /** Stops the clock; nothing is delivered afterwards. */
  close(): void {
    this.#closed = true;
    this.#disarm();
    if (this.#immediate) clearImmediate(this.#immediate);
    this.#sinks.clear();
  }

  #arm(atUs: number | undefined, nowUs: number): void {
    if (this.#closed) return;
    if (atUs === undefined) {
      this.#disarm();
      return;
    }
    if (atUs <= nowUs || this.#spin) {
      this.kick();
      return;
    }
    if (this.#cancelTimer && this.#timerAtUs === atUs) return;
    this.#disarm();
    this.#timerAtUs = atUs;
    this.#cancelTimer = this.clock.at(atUs, () => {
      this.#cancelTimer = undefined;
      this.run();
    });
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }
}

function controllerName(controller: number): string {
  return `controller ${controller.toString(16)}`;
}

/**
 * In the machine: the cable between the gateway's interface and the node's, with somebody at it who can alter or cut single messages (the kernel's can-gw), hears all of it as the gateway does,
 * and can speak to both ends: a stranger on the bus.
 */
import { execFileSync } from "node:child_process";
import { CanFlag, FRAME_STRIDE_BYTES, readFrame } from "../../../drivers/can/frame.ts";
import { NativeBus } from "../../../drivers/can/nativeBus.ts";
import { systemClock } from "../../../schemas/clock.ts";

export type Way = "whole" | "altered" | "cut";

/** One bit of the fifth byte: no check value stands there. */
const ALTERING = ["-m", "XOR:D:0.0.0000000001000000"];
const LIFE_US = 1_000_000;

/** The rules of one message, and of all that is not it, in one direction. */
class Direction {
  readonly #ends: readonly string[];
  readonly #canId: string;
  #way: Way = "cut";

  constructor(from: string, to: string, canId: number) {
    // -e: whoever listens at the far side's end hears it as well.
    this.#ends = ["-s", from, "-d", to, "-e"];
    this.#canId = canId.toString(16);
    execFileSync("cangw", ["-A", ...this.#ends, "-f", `${this.#canId}~C00007FF`]);
    this.set("whole");
  }

  set(way: Way): void {
    const rule = (of: Way): string[] => [...this.#ends, "-f", `${this.#canId}:C00007FF`, ...(of === "altered" ? ALTERING : [])];
    if (way === this.#way) return;
    if (this.#way !== "cut") execFileSync("cangw", ["-D", ...rule(this.#way)]);
    if (way !== "cut") execFileSync("cangw", ["-A", ...rule(way)]);
    this.#way = way;
  }
}

export interface WireOptions {
  /** The interface whose other end is the gateway's, and that whose other end is the node's. */
  gatewaySide: string;
  nodeSide: string;
  /** The message to the node that can be altered, and that from the node. */
  command: number;
  report: number;
  onFrame: (canId: number, data: Uint8Array) => void;
}

export class Wire {
  readonly command: Direction;
  readonly report: Direction;
  readonly #bus: NativeBus;

  constructor({ gatewaySide, nodeSide, command, report, onFrame }: WireOptions) {
    this.command = new Direction(gatewaySide, nodeSide, command);
    this.report = new Direction(nodeSide, gatewaySide, report);
    this.#bus = new NativeBus({ kind: "socketcan", interface: gatewaySide, busName: "", nodeName: "", fd: false, listenOnly: false, txQueueFrames: 64, ringFrames: 8192, batchFrames: 256, receiveBufferBytes: 1 << 20 }, () => this.#read(onFrame));
    const { code, message } = this.#bus.open();
    if (code !== "ok") throw new Error(message);
  }

  /** To both ends. */
  send(canId: number, data: Uint8Array): void {
    this.#bus.send({ canId, flags: 0, data, timeUs: systemClock.nowUs() + LIFE_US });
  }

  #read(onFrame: WireOptions["onFrame"]): void {
    const bus = this.#bus;
    bus.woken();
    const events = bus.eventsWaiting();
    while (bus.drain() > 0) {
      for (let index = 0; index < bus.batch.count; index++) {
        const { canId, flags, data } = readFrame(bus.batch.bytes, bus.batch.view, index * FRAME_STRIDE_BYTES);
        if ((flags & (CanFlag.echo | CanFlag.error)) === 0) onFrame(canId, data);
      }
    }
    for (let left = events; left > 0 && bus.nextEvent(); left--) continue;
  }

  close(): void {
    this.#bus.dispose();
    execFileSync("cangw", ["-F"]);
  }
}

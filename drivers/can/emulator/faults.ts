/**
 * Faults that a test puts on the emulated bus. Each rule says what happens, to which frames, how often.
 *
 * `bitError` is an error on the wire: everyone sees it, the frame is destroyed and sent again. The others act after the link's own
 * CRC has passed, where only an end-to-end check can notice: in a store-and-forward gateway, a controller's memory, a driver.
 */
import type { CanFrame } from "../frame.ts";
import { CanFlag, FRAME_OFFSET } from "../frame.ts";
import type { BusNode } from "./node.ts";

export interface Fault {
  kind: "bitError" | "corrupt" | "lose" | "duplicate" | "delay";
  /** Only frames with this identifier … */
  canId?: number;
  extended?: boolean;
  /** … sent by this node … */
  from?: BusNode;
  /** … and, for all but bitError, as received by this node. */
  to?: BusNode;
  /** Chance for each matching frame, 0…1. Default 1. */
  probability?: number;
  /** Gone after it has acted so often. Default: stays. */
  times?: number;
  /** corrupt: which payload bit to flip (0 = bit 0 of byte 0); default: a random one. */
  bit?: number;
  /** delay: by how much. */
  delayUs?: number;
}

export class FaultList {
  readonly #random: () => number;
  #faults: { fault: Fault; left: number }[] = [];

  constructor(random: () => number) {
    this.#random = random;
  }

  get empty(): boolean {
    return this.#faults.length === 0;
  }

  /** Adds a rule; the returned function removes it. */
  add(fault: Fault): () => void {
    const entry = { fault, left: fault.times ?? Number.POSITIVE_INFINITY };
    this.#faults.push(entry);
    return () => {
      this.#faults = this.#faults.filter((other) => other !== entry);
    };
  }

  clear(): void {
    this.#faults = [];
  }

  /** The first rule of `kinds` that strikes this frame, counted as used; undefined when it is spared. `to` is absent for faults on the wire. */
  strike(kinds: ReadonlySet<Fault["kind"]>, bytes: Uint8Array, at: number, from: BusNode, to?: BusNode): Fault | undefined {
    for (const entry of this.#faults) {
      const { fault } = entry;
      if (!kinds.has(fault.kind) || !matches(fault, bytes, at, from, to)) continue;
      if (fault.probability !== undefined && this.#random() >= fault.probability) continue;
      entry.left -= 1;
      if (entry.left <= 0) this.#faults = this.#faults.filter((other) => other !== entry);
      return fault;
    }
    return undefined;
  }

  /** Flips the rule's bit, or a random one, in the payload of the record at `at`; a frame without payload stays as it is. */
  corrupt(fault: Fault, bytes: Uint8Array, at: number): void {
    const bits = (bytes[at + FRAME_OFFSET.flags]! & CanFlag.remote) === 0 ? bytes[at + FRAME_OFFSET.lengthBytes]! * 8 : 0;
    if (bits === 0) return;
    const bit = (fault.bit ?? Math.floor(this.#random() * bits)) % bits;
    bytes[at + FRAME_OFFSET.data + (bit >> 3)]! ^= 1 << (bit & 7);
  }
}

export const WIRE_FAULTS: ReadonlySet<Fault["kind"]> = new Set(["bitError"]);
export const DELIVERY_FAULTS: ReadonlySet<Fault["kind"]> = new Set(["corrupt", "lose", "duplicate", "delay"]);

function matches(fault: Fault, bytes: Uint8Array, at: number, from: BusNode, to: BusNode | undefined): boolean {
  if (fault.from !== undefined && fault.from !== from) return false;
  if (fault.to !== undefined && fault.to !== to) return false;
  if (fault.canId === undefined) return true;
  const canId: CanFrame["canId"] = bytes[at + 8]! + bytes[at + 9]! * 0x100 + bytes[at + 10]! * 0x1_0000 + bytes[at + 11]! * 0x100_0000;
  const extended = (bytes[at + FRAME_OFFSET.flags]! & CanFlag.extended) !== 0;
  return canId === fault.canId && extended === (fault.extended ?? fault.canId > 0x7ff);
}

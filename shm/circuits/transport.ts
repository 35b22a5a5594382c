/**
 * What circuits need from below: frames whole, in order and once, or an end. Every implementation runs `contract.ts`.
 *
 * Flow: the owner sends while `hasRoom`, and goes on when told of room; nothing is ever refused or dropped. So a transport holds little,
 * and which circuit's frame goes next is decided as late as possible.
 */
import type { Descriptor } from "../sockets/index.ts";
import type { FrameSeal } from "./seal.ts";
import { bareSeal, crc32cSeal } from "./seal.ts";
import type { Role } from "./wire.ts";

/** Owned by whoever holds it. */
export type CircuitDescriptor = Descriptor;

export interface FrameTransport {
  readonly frameBytesMax: number;
  readonly carriesDescriptors: boolean;
  /** Whether it checks, orders and repeats frames itself; else each frame gets a CRC-32C and a counter. */
  readonly protects: boolean;
  /** Whether `send` takes a frame now. */
  readonly hasRoom: boolean;
  /** Sends a frame; keeps the bytes and takes over the descriptors (it closes them once they have left). Only while `hasRoom`. */
  send(frame: Uint8Array, descriptors: readonly CircuitDescriptor[]): void;
  /** Starts reading. The bytes are borrowed until the listener returns; the descriptors are the listener's. */
  start(listeners: TransportListeners): void;
  /** Ends once what was sent has left, or cannot. Again does nothing. `ended` is not called for it. */
  end(): void;
}

/** How long an end waits for a peer that does not read, before what waits is dropped. */
export const FLUSH_MS = 1000;

export interface TransportListeners {
  frame(bytes: Uint8Array, descriptors: readonly CircuitDescriptor[]): void;
  /** There is room again. */
  room(): void;
  /** Called once, never from within `send`. */
  ended(why: string): void;
}

export function sealOf(transport: FrameTransport, role: Role): FrameSeal {
  return transport.protects ? bareSeal : crc32cSeal(role);
}

/** What goes into the core of one side, and what comes out of it. */
import type { StatusCode } from "../../schemas/status.ts";
import { Status } from "../../schemas/status.ts";
import type { CircuitLimits } from "./limits.ts";
import type { CircuitBreach, TransportEnd } from "./reasons.ts";
import type { FrameSeal } from "./seal.ts";
import type { HelloFrame, Role } from "./wire.ts";

export interface CoreOptions {
  role: Role;
  /** For the peer's people. */
  name: string;
  /** Longest frame of the transport. */
  frameBytesMax: number;
  carriesDescriptors: boolean;
  seal: FrameSeal;
  limits?: Partial<CircuitLimits>;
}

export interface BeginOptions<D> {
  protocol: number | string;
  body: Uint8Array;
  descriptors?: readonly D[];
  /** The first message is all that we send. */
  last?: boolean;
  /** When the conversation is to be over, at both ends. */
  deadlineUs?: number;
  /** 0 (background) to 3 (urgent), 1 by default: 1, 2, 4 or 8 frames a round. */
  priority?: number;
  /** The peer's discovery circuit instead of an ordinary one. */
  discovery?: boolean;
}

/** Why nothing was sent; nothing has changed. */
export type SendRefusal =
  /** No hello yet, or no more. */
  | "notUp"
  /** As many conversations as agreed are on. */
  | "noCircuit"
  /** Larger than the peer takes. */
  | "tooLarge"
  /** The transport, or the peer's end of it, cannot carry descriptors; or more than 4. */
  | "noDescriptors"
  /** Too much waits already: `space` tells when to try again. */
  | "full"
  /** This direction is over. */
  | "ended";

export const REFUSAL_STATUS: Readonly<Record<SendRefusal, StatusCode>> = {
  notUp: Status.serviceUnavailable, noCircuit: Status.tooManyRequests, tooLarge: Status.payloadTooLarge, noDescriptors: Status.notImplemented, full: Status.tooManyRequests, ended: Status.gone,
};

export type CoreEvent<D> =
  | { event: "up"; peer: HelloFrame; maxCircuits: number }
  | { event: "begun"; circuit: number; protocol: number | string; deadlineUs: number; priority: number }
  | { event: "accepted"; circuit: number }
  /** `bytes` and `descriptors` are the receiver's. Give the message back with `consumed` when the program has read it. */
  | ({ event: "message"; circuit: number } & Received<D>)
  /** The peer sends nothing more on this circuit. */
  | { event: "ended"; circuit: number; status: StatusCode; text: string }
  /** Both directions are over. Messages that were told before stand. */
  | { event: "aborted"; circuit: number; by: "peer" | "us" | "deadline" | "breach" | "transport"; breach?: CircuitBreach; status: StatusCode; text: string }
  /** The conversation is over at both ends; the id may be used anew. */
  | { event: "idle"; circuit: number }
  /** A circuit that said "full" takes messages again. */
  | { event: "space"; circuit: number }
  /** Last event. */
  | { event: "down"; reason: TransportEnd; status: StatusCode; text: string };

export interface Received<D> {
  bytes: Uint8Array;
  descriptors: readonly D[];
  units: number;
  /** Which conversation it came in, counted by the core: one bit of generation would take one long past for the present. */
  conversation: number;
}

export interface OutFrame<D> {
  bytes: Uint8Array;
  descriptors: readonly D[];
}

export interface CoreCounters {
  framesIn: number;
  framesOut: number;
  repeated: number;
  /** Frames of a conversation that is over: they crossed its end. */
  late: number;
  breaches: number;
}

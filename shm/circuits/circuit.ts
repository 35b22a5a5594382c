/** What one side knows of one circuit: its conversation, both credits, what waits to be sent and what is half received. */
import type { StatusCode } from "../../schemas/status.ts";
import { costOf } from "./limits.ts";
import type { CircuitState } from "./table.ts";
import type { BeginFrame } from "./wire.ts";

/** A message of ours that waits to be sent, or has been in part. */
export interface Message<D> {
  kind: "message";
  begin: Pick<BeginFrame, "protocol" | "deadlineMs" | "priority"> | undefined;
  body: Uint8Array;
  /** How much of it has left. */
  at: number;
  last: boolean;
  descriptors: readonly D[];
}
export type Waiting<D> = Message<D> | { kind: "accept" } | { kind: "end" | "abort"; status: StatusCode; text: string };

export interface Circuit<D> {
  readonly id: number;
  state: CircuitState;
  generation: number;
  conversation: number;
  priority: number;
  deadlineUs: number;
  abortByUs: number;
  /** What we may send. */
  credit: number;
  /** What the peer may send. */
  granted: number;
  /** Read by our program, not yet granted anew. */
  owed: number;
  queue: Waiting<D>[];
  queuedUnits: number;
  wasFull: boolean;
  /** Our begin has left, or the peer's has come: the peer knows of this conversation. */
  known: boolean;
  /** Our final frame has left. */
  finalSent: boolean;
  /** Our program knows that it was cut short. */
  toldAborted: boolean;
  parts: Uint8Array[];
  partBytes: number;
  partUnits: number;
}

/** Before its first conversation. */
export function newCircuit<D>(id: number): Circuit<D> {
  return {
    id, state: "idle", generation: 1, conversation: 0, priority: 1, deadlineUs: Infinity, abortByUs: Infinity, credit: 0, granted: 0, owed: 0, queue: [], queuedUnits: 0, wasFull: false, known: false, finalSent: false,
    toldAborted: false, parts: [], partBytes: 0, partUnits: 0,
  };
}

export function peerMaySend(state: CircuitState): boolean {
  return state === "calling" || state === "asked" || state === "offered" || state === "open" || state === "receiveOnly";
}

export function queueUnitsOf({ body, descriptors }: { body: Uint8Array; descriptors: readonly unknown[] }): number {
  return costOf(body.length, descriptors.length);
}

export function clearParts(circuit: { parts: Uint8Array[]; partBytes: number; partUnits: number }): void {
  circuit.parts = [];
  circuit.partBytes = 0;
  circuit.partUnits = 0;
}

export function joined(parts: readonly Uint8Array[], lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

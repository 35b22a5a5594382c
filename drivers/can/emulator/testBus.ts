/** For tests of the pure bus: what a node's outbox holds, as values. */
import type { CanFrame } from "../frame.ts";
import { CanFlag, readFrame } from "../frame.ts";
import type { CanBus } from "./bus.ts";
import type { BusNode } from "./node.ts";
import { HEAD_BYTES, Kind, NODE_STATES, RECORD_BYTES } from "./protocol.ts";

export type Output =
  | { what: "frame" | "echo" | "error"; node: number; frame: CanFrame }
  | { what: "dropped"; node: number; token: number; reason: number }
  | { what: "link"; node: number; up: boolean }
  | { what: "state"; node: number; state: string; tec: number; rec: number };

/** Takes everything out of a node's outbox. */
export function drain(node: BusNode): Output[] {
  const found: Output[] = [];
  const { bytes, view } = node.outbox;
  for (let index = 0; index < node.outbox.count; index++) {
    const at = index * RECORD_BYTES;
    const frame = readFrame(bytes, view, at + HEAD_BYTES);
    const value = view.getUint32(at + 4, true);
    const id = node.id;
    if (bytes[at] === Kind.frame) found.push({ what: (frame.flags & CanFlag.error) === 0 ? "frame" : "error", node: id, frame });
    else if (bytes[at] === Kind.echo) found.push({ what: "echo", node: id, frame });
    else if (bytes[at] === Kind.dropped) found.push({ what: "dropped", node: id, token: frame.token ?? 0, reason: bytes[at + 1]! });
    else if (bytes[at] === Kind.link) found.push({ what: "link", node: id, up: bytes[at + 1] === 1 });
    else found.push({ what: "state", node: id, state: NODE_STATES[bytes[at + 1]!]!, tec: value >>> 16, rec: value & 0xffff });
  }
  node.outbox.clear();
  return found;
}

export const framesOf = (outputs: Output[]): CanFrame[] => outputs.flatMap((output) => (output.what === "frame" ? [output.frame] : []));
export const echoesOf = (outputs: Output[]): CanFrame[] => outputs.flatMap((output) => (output.what === "echo" ? [output.frame] : []));
export const errorsOf = (outputs: Output[]): CanFrame[] => outputs.flatMap((output) => (output.what === "error" ? [output.frame] : []));
export const droppedOf = (outputs: Output[]) => outputs.flatMap((output) => (output.what === "dropped" ? [output] : []));
export const statesOf = (outputs: Output[]): string[] => outputs.flatMap((output) => (output.what === "state" ? [output.state] : []));

export function frame(canId: number, data: number[] = [], token = 0, flags = 0): CanFrame {
  return { timeUs: 0, canId, flags, data: Uint8Array.from(data), token };
}

/** Polls until the bus has nothing more to do before `untilUs`. */
export function runUntil(bus: CanBus, untilUs: number): void {
  while (bus.poll(untilUs) === untilUs) continue;
}

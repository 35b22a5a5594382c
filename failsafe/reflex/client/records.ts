/** What goes through the lanes: commands to the reflex, frames and reports from it (../core/reflex.h, "What a brain sends", "What the reflex tells"). */
import { FRAME_STRIDE_BYTES } from "../../../drivers/can/frame.ts";
import { readStruct, struct, writeStruct, type RowOf } from "../table/struct.ts";
import { armings, roles, refusals, stepStates, verdicts, type ReflexArming, type ReflexRefusal, type ReflexRole, type StepState } from "./status.ts";

export const commandStruct = struct("ipcnet_reflex_command", {
  deadlineUs: "us", sequence: "us", brainEpoch: "u32", token: "u32", tableHash: "u64", message: "u16", lengthBytes: "u8", reserved: { reserved: 5 }, data: { bytes: 64 }, reserved64: { reserved: 8 },
});
export type CommandRecord = RowOf<typeof commandStruct>;

export const stateStruct = struct("ipcnet_reflex_state_record", {
  arming: "u8", role: "u8", triggerLatched: "u8", malfunction: "u8", epoch: "u16", trigger: "u16", plan: "u16", missingCount: "u16", generation: "u32", sinceUs: "us",
});
export type StateRecord = RowOf<typeof stateStruct>;

/** In place of the flags of a frame: it is a report. */
export const REPORT_FLAG = 0x80;
const FLAGS_AT = 12;
const BUS_AT = 14;
const DATA_AT = 24;

/** By enum ipcnet_reflex_report. */
export const reportKinds = ["refused", "settled", "state", "bus", "link", "node", "step", "verdict", "call", "role"] as const;

export type Report =
  | { kind: "refused"; timeUs: number; token: number; reason: ReflexRefusal; message: number }
  | { kind: "settled"; timeUs: number; token: number; how: "dropped" | "purged" }
  | { kind: "state"; timeUs: number; state: ReflexState }
  | { kind: "bus"; timeUs: number; bus: number; state: number; phase: number; reason: number; cause: number }
  | { kind: "link"; timeUs: number; bus: number; event: number; a: number; b: number }
  | { kind: "node"; timeUs: number; node: number; life: "unknown" | "alive" | "lost"; canopenState: number; epoch: number; owner: number }
  | { kind: "step"; timeUs: number; step: number; state: StepState; tookMs: number }
  | { kind: "verdict"; timeUs: number; runId: bigint; verdict: "none" | "posed" | "cut" | "failed" }
  | { kind: "call"; timeUs: number; runId: bigint; step: number; call: number }
  | { kind: "role"; timeUs: number; role: ReflexRole; epoch: number };

export interface ReflexState {
  arming: ReflexArming;
  role: ReflexRole;
  triggerLatched: boolean;
  malfunction: number;
  epoch: number;
  /** Rows; 0xffff none. */
  trigger: number;
  plan: number;
  missingCount: number;
  generation: number;
  sinceUs: number;
}

const commandBytes = new Uint8Array(commandStruct.sizeBytes);
const commandView = new DataView(commandBytes.buffer);

/** The command as it is published; borrowed until the next call. */
export function encodeCommand(command: CommandRecord): Uint8Array {
  commandBytes.fill(0);
  writeStruct(commandStruct, commandView, 0, command);
  return commandBytes;
}

export function decodeCommand(bytes: Uint8Array): CommandRecord | undefined {
  return bytes.length === commandStruct.sizeBytes ? readStruct(commandStruct, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0) : undefined;
}

/** How many records a message of the frame lane holds; undefined: it is none. */
export function recordCount(lengthBytes: number): number | undefined {
  return lengthBytes > 0 && lengthBytes % FRAME_STRIDE_BYTES === 0 ? lengthBytes / FRAME_STRIDE_BYTES : undefined;
}

export function isReport(bytes: Uint8Array, at: number): boolean {
  return (bytes[at + FLAGS_AT]! & REPORT_FLAG) !== 0;
}

export function busOfRecord(bytes: Uint8Array, at: number): number {
  return bytes[at + BUS_AT]! | (bytes[at + BUS_AT + 1]! << 8);
}

/** The report at `at`; undefined for a kind or a number that this version does not know: it is passed over. */
export function decodeReport(bytes: Uint8Array, at: number): Report | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, FRAME_STRIDE_BYTES);
  const timeUs = view.getFloat64(0, true);
  const kind = reportKinds[view.getUint32(8, true)];
  const bus = view.getUint16(BUS_AT, true);
  const token = view.getUint32(16, true);
  const u8 = (offset: number): number => view.getUint8(DATA_AT + offset);
  const u16 = (offset: number): number => view.getUint16(DATA_AT + offset, true);
  const u32 = (offset: number): number => view.getUint32(DATA_AT + offset, true);
  switch (kind) {
    case "refused": return { kind, timeUs, token, reason: refusals[u8(0)] ?? "dropped", message: u16(2) };
    case "settled": return { kind, timeUs, token, how: u8(0) === 1 ? "purged" : "dropped" };
    case "state": {
      const state = decodeState(readStruct(stateStruct, view, DATA_AT));
      return state && { kind, timeUs, state };
    }
    case "bus": return { kind, timeUs, bus, state: u32(0), phase: u32(4), reason: u32(8), cause: u32(12) };
    case "link": return { kind, timeUs, bus, event: u32(0), a: u32(4), b: u32(8) };
    case "node": return { kind, timeUs, node: token, life: (["unknown", "alive", "lost"] as const)[u8(0)] ?? "unknown", canopenState: u8(1), epoch: u16(2), owner: u8(4) };
    case "step": {
      const state = stepStates[u8(0)];
      return state && { kind, timeUs, step: token, state, tookMs: u32(4) / 1e3 };
    }
    case "verdict": return { kind, timeUs, runId: view.getBigUint64(DATA_AT, true), verdict: verdicts[u8(8)] ?? "failed" };
    case "call": return { kind, timeUs, runId: view.getBigUint64(DATA_AT, true), step: u16(8), call: u16(10) };
    case "role": {
      const role = roles[u8(0)];
      return role && { kind, timeUs, role, epoch: u16(2) };
    }
    case undefined: return undefined;
    default: return kind satisfies never;
  }
}

export function decodeState(record: StateRecord): ReflexState | undefined {
  const arming = armings[record.arming];
  const role = roles[record.role];
  return arming && role && { ...record, arming, role, triggerLatched: record.triggerLatched !== 0 };
}

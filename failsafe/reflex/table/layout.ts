/**
 * The table of the reflex in bytes: the structs of ../core/reflex_table.h, which is the reference, as this side reads and writes them. `layout.test.ts` has a C
 * compiler compare the two.
 */
import { struct, type RowOf } from "./struct.ts";

export const TABLE_DATA_ID = 0x49524654;
export const TABLE_MAGIC = 0x54524349;
export const TABLE_MAJOR = 1;
export const TABLE_MINOR = 0;
export const TABLE_BYTES_MAX = 1 << 20;
/** In place of a row's number: none. */
export const NONE = 0xffff;
/** In place of a claim id: none. */
export const NO_CLAIM_ID = 0xffff_ffff;

/** In the order of enum ipcnet_reflex_section; how many rows each may have at most (`needs` are bare numbers of steps, `bytes` single bytes). */
export const sectionRowsMax = {
  buses: 8, messages: 512, checks: 4096, watches: 1024, nodes: 128, conditions: 1024, sends: 1024, steps: 256, needs: 1024, plans: 8, triggers: 256, bytes: TABLE_BYTES_MAX,
} as const;
export type SectionName = keyof typeof sectionRowsMax;
export const sectionNames = Object.keys(sectionRowsMax) as SectionName[];

export const e2eStruct = struct("ipcnet_reflex_e2e", {
  dataId: "u32", dataIdList: "u32", offsetBytes: "u16", minLengthBytes: "u16", maxLengthBytes: "u16", crcOffsetBits: "u16", counterOffsetBits: "u16", dataIdNibbleOffsetBits: "u16",
  profile: "u8", dataIdMode: "u8", maxDelta: "u8", resyncFrames: "u8",
});
export const fieldStruct = struct("ipcnet_reflex_field", { startBit: "u16", bits: "u8", flags: "u8" });

export const busStruct = struct("ipcnet_reflex_bus", {
  name: "u32", interface: "u32", bitrateBps: "u32", dataBitrateBps: "u32", deadAfterUs: "u32", claimId: "u32", loadPermilleMax: "u16", txQueueFrames: "u16", driver: "u8", flags: "u8", host: "u8", reserved8: { reserved: 1 },
  selfFenceUs: "u32", probeId: "u32", timeId: "u32", timePeriodUs: "u32", reserved: { reserved: 16 },
});
export const messageStruct = struct("ipcnet_reflex_message", {
  name: "u32", canId: "u32", canFlags: "u8", lengthBytes: "u8", bus: "u8", flags: "u8", ttlUsMax: "u32", intervalUsMin: "u32", bits: "u32", checksFirst: "u16", checksCount: "u16",
  epoch: fieldStruct, owner: fieldStruct, expiredTrigger: "u16", reserved16: { reserved: 2 }, reserved32: { reserved: 4 }, e2e: e2eStruct, reserved: { reserved: 28 },
});
export const checkStruct = struct("ipcnet_reflex_check", { field: fieldStruct, selector: fieldStruct, selected: "u64", rawMin: "i64", rawMax: "i64" });
export const watchStruct = struct("ipcnet_reflex_watch", {
  name: "u32", canId: "u32", canFlags: "u8", lengthBytes: "u8", bus: "u8", flags: "u8", e2e: e2eStruct, epoch: fieldStruct, owner: fieldStruct, reserved: { reserved: 20 },
});
export const nodeStruct = struct("ipcnet_reflex_node", { name: "u32", timeoutUs: "u32", watch: "u16", lostTrigger: "u16", flags: "u8", bus: "u8", group: "u8", reserved: { reserved: 9 } });
export const conditionStruct = struct("ipcnet_reflex_condition", {
  label: "u32", watch: "u16", reserved16: { reserved: 2 }, field: fieldStruct, holdUs: "u32", ageUsMax: "u32", reserved32: { reserved: 4 }, rawMin: "i64", rawMax: "i64", reserved64: { reserved: 8 },
});
export const sendStruct = struct("ipcnet_reflex_send", { message: "u16", lengthBytes: "u16", payload: "u32" });
export const stepStruct = struct("ipcnet_reflex_step", {
  name: "u32", needsFirst: "u16", needsCount: "u16", sendsFirst: "u16", sendsCount: "u16", conditionsFirst: "u16", conditionsCount: "u16", deadlineUs: "u32", resendUs: "u32", backoffUs: "u32",
  fallback: "u16", call: "u16", tries: "u8", onTimeout: "u8", flags: "u8", reserved: { reserved: 29 },
});
export const planStruct = struct("ipcnet_reflex_plan", {
  name: "u32", stepsFirst: "u16", stepsCount: "u16", budgetUs: "u32", worstUs: "u32", lastFirst: "u16", lastCount: "u16", category: "u8", reserved: { reserved: 43 },
});
export const triggerStruct = struct("ipcnet_reflex_trigger", { name: "u32", plan: "u16", subject: "u16", kind: "u8", priority: "u8", flags: "u8", reserved8: { reserved: 1 }, chip: "u32", line: "u32", debounceUs: "u32", reserved: { reserved: 8 } });
const sectionStruct = struct("ipcnet_reflex_section_place", { offset: "u32", count: "u32" });
export const headerStruct = struct("ipcnet_reflex_table_header", {
  e2e: { bytes: 20 }, magic: "u32", major: "u16", minor: "u16", reserved: { reserved: 4 }, hash: { bytes: 32 }, brainTimeoutUs: "u32", beatPeriodUs: "u32", twinDeadlineUs: "u32", flags: "u32",
  sections: { of: sectionStruct, count: sectionNames.length },
});

/** The sections that are arrays of structs. */
export const rowStructs = {
  buses: busStruct, messages: messageStruct, checks: checkStruct, watches: watchStruct, nodes: nodeStruct, conditions: conditionStruct, sends: sendStruct, steps: stepStruct, plans: planStruct, triggers: triggerStruct,
} as const;

export type E2eRow = RowOf<typeof e2eStruct>;
export type FieldRow = RowOf<typeof fieldStruct>;
export type BusRow = RowOf<typeof busStruct>;
export type MessageRow = RowOf<typeof messageStruct>;
export type CheckRow = RowOf<typeof checkStruct>;
export type WatchRow = RowOf<typeof watchStruct>;
export type NodeRow = RowOf<typeof nodeStruct>;
export type ConditionRow = RowOf<typeof conditionStruct>;
export type SendRow = RowOf<typeof sendStruct>;
export type StepRow = RowOf<typeof stepStruct>;
export type PlanRow = RowOf<typeof planStruct>;
export type TriggerRow = RowOf<typeof triggerStruct>;

/** Every row of a table, numbers as they stand in it. */
export interface TableRows {
  buses: BusRow[];
  messages: MessageRow[];
  checks: CheckRow[];
  watches: WatchRow[];
  nodes: NodeRow[];
  conditions: ConditionRow[];
  sends: SendRow[];
  steps: StepRow[];
  needs: number[];
  plans: PlanRow[];
  triggers: TriggerRow[];
  bytes: Uint8Array;
}

export const tableFlags = { resumeArmed: 1, drills: 2 } as const;
export const busFlags = { fd: 1, listenOnly: 2, extendedClaimId: 4 } as const;
export const busDrivers = ["socketcan", "emulator"] as const;
export const fieldFlags = { bigEndian: 1, signed: 2, ieee: 4 } as const;
export const messageFlags = { poseOnly: 1, service: 2 } as const;
export const nodeFlags = { required: 1, canopen: 2, mustBeOperational: 4 } as const;
export const stepFlags = { mandatory: 1, fallbackOnly: 2 } as const;
export const triggerFlags = { latched: 1, onlyWhileArmed: 2, pin: 4, activeLow: 8, named: 16 } as const;
/** By their numbers. */
export const onTimeouts = ["continue", "fail", "last"] as const;
export const triggerKinds = ["onRequest", "onStop", "onShutdown", "onCondition", "onNodeLost", "onExpired", "onBusDead", "onBrainLost", "onTakeover", "onCompromise", "onPowerFail"] as const;
export type TriggerKind = (typeof triggerKinds)[number];
/** Profile names by their numbers in the table. */
export const profileNumbers = { P01: 1, P02: 2, P04: 4, P05: 5, P06: 6, P07: 7, P08: 8, P11: 11, P22: 22 } as const;
export const dataIdModes = ["both", "alt", "low", "nibble"] as const;

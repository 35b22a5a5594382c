/** What a reflex says of itself: struct ipcnet_reflex_status (../process/status.h), and the words for its numbers. */
import { struct, type RowOf } from "../table/struct.ts";

/** Why nothing can be armed: a number of enum ipcnet_reflex_missing, and the node, bus or trigger that it concerns. */
export const lackStruct = struct("ipcnet_reflex_lack", { reason: "u16", subject: "u16" });
export type Lack = RowOf<typeof lackStruct>;

export const statusStruct = struct("ipcnet_reflex_status", {
  major: "u16", minor: "u16", instance: "u8", role: "u8", arming: "u8", malfunction: "u8", epoch: "u16", trigger: "u16", plan: "u16", triggerLatched: "u8", healthy: "u8", generation: "u32", features: "u32",
  tableHash: { bytes: 32 }, nowUs: "us", sinceUs: "us", startedUs: "us", pid: "u32", twinPid: "u32", twinRole: "u8", missingCount: "u8", brains: "u8", buses: "u8", twinEpoch: "u16", storedEpoch: "u16", twinSeenUs: "us",
  busPhases: { bytes: 8 }, turns: "us", lateTurns: "us", turnUsMax: "us", storeFailures: "us", journalWrites: "us", refusedPackets: "us", closedConnections: "us", commandsRead: "us", commandsLost: "us",
  recordsWritten: "us", watchdogFeeds: "us", sentFrames: "us", echoedFrames: "us", receivedFrames: "us", rejectedFrames: "us", foreignFrames: "us", reportsLost: "us", setPointsExpired: "us", plansRun: "us",
  plansResumed: "us", takeovers: "us", claimsSent: "us", higherEpochsHeard: "us", staleClaimsHeard: "us", refused: { bytes: 128 }, missing: { of: lackStruct, count: 16 }, brainEpoch: "u32", reserved: { reserved: 12 },
});
export type ReflexStatus = RowOf<typeof statusStruct>;

export const features = { realtime: 1, locked: 2, detector: 4, watchdog: 8, epochReserved: 16, twinStands: 32, powerLine: 64, tableDamaged: 128 } as const;

/** By their numbers: enum ipcnet_twin_role. */
export const roles = ["starting", "standby", "fencing", "claiming", "owner", "yielding", "outvoted", "stopped"] as const;
export type ReflexRole = (typeof roles)[number];
/** enum ipcnet_reflex_arming; the words of failsafe/arming. */
export const armings = ["disarmed", "armed", "safePose", "posed", "fault"] as const;
export type ReflexArming = (typeof armings)[number];
export const malfunctions = ["none", "foreignCommand", "store", "selfTest"] as const;

/** Why a command was refused, by enum ipcnet_reflex_refusal; the words of the gateway's own refusals where they mean the same. */
export const refusals = ["none", "notOwner", "notArmed", "busDead", "unknownCommand", "otherTable", "badLength", "outOfRange", "expired", "superseded", "repeated", "oldBrain", "dropped", "queueFull", "notDisarmed"] as const;
export type ReflexRefusal = (typeof refusals)[number];

/** By enum ipcnet_reflex_missing. */
export const missingReasons = ["none", "table", "ownership", "bus", "purge", "node", "nodeEpoch", "brain", "reset", "planRuns", "malfunction", "foreignMaster", "steadyCondition", "powerLine"] as const;
export type MissingReason = (typeof missingReasons)[number];

export const stepStates = ["waiting", "running", "backoff", "reached", "sentOnly", "timedOut", "fellBack", "skipped", "hurried"] as const;
export type StepState = (typeof stepStates)[number];
export const verdicts = ["none", "posed", "cut", "failed"] as const;

/** How often each reason refused a command. */
export function refusedCounts(status: Pick<ReflexStatus, "refused">): Record<string, number> {
  const view = new DataView(status.refused.buffer, status.refused.byteOffset, status.refused.length);
  return Object.fromEntries(refusals.flatMap((name, index) => (index > 0 && view.getBigUint64(8 * index, true) > 0n ? [[name, Number(view.getBigUint64(8 * index, true))]] : [])));
}

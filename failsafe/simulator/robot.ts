/** The robot of the simulator: joints with one command, one state, one witness and a heartbeat each; and the table that the reflex gets for it. */
import { TableBuilder } from "../reflex/table/builder.ts";
import { fieldFlags, headerStruct, NONE, nodeFlags, stepFlags, tableFlags, triggerFlags, triggerKinds, type E2eRow, type FieldRow, type TriggerKind } from "../reflex/table/layout.ts";
import { writeTable } from "../reflex/table/write.ts";

export const CLAIM_ID = 0x10;
export const commandId = (node: number): number => 0x100 + node;
export const stateId = (node: number): number => 0x180 + node;
export const witnessId = (node: number): number => 0x280 + node;
export const heartbeatId = (node: number): number => 0x700 + node;
export const COMMAND_DATA_ID = 0x1000;
export const STATE_DATA_ID = 0x2000;
export const WITNESS_DATA_ID = 0x3000;

export const BITRATE_BPS = 500_000;
export const DEAD_MAN_US = 100_000;
export const CLAIM_TIMEOUT_US = 250_000;
export const COMMAND_TTL_US = 60_000;
export const COMMAND_PERIOD_US = 20_000;
export const STATE_PERIOD_US = 10_000;
export const HEARTBEAT_PERIOD_US = 30_000;
export const NODE_TIMEOUT_US = 100_000;
export const BRAIN_TIMEOUT_US = 150_000;
export const BEAT_PERIOD_US = 20_000;
export const TWIN_DEADLINE_US = 10_000;
export const DEAD_AFTER_US = 20_000;
export const SELF_FENCE_US = 30_000;
export const TX_QUEUE_FRAMES = 16;

/** Motion modes of a command. */
export const Mode = { off: 0, hold: 1, move: 2, park: 3 } as const;
/** Raw limits of a command: 0.1 mrad, 20 mrad/s. */
export const TARGET_MAX = 30_000;
export const SPEED_MAX = 1_500;
/** Of a command's epoch field: 256 owners in a row are told apart, more than a run has. */
export const EPOCH_BITS = 8;

/** `worstUs`: of the longest plan, step after step: what the plan's checker would compute. */
export const PLAN = { stopDeadlineUs: 200_000, tellDeadlineUs: 40_000, tellTries: 2, parkDeadlineUs: 500_000, worstUs: 200_000 + 2 * 40_000 + 500_000, budgetUs: 1_000_000, lastUs: 100_000 } as const;

const plain = (startBit: number, bits: number, flags = 0): FieldRow => ({ startBit, bits, flags });
const none: FieldRow = { startBit: 0, bits: 0, flags: 0 };
const p05 = (dataId: number): E2eRow => ({
  dataId, dataIdList: 0, offsetBytes: 0, minLengthBytes: 8, maxLengthBytes: 8, crcOffsetBits: 0, counterOffsetBits: 0, dataIdNibbleOffsetBits: 0, profile: 5, dataIdMode: 0, maxDelta: 3, resyncFrames: 3,
});
const unprotected: E2eRow = { ...p05(0), minLengthBytes: 0, maxLengthBytes: 0, profile: 0, maxDelta: 0, resyncFrames: 0 };

/**
 * A command's payload, without CRC, counter, epoch and owner. Bits 24…31 the epoch, 32…47 the target, 48…58 the speed, 59…61 the mode, 62…63 the owner.
 */
export function commandPayload(mode: number, target: number, speed: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setInt16(4, target, true);
  view.setUint16(6, (speed & 0x7ff) | (mode << 11), true);
  return bytes;
}

export function readCommand(data: Uint8Array): { mode: number; target: number; speed: number; epochBits: number; owner: number } {
  const last = data[6]! | (data[7]! << 8);
  return { mode: (last >> 11) & 7, epochBits: data[3]!, target: ((data[4]! | (data[5]! << 8)) << 16) >> 16, speed: last & 0x7ff, owner: last >> 14 };
}

export interface RobotOptions {
  joints: number;
  host: number;
  shared: boolean;
  resumeArmed: boolean;
  generation: number;
}

/** The trigger rows by what they are for. Requests: by category. */
export interface Robot {
  table: Uint8Array;
  /** First 8 bytes of its hash. */
  hash: bigint;
  joints: number;
  plans: number;
}

export function robotTable({ joints, host, shared, resumeArmed, generation }: RobotOptions): Robot {
  const build = new TableBuilder();
  build.add("buses", {
    name: build.text("arm"), interface: build.text("can0"), bitrateBps: BITRATE_BPS, dataBitrateBps: 0, deadAfterUs: DEAD_AFTER_US, claimId: CLAIM_ID, loadPermilleMax: 700, txQueueFrames: TX_QUEUE_FRAMES,
    driver: 0, flags: 0, host, selfFenceUs: shared ? SELF_FENCE_US : 0, probeId: 0x7ff, timeId: 0, timePeriodUs: 0,
  });
  for (let n = 0; n < joints; n++) addJoint(build, n);
  addPlan(build, joints);
  addTriggers(build, joints);
  const finished = build.finish();
  if (!finished.ok) throw new Error(`too many ${finished.section}`);
  const table = writeTable({ generation, flags: resumeArmed ? tableFlags.resumeArmed : 0, brainTimeoutUs: BRAIN_TIMEOUT_US, beatPeriodUs: BEAT_PERIOD_US, twinDeadlineUs: TWIN_DEADLINE_US }, finished.rows);
  return { table, hash: new DataView(table.buffer).getBigUint64(headerStruct.offsets.hash, true), joints, plans: 3 };
}

/** Rows of message n: a command; watch 3n, 3n + 1, 3n + 2: state, witness, heartbeat; node 2n: heartbeat, 2n + 1: witness. */
function addJoint(build: TableBuilder, n: number): void {
  const checksFirst = build.addAll("checks", [
    { field: plain(59, 3), selector: none, selected: 0n, rawMin: 0n, rawMax: 3n },
    { field: plain(32, 16, fieldFlags.signed), selector: none, selected: 0n, rawMin: BigInt(-TARGET_MAX), rawMax: BigInt(TARGET_MAX) },
    { field: plain(48, 11), selector: none, selected: 0n, rawMin: 0n, rawMax: BigInt(SPEED_MAX) },
  ]);
  build.add("messages", {
    name: build.text(`command${n}`), canId: commandId(n), canFlags: 0, lengthBytes: 8, bus: 0, flags: 0, ttlUsMax: COMMAND_TTL_US, intervalUsMin: 5_000, bits: 135, checksFirst, checksCount: 3,
    epoch: plain(24, EPOCH_BITS), owner: plain(62, 2), expiredTrigger: NONE, e2e: p05(COMMAND_DATA_ID + n),
  });
  const watch = { canFlags: 0, lengthBytes: 8, bus: 0, flags: 0, epoch: none, owner: none };
  build.add("watches", { ...watch, name: build.text(`state${n}`), canId: stateId(n), e2e: p05(STATE_DATA_ID + n) });
  build.add("watches", { ...watch, name: build.text(`witness${n}`), canId: witnessId(n), e2e: p05(WITNESS_DATA_ID + n), epoch: plain(24, 16), owner: plain(40, 3) });
  build.add("watches", { ...watch, name: build.text(`heartbeat${n}`), canId: heartbeatId(n), lengthBytes: 1, e2e: unprotected });
  build.add("nodes", { name: build.text(`joint${n}`), timeoutUs: NODE_TIMEOUT_US, watch: 3 * n + 2, lostTrigger: 3 + n, flags: nodeFlags.required | nodeFlags.canopen | nodeFlags.mustBeOperational, bus: 0, group: 0 });
  build.add("nodes", { name: build.text(`witness${n}`), timeoutUs: NODE_TIMEOUT_US, watch: 3 * n + 1, lostTrigger: NONE, flags: nodeFlags.required, bus: 0, group: n + 1 });
  // Standing still, and parked.
  build.add("conditions", { label: build.text(`velocity${n}`), watch: 3 * n, field: plain(40, 16, fieldFlags.signed), holdUs: 20_000, ageUsMax: 50_000, rawMin: -20n, rawMax: 20n });
  build.add("conditions", { label: build.text(`position${n}`), watch: 3 * n, field: plain(24, 16, fieldFlags.signed), holdUs: 20_000, ageUsMax: 50_000, rawMin: -200n, rawMax: 200n });
}

function addPlan(build: TableBuilder, joints: number): void {
  const each = <Row>(row: (n: number) => Row): Row[] => Array.from({ length: joints }, (_, n) => row(n));
  const sendAll = (mode: number, speed: number): number => build.addAll("sends", each((n) => ({ message: n, lengthBytes: 8, payload: build.bytes(commandPayload(mode, 0, speed)) })));
  const empty = { name: 0, needsFirst: 0, needsCount: 0, conditionsFirst: 0, conditionsCount: 0, resendUs: 20_000, backoffUs: 0, fallback: NONE, call: NONE, tries: 1, onTimeout: 0, flags: 0 };
  // The conditions of a step are one run of rows: they are laid down again, ordered by step.
  const still = build.addAll("conditions", each((n) => ({ ...build.rows.conditions[2 * n]! })));
  const parked = build.addAll("conditions", each((n) => ({ ...build.rows.conditions[2 * n + 1]! })));
  const stop = build.add("steps", { ...empty, name: build.text("stop"), sendsFirst: sendAll(Mode.hold, 0), sendsCount: joints, conditionsFirst: still, conditionsCount: joints, deadlineUs: PLAN.stopDeadlineUs, flags: stepFlags.mandatory });
  const tell = build.add("steps", { ...empty, name: build.text("tell"), needsFirst: build.add("needs", stop), needsCount: 1, sendsFirst: 0, sendsCount: 0, call: 0, tries: PLAN.tellTries, deadlineUs: PLAN.tellDeadlineUs });
  const park = build.add("steps", { ...empty, name: build.text("park"), needsFirst: build.add("needs", tell), needsCount: 1, sendsFirst: sendAll(Mode.park, 750), sendsCount: joints, conditionsFirst: parked, conditionsCount: joints, deadlineUs: PLAN.parkDeadlineUs });
  const off = build.addAll("sends", each((n) => ({ message: n, lengthBytes: 8, payload: build.bytes(commandPayload(Mode.off, 0, 0)) })));
  build.add("plans", { name: build.text("park"), stepsFirst: stop, stepsCount: park - stop + 1, budgetUs: PLAN.budgetUs, worstUs: PLAN.worstUs, lastFirst: off, lastCount: joints, category: 1 });
  const hold = build.add("steps", { ...empty, name: build.text("hold"), sendsFirst: sendAll(Mode.hold, 0), sendsCount: joints, conditionsFirst: still, conditionsCount: joints, deadlineUs: PLAN.stopDeadlineUs, flags: stepFlags.mandatory });
  build.add("plans", { name: build.text("hold"), stepsFirst: hold, stepsCount: 1, budgetUs: 400_000, worstUs: PLAN.stopDeadlineUs, lastFirst: off, lastCount: joints, category: 2 });
  const cut = build.add("steps", { ...empty, name: build.text("off"), sendsFirst: sendAll(Mode.off, 0), sendsCount: joints, deadlineUs: 50_000, flags: stepFlags.mandatory });
  build.add("plans", { name: build.text("off"), stepsFirst: cut, stepsCount: 1, budgetUs: 200_000, worstUs: 50_000, lastFirst: off, lastCount: joints, category: 0 });
}

/** Rows 0…2: requests of category 0, 1, 2; then one per lost joint; then the rest. */
function addTriggers(build: TableBuilder, joints: number): void {
  const add = (kind: TriggerKind, plan: number, subject: number, priority: number, flags = 0): number => build.add("triggers", { name: build.text(`${kind}${subject}`), plan, subject, kind: triggerKinds.indexOf(kind), priority, flags, chip: 0, line: 0, debounceUs: 0 });
  add("onRequest", 2, 0, 200, triggerFlags.latched);
  add("onRequest", 0, 1, 100);
  add("onRequest", 1, 2, 50);
  for (let n = 0; n < joints; n++) add("onNodeLost", 0, 2 * n, 120 + n, triggerFlags.latched | triggerFlags.onlyWhileArmed);
  add("onBrainLost", 1, 0, 60, triggerFlags.onlyWhileArmed);
  add("onTakeover", 0, 0, 90, triggerFlags.onlyWhileArmed);
  add("onBusDead", 0, 0, 130, triggerFlags.latched | triggerFlags.onlyWhileArmed);
  add("onStop", 0, 0, 110);
}

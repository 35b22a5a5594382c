/**
 * A plan file after checking and compiling: plain objects, no names left to look up. `failsafe/reflex/table` writes it into the reflex's table (reflex_table.h),
 * whose C executor (reflex_plan.h) runs it; the model in `model.ts` runs the same objects in TypeScript.
 *
 * Steps and fallbacks refer to each other by their place in the plan's own `steps`, which are in an order in which each comes after all that it needs and after the step it is the fallback of.
 * Times are whole microseconds that fit 32 bits.
 */
import type { StopCategory } from "../../schemas/messages/plan/triggers.ts";

export type { StopCategory };

export interface CompiledPlanSet {
  plans: readonly CompiledPlan[];
  /** By falling priority; no two have the same. */
  triggers: readonly CompiledTrigger[];
}


export interface CompiledPlan {
  name: string;
  category: StopCategory;
  budgetUs: number;
  /** The longest that the steps can take; ≤ budgetUs. */
  worstUs: number;
  steps: readonly CompiledStep[];
  /** Sent when the budget is used up or a step says so: needs no acknowledgement and no brain. */
  lastRung: readonly CompiledSend[];
}

export interface CompiledStep {
  name: string;
  needs: readonly number[];
  sends: readonly CompiledSend[];
  conditions: readonly CompiledCondition[];
  /** What only a brain can do; the step is met when it says done. */
  call?: CompiledCall;
  /** Of one try. */
  deadlineUs: number;
  /** 1…255 */
  tries: number;
  backoffUs: number;
  /** 0: frames go out once per try. */
  resendUs: number;
  onTimeout: "continue" | "fail" | "last";
  fallback?: number;
  mandatory: boolean;
  /** Runs only in place of the step whose fallback it is. */
  onlyFallback: boolean;
}

/** A frame on a CAN bus. The payload is not protected: E2E, epoch and owner fields are filled in when it is sent. */
export interface CompiledSend {
  bus: string;
  /** Name in the bus's database, as in the topic can/<bus>/<message>. */
  message: string;
  payload: Uint8Array;
}

/** Where a value stands in a frame: `struct ipcnet_reflex_field`. */
export interface CompiledField {
  /** Little-endian: its lowest bit. Big-endian: its highest bit, in the DBC's count. */
  startBit: number;
  bits: number;
  bigEndian: boolean;
  signed: boolean;
  /** IEEE number of 32 or 64 bits; the raw limits are then integers of the same order (rawOfFloat). */
  float: boolean;
}

/** Holds while the newest frame of (bus, message) is no older than ageUsMax and the raw value was within rawMin…rawMax for holdUs. Never wider than the physical limits of the plan. */
export interface CompiledCondition {
  /** For the verdict: "can/arm/State velocity". */
  label: string;
  bus: string;
  message: string;
  field: CompiledField;
  rawMin: bigint;
  rawMax: bigint;
  holdUs: number;
  ageUsMax: number;
}

/** What a brain does for a step: all of it, then it answers. It repeats `sends` every `resendUs` while the step runs. */
export interface CompiledCall {
  /** Frames for links that the reflex does not own. */
  sends: readonly BrainSend[];
  /** Measured where the reflex cannot look. Answered only when all of them hold at once. */
  until: readonly BrainCondition[];
  /** A service of a component, called with these arguments; answered only when its answer is OK. */
  service?: { name: string; arguments: Readonly<Record<string, number | string>> };
}

export type BrainSend =
  | { serial: string; message: string; values: Readonly<Record<string, number | string>> }
  | { mqtt: string; topic: string; values: Readonly<Record<string, number | string>> };

export interface BrainCondition {
  label: string;
  topic: string;
  signal: string;
  minimum: number;
  maximum: number;
  holdMs: number;
  ageMsMax: number;
}

/** Why a plan runs. A higher priority pre-empts a running lower one; a lower one never cancels. */
export interface CompiledTrigger {
  name: string;
  on: TriggerKind;
  /** Place in `plans`. */
  plan: number;
  /** 0…255, all different. */
  priority: number;
  /** Arming needs a reset by an operator, which permits but never causes motion. */
  latched: boolean;
  /** Counts only while armed. */
  onlyArmed: boolean;
  /** Absent: any of its kind (one row that all nodes, messages or buses refer to). */
  subject?: TriggerSubject;
}

export type TriggerKind = "request" | "stop" | "shutdown" | "condition" | "nodeLost" | "expired" | "busDead" | "brainLost" | "takeover" | "compromise" | "powerFail";

export type TriggerSubject = { category: StopCategory } | { condition: CompiledCondition } | { node: string } | { bus: string; message: string } | { bus: string };

/** Every kind, in the order of `enum ipcnet_reflex_trigger_kind`. */
export const triggerKinds: readonly TriggerKind[] = ["request", "stop", "shutdown", "condition", "nodeLost", "expired", "busDead", "brainLost", "takeover", "compromise", "powerFail"];

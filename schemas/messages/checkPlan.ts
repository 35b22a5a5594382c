/**
 * The whole verdict on a plan file. Pure. `ipcnet plan check`, the check of the configuration, and with it the gateway's start and reload call this same function. Without a
 * configuration only what the file says by itself is judged.
 */
import { createHash } from "node:crypto";
import { canonicalJson } from "../canonicalJson.ts";
import { CheckContext } from "./check/context.ts";
import type { Note } from "./check/context.ts";
import type { Config } from "./config.ts";
import { sortFaults, type Fault } from "./fault.ts";
import { loadConfig } from "./loadConfig.ts";
import { loadDocument } from "./loadDocument.ts";
import type { PlanFile } from "./plan.ts";
import { checkTriggers } from "./plan/checkTriggers.ts";
import { checkStructure } from "./plan/structure.ts";
import { checkSurroundings, type PlanGround } from "./plan/surroundings.ts";
import { planSchema } from "./planSchema.ts";

export interface PlanInputs {
  text: string;
  /** For messages. */
  file: string;
  /** Absent: the plan is looked at alone. */
  surroundings?: PlanGround & { config: Config; uncertainBuses?: Iterable<string> };
}

/** A plan file without errors. */
export interface CheckedPlan {
  file: string;
  plan: PlanFile;
  /** SHA-256 of its meaning: the same for two files that differ in layout and comments only. */
  hash: string;
}

export interface PlanResult {
  /** Undefined when any fault is an error. */
  checked: CheckedPlan | undefined;
  /** Errors and warnings by place. */
  faults: Fault[];
  notes: Note[];
}

export function checkPlan({ text, file, surroundings }: PlanInputs): PlanResult {
  const loaded = loadDocument(text, { file, schema: planSchema });
  const plan = (loaded.value ?? salvaged(loaded.salvage)) as PlanFile | undefined;
  if (!plan) return { checked: undefined, faults: loaded.faults, notes: [] };
  const context = new CheckContext({ config: surroundings?.config ?? nothing(), loaded, readFile: () => ({ fault: "a plan names no files" }) });
  for (const bus of surroundings?.uncertainBuses ?? []) context.uncertainBuses.add(bus);
  checkStructure(context, plan);
  checkTriggers(context, plan);
  if (surroundings) checkSurroundings(context, plan, surroundings);
  else context.note("namesUnchecked", [], "whether messages, signals and nodes exist: the configuration that they belong to is not known (--config FILE)");
  const faults = oncePerPlace(sortFaults([...loaded.faults, ...context.faults], file));
  const accepted = loaded.value !== undefined && faults.every(({ severity }) => severity !== "error");
  return { checked: accepted ? { file, plan, hash: createHash("sha256").update(canonicalJson(plan)).digest("hex") } : undefined, faults, notes: context.notes };
}

/** What an alias repeats stands in one place. */
function oncePerPlace(faults: readonly Fault[]): Fault[] {
  return [...new Map(faults.map((fault) => [`${fault.line}:${fault.column} ${fault.code} ${fault.message}`, fault])).values()];
}

function salvaged(value: unknown): PlanFile | undefined {
  return value === undefined ? undefined : { plans: [], triggers: [], ...(value as Partial<PlanFile>), version: 1 };
}

/** A configuration with nothing in it. */
function nothing(): Config {
  return loadConfig("version: 1\nrobot: unknown\n", { file: "" }).config!;
}

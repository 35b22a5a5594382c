/**
 * The whole verdict on a policy file: what the schema cannot say (names, verbs that fit), and what is permitted but probably not meant (rules that can
 * never matter, rules that give more than they seem to). Pure. `ipcnet policy check`, the check of the configuration, the gateway's start and its
 * reload call this same function.
 */
import { createHash } from "node:crypto";
import { canonicalJson } from "../canonicalJson.ts";
import type { MachineProbe, Note } from "./check/context.ts";
import type { Principal } from "./config.ts";
import { pathText, sortFaults } from "./fault.ts";
import type { Fault, Path } from "./fault.ts";
import { loadDocument } from "./loadDocument.ts";
import type { LoadedDocument, Location } from "./loadDocument.ts";
import { checkNames } from "./policy/names.ts";
import { lintRules } from "./policy/lint.ts";
import { checkReach } from "./policy/reach.ts";
import type { Policy } from "./policy.ts";
import { policySchema } from "./policySchema.ts";

export interface PolicyInputs {
  text: string;
  /** For messages and as the place of rules. */
  file: string;
  /** Permission bits of the file, where they are known. */
  mode?: number;
  machine?: Pick<MachineProbe, "userExists" | "groupExists">;
  /** Absent: the policy is looked at alone. */
  surroundings?: PolicySurroundings;
}

/** What a policy needs to know of its configuration. */
export interface PolicySurroundings {
  /** Topics that the configuration makes (can/…, cmd/…): patterns below those levels can fit nothing else. */
  topics: ReadonlySet<string>;
  /** Who may write each command by the configuration, which a policy can only narrow. */
  writers: ReadonlyMap<string, readonly Principal[]>;
}

/** A policy without errors, and where its rules stand. */
export interface CheckedPolicy {
  file: string;
  policy: Policy;
  /** Of each rule. */
  places: readonly Location[];
  /** SHA-256 of its meaning: the same for two files that differ in layout and comments only. */
  hash: string;
}

export interface PolicyResult {
  /** Undefined when any fault is an error. */
  checked: CheckedPolicy | undefined;
  /** Errors and warnings by place. */
  faults: Fault[];
  /** What is worth knowing and no fault: who may move something, what this machine does not know. */
  notes: Note[];
}

export type RuleOf = Policy["rules"][number];

/** What the parts of the check share. */
export interface PolicyContext {
  policy: Policy;
  loaded: LoadedDocument;
  error(code: string, path: Path, message: string, more?: { expected?: string; hint?: string; part?: "key" | "value" }): void;
  warning(code: string, path: Path, message: string, more?: { expected?: string; hint?: string; part?: "key" | "value" }): void;
  note(code: string, path: Path, message: string): void;
  /** Rules with their paths in the file. */
  rules: readonly (readonly [rule: RuleOf, path: Path])[];
}

export function checkPolicy({ text, file, mode, machine, surroundings }: PolicyInputs): PolicyResult {
  const loaded = loadDocument(text, { file, schema: policySchema });
  const faults: Fault[] = [...loaded.faults];
  const notes: Note[] = [];
  const policy = (loaded.value ?? salvaged(loaded.salvage)) as Policy | undefined;
  if (!policy) return { checked: undefined, faults, notes };
  const add = (severity: Fault["severity"]): PolicyContext["error"] => (code, path, message, { expected = "", hint = "", part = "value" } = {}) => {
    faults.push({ code, severity, file, ...loaded.locate(path, part), path: pathText(path), message, expected, hint });
  };
  const context: PolicyContext = {
    policy, loaded, error: add("error"), warning: add("warning"),
    note: (code, path, message) => notes.push({ code, path: pathText(path), file, ...loaded.locate(path), message, blocksStart: false }),
    rules: loaded.items(policy.rules, ["rules"]),
  };
  if (mode !== undefined && (mode & 0o002) !== 0) context.error("worldWritable", [], "every user of this machine may change the policy", { hint: `chmod o-w ${file}` });
  checkNames(context, machine);
  checkReach(context, surroundings);
  lintRules(context);
  const sorted = sortFaults(faults, file);
  const accepted = loaded.value !== undefined && sorted.every(({ severity }) => severity !== "error");
  const places = policy.rules.map((_, index) => loaded.locate(["rules", index]));
  return {
    checked: accepted ? { file, policy, places, hash: createHash("sha256").update(canonicalJson(policy)).digest("hex") } : undefined,
    faults: sorted, notes: notes.toSorted((a, b) => a.line - b.line || a.column - b.column),
  };
}

function salvaged(value: unknown): Policy | undefined {
  return value === undefined ? undefined : { components: {}, groups: {}, rules: [], ...(value as Partial<Policy>), version: 1 };
}

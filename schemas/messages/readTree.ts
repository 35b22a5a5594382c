/**
 * A tree of YAML and a schema in, a value with all defaults and all faults out. The same verdict as a JSON Schema validator gives on the same
 * value (a test compares the two), but each fault says what stands there, what was expected, and what was probably meant.
 *
 * A list drops the items that are beyond saving and goes on with the rest, so that the checks behind this one can report their faults in the same run.
 */
import type { Path } from "./fault.ts";
import { pathText } from "./fault.ts";
import { nearest, nearestKey } from "../nearest.ts";
import { resolveRef } from "./schema.ts";
import type { RootSchema, Schema } from "./schema.ts";
import type { Span, Tree, TreeFault, TreeMap, TreeScalar } from "./yamlTree.ts";

/** Aliases share parts of the tree; this many visits are enough for the longest permitted file without them, four times over. */
const visitsMax = 200_000;

export interface Place {
  key: Span | undefined;
  value: Span;
}

export interface Salvage {
  /** Complete but for the list items that had to be dropped; defaults stand in for what was wrong. */
  value: unknown;
  /** Whether nothing was wrong. */
  whole: boolean;
  /** Paths (buses, mqtt.broker …) below which something was dropped: what is not found there may have been meant. */
  incomplete: ReadonlySet<string>;
  /** For lists that dropped items: the original index of each item left. */
  indices: WeakMap<object, readonly number[]>;
  places: ReadonlyMap<string, Place>;
}

export type PathFault = TreeFault & { path: Path };

export function readTree(tree: Tree, schema: RootSchema): { salvage: Salvage; faults: PathFault[] } {
  const reader = new Reader(schema);
  const { value, whole } = reader.read(tree, schema, [], undefined);
  return { salvage: { value, whole: whole && reader.faults.length === 0, incomplete: reader.incomplete, indices: reader.indices, places: reader.places }, faults: reader.faults };
}

/** The value of a schema that has a default: an object's own defaults are filled in, too. */
export function defaultValue(schema: Schema, root: RootSchema): unknown {
  const resolved = resolveRef(schema, root);
  if (Array.isArray(resolved.default)) return [...(resolved.default as unknown[])];
  if (resolved.type !== "object" || !resolved.properties) return typeof resolved.default === "object" ? { ...resolved.default } : resolved.default;
  const value: Record<string, unknown> = {};
  for (const [key, property] of Object.entries(resolved.properties)) {
    if (property.default !== undefined) value[key] = defaultValue(property, root);
  }
  return value;
}

interface Outcome { value: unknown; whole: boolean }
const lost: Outcome = { value: undefined, whole: false };

class Reader {
  readonly faults: PathFault[] = [];
  readonly incomplete = new Set<string>();
  readonly indices = new WeakMap<object, readonly number[]>();
  readonly places = new Map<string, Place>();
  readonly #root: RootSchema;
  #visits = 0;

  constructor(root: RootSchema) {
    this.#root = root;
  }

  read(tree: Tree, unresolved: Schema, path: Path, keyAt: Span | undefined): Outcome {
    const schema = resolveRef(unresolved, this.#root);
    this.#visits += 1;
    if (this.#visits > visitsMax) {
      if (this.#visits === visitsMax + 1) this.#add("tooMuch", tree.at, path, "aliases make this file unreasonably large", "", "repeat less by alias");
      return lost;
    }
    this.places.set(pathText(path), { key: keyAt, value: tree.at });
    if (schema.oneOf) return this.#readBranch(tree, schema, path);
    if (schema.type === "object") return tree.kind === "map" ? this.#readObject(tree, schema, path) : this.#wrongKind(tree, schema, path);
    if (schema.type === "array") return this.#readList(tree, schema, path);
    return this.#readScalar(tree, schema, path);
  }

  #readObject(tree: TreeMap, schema: Schema, path: Path): Outcome {
    const known = schema.properties ?? {};
    const value: Record<string, unknown> = {};
    const meant = new Set<string>();
    let whole = this.#checkCount(tree.entries.size, schema.minProperties, schema.maxProperties, tree, schema, path);
    for (const [key, entry] of tree.entries) {
      const at: Path = [...path, key];
      const property = Object.hasOwn(known, key) ? known[key] : undefined;
      const inner = property ?? (schema.additionalProperties === false ? undefined : schema.additionalProperties);
      if (!inner) {
        const hint = this.#unknownKey(key, entry, Object.keys(known).filter((name) => !tree.entries.has(name)), at, Object.keys(known));
        if (hint !== undefined) {
          meant.add(hint);
          this.incomplete.add(pathText([...path, hint]));
        }
        continue;
      }
      if (!property && schema.propertyNames && !this.#checkName(key, entry.keyAt, schema.propertyNames, at)) {
        whole = false;
        continue;
      }
      const outcome = this.read(entry.value, inner, at, entry.keyAt);
      if (outcome.whole) {
        value[key] = outcome.value;
        continue;
      }
      this.incomplete.add(pathText(at));
      if (schema.required?.includes(key) === true) whole = false;
    }
    for (const key of schema.required ?? []) {
      if (tree.entries.has(key)) continue;
      whole = false;
      if (!meant.has(key)) this.#add("missingKey", head(tree), path, `the key "${key}" is missing`, resolveRef(known[key]!, this.#root).title ?? "");
    }
    for (const [key, property] of Object.entries(known)) {
      if (!Object.hasOwn(value, key) && property.default !== undefined) value[key] = defaultValue(property, this.#root);
    }
    // Keys in the schema's order: two files that say the same give the same text.
    const ordered = Object.fromEntries([...Object.keys(known), ...Object.keys(value)].filter((key) => Object.hasOwn(value, key)).map((key) => [key, value[key]]));
    return { value: ordered, whole };
  }

  /** Returns the key that was probably meant. */
  #unknownKey(key: string, entry: { keyAt: Span; value: Tree }, free: readonly string[], path: Path, all: readonly string[]): string | undefined {
    const near = nearestKey(key, free);
    const expected = all.length === 0 ? "no keys at all" : `one of ${all.join(", ")}`;
    const value = near === undefined ? undefined : convertedUnit(key, near, entry.value);
    const hint = near === undefined ? "" : value === undefined ? `did you mean "${near}"?` : `did you mean "${near}: ${value}"?`;
    this.#add("unknownKey", entry.keyAt, path, `unknown key "${key.slice(0, 64)}"`, expected, hint);
    return near;
  }

  #checkName(key: string, at: Span, schema: Schema, path: Path): boolean {
    if (new RegExp(schema.pattern ?? "", "u").test(key)) return true;
    this.#add("badFormat", at, path, `the key "${key.slice(0, 64)}"`, schema.title ?? "");
    return false;
  }

  #readBranch(tree: Tree, schema: Schema, path: Path): Outcome {
    if (tree.kind !== "map") return this.#wrongKind(tree, { ...schema, type: "object" }, path);
    const branches = (schema.oneOf ?? []).map((branch) => resolveRef(branch, this.#root));
    const tellers = branches.map((branch) => branch.required?.[0] ?? "");
    const present = tellers.filter((key) => tree.entries.has(key));
    const only = branches[tellers.indexOf(present[0] ?? "")];
    if (present.length === 1 && only) return this.#readObject(tree, only, path);
    if (present.length > 1) {
      const second = present[1]!;
      this.#add("conflictingKeys", tree.entries.get(second)!.keyAt, [...path, second], `${present.map((key) => `"${key}"`).join(" and ")} stand side by side`, `exactly one of ${tellers.join(", ")}`);
      return lost;
    }
    const knownKeys = new Set(branches.flatMap((branch) => Object.keys(branch.properties ?? {})));
    for (const [key, entry] of tree.entries) {
      const near = knownKeys.has(key) ? undefined : nearestKey(key, tellers);
      if (near === undefined) continue;
      this.#add("unknownKey", entry.keyAt, [...path, key], `unknown key "${key.slice(0, 64)}"`, `exactly one of ${tellers.join(", ")}`, `did you mean "${near}"?`);
      return lost;
    }
    this.#add("missingKey", head(tree), path, `none of the keys ${tellers.map((key) => `"${key}"`).join(", ")} is there`, `exactly one of ${tellers.join(", ")}`);
    return lost;
  }

  #readList(tree: Tree, schema: Schema, path: Path): Outcome {
    if (tree.kind !== "list") return this.#wrongKind(tree, schema, path);
    const whole = this.#checkCount(tree.items.length, schema.minItems, schema.maxItems, tree, schema, path);
    const values: unknown[] = [];
    const indices: number[] = [];
    for (const [index, item] of tree.items.entries()) {
      const outcome = this.read(item, schema.items ?? {}, [...path, index], undefined);
      if (!outcome.whole) continue;
      values.push(outcome.value);
      indices.push(index);
    }
    if (values.length < tree.items.length) {
      this.incomplete.add(pathText(path));
      this.indices.set(values, indices);
    }
    return { value: values, whole };
  }

  #checkCount(count: number, minimum: number | undefined, maximum: number | undefined, tree: Tree, schema: Schema, path: Path): boolean {
    if (count >= (minimum ?? 0) && count <= (maximum ?? Infinity)) return true;
    const bounds = count < (minimum ?? 0) ? `at least ${minimum}` : `at most ${maximum}`;
    this.#add("wrongCount", head(tree), path, count === 0 ? "this is empty" : `there are ${count} entries`, `${schema.title ?? "entries"}, ${bounds}`);
    return false;
  }

  #readScalar(tree: Tree, schema: Schema, path: Path): Outcome {
    if (tree.kind !== "scalar") return this.#wrongKind(tree, schema, path);
    const branches = schema.anyOf?.map((branch) => resolveRef(branch, this.#root)) ?? [schema];
    const problems = branches.map((branch) => scalarProblem(tree, branch));
    const fits = problems.indexOf(undefined);
    if (fits >= 0) return { value: tree.value, whole: true };
    const problem = schema.anyOf ? problems.find((one) => one?.code === "outOfRange") ?? { code: problems[0]!.code, message: describe(tree), hint: "" } : problems[0]!;
    const hint = problem.hint !== "" ? problem.hint : scalarHint(tree, schema, problem.code, lastKey(path));
    this.#add(problem.code, tree.at, path, problem.message, schema.title ?? "", hint);
    return lost;
  }

  #wrongKind(tree: Tree, schema: Schema, path: Path): Outcome {
    const expected = schema.title ?? (schema.type === "object" ? "a table (key: value)" : "");
    let hint = "";
    if (schema.type === "array" && tree.kind === "scalar" && tree.value === null) hint = "write [] for an empty list, or remove the key";
    else if (schema.type === "array") hint = tree.kind === "map" ? 'make it a list: begin each entry with "- "' : `write [${tree.kind === "scalar" ? tree.source.slice(0, 40) : ""}]`;
    else if (schema.type === "object" && tree.kind === "scalar" && tree.value === null) hint = "write {} for an empty table, or remove the key";
    this.#add("wrongType", head(tree), path, describe(tree), expected, hint);
    return lost;
  }

  #add(code: string, at: Span, path: Path, message: string, expected: string, hint = ""): void {
    this.faults.push({ code, at, path, message, expected, hint });
  }
}

/** A caret under the first character of a table or list is enough; its whole extent would underline the file. */
function head(tree: Tree): Span {
  return tree.kind === "scalar" ? tree.at : { from: tree.at.from, to: tree.at.from + 1 };
}

function lastKey(path: Path): string {
  return path.findLast((step) => typeof step === "string") ?? "";
}

function describe(tree: Tree): string {
  if (tree.kind === "map") return "found a table";
  if (tree.kind === "list") return "found a list";
  if (tree.value === null) return "found nothing";
  if (typeof tree.value === "string") return `found the text "${tree.value.slice(0, 60)}"`;
  return typeof tree.value === "number" ? `found the number ${tree.source.slice(0, 60)}` : `found ${tree.source}`;
}

interface Problem { code: string; message: string; hint: string }

function scalarProblem(tree: TreeScalar, schema: Schema): Problem | undefined {
  const { value } = tree;
  const problem = (code: string, hint = ""): Problem => ({ code, message: describe(tree), hint });
  const type = schema.type ?? (schema.const === undefined ? undefined : (typeof schema.const as "string" | "number" | "boolean"));
  if (type === "integer" || type === "number") {
    if (typeof value !== "number" || !Number.isFinite(value)) return problem("wrongType");
    if (schema.enum && !schema.enum.includes(value)) return problem("notInList");
    if (schema.const !== undefined && value !== schema.const) return problem("notInList");
    if (type === "integer" && !Number.isSafeInteger(value)) return problem("wrongType");
    if (value < (schema.minimum ?? -Infinity) || value > (schema.maximum ?? Infinity) || value <= (schema.exclusiveMinimum ?? -Infinity)) return problem("outOfRange");
    return undefined;
  }
  if (type === "boolean") return typeof value === "boolean" ? undefined : problem("wrongType");
  if (typeof value !== "string") return problem("wrongType");
  if (schema.const !== undefined && value !== schema.const) return problem("notInList");
  if (schema.enum && !schema.enum.includes(value)) {
    const near = nearest(value, schema.enum.map(String));
    return problem("notInList", near === undefined ? "" : `did you mean ${near}?`);
  }
  // JSON Schema counts characters, not UTF-16 units.
  const length = Array.from(value).length;
  if (length < (schema.minLength ?? 0)) return { code: "badFormat", message: "found an empty text", hint: "" };
  if (length > (schema.maxLength ?? Infinity)) return { code: "badFormat", message: `found a text of ${length} characters (at most ${schema.maxLength})`, hint: "" };
  if (schema.pattern !== undefined && !new RegExp(schema.pattern, "u").test(value)) return problem("badFormat");
  return undefined;
}

/** The usual slips: yes for true, units in numbers, quotes where there should be none and the reverse. */
function scalarHint(tree: TreeScalar, schema: Schema, code: string, key: string): string {
  const { value } = tree;
  const kinds = new Set([schema.type, ...(schema.anyOf ?? []).map((branch) => branch.type)]);
  if (schema.type === "boolean" && typeof value === "string") {
    if (/^(yes|y|on|true|1)$/i.test(value)) return "write true";
    if (/^(no|n|off|false|0)$/i.test(value)) return "write false";
  }
  if (kinds.has("integer") || kinds.has("number")) {
    if (typeof value === "string") {
      const amount = numberWithUnit(value, key);
      if (amount !== undefined) return tree.quoted && String(amount) === value ? `write ${amount} without quotes` : `write ${amount}`;
    } else if (typeof value === "number") return rescaled(value, schema, key);
  } else if (typeof value === "number" || typeof value === "boolean") return `write "${tree.source}" in quotes`;
  if (code === "badFormat" && typeof value === "string" && schema.pattern !== undefined) {
    const tame = value.trim().toLowerCase().replaceAll(/[\s_.]+/g, "-");
    if (tame !== value && new RegExp(schema.pattern, "u").test(tame)) return `write ${tame}`;
  }
  return "";
}

function rescaled(value: number, schema: Schema, key: string): string {
  const thousand = Number((value * 1000).toPrecision(12));
  const fits = Number.isInteger(thousand) && thousand >= (schema.minimum ?? -Infinity) && thousand <= (schema.maximum ?? Infinity);
  if (fits && key.endsWith("Ms") && value > 0) return `the unit is milliseconds: ${value} s are ${thousand}`;
  if (fits && key.endsWith("Bps") && value > 0) return `the unit is bit/s: ${value} kbit/s are ${thousand}`;
  return "";
}

const scales: readonly (readonly [RegExp, Readonly<Record<string, number>>])[] = [
  [/Ms(Max)?$/, { us: 0.001, ms: 1, s: 1000, sec: 1000, seconds: 1000, min: 60_000, h: 3_600_000 }],
  [/Bps$/, { bps: 1, baud: 1, k: 1000, kbps: 1000, kbit: 1000, kbaud: 1000, m: 1e6, mbps: 1e6, mbit: 1e6 }],
  [/Hz(Max)?$/, { hz: 1, khz: 1000, k: 1000 }],
  [/Percent$/, { "%": 1, percent: 1 }],
  [/./, { k: 1000, m: 1e6 }],
];

/** "500k" → 500000 for a key in bit/s, "1.5 s" → 1500 for one in milliseconds; undefined if it is not a number with a unit that fits. */
function numberWithUnit(text: string, key: string): number | undefined {
  const match = /^([+-]?(?:0x[0-9a-f]+|[0-9][0-9_', ]*(?:\.[0-9]+)?))\s*([a-z%]*)(?:\/s)?$/i.exec(text.trim());
  if (!match || text.length > 40) return undefined;
  const amount = Number(match[1]!.replaceAll(/[_', ]/g, ""));
  const unit = match[2]!.toLowerCase();
  const scale = unit === "" ? 1 : scales.find(([pattern]) => pattern.test(key))?.[1][unit];
  return scale === undefined || !Number.isFinite(amount) ? undefined : Number((amount * scale).toPrecision(12));
}

/** For `timeout_s: 0.5` where timeoutMs is known: the value in the other unit. */
function convertedUnit(key: string, near: string, tree: Tree): number | undefined {
  if (tree.kind !== "scalar" || typeof tree.value !== "number" || !near.endsWith("Ms")) return undefined;
  const seconds = /(_s|S|_?[sS]ec|_?[sS]econds)$/.test(key) && !/[mM]s$/.test(key);
  return seconds ? Number((tree.value * 1000).toPrecision(12)) : undefined;
}

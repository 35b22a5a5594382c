/**
 * What differs between two configurations, and what it takes to apply it: `live` at once, `reopen` by closing and opening one link (refused while armed),
 * `restart` by starting the gateway anew.
 */
import type { Config } from "./config.ts";
import { canonicalJson } from "../canonicalJson.ts";
import { pathText } from "./fault.ts";
import type { Path } from "./fault.ts";

export type ApplyBy = "live" | "reopen" | "restart";

export interface ConfigChange {
  kind: "added" | "removed" | "changed";
  /** Items of lists are named, not numbered: buses.arm.bitrateBps. */
  path: string;
  before: unknown;
  after: unknown;
  applyBy: ApplyBy;
  /** The link that must be closed and opened, for `reopen`. */
  link?: string;
}

/** Sorted by path; empty when both mean the same. Files that the configurations name are not looked into: their contents are in the hashes. */
export function diffConfig(before: Config, after: Config): ConfigChange[] {
  const changes: ConfigChange[] = [];
  compareValues(before, after, [], changes);
  return changes.toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/** The most that any of the changes takes; undefined when there are none. */
export function applyBy(changes: readonly ConfigChange[]): ApplyBy | undefined {
  return (["restart", "reopen", "live"] as const).find((way) => changes.some((change) => change.applyBy === way));
}

function compareValues(before: unknown, after: unknown, path: Path, changes: ConfigChange[]): void {
  if (canonicalJson(before ?? null) === canonicalJson(after ?? null)) return;
  const left = named(before);
  const right = named(after);
  if (!left || !right) {
    const kind = before === undefined ? "added" : after === undefined ? "removed" : "changed";
    changes.push({ kind, path: pathText(path), before, after, ...wayOf(path, kind) });
    return;
  }
  for (const key of new Set([...left.keys(), ...right.keys()])) compareValues(left.get(key), right.get(key), [...path, key], changes);
  // The same items in another order: it counts where things are done in order.
  const orders = [[...left.keys()], [...right.keys()]].map((keys) => keys.filter((key) => left.has(key) && right.has(key)).join("\n"));
  if (Array.isArray(before) && orders[0] !== orders[1]) changes.push({ kind: "changed", path: pathText(path), before: [...left.keys()], after: [...right.keys()], ...wayOf(path, "changed") });
}

/** Tables by key, lists of tables by what names their items; undefined for anything that is compared as a whole. */
function named(value: unknown): Map<string, unknown> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (!Array.isArray(value)) return new Map(Object.entries(value));
  const items = new Map<string, unknown>();
  for (const item of value as unknown[]) {
    const name = nameOf(item);
    if (name === undefined || items.has(name)) return undefined;
    items.set(name, item);
  }
  return items;
}

function nameOf(item: unknown): string | undefined {
  if (typeof item !== "object" || item === null) return undefined;
  const { name, bus, serial, message, from, to, dbc } = item as Readonly<Record<string, unknown>>;
  if (typeof name === "string") return name;
  if (typeof message === "string") return `${String(bus ?? serial)}/${message}`;
  if (typeof from === "string" && typeof to === "string") return `${from} → ${to}`;
  return typeof dbc === "string" ? dbc : undefined;
}

/** Keys of a link that do not concern the open link itself. */
const liveLinkKeys: Readonly<Record<string, readonly string[]>> = {
  buses: ["busLoadMaxPercent", "publishRaw", "databases"],
  serial: ["silenceTimeoutMs"],
};

function wayOf(path: Path, kind: ConfigChange["kind"]): { applyBy: ApplyBy; link?: string } {
  const [section, item, key] = path.map(String) as [string?, string?, string?];
  if (section === "version" || section === "robot" || section === "socket" || section === "redundancy") return { applyBy: "restart" };
  if (section === "buses" || section === "serial") {
    if (item === undefined) return { applyBy: "restart" };
    return kind !== "changed" && key === undefined ? { applyBy: "reopen", link: item } : liveLinkKeys[section]!.includes(key ?? "") ? { applyBy: "live" } : { applyBy: "reopen", link: item };
  }
  if (section === "mqtt" && item === "broker") return key === "users" || key === "allowAnonymous" ? { applyBy: "live" } : { applyBy: "reopen", link: "broker" };
  if (section === "mqtt" && item === "clients") return key === undefined ? { applyBy: "restart" } : { applyBy: "reopen", link: key };
  return { applyBy: "live" };
}

/** How often each fault came in each state of the process that it hit (or the nearest): a table in which a missing pair is easily seen. */
import { faultKinds } from "./faults.ts";

export function mergeCoverage(to: Map<string, number>, from: ReadonlyMap<string, number>): void {
  for (const [pair, count] of from) to.set(pair, (to.get(pair) ?? 0) + count);
}

export const states = ["starting", "standby", "fencing", "claiming", "owner/disarmed", "owner/armed", "owner/safePose", "owner/posed", "owner/fault", "yielding", "outvoted", "stopped", "dead"] as const;
export const gatewayStates = ["looking", "joining", "following", "standby", "fencing", "active", "handling", "writing", "sending", "consuming", "handingOver", "takingOver", "ended", "dead"].map((state) => `gateway ${state}`);

/** One line per fault, one column per state; what never came is a dot. */
export function coverageTable(coverage: ReadonlyMap<string, number>, of: readonly string[]): string[] {
  const width = Math.max(...faultKinds.map((kind) => kind.length));
  const used = of.filter((state) => faultKinds.some((kind) => coverage.has(`${state}|${kind}`)));
  const columns = used.map((state) => Math.max(state.length, ...faultKinds.map((kind) => String(coverage.get(`${state}|${kind}`) ?? 0).length)));
  const line = (first: string, cells: readonly string[]): string => [first.padEnd(width), ...cells.map((cell, index) => cell.padStart(columns[index]!))].join("  ");
  return [line("", used), ...faultKinds.map((kind) => line(kind, used.map((state) => String(coverage.get(`${state}|${kind}`) ?? "·"))))];
}

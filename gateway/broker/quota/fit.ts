import { readFileSync } from "node:fs";
import type { QuotaAmounts } from "./quota.ts";

/** What all users share, cut to what this process may have open: half of its descriptors, so that the gateway's own (buses, brokers, logs) never run out for what clients took. Pure. */
export function fitted(shared: QuotaAmounts, openFilesMax: number): QuotaAmounts {
  const descriptors = Math.min(shared.descriptors, Math.floor(openFilesMax / 2));
  // At two a connection, half of those descriptors stay for what comes over them.
  return { ...shared, descriptors, connections: Math.min(shared.connections, Math.floor(descriptors / 4)) };
}

/** How many descriptors this process may have; Node has raised the soft limit to the hard one at its start. */
export function openFilesMax(limits = readFileSync("/proc/self/limits", "latin1")): number {
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  return soft === undefined || soft === "unlimited" ? Number.MAX_SAFE_INTEGER : Number(soft);
}

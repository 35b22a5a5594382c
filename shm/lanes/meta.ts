/** What travels with a payload, and how it is written into the staging memory. */
import { type LanesMemory, STAGING_LINEAGE_AT } from "./memory.ts";

/** The message that another one was made from. Origin and topic are hashes (docs/specs/lanes.md). */
export interface LaneLineage {
  origin: bigint;
  topic: bigint;
  sequence: bigint;
}

export interface LaneMeta {
  /** CLOCK_MONOTONIC, ns; left out = now. */
  timeNs?: bigint;
  /** CLOCK_REALTIME, ns; left out = now. */
  wallTimeNs?: bigint;
  /** 0 = the lane's owner, else a number that the gateway announced. */
  origin?: number;
  /** 0 = none. */
  ttlMs?: number;
  /** 0 good, 1 stale, 2 bad. */
  quality?: 0 | 1 | 2;
  keyFrame?: boolean;
  /** The application's own, 0 … 255. */
  kind?: number;
  /** At most 15. */
  lineage?: readonly LaneLineage[];
}

export const LINEAGE_MAX = 15;
const FLAG_KEY_FRAME = 4;

/** Writes `meta` into the staging memory. Throws a RangeError for what does not fit. */
export function stageMeta({ stagingView: view }: LanesMemory, { timeNs = 0n, wallTimeNs = 0n, origin = 0, ttlMs = 0, quality = 0, keyFrame = false, kind = 0, lineage = [] }: LaneMeta): void {
  if (lineage.length > LINEAGE_MAX || kind < 0 || kind > 255 || quality < 0 || quality > 2) throw new RangeError("meta: lineage takes 15 entries, kind goes to 255, quality to 2");
  view.setBigUint64(0, timeNs, true);
  view.setBigInt64(8, wallTimeNs, true);
  view.setUint32(16, origin, true);
  view.setUint32(20, ttlMs, true);
  view.setUint32(24, quality | (keyFrame ? FLAG_KEY_FRAME : 0) | (kind << 16) | (lineage.length << 24), true);
  for (let i = 0; i < lineage.length; i++) {
    const at = STAGING_LINEAGE_AT + 24 * i;
    view.setBigUint64(at, lineage[i]!.origin, true);
    view.setBigUint64(at + 8, lineage[i]!.topic, true);
    view.setBigUint64(at + 16, lineage[i]!.sequence, true);
  }
}

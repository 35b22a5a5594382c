/** What each user has in use of what lanes cost. A fair-share implementation may take this one's place. */
import type { Peer } from "../ports.ts";
import type { LaneLimits } from "./limits.ts";

export interface LaneUse {
  lanes?: number;
  laneBytes?: number;
  readers?: number;
}

export interface LaneQuota {
  /** Takes all of it, or nothing and says what is exhausted. */
  take(who: Peer, use: LaneUse): string | undefined;
  give(who: Peer, use: LaneUse): void;
}

/** Fixed shares: every user may have as much as the limits say. */
export class FixedLaneQuota implements LaneQuota {
  readonly #limits: LaneLimits;
  readonly #inUse = new Map<number, Required<LaneUse>>();

  constructor(limits: LaneLimits) {
    this.#limits = limits;
  }

  take({ uid }: Peer, { lanes = 0, laneBytes = 0, readers = 0 }: LaneUse): string | undefined {
    const { lanesPerUid, laneBytesPerUid, readersPerUid } = this.#limits;
    const used = this.#inUse.get(uid) ?? { lanes: 0, laneBytes: 0, readers: 0 };
    if (used.lanes + lanes > lanesPerUid) return `uid ${uid} writes ${lanesPerUid} topics by lanes already`;
    if (used.laneBytes + laneBytes > laneBytesPerUid) return `the lanes of uid ${uid} would take more than ${Math.round(laneBytesPerUid / 2 ** 20)} MiB`;
    if (used.readers + readers > readersPerUid) return `uid ${uid} reads ${readersPerUid} lanes already`;
    this.#inUse.set(uid, { lanes: used.lanes + lanes, laneBytes: used.laneBytes + laneBytes, readers: used.readers + readers });
    return undefined;
  }

  give({ uid }: Peer, { lanes = 0, laneBytes = 0, readers = 0 }: LaneUse): void {
    const used = this.#inUse.get(uid);
    if (!used) return;
    const left = { lanes: used.lanes - lanes, laneBytes: used.laneBytes - laneBytes, readers: used.readers - readers };
    if (left.lanes === 0 && left.laneBytes === 0 && left.readers === 0) this.#inUse.delete(uid);
    else this.#inUse.set(uid, left);
  }

  /** Users with something in use. */
  get users(): number {
    return this.#inUse.size;
  }
}

/** What lanes cost, taken from the users' shares (gateway/broker/quota): a lane or a view of one is one of "lanes", and a descriptor that the gateway holds. */
import type { Peer } from "../ports.ts";
import type { Quota } from "../quota/quota.ts";

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

export class SharedLaneQuota implements LaneQuota {
  readonly #shares: Quota;
  readonly #laneBytesPerUid: number;
  /** Memory of lanes is its writer's, counted by the kernel where it was made; this bounds what the gateway helps to spread. */
  readonly #laneBytes = new Map<number, number>();

  constructor(shares: Quota, laneBytesPerUid: number) {
    this.#shares = shares;
    this.#laneBytesPerUid = laneBytesPerUid;
  }

  take({ uid }: Peer, { lanes = 0, laneBytes = 0, readers = 0 }: LaneUse): string | undefined {
    const bytes = (this.#laneBytes.get(uid) ?? 0) + laneBytes;
    if (bytes > this.#laneBytesPerUid) return `the lanes of uid ${uid} would take more than ${Math.round(this.#laneBytesPerUid / 2 ** 20)} MiB`;
    const count = lanes + readers;
    if (!this.#shares.charge(uid, "lanes", count)) return `uid ${uid} has its share of the lanes already`;
    if (!this.#shares.charge(uid, "descriptors", count)) {
      this.#shares.release(uid, "lanes", count);
      return `uid ${uid} has its share of the descriptors already`;
    }
    if (bytes > 0) this.#laneBytes.set(uid, bytes);
    return undefined;
  }

  give({ uid }: Peer, { lanes = 0, laneBytes = 0, readers = 0 }: LaneUse): void {
    this.#shares.release(uid, "lanes", lanes + readers);
    this.#shares.release(uid, "descriptors", lanes + readers);
    const bytes = (this.#laneBytes.get(uid) ?? 0) - laneBytes;
    if (bytes > 0) this.#laneBytes.set(uid, bytes);
    else this.#laneBytes.delete(uid);
  }
}

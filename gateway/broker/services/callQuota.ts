/** What the waiting and running calls of each user hold, out of what all users share: places for requests, the bytes of their bodies, their descriptors. */
import type { Quota } from "../quota/quota.ts";

export interface CallQuota<P> {
  /** Takes one call and what comes with it; false = the user has its share, and nothing was taken. */
  take(uid: number, payload: P): boolean;
  giveBack(uid: number, payload: P): void;
}

export class SharedCallQuota implements CallQuota<{ readonly bytes: number; readonly descriptors: readonly unknown[] }> {
  readonly #quota: Quota;

  constructor(quota: Quota) {
    this.#quota = quota;
  }

  take(uid: number, { bytes, descriptors }: { readonly bytes: number; readonly descriptors: readonly unknown[] }): boolean {
    const quota = this.#quota;
    if (!quota.charge(uid, "requests", 1)) return false;
    if (quota.charge(uid, "bytes", bytes)) {
      if (quota.charge(uid, "descriptors", descriptors.length)) return true;
      quota.release(uid, "bytes", bytes);
    }
    quota.release(uid, "requests", 1);
    return false;
  }

  giveBack(uid: number, { bytes, descriptors }: { readonly bytes: number; readonly descriptors: readonly unknown[] }): void {
    this.#quota.release(uid, "requests", 1);
    this.#quota.release(uid, "bytes", bytes);
    this.#quota.release(uid, "descriptors", descriptors.length);
  }
}

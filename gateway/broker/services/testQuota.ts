/** A fixed share for each user, for tests that count. */
import type { CallQuota } from "./callQuota.ts";

export class FixedQuota implements CallQuota<{ readonly bytes: number }> {
  readonly #callsMax: number;
  readonly #bytesMax: number;
  readonly #used = new Map<number, { calls: number; bytes: number }>();

  constructor({ callsMax, bytesMax }: { callsMax: number; bytesMax: number }) {
    this.#callsMax = callsMax;
    this.#bytesMax = bytesMax;
  }

  /** Users with something in use. */
  get users(): number {
    return this.#used.size;
  }

  take(uid: number, { bytes }: { readonly bytes: number }): boolean {
    const used = this.#used.get(uid) ?? { calls: 0, bytes: 0 };
    if (used.calls >= this.#callsMax || used.bytes + bytes > this.#bytesMax) return false;
    this.#used.set(uid, { calls: used.calls + 1, bytes: used.bytes + bytes });
    return true;
  }

  giveBack(uid: number, { bytes }: { readonly bytes: number }): void {
    const used = this.#used.get(uid);
    if (!used) throw new Error(`user ${uid} gives back what it does not have`);
    if (used.calls === 1) this.#used.delete(uid);
    else this.#used.set(uid, { calls: used.calls - 1, bytes: used.bytes - bytes });
  }
}

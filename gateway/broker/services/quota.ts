/** What the waiting and running calls of each user hold. */
export interface CallQuota {
  /** Takes one call and its bytes; false = the user has its share, and nothing was taken. */
  take(uid: number, bytes: number): boolean;
  giveBack(uid: number, bytes: number): void;
}

/** A fixed share for each user. */
export class FixedQuota implements CallQuota {
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

  take(uid: number, bytes: number): boolean {
    const used = this.#used.get(uid) ?? { calls: 0, bytes: 0 };
    if (used.calls >= this.#callsMax || used.bytes + bytes > this.#bytesMax) return false;
    used.calls += 1;
    used.bytes += bytes;
    this.#used.set(uid, used);
    return true;
  }

  giveBack(uid: number, bytes: number): void {
    const used = this.#used.get(uid);
    if (!used) return;
    used.calls -= 1;
    used.bytes -= bytes;
    if (used.calls <= 0) this.#used.delete(uid);
  }
}

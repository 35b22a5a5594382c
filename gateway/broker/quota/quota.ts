/**
 * What each user has of things that all users share. A resource has one capacity; nobody has a fixed part of it, but whoever takes more must leave
 * enough for everybody who is there and for one who is still to come: after taking, a user's share is at most 1 / (users + 1) of what is free and its
 * own together. So one user alone may have half, the second then a sixth, the third a twelfth, and the k-th always capacity / (k (k + 1)): the
 * shares shrink, they never end. The rule is that of dbus-broker's accounting (src/util/user.c).
 *
 * Users are counted by uid, because a process can have itself multiplied, but not its uid.
 */
export const quotaKinds = ["connections", "descriptors", "bytes", "lanes", "requests"] as const;
export type QuotaKind = (typeof quotaKinds)[number];

export interface Quota {
  /** Takes `amount` (a whole number ≥ 0) for the user, or takes nothing and returns false. */
  charge(uid: number, what: QuotaKind, amount: number): boolean;
  /** Gives back what was taken. */
  release(uid: number, what: QuotaKind, amount: number): void;
}

export type QuotaAmounts = Readonly<Record<QuotaKind, number>>;

export interface QuotaUse {
  capacity: QuotaAmounts;
  users: { uid: number; used: QuotaAmounts }[];
}

/** One resource. */
class Pool {
  readonly capacity: number;
  /** Only users that have something. */
  readonly shares = new Map<number, number>();
  #free: number;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#free = capacity;
  }

  charge(uid: number, amount: number): boolean {
    const share = this.shares.get(uid);
    const users = this.shares.size + (share === undefined ? 1 : 0);
    const wanted = (share ?? 0) + amount;
    if (wanted * (users + 1) - (share ?? 0) > this.#free) return false;
    this.#free -= amount;
    if (wanted > 0) this.shares.set(uid, wanted);
    return true;
  }

  release(uid: number, amount: number): void {
    const left = (this.shares.get(uid) ?? 0) - amount;
    if (!(left >= 0)) throw new Error(`user ${uid} gives back ${amount}, more than it has`);
    this.#free += amount;
    if (left === 0) this.shares.delete(uid);
    else this.shares.set(uid, left);
  }
}

export class FairShare implements Quota {
  readonly #pools: Readonly<Record<QuotaKind, Pool>>;

  constructor(capacity: QuotaAmounts) {
    this.#pools = forEachKind((kind) => new Pool(capacity[kind]));
  }

  charge(uid: number, what: QuotaKind, amount: number): boolean {
    if (!Number.isSafeInteger(amount) || amount < 0) throw new RangeError(`a charge of ${amount}`);
    return this.#pools[what].charge(uid, amount);
  }

  release(uid: number, what: QuotaKind, amount: number): void {
    this.#pools[what].release(uid, amount);
  }

  /** For status: users that have anything, by uid. */
  use(): QuotaUse {
    const uids = new Set(quotaKinds.flatMap((kind) => [...this.#pools[kind].shares.keys()]));
    return {
      capacity: forEachKind((kind) => this.#pools[kind].capacity),
      users: [...uids].sort((a, b) => a - b).map((uid) => ({ uid, used: forEachKind((kind) => this.#pools[kind].shares.get(uid) ?? 0) })),
    };
  }
}

function forEachKind<T>(value: (kind: QuotaKind) => T): Record<QuotaKind, T> {
  return Object.fromEntries(quotaKinds.map((kind) => [kind, value(kind)])) as Record<QuotaKind, T>;
}

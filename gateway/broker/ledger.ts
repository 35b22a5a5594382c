/** What each user has in use over all its connections: its shares of what all users share, and its budget of publishes. */
import { Budget } from "./budget.ts";
import type { BrokerLimits } from "./limits.ts";
import type { Quota } from "./quota/quota.ts";

/** A connection costs its socket and the pidfd of the peer. */
const DESCRIPTORS_PER_CONNECTION = 2;

export class Account {
  readonly uid: number;
  connections = 0;
  readonly publishes: Budget;
  readonly #quota: Quota;

  constructor(uid: number, { limits, quota, nowUs }: { limits: BrokerLimits; quota: Quota; nowUs: number }) {
    this.uid = uid;
    this.#quota = quota;
    this.publishes = new Budget({ perSecond: limits.publishesPerSecondPerUid, burst: limits.publishBurstPerUid, nowUs });
  }

  /** Reserves memory for what a client does not read; false = the user has its share. */
  reserve(bytes: number): boolean {
    return this.#quota.charge(this.uid, "bytes", bytes);
  }

  release(bytes: number): void {
    this.#quota.release(this.uid, "bytes", bytes);
  }
}

export class Ledger {
  readonly #accounts = new Map<number, Account>();
  readonly #limits: BrokerLimits;
  readonly #quota: Quota;

  constructor(limits: BrokerLimits, quota: Quota) {
    this.#limits = limits;
    this.#quota = quota;
  }

  /** The account for one more connection of `uid`, or undefined when it has its share of them. */
  open(uid: number, nowUs: number): Account | undefined {
    if (!this.#quota.charge(uid, "connections", 1)) return undefined;
    if (!this.#quota.charge(uid, "descriptors", DESCRIPTORS_PER_CONNECTION)) {
      this.#quota.release(uid, "connections", 1);
      return undefined;
    }
    let account = this.#accounts.get(uid);
    if (!account) {
      this.#forgetIdle(nowUs);
      account = new Account(uid, { limits: this.#limits, quota: this.#quota, nowUs });
      this.#accounts.set(uid, account);
    }
    account.connections += 1;
    return account;
  }

  /** A user without connections keeps its account until its publish budget is full again: reconnecting must not refill it. */
  close(account: Account): void {
    account.connections -= 1;
    this.#quota.release(account.uid, "connections", 1);
    this.#quota.release(account.uid, "descriptors", DESCRIPTORS_PER_CONNECTION);
  }

  #forgetIdle(nowUs: number): void {
    for (const [uid, account] of this.#accounts) if (account.connections === 0 && account.publishes.isFull(nowUs)) this.#accounts.delete(uid);
  }
}

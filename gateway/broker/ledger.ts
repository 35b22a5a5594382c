/** What each user has in use, over all its connections. */
import { Budget } from "./budget.ts";
import type { BrokerLimits } from "./limits.ts";

export class Account {
  connections = 0;
  pendingBytes = 0;
  readonly publishes: Budget;
  readonly #pendingBytesMax: number;

  constructor(limits: BrokerLimits, nowUs: number) {
    this.publishes = new Budget({ perSecond: limits.publishesPerSecondPerUid, burst: limits.publishBurstPerUid, nowUs });
    this.#pendingBytesMax = limits.pendingBytesPerUid;
  }

  /** Reserves memory for what a client does not read; false = the user has its share. */
  reserve(bytes: number): boolean {
    if (this.pendingBytes + bytes > this.#pendingBytesMax) return false;
    this.pendingBytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.pendingBytes -= bytes;
  }
}

export class Ledger {
  readonly #accounts = new Map<number, Account>();
  readonly #limits: BrokerLimits;

  constructor(limits: BrokerLimits) {
    this.#limits = limits;
  }

  /** The account for one more connection of `uid`, or undefined when it has as many as it may. */
  open(uid: number, nowUs: number): Account | undefined {
    let account = this.#accounts.get(uid);
    if (!account) {
      account = new Account(this.#limits, nowUs);
      this.#accounts.set(uid, account);
    }
    if (account.connections >= this.#limits.connectionsPerUid) return undefined;
    account.connections += 1;
    return account;
  }

  /** A user without connections keeps its account, and with it its publish budget: reconnecting must not refill it. Users are few. */
  close(account: Account): void {
    account.connections -= 1;
  }
}

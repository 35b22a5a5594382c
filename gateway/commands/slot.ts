/**
 * One commanded message on its way to the bus: the newest value alone, with its deadline, paced by its rate. Pure.
 *
 * Rules: a value lives until its own deadline and is sent at most once; a newer one replaces it (the replaced one is reported, never sent);
 * a second frame goes out only after the one before was confirmed or given up, so that no queue below can hold two; nothing is ever repeated.
 */
export type SlotVerdict = "sendNow" | "held";

export interface PendingCommand<Payload> {
  payload: Payload;
  /** After it the command is worth nothing, CLOCK_MONOTONIC µs. */
  deadlineUs: number;
}

export class CommandSlot<Payload> {
  readonly #minIntervalUs: number;
  #pending: PendingCommand<Payload> | undefined;
  #nextAllowedUs = -Infinity;
  #inFlight = false;

  constructor(rateHzMax: number) {
    this.#minIntervalUs = 1e6 / rateHzMax;
  }

  /** Takes a new value; returns the one it replaced, if any. */
  put(command: PendingCommand<Payload>): PendingCommand<Payload> | undefined {
    const replaced = this.#pending;
    this.#pending = command;
    return replaced;
  }

  /** The value to send now, or undefined: none, too early, or the last one is still on its way. Expired values come back through `onExpired`. */
  take(nowUs: number, onExpired: (command: PendingCommand<Payload>) => void): PendingCommand<Payload> | undefined {
    const pending = this.#pending;
    if (!pending) return undefined;
    if (nowUs >= pending.deadlineUs) {
      this.#pending = undefined;
      onExpired(pending);
      return undefined;
    }
    if (this.#inFlight || nowUs < this.#nextAllowedUs) return undefined;
    this.#pending = undefined;
    return pending;
  }

  /** To be called when the taken value was handed to the driver; `confirmed` drivers call `settled` later. */
  sent(nowUs: number, confirms: boolean): void {
    // From the schedule, not from now, while it is kept: jitter of the caller must not lower the rate.
    this.#nextAllowedUs = Math.max(this.#nextAllowedUs + this.#minIntervalUs, nowUs + this.#minIntervalUs / 2);
    this.#inFlight = confirms;
  }

  /** The frame was echoed, dropped or given up. */
  settled(): void {
    this.#inFlight = false;
  }

  /** Forgets a waiting value (disarmed, safe pose). */
  clear(): PendingCommand<Payload> | undefined {
    const pending = this.#pending;
    this.#pending = undefined;
    return pending;
  }

  /** Until when the waiting value is worth sending, or undefined when none waits. */
  get deadlineUs(): number | undefined {
    return this.#pending?.deadlineUs;
  }

  /** When `take` may say something new, µs; undefined when nothing waits. */
  nextDeadlineUs(): number | undefined {
    if (!this.#pending) return undefined;
    return this.#inFlight ? this.#pending.deadlineUs : Math.min(this.#pending.deadlineUs, this.#nextAllowedUs);
  }
}

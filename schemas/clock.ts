/**
 * Time is an argument. Cores take `nowUs`; only edges own a `Clock`, and tests drive a `ManualClock` through a day of heartbeats.
 *
 * Invariants: `nowUs()` is CLOCK_MONOTONIC in microseconds (a float with sub-microsecond fraction; exact to 1 µs for 285 years), the same
 * clock the C parts stamp frames with, so that both can be subtracted. `wallTimeNs()` is for people and recordings and never drives a timeout.
 */
export interface Clock {
  /** CLOCK_MONOTONIC, µs. */
  nowUs(): number;
  /** Wall time, ns since 1970 (UTC). May jump. */
  wallTimeNs(): bigint;
  /** Calls `callback` once at or after `deadlineUs`; returns a function that cancels it. */
  at(deadlineUs: number, callback: () => void): () => void;
}

/** The process's real clock. Timers keep the process alive only while they are pending. */
export const systemClock: Clock = {
  nowUs() {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1e6 + nanoseconds / 1e3;
  },
  wallTimeNs: () => BigInt(Date.now()) * 1_000_000n,
  at(deadlineUs, callback) {
    let timer: NodeJS.Timeout;
    // Node counts a timer from when its loop last looked at the clock, which may be milliseconds ago: one that comes too early waits for the rest, or "at or after" would not be true.
    const wait = (): void => {
      timer = setTimeout(() => (systemClock.nowUs() < deadlineUs ? wait() : callback()), Math.max(0, Math.ceil((deadlineUs - systemClock.nowUs()) / 1e3)));
    };
    wait();
    return () => clearTimeout(timer);
  },
};

/** A clock that stands still until told otherwise; callbacks run in order of their deadlines inside `advance…`. */
export class ManualClock implements Clock {
  #nowUs: number;
  #wallOffsetNs: bigint;
  #nextId = 0;
  readonly #timers: { deadlineUs: number; id: number; callback: () => void }[] = [];

  constructor({ nowUs = 0, wallTimeNs = 1_700_000_000_000_000_000n }: { nowUs?: number; wallTimeNs?: bigint } = {}) {
    this.#nowUs = nowUs;
    this.#wallOffsetNs = wallTimeNs - BigInt(Math.round(nowUs * 1e3));
  }

  nowUs(): number {
    return this.#nowUs;
  }

  wallTimeNs(): bigint {
    return this.#wallOffsetNs + BigInt(Math.round(this.#nowUs * 1e3));
  }

  /** Moves wall time alone, as an NTP step does. */
  jumpWall(byNs: bigint): void {
    this.#wallOffsetNs += byNs;
  }

  at(deadlineUs: number, callback: () => void): () => void {
    const id = this.#nextId++;
    this.#timers.push({ deadlineUs, id, callback });
    return () => {
      const index = this.#timers.findIndex((timer) => timer.id === id);
      if (index >= 0) this.#timers.splice(index, 1);
    };
  }

  advanceMs(ms: number): void {
    this.advanceUs(ms * 1e3);
  }

  /** Moves time forward, stopping at each pending deadline to run its callback (also those set by callbacks on the way). */
  advanceUs(us: number): void {
    const endUs = this.#nowUs + us;
    for (;;) {
      let next = -1;
      for (let i = 0; i < this.#timers.length; i++) {
        const timer = this.#timers[i]!;
        if (timer.deadlineUs > endUs) continue;
        const best = next < 0 ? undefined : this.#timers[next]!;
        if (!best || timer.deadlineUs < best.deadlineUs || (timer.deadlineUs === best.deadlineUs && timer.id < best.id)) next = i;
      }
      if (next < 0) break;
      const [timer] = this.#timers.splice(next, 1);
      this.#nowUs = Math.max(this.#nowUs, timer!.deadlineUs);
      timer!.callback();
    }
    this.#nowUs = endUs;
  }
}

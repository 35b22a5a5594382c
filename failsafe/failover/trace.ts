/**
 * When a takeover came to which step, on the clock that all processes of the machine share: for status, and for whoever wants it faster. Pure.
 */
export const takeoverSteps = [
  /** The first sign: the active's main thread is gone, its link has ended, or it makes no progress. */ "noticed",
  /** SIGKILL has been sent. Only where the sign was none of death. */ "fenced",
  /** The kernel says that it is dead. */ "dead",
  /** Everything that it had written is known. */ "journalRead",
  /** Its lock is ours. */ "locked",
  /** Its clients' sessions, lanes and calls are ours. */ "restored",
  /** Clients are read, and new ones can connect. */ "listening",
  /** The first turn has sent something. */ "firstReply",
] as const;
export type TakeoverStep = (typeof takeoverSteps)[number];

export interface TakeoverReport {
  /** CLOCK_MONOTONIC at the first sign, µs. */
  noticedUs: number;
  /** µs from the first sign to each step that there was, in order. */
  stepsUs: Partial<Record<TakeoverStep, number>>;
}

export class TakeoverTrace {
  readonly #nowUs: () => number;
  readonly #marks: { step: TakeoverStep; atUs: number }[] = [];

  constructor(nowUs: () => number) {
    this.#nowUs = nowUs;
  }

  /** Each step counts once, and none after a later one: a link that ends behind the death says nothing new. */
  mark(step: TakeoverStep): void {
    const last = this.#marks.at(-1);
    if (last && takeoverSteps.indexOf(step) <= takeoverSteps.indexOf(last.step)) return;
    this.#marks.push({ step, atUs: this.#nowUs() });
  }

  /** undefined: nothing was taken over. */
  report(): TakeoverReport | undefined {
    const first = this.#marks[0];
    if (!first) return undefined;
    return { noticedUs: Math.round(first.atUs), stepsUs: Object.fromEntries(this.#marks.map(({ step, atUs }) => [step, Math.round(atUs - first.atUs)])) };
  }
}

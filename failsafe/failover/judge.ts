/**
 * Whether the active still makes progress. Pure: a counter and the time in, a verdict out.
 *
 * Timers never say that a process is dead, only that it is to be killed. And a judge that was late itself accuses nobody: if it was not asked for more than half the deadline, the
 * machine was busy or stopped, and the time that it missed counts for nothing. Nor does the time in which the active wanted to run and others had the processor, or a disk kept it waiting: it
 * is starved, not stuck (../watchdog/starvation.ts, decision 0040). Not for ever: beyond `PATIENCE` deadlines somebody else may have more luck.
 */
/** Deadlines. */
export const PATIENCE = 20;

export type Judgement = "fine" | "wasLate" | "late";

export class ProgressJudge {
  readonly #deadlineUs: number;
  #last: number | undefined;
  #changedUs = 0;
  #starvedThenUs = 0;
  #askedUs: number | undefined;
  /** How often the judge was late itself; only rises. */
  wasLate = 0;
  /** At the last look: for how long there had been no progress, and for how much of that it is excused, µs. */
  stillUs = 0;
  excusedUs = 0;

  constructor(deadlineMs: number) {
    this.#deadlineUs = deadlineMs * 1e3;
  }

  /** To be asked at least every quarter of the deadline. `starvedUs`: for how long the active could not go on, in all. */
  judge(progress: number, nowUs: number, starvedUs = 0): Judgement {
    const gapUs = nowUs - (this.#askedUs ?? nowUs);
    this.#askedUs = nowUs;
    if (progress !== this.#last) {
      this.#last = progress;
      this.#begin(nowUs, starvedUs);
      return "fine";
    }
    if (gapUs > this.#deadlineUs / 2) {
      this.wasLate += 1;
      this.#begin(nowUs, starvedUs);
      return "wasLate";
    }
    this.stillUs = nowUs - this.#changedUs;
    this.excusedUs = starvedUs - this.#starvedThenUs;
    return this.stillUs - this.excusedUs >= this.#deadlineUs || this.stillUs >= PATIENCE * this.#deadlineUs ? "late" : "fine";
  }

  #begin(nowUs: number, starvedUs: number): void {
    this.#changedUs = nowUs;
    this.#starvedThenUs = starvedUs;
  }
}

/**
 * Judges the counter of frames whose CRC was right. Only an accepted frame moves the reference, so that replaying an old frame cannot
 * open the window for those after it (and a frame with a wrong CRC never comes here). A sender that started anew is followed once
 * `resyncFrames` frames in unbroken sequence have come; the last of them is the first accepted.
 */
import { CheckResult } from "./status.ts";

export const RESYNC_FRAMES_DEFAULT = 3;

/** 3, or less where the counter is too short to tell a step of 3 from a step back. */
export function maxDeltaCounterDefault(counterCount: number): number {
  return Math.max(1, Math.min(3, counterCount - 2));
}

export class CounterJudge {
  readonly #counterCount: number;
  readonly #maxDelta: number;
  readonly #resyncFrames: number;
  /** The counter accepted last; −1 before the first frame. */
  #reference = -1;
  /** The newest counter outside the window, and how many led to it in unbroken sequence. */
  #candidate = -1;
  #run = 0;
  /** Frames missed just before the one judged last, where that can be told (0 after a resynchronisation). */
  lost = 0;
  /** How often a new sequence was adopted. Only rises. */
  resyncs = 0;

  constructor({ counterCount, maxDeltaCounter, resyncFrames }: { counterCount: number; maxDeltaCounter?: number | undefined; resyncFrames?: number | undefined }) {
    this.#counterCount = counterCount;
    this.#maxDelta = maxDeltaCounter ?? maxDeltaCounterDefault(counterCount);
    this.#resyncFrames = resyncFrames ?? RESYNC_FRAMES_DEFAULT;
  }

  /** Forget the sequence: the next frame is accepted as the first. */
  reset(): void {
    this.#reference = -1;
    this.#run = 0;
    this.lost = 0;
  }

  judge(counter: number): CheckResult {
    this.lost = 0;
    const count = this.#counterCount;
    if (count === 1) return CheckResult.ok;
    // P01 and P11 count 0…14 in four bits: no conforming sender sends 15.
    if (counter >= count) return this.#outside(-1);
    if (this.#reference < 0) return this.#accept(counter, CheckResult.ok);
    const step = counter - this.#reference;
    const delta = step < 0 ? step + count : step;
    if (delta === 0) {
      this.#run = 0;
      return CheckResult.repeated;
    }
    if (delta > this.#maxDelta) return this.#outside(counter);
    this.lost = delta - 1;
    return this.#accept(counter, delta === 1 ? CheckResult.ok : CheckResult.okSomeLost);
  }

  #accept(counter: number, result: CheckResult): CheckResult {
    this.#reference = counter;
    this.#run = 0;
    return result;
  }

  #outside(counter: number): CheckResult {
    const expected = this.#candidate + 1 === this.#counterCount ? 0 : this.#candidate + 1;
    if (counter < 0) this.#run = 0;
    else this.#run = this.#run > 0 && counter === expected ? this.#run + 1 : 1;
    this.#candidate = counter;
    if (this.#run < this.#resyncFrames) return CheckResult.wrongSequence;
    this.resyncs++;
    return this.#accept(counter, CheckResult.ok);
  }
}

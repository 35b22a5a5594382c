/** Passes at most `rateHzMax` samples a second and always, in the end, the newest: what is held back is replaced by what follows. Pure. */
export class RateGate<Item> {
  readonly #intervalUs: number;
  #nextUs = -Infinity;
  #held: Item | undefined;

  /** `rateHzMax` undefined: everything passes. */
  constructor(rateHzMax: number | undefined) {
    this.#intervalUs = rateHzMax === undefined ? 0 : 1e6 / rateHzMax;
  }

  /** Whether an item may pass now; otherwise `keep` makes the copy that is held for later. */
  offer(nowUs: number, keep: () => Item): boolean {
    if (nowUs >= this.#nextUs) {
      this.#advance(nowUs);
      this.#held = undefined;
      return true;
    }
    this.#held = keep();
    return false;
  }

  /** The held item, when its time has come. */
  take(nowUs: number): Item | undefined {
    if (this.#held === undefined || nowUs < this.#nextUs) return undefined;
    const item = this.#held;
    this.#held = undefined;
    this.#advance(nowUs);
    return item;
  }

  nextDeadlineUs(): number | undefined {
    return this.#held === undefined ? undefined : this.#nextUs;
  }

  #advance(nowUs: number): void {
    // Along the schedule while it is kept, from now after a pause.
    this.#nextUs = nowUs - this.#nextUs < this.#intervalUs ? this.#nextUs + this.#intervalUs : nowUs + this.#intervalUs;
  }
}

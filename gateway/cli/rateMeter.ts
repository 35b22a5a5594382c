/** Rate and regularity of one topic over its last messages. Times are the messages' own (µs), so that a busy terminal does not disturb the figure. Pure. */

export interface RateFigures {
  messages: number;
  /** Messages lost on the way to us, since the start. */
  lost: number;
  rateHz: number;
  intervalMsMin: number;
  intervalMsMax: number;
  intervalMsStdDev: number;
}

export class RateMeter {
  readonly #timesUs: number[] = [];
  readonly #window: number;
  #messages = 0;
  #lost = 0;

  /** `window`: intervals looked at. */
  constructor(window: number) {
    this.#window = window;
  }

  push(timeUs: number, lostBefore: number): void {
    this.#messages += 1;
    this.#lost += lostBefore;
    this.#timesUs.push(timeUs);
    if (this.#timesUs.length > this.#window + 1) this.#timesUs.shift();
  }

  /** Figures over the window; undefined before the second message. */
  figures(): RateFigures | undefined {
    const times = this.#timesUs;
    if (times.length < 2) return undefined;
    const intervals = times.slice(1).map((time, index) => (time - times[index]!) / 1000);
    const mean = intervals.reduce((sum, interval) => sum + interval, 0) / intervals.length;
    const variance = intervals.reduce((sum, interval) => sum + (interval - mean) ** 2, 0) / intervals.length;
    return {
      messages: this.#messages, lost: this.#lost, rateHz: mean > 0 ? 1000 / mean : Number.POSITIVE_INFINITY,
      intervalMsMin: Math.min(...intervals), intervalMsMax: Math.max(...intervals), intervalMsStdDev: Math.sqrt(variance),
    };
  }

  get messages(): number {
    return this.#messages;
  }
}

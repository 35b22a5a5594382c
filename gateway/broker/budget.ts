/** A token bucket: `perSecond` tokens flow in, at most `burst` are kept. Time is an argument. */
export class Budget {
  readonly #perUs: number;
  readonly #burst: number;
  #tokens: number;
  #atUs: number;

  constructor({ perSecond, burst, nowUs }: { perSecond: number; burst: number; nowUs: number }) {
    this.#perUs = perSecond / 1e6;
    this.#burst = burst;
    this.#tokens = burst;
    this.#atUs = nowUs;
  }

  /** Takes `cost` tokens if they are there. */
  take(cost: number, nowUs: number): boolean {
    this.#refill(nowUs);
    if (this.#tokens < cost) return false;
    this.#tokens -= cost;
    return true;
  }

  /** Takes `cost` tokens in any case and returns when the debt, if any, will be paid, µs; 0 = there is none. */
  charge(cost: number, nowUs: number): number {
    this.#refill(nowUs);
    this.#tokens -= cost;
    return this.#tokens >= 0 ? 0 : nowUs - this.#tokens / this.#perUs;
  }

  isFull(nowUs: number): boolean {
    this.#refill(nowUs);
    return this.#tokens >= this.#burst;
  }

  #refill(nowUs: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowUs - this.#atUs) * this.#perUs);
    this.#atUs = nowUs;
  }
}

/** What one offer grants each of its callers: calls at once, and a rate. Pure; forgets callers that have nothing under way and whose rate has recovered. */

/** A caller with a rate may have a tenth of a second of it at once: programs that do several things per turn are no flood. */
const BURST_US = 100_000;

interface Use {
  /** Calls under way. */
  running: number;
  /** When the rate would be used up to nothing if no call came (generic cell rate algorithm: theoretical arrival time). */
  dueUs: number;
}

export class CallerLimits {
  readonly #callsMax: number;
  readonly #periodUs: number;
  readonly #rememberMax: number;
  readonly #uses = new Map<string, Use>();

  constructor({ rateHzMax, callsMax, rememberMax }: { rateHzMax: number | undefined; callsMax: number | undefined; rememberMax: number }) {
    this.#periodUs = rateHzMax === undefined ? 0 : 1e6 / rateHzMax;
    this.#callsMax = callsMax ?? Number.POSITIVE_INFINITY;
    this.#rememberMax = rememberMax;
  }

  /** Callers remembered. */
  get size(): number {
    return this.#uses.size;
  }

  /** When `caller` may call next: ≤ nowUs at once, infinity: when one of its calls has ended. */
  readyUs(caller: string): number {
    const use = this.#uses.get(caller);
    if (!use) return 0;
    if (use.running >= this.#callsMax) return Number.POSITIVE_INFINITY;
    return use.dueUs - Math.max(0, BURST_US - this.#periodUs);
  }

  begin(caller: string, nowUs: number): void {
    if (this.#uses.size >= this.#rememberMax) this.#forget(nowUs);
    const use = this.#uses.get(caller) ?? { running: 0, dueUs: 0 };
    use.running += 1;
    use.dueUs = Math.max(use.dueUs, nowUs) + this.#periodUs;
    this.#uses.set(caller, use);
  }

  end(caller: string, nowUs: number): void {
    const use = this.#uses.get(caller);
    if (!use) return;
    use.running -= 1;
    if (use.running <= 0 && use.dueUs <= nowUs) this.#uses.delete(caller);
  }

  #forget(nowUs: number): void {
    for (const [caller, { running, dueUs }] of this.#uses) if (running <= 0 && dueUs <= nowUs) this.#uses.delete(caller);
  }
}

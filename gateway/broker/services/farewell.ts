/**
 * The gateway's own leaving: everybody is told when, may say "ready" or ask for more time, within a bound. Pure; the edge asks `over` after each event.
 * A program that says nothing is waited for until the time that it was given.
 */
export class Farewell {
  readonly #untilMaxUs: number;
  /** Who is still waited for, and until when. */
  readonly #awaited = new Map<number, number>();

  /** `moreMsMax`: how much longer than announced anybody may take. */
  constructor({ clients, untilUs, moreMsMax }: { clients: Iterable<number>; untilUs: number; moreMsMax: number }) {
    this.#untilMaxUs = untilUs + moreMsMax * 1e3;
    for (const client of clients) this.#awaited.set(client, untilUs);
  }

  /** It is prepared, or gone. */
  ready(client: number): void {
    this.#awaited.delete(client);
  }

  /** Asks for `forMs` from now on; returns what it was given, in ms from now on: less where the bound cuts it, 0 for who is not waited for any more. */
  moreTime(client: number, forMs: number, nowUs: number): number {
    const before = this.#awaited.get(client);
    if (before === undefined) return 0;
    const untilUs = Math.max(before, Math.min(nowUs + forMs * 1e3, this.#untilMaxUs));
    this.#awaited.set(client, untilUs);
    return Math.max(0, (untilUs - nowUs) / 1e3);
  }

  /** When the waiting is over: undefined = now, because everybody is ready. */
  get untilUs(): number | undefined {
    return this.#awaited.size === 0 ? undefined : Math.max(...this.#awaited.values());
  }

  over(nowUs: number): boolean {
    return this.untilUs === undefined || this.untilUs <= nowUs;
  }

  /** Who was not ready. */
  get late(): number[] {
    return [...this.#awaited.keys()];
  }
}

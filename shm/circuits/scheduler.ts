/**
 * Whose frame goes next: deficit round robin (Shreedhar & Varghese 1995). Each visit a circuit may send its weight in full frames; then it
 * waits for all others that have something to send. So between two visits lie at most the others' weights, whatever anybody queues.
 */
interface Entry {
  weight: number;
  /** Bytes it may still send in this visit. Below zero after a frame longer than that; the next visit pays. */
  deficitBytes: number;
}

export class Scheduler<T> {
  readonly #entries = new Map<T, Entry>();
  /** In the order of their turns; a Map's insertion order is the ring. */

  /** Gives `it` a turn behind the others, unless it has one. Weight is 2^priority. */
  add(it: T, priority: number): void {
    if (!this.#entries.has(it)) this.#entries.set(it, { weight: 2 ** priority, deficitBytes: 0 });
  }

  remove(it: T): void {
    this.#entries.delete(it);
  }

  /** Whose turn it is. Those for whom `ready` is false lose their place until added again. */
  next(ready: (it: T) => boolean): T | undefined {
    for (const it of this.#entries.keys()) {
      if (ready(it)) return it;
      this.#entries.delete(it);
    }
    return undefined;
  }

  /** Whether anybody is ready. */
  some(ready: (it: T) => boolean): boolean {
    return this.next(ready) !== undefined;
  }

  /** `it`, whose turn it was, sent a frame; a full one has `frameBytes`. */
  spent(it: T, bytes: number, frameBytes: number): void {
    const entry = this.#entries.get(it);
    if (!entry) return;
    if (entry.deficitBytes <= 0) entry.deficitBytes += entry.weight * frameBytes;
    entry.deficitBytes -= bytes;
    if (entry.deficitBytes > 0) return;
    this.#entries.delete(it);
    this.#entries.set(it, entry);
  }
}

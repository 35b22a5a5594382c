/**
 * Listeners of one kind of event, called in the order of registration. One that throws harms neither the others nor the caller: it is counted,
 * and its error kept for whoever looks.
 */
export class Listeners<Value> {
  readonly #listeners: { call: (value: Value) => void }[] = [];
  /** How many calls threw; only rises. */
  errors = 0;
  lastError: unknown;

  /** Returns a function that removes it; the same function may be added twice. */
  add(listener: (value: Value) => void): () => void {
    const entry = { call: listener };
    this.#listeners.push(entry);
    return () => {
      const at = this.#listeners.indexOf(entry);
      if (at >= 0) this.#listeners.splice(at, 1);
    };
  }

  /** `live` is asked before each call: a listener may have stopped the source. */
  call(value: Value, live: () => boolean = () => true): void {
    for (const { call } of this.#listeners.slice()) {
      if (!live()) return;
      try {
        call(value);
      } catch (error) {
        this.errors += 1;
        this.lastError = error;
      }
    }
  }
}

/** What a client is told without having asked, at most once per interval: the first of its kind at once, the rest counted. Pure. */
export interface Notice {
  status: number;
  text: string;
  count: number;
}

/** Kinds at a time; further ones share the last. */
const KINDS_MAX = 32;

export class Notices {
  #waiting = new Map<string, Notice>();
  #nextUs = -Infinity;
  readonly #intervalUs: number;

  constructor(intervalMs: number) {
    this.#intervalUs = intervalMs * 1e3;
  }

  add(status: number, text: string): void {
    const kind = `${status} ${text}`;
    const same = this.#waiting.get(kind) ?? (this.#waiting.size >= KINDS_MAX ? [...this.#waiting.values()].at(-1) : undefined);
    if (same) same.count += 1;
    else this.#waiting.set(kind, { status, text, count: 1 });
  }

  /** What is to be sent now. */
  take(nowUs: number): Notice[] {
    if (this.#waiting.size === 0 || nowUs < this.#nextUs) return [];
    const notices = [...this.#waiting.values()];
    this.#waiting = new Map();
    this.#nextUs = nowUs + this.#intervalUs;
    return notices;
  }

  /** When to ask again, µs; undefined while nothing waits. */
  get dueUs(): number | undefined {
    return this.#waiting.size === 0 ? undefined : this.#nextUs;
  }
}

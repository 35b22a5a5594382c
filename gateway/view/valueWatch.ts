/**
 * Turns messages into the moving values of the live view: one per numeric, boolean or text field of the topics it is fed.
 * Bounded: at most `valuesMax` values, each with its last `historyMax` samples; fields beyond are counted, not kept.
 */
import type { WatchedValue } from "./sections.ts";

export interface WatchedMessage {
  topic: string;
  value: unknown;
  timeUs: number;
  quality: "good" | "stale" | "bad";
}

interface Entry {
  label: string;
  value: number | string | boolean;
  history: number[];
  timeUs: number;
  quality: WatchedMessage["quality"];
}

export interface ValueWatchOptions {
  /** Only these fields; absent or empty: all. */
  fields?: readonly string[];
  valuesMax?: number;
  historyMax?: number;
  /** Without a message for so long a value is shown as stale. */
  staleAfterMs?: number;
}

export class ValueWatch {
  readonly #entries = new Map<string, Entry>();
  readonly #fields: ReadonlySet<string>;
  readonly #valuesMax: number;
  readonly #historyMax: number;
  readonly #staleAfterUs: number;
  #leftOut = 0;

  constructor({ fields = [], valuesMax = 256, historyMax = 60, staleAfterMs = 2000 }: ValueWatchOptions = {}) {
    this.#fields = new Set(fields);
    this.#valuesMax = valuesMax;
    this.#historyMax = historyMax;
    this.#staleAfterUs = staleAfterMs * 1000;
  }

  /** Samples that were left out because there were too many different fields. */
  get leftOut(): number {
    return this.#leftOut;
  }

  push({ topic, value, timeUs, quality }: WatchedMessage): void {
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
    const name = topic.slice(topic.lastIndexOf("/") + 1);
    for (const [field, member] of Object.entries(value)) {
      if (this.#fields.size > 0 && !this.#fields.has(field)) continue;
      const shown = typeof member === "bigint" ? Number(member) : (member as unknown);
      if (typeof shown !== "number" && typeof shown !== "string" && typeof shown !== "boolean") continue;
      const key = `${topic} ${field}`;
      let entry = this.#entries.get(key);
      if (!entry) {
        if (this.#entries.size >= this.#valuesMax) {
          this.#leftOut += 1;
          continue;
        }
        this.#entries.set(key, (entry = { label: `${name} ${field}`, value: shown, history: [], timeUs, quality }));
      }
      Object.assign(entry, { value: shown, timeUs, quality });
      if (typeof shown === "number") entry.history.push(shown);
      if (entry.history.length > this.#historyMax) entry.history.shift();
    }
  }

  /** The values now, in the order of their keys (topic, field), so that none changes its place. */
  values(nowUs: number): WatchedValue[] {
    return [...this.#entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => ({
      label: entry.label, value: entry.value, history: entry.history,
      quality: entry.quality === "good" && nowUs - entry.timeUs > this.#staleAfterUs ? "stale" : entry.quality,
      decimals: typeof entry.value === "number" && Number.isInteger(entry.value) && entry.history.every(Number.isInteger) ? 0 : 3,
    }));
  }
}

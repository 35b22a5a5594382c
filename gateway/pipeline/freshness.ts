/** Which topics have grown stale: a value whose time has passed says nothing, however good it was. Pure. */
import type { Topic, TopicTable } from "../topics/table.ts";

/** How often to ask, ms: a tenth of the shortest default timeout would be 2 ms; 5 ms is late by at most a quarter of it. */
export const FRESHNESS_PERIOD_MS = 5;

export class FreshnessMonitor {
  readonly #topics: readonly Topic[];

  /** Looks only at topics that have a timeout and are declared by now. */
  constructor(table: TopicTable) {
    this.#topics = [...table.entries()].filter((topic) => topic.timeoutUs !== Infinity);
  }

  /** Marks and returns what became stale since the last call. */
  poll(nowUs: number): Topic[] {
    const stale: Topic[] = [];
    for (const topic of this.#topics) {
      if (topic.quality === 1 || topic.sequence === 0 || nowUs - topic.timeUs <= topic.timeoutUs) continue;
      topic.quality = 1;
      stale.push(topic);
    }
    return stale;
  }
}

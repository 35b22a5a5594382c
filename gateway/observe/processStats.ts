/** What the process itself costs: memory, processor time, and how late its event loop is. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { StatusReport } from "../../schemas/messages/statusReport.ts";

/** Resolution of the delay histogram, ms. Its timer fires that often, so it is not free: at 5 ms it costs about 0.1 % of a core. */
const RESOLUTION_MS = 5;

export class ProcessStats {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #cpu = process.cpuUsage();
  #cpuPercent = 0;
  #delayP99Us = 0;

  start(): void {
    this.#delay.enable();
  }

  stop(): void {
    this.#delay.disable();
  }

  /** Closes a counting interval of `seconds`. */
  closeInterval(seconds: number): void {
    const used = process.cpuUsage(this.#cpu);
    this.#cpu = process.cpuUsage();
    this.#cpuPercent = ((used.user + used.system) / (seconds * 1e6)) * 100;
    // The histogram counts the timer's own period in.
    this.#delayP99Us = Math.max(0, this.#delay.percentile(99) / 1e3 - RESOLUTION_MS * 1e3);
    this.#delay.reset();
  }

  report(): StatusReport["process"] {
    const { rss, heapUsed } = process.memoryUsage();
    return { rssBytes: rss, heapUsedBytes: heapUsed, cpuPercent: this.#cpuPercent, eventLoopDelayP99Us: this.#delayP99Us };
  }
}

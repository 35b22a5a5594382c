/** Loaded into the gateway's process (`node --import`) where a bench wants to know its pauses; the gateway knows nothing of it. */
import { monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks";
import { serve } from "./rpc.ts";

export interface Pauses {
  /** Longest and 99th percentile of how late the event loop was, µs. */
  loopDelayMaxUs: number;
  loopDelayP99Us: number;
  collections: number;
  collectionMaxUs: number;
  collectionSumUs: number;
  heapUsedBytes: number;
}

/** The finest there is; the histogram counts this period in. */
const RESOLUTION_MS = 1;
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
let collectionsMs: number[] = [];
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) collectionsMs.push(duration);
}).observe({ entryTypes: ["gc"] });

serve({
  begin() {
    collectionsMs = [];
    delay.reset();
    delay.enable();
  },
  end: (): Pauses => {
    delay.disable();
    const late = (ns: number): number => Math.max(0, ns / 1e3 - RESOLUTION_MS * 1e3);
    return {
      loopDelayMaxUs: late(delay.max), loopDelayP99Us: late(delay.percentile(99)), collections: collectionsMs.length,
      collectionMaxUs: Math.max(0, ...collectionsMs) * 1e3, collectionSumUs: collectionsMs.reduce((sum, ms) => sum + ms, 0) * 1e3, heapUsedBytes: process.memoryUsage().heapUsed,
    };
  },
}, { quiet: true });

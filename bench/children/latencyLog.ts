/** Latencies of one window of time. */
import { quantile } from "../harness.ts";

export interface Quantiles {
  count: number;
  p50: number;
  p99: number;
  p999: number;
  max: number;
  /** Median over stretches of 1,000 samples of each stretch's p99: one long wait for a core spoils one stretch, not the figure. */
  typicalP99: number;
}

/** µs, from the sender's send and from the bus's time stamp. */
export interface Latencies {
  sinceSent: Quantiles;
  sinceReceived: Quantiles;
}

const SAMPLES_MAX = 1_000_000;
const STRETCH = 1_000;

export class LatencyLog {
  readonly #sinceSent = new Float64Array(SAMPLES_MAX);
  readonly #sinceReceived = new Float64Array(SAMPLES_MAX);
  #count = 0;

  /** `sentUs` modulo 2^32. */
  add(sentUs: number, receivedUs: number, nowUs: number): void {
    if (this.#count >= SAMPLES_MAX) return;
    this.#sinceSent[this.#count] = ((nowUs >>> 0) - sentUs) >>> 0;
    this.#sinceReceived[this.#count] = nowUs - receivedUs;
    this.#count += 1;
  }

  quantiles(): Latencies {
    return { sinceSent: quantiles(this.#sinceSent.slice(0, this.#count)), sinceReceived: quantiles(this.#sinceReceived.slice(0, this.#count)) };
  }
}

function quantiles(values: Float64Array): Quantiles {
  const stretches = Array.from({ length: Math.floor(values.length / STRETCH) }, (_, i) => quantile(values.slice(i * STRETCH, (i + 1) * STRETCH).sort(), 0.99)).sort((a, b) => a - b);
  const sorted = values.sort();
  return { count: sorted.length, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), p999: quantile(sorted, 0.999), max: sorted.at(-1) ?? Number.NaN, typicalP99: quantile(stretches, 0.5) };
}

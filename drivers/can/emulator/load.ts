/** How busy a bus was lately: busy time in buckets of 100 ms, the last second of it. */
const BUCKET_US = 100_000;
const BUCKETS = 11;

export class LoadMeter {
  readonly #busyUs = new Float64Array(BUCKETS);
  readonly #bucketOf = new Float64Array(BUCKETS).fill(-1);

  /** The bus was busy from `startUs` to `endUs`; calls come in order of time. */
  add(startUs: number, endUs: number): void {
    for (let fromUs = startUs; fromUs < endUs; ) {
      const bucket = Math.floor(fromUs / BUCKET_US);
      const toUs = Math.min(endUs, (bucket + 1) * BUCKET_US);
      const slot = bucket % BUCKETS;
      if (this.#bucketOf[slot] !== bucket) {
        this.#bucketOf[slot] = bucket;
        this.#busyUs[slot] = 0;
      }
      this.#busyUs[slot]! += toUs - fromUs;
      fromUs = toUs;
    }
  }

  /** Share of the ten whole buckets before the running one that was busy, 0…1. */
  load(nowUs: number): number {
    const running = Math.floor(nowUs / BUCKET_US);
    let busyUs = 0;
    for (let slot = 0; slot < BUCKETS; slot++) {
      const age = running - this.#bucketOf[slot]!;
      if (age >= 1 && age <= 10) busyUs += this.#busyUs[slot]!;
    }
    return busyUs / (10 * BUCKET_US);
  }
}

/** A machine's monotonic clock: its own rate, and jumps forward (a virtual machine that was paused, a suspend that counts). Never backwards. */
export class DriftingClock {
  readonly #rate: number;
  #offsetUs: number;

  /** `ppm`: how much faster than true time. */
  constructor({ ppm, offsetUs }: { ppm: number; offsetUs: number }) {
    this.#rate = 1 + ppm / 1e6;
    this.#offsetUs = offsetUs;
  }

  /** What it shows at true time `trueUs`, µs. */
  read(trueUs: number): number {
    return Math.floor(trueUs * this.#rate + this.#offsetUs);
  }

  /** When it will show `ownUs` (if it does not jump): true time, rounded up. */
  trueOf(ownUs: number): number {
    return Math.ceil((ownUs - this.#offsetUs) / this.#rate);
  }

  jump(byUs: number): void {
    this.#offsetUs += Math.max(0, byUs);
  }
}

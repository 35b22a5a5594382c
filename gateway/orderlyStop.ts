/** Performs the phases of an end (`failsafe/shutdown/phases`): tells the programs, starts the pose, waits for what the phase waits for. */
import { stepShutdown, type ShutdownEvent, type ShutdownPhase } from "../failsafe/shutdown/phases.ts";
import type { Clock } from "../schemas/clock.ts";

export interface OrderlyStopParts<Verdict> {
  clock: Clock;
  /** Time for programs before the pose begins; 0: it begins at once. */
  prepareMs: number;
  /** The most that programs can be given beyond it. */
  moreMsMax: number;
  /** How long programs have beside the pose when there is no time before it. */
  besideMs: number;
  /** Nobody is told and nobody is waited for. */
  compromised: boolean;
  /** Tells everybody; resolves when all are ready or gone, or had their time. Never rejects. */
  sayFarewell(deadlineMs: number): Promise<void>;
  startPose(): Promise<Verdict>;
}

/** Begins when it is made. */
export class OrderlyStop<Verdict> {
  /** Resolves with the pose's verdict when everything is over. */
  readonly over: Promise<Verdict>;
  readonly #parts: OrderlyStopParts<Verdict>;
  #phase: ShutdownPhase = "running";
  #verdict: Promise<Verdict> | undefined;
  #resolve!: (verdict: Promise<Verdict>) => void;
  #reject!: (error: unknown) => void;
  #cancelExpiry = (): void => undefined;

  constructor(parts: OrderlyStopParts<Verdict>) {
    this.#parts = parts;
    this.over = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const { clock, prepareMs, moreMsMax, compromised } = parts;
    if (prepareMs > 0 && !compromised) this.#cancelExpiry = clock.at(clock.nowUs() + (prepareMs + moreMsMax) * 1e3, () => this.happened("expired"));
    this.happened(compromised ? "compromised" : prepareMs > 0 ? "asked" : "askedAtOnce");
  }

  get phase(): ShutdownPhase {
    return this.#phase;
  }

  happened(event: ShutdownEvent): void {
    const { to, do: effects } = stepShutdown(this.#phase, event);
    this.#phase = to;
    for (const effect of effects) {
      switch (effect) {
        case "tell":
          this.#tell();
          break;
        case "startPose":
          this.#startPose();
          break;
        case "end":
          this.#cancelExpiry();
          this.#resolve(this.#verdict!);
          break;
        default:
          effect satisfies never;
      }
    }
  }

  #tell(): void {
    const { prepareMs, besideMs, sayFarewell } = this.#parts;
    void sayFarewell(prepareMs > 0 ? prepareMs : besideMs).then(() => this.happened("quiet"), this.#reject);
  }

  #startPose(): void {
    this.#verdict = this.#parts.startPose();
    const verdict = this.#verdict;
    // Of a severer one that took over meanwhile the later verdict counts.
    void verdict.then(() => verdict === this.#verdict && this.happened("posed"), this.#reject);
  }
}

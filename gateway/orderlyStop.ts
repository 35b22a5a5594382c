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
  /** Tells everybody; resolves when all are ready or gone, or had their time. Never rejects. */
  sayFarewell(deadlineMs: number): Promise<void>;
  startPose(): Promise<Verdict>;
}

/** Resolves with the pose's verdict when everything is over. */
export function orderlyStop<Verdict>({ clock, prepareMs, moreMsMax, besideMs, sayFarewell, startPose }: OrderlyStopParts<Verdict>): Promise<Verdict> {
  return new Promise((resolve, reject) => {
    let phase: ShutdownPhase = "running";
    let verdict: Promise<Verdict> | undefined;
    let cancelExpiry = (): void => undefined;
    const happened = (event: ShutdownEvent): void => {
      const { to, do: effects } = stepShutdown(phase, event);
      phase = to;
      for (const effect of effects) {
        switch (effect) {
          case "tell":
            void sayFarewell(prepareMs > 0 ? prepareMs : besideMs).then(() => happened("quiet"), reject);
            break;
          case "startPose":
            verdict = startPose();
            void verdict.then(() => happened("posed"), reject);
            break;
          case "end":
            cancelExpiry();
            resolve(verdict!);
            break;
          default:
            effect satisfies never;
        }
      }
    };
    if (prepareMs > 0) cancelExpiry = clock.at(clock.nowUs() + (prepareMs + moreMsMax) * 1e3, () => happened("expired"));
    happened(prepareMs > 0 ? "asked" : "askedAtOnce");
  });
}

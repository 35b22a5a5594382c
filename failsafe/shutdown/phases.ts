/**
 * The order in which a gateway ends. Pure: the edge says what happened and does what comes back.
 *
 * In order (service stop, operating system): everybody is told (`leaving`, with a deadline), may prepare itself, may ask for more time within a bound; then the pose begins (GO). Without a time to prepare the pose begins at
 * once, and programs prepare themselves beside it. Compromised: nobody is asked and nobody is waited for; the pose begins at this instant, also out of any other phase. A trigger that starts a pose meanwhile waits for nobody
either: it is GO. Who asks a second time is in a hurry: the time of the programs is over, the pose is not cut short.
 *
 * Invariants: the pose begins, and never later than `prepareMs` and the bound for more time after it was asked for, whatever anybody says or does not say; after a compromise nothing is waited for but the pose; the end comes
 * once, and never before the pose has its verdict.
 */
export type ShutdownPhase =
  /** Nothing was asked. */
  | "running"
  /** PREPARE: everybody was told; the robot is still in their hands. */
  | "preparing"
  /** GO: the pose runs; programs that are not ready may go on preparing themselves. */
  | "posing"
  /** The pose runs, and nobody is waited for. */
  | "posingAlone"
  /** The pose is over; somebody is still preparing. */
  | "leaving"
  | "over";

export type ShutdownEvent =
  /** To stop, with time to prepare. */
  | "asked"
  /** To stop, the pose first; or a pose has begun for another reason. */
  | "askedAtOnce"
  /** Asked for once more. */
  | "hurried"
  | "compromised"
  /** Everybody is ready or gone, or had its time. */
  | "quiet"
  /** The longest time that anybody can be given is over. */
  | "expired"
  /** The pose has its verdict. */
  | "posed";

export type ShutdownEffect =
  /** Say `leaving` to everybody; the answer is "quiet". */
  | "tell"
  /** Start the pose of the reason; a pose that runs is taken over or joined. The answer is "posed". */
  | "startPose"
  | "end";

interface Cell { to: ShutdownPhase; do: readonly ShutdownEffect[] }
const stay = "ignore";
const alone: Cell = { to: "posingAlone", do: ["startPose"] };
const end: Cell = { to: "over", do: ["end"] };

/** Total: every phase × event. */
export const shutdownTable = {
  running: { asked: { to: "preparing", do: ["tell"] }, askedAtOnce: { to: "posing", do: ["startPose", "tell"] }, hurried: stay, compromised: alone, quiet: stay, expired: stay, posed: stay },
  preparing: { asked: stay, askedAtOnce: { to: "posing", do: ["startPose"] }, hurried: alone, compromised: alone, quiet: alone, expired: alone, posed: stay },
  posing: { asked: stay, askedAtOnce: stay, hurried: { to: "posingAlone", do: [] }, compromised: alone, quiet: { to: "posingAlone", do: [] }, expired: stay, posed: { to: "leaving", do: [] } },
  posingAlone: { asked: stay, askedAtOnce: stay, hurried: stay, compromised: alone, quiet: stay, expired: stay, posed: end },
  leaving: { asked: stay, askedAtOnce: stay, hurried: end, compromised: end, quiet: end, expired: stay, posed: stay },
  over: { asked: stay, askedAtOnce: stay, hurried: stay, compromised: stay, quiet: stay, expired: stay, posed: stay },
} as const satisfies Record<ShutdownPhase, Record<ShutdownEvent, Cell | "ignore">>;

export function stepShutdown(phase: ShutdownPhase, event: ShutdownEvent): { to: ShutdownPhase; do: readonly ShutdownEffect[] } {
  const cell: Cell | "ignore" = shutdownTable[phase][event];
  return cell === "ignore" ? { to: phase, do: [] } : cell;
}

/**
 * Whether anything may move: the gateway's one state, as a total table. Pure: `step(state, event)` names the next state and the effects;
 * who holds the state (the gateway today, a process of its own later) performs them.
 *
 * Invariants: only `armed` lets commands pass; `armed` is entered by an explicit request alone, and only when nothing is missing;
 * the safe pose pre-empts everything; after a safe pose that failed only a reset by an operator leads on, and never straight to `armed`
 * (ISO 10218-1: a reset permits a restart, it does not cause one).
 */
export type ArmingState = "disarmed" | "armed" | "safePose" | "posed" | "fault";

export type ArmingEvent =
  /** An operator asks, and the list of what is missing is empty. */
  | "armGranted"
  | "disarm"
  /** Stop button, Ctrl-C, service stop, operator. */
  | "safePose"
  /** A required node, its bus or the commands' source was lost while something may move. */
  | "lost"
  /** The pose was reached and measured. */
  | "poseReached"
  /** A step failed, the budget ran out, or not everything was measured. */
  | "poseFailed"
  /** An operator acknowledges. */
  | "reset";

export type ArmingEffect = "acceptCommands" | "refuseCommands" | "startSafePose" | "publishState";

interface Cell {
  to: ArmingState;
  do: readonly ArmingEffect[];
}

const stay = "ignore";
const pose: Cell = { to: "safePose", do: ["refuseCommands", "startSafePose", "publishState"] };
const refuse = (to: ArmingState): Cell => ({ to, do: ["refuseCommands", "publishState"] });

export const armingTable = {
  disarmed: { armGranted: { to: "armed", do: ["acceptCommands", "publishState"] }, disarm: stay, safePose: pose, lost: stay, poseReached: stay, poseFailed: stay, reset: stay },
  armed: { armGranted: stay, disarm: refuse("disarmed"), safePose: pose, lost: pose, poseReached: stay, poseFailed: stay, reset: stay },
  // A running pose is never cut short by anything but its own end: a second trigger finds it already on its way.
  safePose: { armGranted: stay, disarm: stay, safePose: stay, lost: stay, poseReached: refuse("posed"), poseFailed: refuse("fault"), reset: stay },
  posed: { armGranted: stay, disarm: stay, safePose: pose, lost: stay, poseReached: stay, poseFailed: stay, reset: refuse("disarmed") },
  fault: { armGranted: stay, disarm: stay, safePose: pose, lost: stay, poseReached: stay, poseFailed: stay, reset: refuse("disarmed") },
} as const satisfies Record<ArmingState, Record<ArmingEvent, Cell | "ignore">>;

export function stepArming(state: ArmingState, event: ArmingEvent): { to: ArmingState; do: readonly ArmingEffect[] } {
  const cell: Cell | "ignore" = armingTable[state][event];
  return cell === "ignore" ? { to: state, do: [] } : cell;
}

/** What a successor has to know of the robot itself, under the key `robot`: its state and the reason that people were told, which nodes are there, and whose firmware is being replaced. */
import type { ArmingState } from "../../failsafe/arming/machine.ts";
import type { Inheritance } from "../../failsafe/failover/inheritance.ts";
import type { Keeper } from "../../failsafe/failover/keeper.ts";
import type { NodeState } from "../../schemas/messages/statusReport.ts";
import type { NodeCare } from "../nodes/care.ts";
import type { NodeMonitor } from "../nodes/monitor.ts";
import type { SupervisorPort } from "../supervisor/port.ts";

interface RobotState {
  state: ArmingState;
  reason: string;
  nodes: Record<string, NodeState>;
  /** Nodes whose firmware is being replaced. */
  updating?: string[];
}

export interface Robot {
  supervisor: SupervisorPort;
  nodes: NodeMonitor;
  care: Pick<NodeCare, "updating" | "wereCut">;
}

/** To be called when anything of it has changed. */
export function noteRobot(keeper: Keeper, { supervisor, nodes, care }: Robot): void {
  keeper.note("robot", (): RobotState => ({ state: supervisor.state, reason: supervisor.reason, nodes: nodes.states(), updating: care.updating() }));
}

/** Goes on with what a predecessor has left; returns the state that it was in, undefined: it has not said. */
export function restoreRobot(inheritance: Inheritance | undefined, { supervisor, nodes, care }: Robot, nowUs: number): ArmingState | undefined {
  const [noted] = inheritance ? [...inheritance.states("robot")] : [];
  const before = noted?.state as RobotState | undefined;
  if (before) nodes.restore(before.nodes, nowUs);
  supervisor.takenOver(before && { state: before.state, reason: before.reason }, nowUs);
  if (before?.updating) care.wereCut(before.updating);
  return before?.state;
}

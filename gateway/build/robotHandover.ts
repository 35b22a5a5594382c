/** What a successor has to know of the robot itself, under the key `robot`: its state and the reason that people were told, and which nodes are there. */
import type { ArmingState } from "../../failsafe/arming/machine.ts";
import type { Inheritance } from "../../failsafe/failover/inheritance.ts";
import type { Keeper } from "../../failsafe/failover/keeper.ts";
import type { NodeState } from "../../schemas/messages/statusReport.ts";
import type { NodeMonitor } from "../nodes/monitor.ts";
import type { SupervisorPort } from "../supervisor/port.ts";

interface RobotState {
  state: ArmingState;
  reason: string;
  nodes: Record<string, NodeState>;
}

export interface Robot {
  supervisor: SupervisorPort;
  nodes: NodeMonitor;
}

/** To be called when anything of it has changed. */
export function noteRobot(keeper: Keeper, { supervisor, nodes }: Robot): void {
  keeper.note("robot", (): RobotState => ({ state: supervisor.state, reason: supervisor.reason, nodes: nodes.states() }));
}

/** Goes on with what a predecessor has left; returns the state that it was in, undefined: it has not said. */
export function restoreRobot(inheritance: Inheritance | undefined, { supervisor, nodes }: Robot, nowUs: number): ArmingState | undefined {
  const [noted] = inheritance ? [...inheritance.states("robot")] : [];
  const before = noted?.state as RobotState | undefined;
  if (before) nodes.restore(before.nodes, nowUs);
  supervisor.takenOver(before && { state: before.state, reason: before.reason }, nowUs);
  return before?.state;
}

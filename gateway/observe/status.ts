/** Puts the picture of the gateway together (`schemas/messages/statusReport.ts`) from what each part reports of itself. */
import type { ClientReport, GatewayState, LaneReport, NodeReport, PolicyReport, QuotaReport, ReflexReport, RejectReport, StatusReport, SupervisionReport } from "../../schemas/messages/statusReport.ts";
import type { PoseCause } from "../../failsafe/shutdown/cause.ts";
import type { Link } from "../links/link.ts";

export interface GatewayIdentity {
  robot: string;
  version: string;
  instance: string;
  boot: string;
}

export interface StatusParts {
  identity: GatewayIdentity;
  startedUs: number;
  state(): GatewayState;
  stateReason(): string;
  cause(): PoseCause | undefined;
  missing(): string[];
  links: readonly Link[];
  nodes(nowUs: number): NodeReport[];
  rejects(nowUs: number): RejectReport[];
  clients(): ClientReport[];
  policy(): PolicyReport;
  quota(): QuotaReport;
  lanes(): readonly LaneReport[];
  services(): Readonly<Record<string, number>>;
  reflexes(): readonly ReflexReport[];
  supervision(): SupervisionReport | undefined;
  epoch(): number;
  topicCount(): number;
  process(): StatusReport["process"];
}

function poseReport({ cause, state }: StatusParts, nowUs: number): Pick<StatusReport, "pose"> {
  const found = cause();
  if (!found) return {};
  const { trigger, why, atUs, latched } = found;
  return { pose: { trigger, why, msAgo: (nowUs - atUs) / 1e3, latched, reset: `${state() === "safePose" ? "when the pose is over, " : ""}somebody who may call gateway/reset looks after it: ipcnet reset` } };
}

export function buildStatus(parts: StatusParts, nowUs: number): StatusReport {
  const refused: Record<string, number> = {};
  let sent = 0;
  for (const { path } of parts.links) {
    if (!path) continue;
    sent += path.counters.sent;
    for (const [reason, count] of Object.entries(path.refused)) refused[reason] = (refused[reason] ?? 0) + count;
  }
  const supervision = parts.supervision();
  return {
    ...parts.identity, pid: process.pid, uptimeMs: (nowUs - parts.startedUs) / 1e3, epoch: parts.epoch(),
    state: parts.state(), stateReason: parts.stateReason(), ...poseReport(parts, nowUs), missingForArming: parts.missing(),
    links: parts.links.map((link) => link.report(nowUs)),
    nodes: parts.nodes(nowUs), rejects: parts.rejects(nowUs), clients: parts.clients(), policy: parts.policy(), quota: parts.quota(), lanes: parts.lanes(), services: parts.services(),
    reflexes: parts.reflexes(), ...(supervision ? { supervision } : {}), commands: { sent, refused }, topics: parts.topicCount(), process: parts.process(),
  };
}

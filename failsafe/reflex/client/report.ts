/** What people are told of each reflex. */
import type { ReflexReport } from "../../../schemas/messages/statusReport.ts";
import type { ReflexEnd } from "./end.ts";
import { features, refusedCounts, roles } from "./status.ts";

const US_PER_MS = 1e3;

export function reflexReport(end: ReflexEnd): ReflexReport {
  const { instance, status } = end;
  if (!status || !end.isReady) {
    return {
      instance, there: false, reason: end.isReady ? "it has not told of itself yet" : end.why, role: "", epoch: 0, pid: 0, uptimeMs: 0, tableIsOurs: false, healthy: false, realtime: false, watchdog: false, twinSeenMsAgo: undefined,
      lateTurns: 0, turnMsMax: 0, takeovers: 0, plansRun: 0, plansResumed: 0, sentFrames: 0, refused: {},
    };
  }
  const has = (feature: number): boolean => (status.features & feature) !== 0;
  return {
    instance, there: true, reason: "", role: roles[status.role] ?? "", epoch: status.epoch, pid: status.pid, uptimeMs: (status.nowUs - status.startedUs) / US_PER_MS, tableIsOurs: end.tableIsOurs, healthy: status.healthy !== 0,
    realtime: has(features.realtime), watchdog: has(features.watchdog), twinSeenMsAgo: status.twinPid === 0 ? undefined : Math.max(0, status.nowUs - status.twinSeenUs) / US_PER_MS,
    lateTurns: status.lateTurns, turnMsMax: status.turnUsMax / US_PER_MS, takeovers: status.takeovers, plansRun: status.plansRun, plansResumed: status.plansResumed, sentFrames: status.sentFrames, refused: refusedCounts(status),
  };
}

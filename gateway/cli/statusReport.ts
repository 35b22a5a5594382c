/** Asks the gateway for its status; refuses an answer of another shape, since an answer is input like any other. */
import type { StatusReport } from "../../schemas/messages/statusReport.ts";
import type { Client } from "./client.ts";
import { CliError, ExitCode } from "./command.ts";
import { gatewayLooks } from "../view/states.ts";

const lists = ["missingForArming", "links", "nodes", "rejects", "clients"] as const;

export async function askStatus(client: Client): Promise<StatusReport> {
  const answer = await client.request("gateway/status", undefined, { timeoutMs: 2000 });
  const report = answer as StatusReport;
  const whole = typeof answer === "object" && answer !== null && Object.hasOwn(gatewayLooks, report.state) && lists.every((name) => Array.isArray(report[name]))
    && typeof report.commands === "object" && typeof report.process === "object" && typeof report.policy === "object" && typeof report.quota === "object";
  if (!whole) throw new CliError(ExitCode.problem, "the gateway's status has a shape that this version of ipcnet does not know", "use the ipcnet command of the gateway's own version");
  return report;
}

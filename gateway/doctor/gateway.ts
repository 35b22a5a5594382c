/** The running gateway, as the doctor is told about it: asking is the caller's, who has the connection. */
import type { ReflexReport } from "../../schemas/messages/statusReport.ts";
import { checker, type Check } from "./check.ts";

const { ok, warning, problem, unknown } = checker("gateway");

export type GatewayAnswer =
  | { reached: true; version: string; findings: readonly { severity: "bad" | "warn"; text: string }[]; reflexes: readonly ReflexReport[] }
  | { reached: false; permitted: boolean; reason: string };

export function gatewayChecks(answer: GatewayAnswer, ownVersion: string): Check[] {
  if (!answer.reached) {
    const evidence = `no gateway can be reached: ${answer.reason}`;
    const running = answer.permitted
      ? warning("running", evidence, "npm start, or ipcnetd --config FILE; a gateway elsewhere: --socket PATH or IPCNET_SOCKET")
      : problem("running", evidence, "sudo usermod -aG ipcnet \"$USER\", then log in again");
    return [running, unknown("health", "not asked: no gateway can be reached")];
  }
  const version = answer.version === ownVersion
    ? ok("version", ownVersion)
    : warning("version", `the gateway is version ${answer.version}, this command ${ownVersion}`, "use the ipcnet command of the gateway's version");
  const worst = answer.findings[0];
  const health = worst === undefined ? ok("health", "all links and nodes are well")
    : (worst.severity === "bad" ? problem : warning)("health", answer.findings.map(({ text }) => text).join("; "), "ipcnet status shows the whole picture");
  return [ok("running", "a gateway answers"), version, health];
}

/**
 * Taking over a changed configuration while running: judged as at the start, and then all or nothing. What can change at once (who may do what, when
 * to disarm by itself) does; anything else is listed with the words "restart needed", and the old configuration goes on.
 */
import { Status } from "../../schemas/status.ts";
import { diffConfig } from "../../schemas/messages/diffConfig.ts";
import type { Config } from "../../schemas/messages/config.ts";
import type { ServiceReply } from "../front/services.ts";
import { loadConfiguration, type AcceptedConfig } from "./configuration.ts";

/** First part of the paths that are applied at once. */
const appliedAtOnce: ReadonlySet<string> = new Set(["readers", "operators", "policy", "arming", "resources"]);

/** Returns what answers the service; `apply` is called only when every change can be applied at once. */
export function reloadConfiguration(current: AcceptedConfig & { policyHash: string | undefined }, file: string, apply: (accepted: AcceptedConfig) => void): ServiceReply {
  const loaded = loadConfiguration(file);
  if (!loaded.ok) return { status: Status.unprocessableContent, text: `refused, the running configuration goes on:\n${loaded.text}`, body: { faults: loaded.result?.faults ?? [] } };
  const { accepted } = loaded;
  const policyChanged = accepted.parts.policy?.hash !== current.policyHash;
  if (accepted.hash === current.hash && !policyChanged) return { status: Status.ok, body: { changed: [], hash: current.hash } };
  const changes = diffConfig(current.config, accepted.config).map(({ path }) => path);
  const remaining = changes.filter((path) => !isApplied(path));
  if (accepted.parts.filesHash !== current.parts.filesHash) remaining.push("files that the configuration names");
  if (remaining.length > 0) {
    const what = remaining.join(", ");
    return { status: Status.conflict, text: `restart needed for: ${what}; the running configuration goes on`, body: { restartNeeded: remaining } };
  }
  apply(accepted);
  return { status: Status.ok, body: { changed: policyChanged && !changes.includes("policy") ? [...changes, "policy"] : changes, hash: accepted.hash } };
}

function isApplied(path: string): boolean {
  return appliedAtOnce.has(path.split(/[.[]/, 1)[0]!) || /^(commands|topics)\.[^.]+\.writers/.test(path);
}

export type { Config };

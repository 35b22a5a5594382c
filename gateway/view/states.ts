/** How each state looks (shape, style) and reads (word), and what in a report deserves attention. */
import type { GatewayState, LinkReport, NodeReport, NodeState, ReflexReport, StatusReport } from "../../schemas/messages/statusReport.ts";
import type { DriverState } from "../../drivers/driver.ts";
import type { Style } from "./style.ts";
import { printable } from "./text.ts";

export interface Look {
  shape: string;
  word: string;
  style: Style;
}

export const gatewayLooks: Readonly<Record<GatewayState, Look & { banner: Style; meaning: string }>> = {
  starting: { shape: "◌", word: "STARTING", style: "warn", banner: "banner-plain", meaning: "no command is accepted yet" },
  disarmed: { shape: "○", word: "DISARMED", style: "plain", banner: "banner-plain", meaning: "no command reaches an actuator" },
  armed: { shape: "▶", word: "ARMED", style: "warn", banner: "banner-warn", meaning: "commands move the robot" },
  safePose: { shape: "▼", word: "SAFE POSE", style: "warn", banner: "banner-warn", meaning: "the robot is moving into its safe pose" },
  posed: { shape: "■", word: "POSED", style: "good", banner: "banner-good", meaning: "safe pose reached; commands are refused" },
  fault: { shape: "✖", word: "FAULT", style: "bad", banner: "banner-bad", meaning: "commands are refused until the fault is cleared" },
};

const linkLooks: Readonly<Record<DriverState, Look>> = {
  stopped: { shape: "○", word: "stopped", style: "dim" },
  starting: { shape: "◌", word: "starting", style: "warn" },
  up: { shape: "●", word: "up", style: "good" },
  degraded: { shape: "◐", word: "degraded", style: "warn" },
  dead: { shape: "✖", word: "dead", style: "bad" },
  busOff: { shape: "✖", word: "bus-off", style: "bad" },
  down: { shape: "✖", word: "down", style: "bad" },
};

const nodeLooks: Readonly<Record<NodeState, Look>> = {
  unknown: { shape: "?", word: "not seen", style: "warn" },
  bootUp: { shape: "◌", word: "boot-up", style: "warn" },
  preOperational: { shape: "◐", word: "pre-operational", style: "warn" },
  operational: { shape: "●", word: "operational", style: "good" },
  stopped: { shape: "■", word: "stopped", style: "warn" },
  lost: { shape: "✖", word: "lost", style: "bad" },
};

/** A state this version does not know is shown as it came. */
export function linkLook(link: LinkReport): Look {
  return linkLooks[link.state as DriverState] ?? { shape: "?", word: printable(link.state), style: "warn" };
}

export function nodeLook(node: NodeReport): Look {
  const look = nodeLooks[node.state] ?? { shape: "?", word: printable(node.state), style: "warn" as const };
  // A node that nobody requires may be away: that is worth a look, not an alarm.
  return look.style === "bad" && !node.required ? { ...look, style: "warn" } : look;
}

export interface Finding {
  severity: "bad" | "warn";
  text: string;
}

/** Everything in the report that is not as it should be, the worst first. Empty: all well. */
export function findings(report: StatusReport): Finding[] {
  const found: Finding[] = [];
  if (report.state === "fault") found.push({ severity: "bad", text: "the gateway is in the state fault" });
  for (const link of report.links) {
    const look = linkLook(link);
    if (look.style === "good" || look.style === "dim") continue;
    found.push({ severity: look.style === "bad" ? "bad" : "warn", text: `${link.kind} ${printable(link.name)} is ${look.word}${link.reason ? `: ${printable(link.reason)}` : ""}` });
  }
  for (const node of report.nodes) {
    if (node.state === "operational") continue;
    const severity = node.required && node.state === "lost" ? "bad" : "warn";
    found.push({ severity, text: `${node.required ? "required" : "optional"} node ${printable(node.name)} is ${nodeLook(node).word}` });
  }
  for (const { name, identity, errors = [], required } of report.nodes) {
    if (identity?.state === "mismatch") found.push({ severity: required ? "bad" : "warn", text: `node ${printable(name)} is not the configured one: ${(identity.mismatch ?? []).map(printable).join(", ")}` });
    if (identity?.state === "noAnswer") found.push({ severity: "warn", text: `node ${printable(name)} does not say who it is` });
    for (const { code, text } of errors) found.push({ severity: "warn", text: `node ${printable(name)}: ${printable(text)} (EMCY 0x${code.toString(16).toUpperCase().padStart(4, "0")})` });
  }
  for (const reflex of report.reflexes) {
    const name = `reflex ${reflex.instance}`;
    if (!reflex.there) found.push({ severity: report.reflexes.some(({ role }) => role === "owner") ? "warn" : "bad", text: `${name} does not answer: ${printable(reflex.reason)}` });
    else if (!reflex.tableIsOurs) found.push({ severity: "warn", text: `${name} works by another table than this gateway's` });
    else if (!reflex.healthy) found.push({ severity: "warn", text: `${name} (${printable(reflex.role)}) is not healthy` });
    else if (isAlone(reflex, report.reflexes)) found.push({ severity: "bad", text: `${name} does not see its twin: neither takes over from the other` });
  }
  for (const { entity, state, checkpoint, why } of report.supervision?.faults ?? []) found.push({ severity: state === "expired" ? "bad" : "warn", text: `supervision of ${printable(entity)} ${state} at ${printable(checkpoint)}: ${printable(why)}` });
  if (report.policy.refused !== "") found.push({ severity: "warn", text: `the policy file is not in force as it is now: ${printable(report.policy.refused)}` });
  for (const client of report.clients) {
    if (client.droppedMessages > 0) found.push({ severity: "warn", text: `client ${printable(client.name)} was too slow for ${client.droppedMessages} messages` });
  }
  return [...found.filter(({ severity }) => severity === "bad"), ...found.filter(({ severity }) => severity === "warn")];
}

/** Whether both bus processes answer, and this one does not know of the other: a pair that is none. */
export function isAlone({ there, twinSeenMsAgo }: Pick<ReflexReport, "there" | "twinSeenMsAgo">, reflexes: readonly Pick<ReflexReport, "there">[]): boolean {
  return there && twinSeenMsAgo === undefined && reflexes.filter((each) => each.there).length > 1;
}

/** Which file holds which verb. Only the file of the verb that was asked for is loaded; help, completion and typing errors load all. */
import type { Register } from "./command.ts";

export interface RegistryEntry {
  verbs: readonly string[];
  /** The heading in the help text. */
  group: string;
  /** Whether the verbs talk to a gateway (and so have --socket in their help). */
  online: boolean;
  load(): Promise<{ register: Register }>;
}

export const groups = {
  look: "Look at a running gateway:",
  act: "Act on a running gateway:",
  can: "CAN bus:",
  files: "Files and definitions:",
  machine: "This machine and this command:",
} as const;

export const registry: readonly RegistryEntry[] = [
  { verbs: ["status"], group: groups.look, online: true, load: () => import("./status.ts") },
  { verbs: ["top"], group: groups.look, online: true, load: () => import("./top.ts") },
  { verbs: ["topics", "get"], group: groups.look, online: true, load: () => import("./topics.ts") },
  { verbs: ["echo"], group: groups.look, online: true, load: () => import("./echo.ts") },
  { verbs: ["trace"], group: groups.look, online: true, load: () => import("./trace.ts") },
  { verbs: ["hz"], group: groups.look, online: true, load: () => import("./hz.ts") },
  { verbs: ["events"], group: groups.look, online: true, load: () => import("./events.ts") },
  { verbs: ["nodes", "node"], group: groups.look, online: true, load: () => import("./nodes.ts") },
  { verbs: ["clients"], group: groups.look, online: true, load: () => import("./clients.ts") },
  { verbs: ["services", "find", "call"], group: groups.look, online: true, load: () => import("./calls.ts") },
  { verbs: ["pub"], group: groups.act, online: true, load: () => import("./pub.ts") },
  { verbs: ["arm", "disarm", "reset", "safe-pose"], group: groups.act, online: true, load: () => import("./arming.ts") },
  { verbs: ["failover", "kill", "quarantine"], group: groups.act, online: true, load: () => import("./failover.ts") },
  { verbs: ["reflex"], group: groups.look, online: true, load: () => import("./reflex.ts") },
  { verbs: ["reload"], group: groups.act, online: true, load: () => import("./reload.ts") },
  { verbs: ["can"], group: groups.can, online: true, load: () => import("./can.ts") },
  { verbs: ["e2e"], group: groups.files, online: false, load: () => import("./e2e.ts") },
  { verbs: ["decode"], group: groups.files, online: false, load: () => import("./decode.ts") },
  { verbs: ["encode"], group: groups.files, online: false, load: () => import("./encode.ts") },
  { verbs: ["dbc"], group: groups.files, online: false, load: () => import("./dbc.ts") },
  { verbs: ["gen"], group: groups.files, online: false, load: () => import("./gen.ts") },
  { verbs: ["config"], group: groups.files, online: false, load: () => import("./config.ts") },
  { verbs: ["plan"], group: groups.files, online: false, load: () => import("./plan.ts") },
  { verbs: ["policy"], group: groups.files, online: true, load: () => import("./policy.ts") },
  { verbs: ["doctor"], group: groups.machine, online: true, load: () => import("./doctor.ts") },
  { verbs: ["setup"], group: groups.machine, online: false, load: () => import("./setup.ts") },
  { verbs: ["completion", "__complete"], group: groups.machine, online: false, load: () => import("./completion.ts") },
];

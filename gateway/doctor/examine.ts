import { canChecks } from "./can.ts";
import type { Check, Group, Result } from "./check.ts";
import { gatherFacts } from "./facts.ts";
import { gatewayChecks, type GatewayAnswer } from "./gateway.ts";
import { kernelChecks } from "./kernel.ts";
import type { Machine } from "./machine.ts";
import { mqttChecks } from "./mqtt.ts";
import { nodeChecks } from "./node.ts";
import { permissionChecks } from "./permissions.ts";
import { realtimeChecks } from "./realtime.ts";
import { reflexChecks } from "./reflex.ts";
import { serialChecks } from "./serial.ts";
import { unitChecks } from "./units.ts";
import { watchdogChecks } from "./watchdog.ts";

export interface Examination {
  machine: Machine;
  /** Where the build puts the compiled C parts. */
  addonFolder: string;
  version: string;
  askGateway: () => Promise<GatewayAnswer>;
  /** Only this group; absent: all. */
  only?: Group;
}

/** Looks at everything that is asked for, in the order of `groupNames`. Changes nothing. */
export async function examine({ machine, addonFolder, version, askGateway, only }: Examination): Promise<Check[]> {
  const facts = await gatherFacts(machine);
  let asked: Promise<GatewayAnswer> | undefined;
  const gateway = (): Promise<GatewayAnswer> => (asked ??= askGateway());
  const groups: Readonly<Record<Group, () => Promise<Check[]>>> = {
    node: () => nodeChecks(machine, addonFolder),
    kernel: async () => kernelChecks(facts),
    can: async () => canChecks(machine, facts),
    serial: async () => serialChecks(machine, facts),
    mqtt: async () => mqttChecks(machine, (await gateway()).reached),
    realtime: () => realtimeChecks(machine, facts),
    watchdog: async () => watchdogChecks(machine),
    permissions: async () => permissionChecks(machine, facts),
    reflex: async () => reflexChecks(machine, addonFolder, await gateway()),
    units: async () => unitChecks(machine),
    gateway: async () => gatewayChecks(await gateway(), version),
  };
  const wanted = only === undefined ? (Object.keys(groups) as Group[]) : [only];
  return (await Promise.all(wanted.map((name) => groups[name]()))).flat();
}

/** How many checks ended how, and the worst of it. */
export function tally(checks: readonly Check[]): Readonly<Record<Result, number>> & { worst: Result } {
  const count = (result: Result): number => checks.filter((check) => check.result === result).length;
  const counts = { ok: count("ok"), warning: count("warning"), problem: count("problem"), unknown: count("unknown") };
  return { ...counts, worst: counts.problem > 0 ? "problem" : counts.warning > 0 ? "warning" : counts.ok > 0 ? "ok" : "unknown" };
}

/** Whether the services that were started do their work, from what `ipcnet failover status --json` says. Pure. */

interface Answer {
  active?: string;
  standby?: { ready?: boolean };
  reflexes?: readonly { instance: string; there?: boolean; healthy?: boolean; tableIsOurs?: boolean; role?: string; twinSeenMsAgo?: number }[];
}

/** What is still missing of the units that shall run, for a person; undefined: nothing. `answer` undefined: nobody answers. */
export function missingOf(answer: unknown, units: readonly string[]): string | undefined {
  if (typeof answer !== "object" || answer === null || "error" in answer) return "the gateway does not answer";
  const { standby, reflexes = [] } = answer as Answer;
  const count = (prefix: string): number => units.filter((unit) => unit.startsWith(prefix)).length;
  for (const { instance, there, healthy, tableIsOurs, twinSeenMsAgo } of reflexes) {
    if (there !== true) return `bus process ${instance} does not answer`;
    if (healthy !== true || tableIsOurs !== true) return `bus process ${instance} is not ready`;
    if (count("ipcnet-reflex@") > 1 && twinSeenMsAgo === undefined) return `bus process ${instance} does not see its twin`;
  }
  if (reflexes.length < count("ipcnet-reflex@")) return "a bus process is missing";
  if (count("ipcnet-reflex@") > 0 && !reflexes.some(({ role }) => role === "owner")) return "no bus process owns the buses";
  return count("ipcnetd@") > 1 && standby?.ready !== true ? "the second gateway does not stand by" : undefined;
}

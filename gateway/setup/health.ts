/** Whether the services that were started do their work, from what the gateway answers. Pure. */

export interface GatewayAnswer {
  state?: string | undefined;
  /** Of the configuration that is in force. */
  hash?: string | undefined;
  active?: string | undefined;
  standby?: { instance: string; ready: boolean } | undefined;
  reflexes?: readonly ReflexAnswer[];
}

export interface ReflexAnswer {
  instance: string;
  there?: boolean;
  healthy?: boolean;
  tableIsOurs?: boolean;
  role?: string;
  twinSeenMsAgo?: number | undefined;
}

/** What is still missing of the units that shall run, for a person; undefined: nothing. `answer` undefined: nobody answers. */
export function missingOf(answer: GatewayAnswer | undefined, units: readonly string[]): string | undefined {
  if (answer === undefined) return "the gateway does not answer";
  const { standby, reflexes = [] } = answer;
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

export interface InForce {
  runs: boolean;
  /** Whether anything was written. */
  written: boolean;
  /** What the gateway that runs answers; undefined: it does not. */
  answer: GatewayAnswer | undefined;
  /** Of the configuration that is to be in force. */
  hash: string | undefined;
}

/** What puts it in force: nothing but a start of what does not run, or a stop before it; a text: neither, because of the robot. Two gateways of different configurations cannot stand in for each other. */
export function toBeInForce({ runs, written, answer, hash }: InForce): "start" | "restart" | { not: string } {
  // Nothing was written where a person has changed the file itself: what runs goes by what it was.
  const isOther = written || (answer !== undefined && answer.hash !== hash);
  if (!runs || !isOther) return "start";
  const state = answer?.state;
  return state === "disarmed" || state === "posed" ? "restart" : { not: state === undefined ? "the gateway does not answer" : `the gateway is ${state}` };
}

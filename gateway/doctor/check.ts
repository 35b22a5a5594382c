/** One thing that was looked at. */
export const groupNames = ["node", "kernel", "can", "serial", "mqtt", "realtime", "watchdog", "permissions", "reflex", "units", "gateway"] as const;

export type Group = (typeof groupNames)[number];

/** problem: something will not work. warning: it works, but less well or less safely. unknown: could not be found out, the evidence says why. */
export type Result = "ok" | "warning" | "problem" | "unknown";

export interface Check {
  /** Stable: the group, a dot, the subject: "can.can0.queue". */
  id: string;
  group: Group;
  result: Result;
  /** What was seen, as a sentence. */
  evidence: string;
  /** The command or the change that mends it; absent when nothing is to be mended. */
  fix?: string;
}

/** Makes the checks of one group. */
export function checker(group: Group): Readonly<Record<Result, (subject: string, evidence: string, fix?: string) => Check>> {
  const make = (result: Result) => (subject: string, evidence: string, fix?: string): Check => ({ id: `${group}.${subject}`, group, result, evidence, ...(fix === undefined ? {} : { fix }) });
  return { ok: make("ok"), warning: make("warning"), problem: make("problem"), unknown: make("unknown") };
}

/** "6.1.0-13-rt" → [6, 1]; undefined when it does not begin with a version. */
export function versionPair(text: string): readonly [number, number] | undefined {
  const match = /^v?(\d+)\.(\d+)/.exec(text.trim());
  return match ? [Number(match[1]), Number(match[2])] : undefined;
}

export function atLeast([major, minor]: readonly [number, number], [needMajor, needMinor]: readonly [number, number]): boolean {
  return major > needMajor || (major === needMajor && minor >= needMinor);
}

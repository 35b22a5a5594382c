/**
 * Reads what the kernel says about the process at the other end of a connection. Files below /proc/PID belong to whoever has that number now; so the
 * pidfd, which is never another process's, must say "alive" after they were read: as long as it is, nobody else can have got the number.
 */
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { isAlive, type PeerIdentity } from "../../shm/sockets/index.ts";
import { unitsOf } from "./cgroup.ts";
import type { ProcessFacts } from "./facts.ts";

/** The machine, as far as identity goes. */
export interface ProcessSource {
  /** Whether systemd runs this machine: else whoever may make cgroups makes up units. sd_booted(3) asks the same. */
  readonly systemd: boolean;
  /** The text of /proc/PID/cgroup, or undefined when it cannot be read. */
  cgroup(pid: number): string | undefined;
  /** Where /proc/PID/exe points to, or undefined: needs the same user and a process that can be inspected, or CAP_SYS_PTRACE. */
  executable(pid: number): string | undefined;
}

/** Undefined: nothing is known but the user, because the process is gone or cannot be told from one that got its number. */
export function factsOf(peer: PeerIdentity, source: ProcessSource): ProcessFacts | undefined {
  const { pid, pidfd } = peer;
  if (!pidfd) return undefined;
  const facts = readFacts(pid, source);
  return isAlive(pidfd) ? facts : undefined;
}

/** Of whatever process has this number now: for explanations, not for decisions. */
export function readFacts(pid: number, source: ProcessSource): ProcessFacts {
  const text = source.cgroup(pid);
  const units = text === undefined ? undefined : unitsOf(text);
  const executable = source.executable(pid);
  return {
    ...(units ? { cgroup: units.path } : {}),
    ...(source.systemd && units?.unit !== undefined ? { unit: units.unit } : {}),
    ...(source.systemd && units?.userUnit ? { userUnit: units.userUnit } : {}),
    ...(executable === undefined ? {} : { executable }),
  };
}

/** User and groups of a process by number, from /proc/PID/status: for explanations. Undefined when there is no such process. */
export function credentialsOf(pid: number): { uid: number; gid: number; groups: number[] } | undefined {
  const text = quietly(() => readFileSync(`/proc/${pid}/status`, "latin1"));
  // Real, effective, saved, file system: connect() is judged by the effective one.
  const numbers = (key: string): number[] => (new RegExp(`^${key}:\\t(.*)$`, "m").exec(text ?? "")?.[1] ?? "").trim().split(/\s+/).filter((word) => word !== "").map(Number);
  const [uid, gid] = [numbers("Uid")[1], numbers("Gid")[1]];
  return uid === undefined || gid === undefined ? undefined : { uid, gid, groups: numbers("Groups") };
}

export function thisSystem(): ProcessSource {
  return {
    systemd: existsSync("/run/systemd/system"),
    cgroup: (pid) => quietly(() => readFileSync(`/proc/${pid}/cgroup`, "latin1")),
    executable: (pid) => quietly(() => readlinkSync(`/proc/${pid}/exe`)),
  };
}

function quietly(read: () => string): string | undefined {
  try {
    return read();
  } catch {
    // Gone, or not ours to see: both mean that nothing is known.
    return undefined;
  }
}

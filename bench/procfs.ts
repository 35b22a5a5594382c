/** Another process from outside: its CPU time and memory (/proc), its scheduling. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Linux counts in hundredths of a second, whatever the kernel's own tick (sysconf(_SC_CLK_TCK) is 100 on all its common architectures). */
const TICK_US = 10_000;

/** User and system time of all threads, µs; resolution 10 ms. */
export function cpuUsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The program's name stands in parentheses and may contain anything; field 3 follows the last one.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

/** Resident memory, bytes: all of it, and what no file backs (heap, stacks; the rest is mostly the Node binary, shared with other Node processes). */
export function memoryOf(pid: number): { residentBytes: number; anonymousBytes: number } {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const kibibytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? Number.NaN) * 1024;
  return { residentBytes: kibibytes("VmRSS"), anonymousBytes: kibibytes("RssAnon") };
}

/** Total time in which something runnable on this machine waited for a core, µs; NaN where the kernel does not tell. */
export function pressureUs(): number {
  try {
    return Number(/^some .*total=(\d+)/m.exec(readFileSync("/proc/pressure/cpu", "latin1"))?.[1] ?? Number.NaN);
  } catch {
    return Number.NaN;
  }
}

/** Low among real-time priorities: above everything ordinary, below the kernel's own threads. */
const REALTIME_PRIORITY = 10;

/** Puts all threads of the processes under SCHED_FIFO, or back under the ordinary scheduler; false when this machine or user may not. */
export function setRealtime(pids: readonly number[], on: boolean): boolean {
  try {
    for (const pid of pids) execFileSync("chrt", [on ? "-f" : "-o", "-a", "-p", on ? String(REALTIME_PRIORITY) : "0", String(pid)], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

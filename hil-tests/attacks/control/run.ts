/** Runs a group of attacks on a gateway, as a process of the attacker's user; and looks at what the gateway has open. */
import { spawn } from "node:child_process";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { attackerProgram } from "../lanes.ts";
import { users } from "./innocents.ts";

export interface ControlAttack { attack: string; verdict: "denied" | "harmless" | "DONE"; text: string; tookMs: number }

/** The groups of attacker.ts, and "packets", which is C. */
export const controlGroups = ["packets", "garbage", "passedOff", "impersonation", "unpermitted", "floods"] as const;

/** Rejects when the attacker itself fails; `uid` undefined = as this user. */
export function runControlAttacks(socketPath: string, group: string, { uid, canary = "" }: { uid?: number | undefined; canary?: string } = {}): Promise<ControlAttack[]> {
  return new Promise((resolve, reject) => {
    const who = uid === undefined ? {} : { uid, gid: uid };
    const [program, args] = group === "packets" ? [attackerProgram(), ["--packets", socketPath]] : [process.execPath, ["--enable-source-maps", join(import.meta.dirname, "attacker.js"), socketPath, group, canary]];
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], cwd: "/", ...who });
    let out = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code !== 0) return reject(new Error(`the attacker of ${group} ended with ${code ?? signal}: ${errors}\n${out.slice(-500)}`));
      resolve(out.trim().split("\n").map((line) => JSON.parse(line) as ControlAttack));
    });
  });
}

export function openDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Files of shared memory that these programs have left: theirs by their users, whom nobody else has, and the gateway's by its hold on them. Others use that folder too, and at the same time. */
export function sharedFilesOf(gateway: number | undefined): string[] {
  const uids = new Set<number>(Object.values(users));
  const theirs = readdirSync("/dev/shm").filter((name) => {
    try {
      return uids.has(lstatSync(`/dev/shm/${name}`).uid);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      return false;
    }
  });
  const mapped = gateway === undefined ? [] : [...readFileSync(`/proc/${gateway}/maps`, "latin1").matchAll(/\/dev\/shm\/\S+/g)].map(([path]) => path);
  return [...theirs, ...mapped];
}

export function residentMiB(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? Number.NaN) / 1024;
}

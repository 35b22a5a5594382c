/** Waiting for what another process does: asked again and again until a deadline, never a fixed sleep. And what tests of whole processes need of the kernel beside that. */
import { readFile } from "node:fs/promises";

import { eventually } from "../schemas/testing.ts";

export { eventually, freePort } from "../schemas/testing.ts";

/** Its state in /proc (proc(5)): R, S, D, T (stopped), Z …; undefined: there is no such process. */
async function stateOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1");
    // Its name is in brackets, and may have some of its own.
    return stat.charAt(stat.lastIndexOf(")") + 2);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" && (error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    return undefined;
  }
}

/** Whether a process with this id exists (a zombie that nobody has waited for counts as gone). */
export async function isAlive(pid: number): Promise<boolean> {
  const state = await stateOf(pid);
  return state !== undefined && state !== "Z" && state !== "X";
}

/** Resolves when the kernel says that this process is stopped (SIGSTOP): until then it may go on for a while, and a SIGCONT that comes before is lost. */
export async function standsStill(pid: number): Promise<void> {
  await eventually(`process ${pid} stands still`, async () => (await stateOf(pid)) === "T", { timeoutMs: 60_000 });
}

/** kill -9 of a process that may have ended by itself meanwhile. */
export function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

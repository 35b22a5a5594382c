/** What tests of all storeys share: waiting for a fact instead of a time, and counting descriptors. */
import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";

/** Resolves when `holds` does, asked on every turn of the event loop and once a millisecond when that idles; fails with `what` after `timeoutMs`. */
export async function until(holds: () => boolean, what: string, timeoutMs = 60_000): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!holds()) {
    if (performance.now() > endMs) assert.fail(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Between two questions to another process. */
const ASK_AGAIN_MS = 15;

/** For what another process does. Resolves with the first answer that is neither undefined nor false; rejects after `timeoutMs`, naming `what` and what `last` says. */
export async function eventually<Answer>(what: string, ask: () => Answer | Promise<Answer>, { timeoutMs = 20_000, last }: { timeoutMs?: number; last?: () => unknown } = {}): Promise<Exclude<Answer, undefined | false>> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer as Exclude<Answer, undefined | false>;
    if (performance.now() > deadlineMs) throw new Error(`${what}: not within ${timeoutMs} ms${last ? `; last: ${JSON.stringify(last(), undefined, 1)}` : ""}`);
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
}

/** How many descriptors this process has open. */
export const openDescriptors = (): number => readdirSync("/proc/self/fd").length;

/**
 * Resolves when no more than `count` descriptors are open. What came from other processes is closed by threads of the addon, also what an earlier test has left them: so a count can fall later, and
 * below one that was taken while they were at it.
 */
export const noMoreDescriptorsThan = (count: number): Promise<void> => until(() => openDescriptors() <= count, `no more than ${count} open descriptors`);

/** How many of them are of the file `path`: not disturbed by others that are still being closed by threads of the addon. */
export function openDescriptorsOf(path: string): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false; // closed meanwhile, such as the one that lists the folder
    }
  }).length;
}

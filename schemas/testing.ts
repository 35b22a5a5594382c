/** What tests of all storeys share: waiting for a fact instead of a time, counting descriptors, and TCP ports that nobody else is given. */
import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import { createServer, type Server } from "node:net";

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

/** Below what the kernel gives to outgoing connections and to whoever lets it choose (32768 and up by default): nobody gets one of these by chance. */
const FIRST_PORT = 20_000;
const PORTS = 12_000;
/** Another address of this machine: whoever listens there on a port keeps it for itself on 127.0.0.1. */
const LOCK_HOST = "127.0.0.2";

/** False: somebody listens there. */
const listening = (server: Server, host: string, port: number): Promise<boolean> => new Promise((resolve, reject) => {
  server.once("error", (error: NodeJS.ErrnoException) => (error.code === "EADDRINUSE" ? resolve(false) : reject(error)));
  server.listen(port, host, () => resolve(true));
});

/**
 * A port of 127.0.0.1 on which nobody listens, for tests that must name one before somebody does. No other process that asks here is given it while this one lives, also while nobody
 * listens on it for a moment, as between two brokers of a test: tests that run side by side never meet on a port.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < PORTS; tries++) {
    // Each process begins at another place.
    const port = FIRST_PORT + ((process.pid * 37 + tries) % PORTS);
    const lock = createServer().unref();
    if (!(await listening(lock, LOCK_HOST, port))) continue;
    const probe = createServer();
    const isFree = await listening(probe, "127.0.0.1", port);
    await new Promise((resolve) => void (isFree ? probe.close(resolve) : lock.close(resolve)));
    if (isFree) return port;
  }
  throw new Error("no free TCP port on 127.0.0.1");
}

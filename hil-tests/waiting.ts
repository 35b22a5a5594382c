/** Waiting for what another process does: asked again and again until a deadline, never a fixed sleep. */
import { createServer } from "node:net";

/** Between two questions. */
const ASK_AGAIN_MS = 15;

/** Resolves with the first answer that is neither undefined nor false; rejects after `timeoutMs`, naming `what` and the last answer. */
export async function eventually<Answer>(what: string, ask: () => Answer | Promise<Answer>, { timeoutMs = 20_000, last }: { timeoutMs?: number; last?: () => unknown } = {}): Promise<Exclude<Answer, undefined | false>> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer as Exclude<Answer, undefined | false>;
    if (performance.now() > deadlineMs) throw new Error(`${what}: not within ${timeoutMs} ms${last ? `; last: ${JSON.stringify(last(), undefined, 1)}` : ""}`);
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
}

/** A TCP port of 127.0.0.1 that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** Whether a process with this id exists (a zombie that nobody has waited for counts as gone). */
export async function isAlive(pid: number): Promise<boolean> {
  const { readFile } = await import("node:fs/promises");
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    return !/^\d+ \(.*\) [ZX]/.test(stat);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" && (error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    return false;
  }
}

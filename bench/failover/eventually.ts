/** Waiting for what other processes do: asked again and again until a deadline. */

/** Between two questions: a takeover takes some ten milliseconds. */
const ASK_AGAIN_MS = 5;

/** Resolves with the first answer that is neither undefined nor false; rejects after `timeoutMs` with what `last` says. */
export async function eventually<Answer>(what: string, ask: () => Answer | undefined | false, { timeoutMs, last }: { timeoutMs: number; last?: () => unknown }): Promise<Answer> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const answer = ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadlineMs) throw new Error(`${what}: not within ${timeoutMs} ms${last ? `; last: ${JSON.stringify(last(), undefined, 1)}` : ""}`);
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
}

/**
 * How long to wait before the next attempt: doubling from `minMs` to `maxMs`, and each time a random half of it, so that a hundred nodes
 * that lost the same broker do not return in the same millisecond.
 */
export interface BackoffOptions {
  minMs: number;
  maxMs: number;
}

export const BACKOFF_DEFAULT: BackoffOptions = { minMs: 250, maxMs: 15_000 };

/** `attempt` counts from 0; `random` is in [0, 1). */
export function backoffMs({ minMs, maxMs }: BackoffOptions, attempt: number, random: number): number {
  const ceilingMs = Math.min(maxMs, minMs * 2 ** Math.min(attempt, 20));
  return ceilingMs / 2 + (ceilingMs / 2) * random;
}

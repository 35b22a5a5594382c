/**
 * How long somebody who has buried the other one asks for the lock. The kernel has freed it with that death, so whoever holds it now came after it: the twin, started again before we were told.
 *
 * With what the dead one has left, the clients' socket among it, the newcomer finds that socket alive and ends: that is waited for. If it does not (it hangs, or was stopped), what was left is
 * given up, for clients that nobody serves are better off when they see an end and connect to it. Without, it serves the clients already, and there is nothing to wait for: it is joined.
 * In no case is anybody active without the lock.
 */

/** A start until the look at the clients' socket takes a second, and several on a busy machine. */
export const LOCK_PATIENCE_MS = 10_000;

/** Whether it is worth asking for the lock again. */
export function asksAgain({ hasLegacy, waitedMs }: { hasLegacy: boolean; waitedMs: number }): boolean {
  return hasLegacy && waitedMs < LOCK_PATIENCE_MS;
}

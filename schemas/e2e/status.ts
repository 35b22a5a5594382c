/**
 * What a receiver says about one frame. `CheckResult` is IPCNet's, small numbers that index counters; `E2eStatus` is the value that
 * AUTOSAR-based tools show for the same thing.
 */
export const CheckResult = {
  ok: 0,
  /** Right, and next after a gap no wider than maxDeltaCounter: accepted. */
  okSomeLost: 1,
  /** Right, but its counter is the one accepted last: not new data. */
  repeated: 2,
  /** Right, but its counter lies outside the window: stale, replayed, or the sender started anew. */
  wrongSequence: 3,
  /** The CRC or checksum is wrong, or the frame names another Data ID. */
  crcMismatch: 4,
  /** Shorter or longer than the configuration, or its own length field, says. */
  badLength: 5,
} as const;

export type CheckResult = (typeof CheckResult)[keyof typeof CheckResult];

const names = Object.keys(CheckResult) as (keyof typeof CheckResult)[];

/** "ok", "okSomeLost", …; "unknown" for a number that is no result. */
export function checkResultName(result: number): string {
  return names[result] ?? "unknown";
}

/** Whether the frame's values may be used. */
export function isAccepted(result: number): boolean {
  return result === CheckResult.ok || result === CheckResult.okSomeLost;
}

export const E2eStatus = { ok: 0x00, noNewData: 0x01, error: 0x07, repeated: 0x08, okSomeLost: 0x20, wrongSequence: 0x40 } as const;

export type E2eStatus = (typeof E2eStatus)[keyof typeof E2eStatus];

const statusOf: Record<CheckResult, E2eStatus> = {
  [CheckResult.ok]: E2eStatus.ok,
  [CheckResult.okSomeLost]: E2eStatus.okSomeLost,
  [CheckResult.repeated]: E2eStatus.repeated,
  [CheckResult.wrongSequence]: E2eStatus.wrongSequence,
  [CheckResult.crcMismatch]: E2eStatus.error,
  [CheckResult.badLength]: E2eStatus.error,
};

export function e2eStatusOf(result: CheckResult): E2eStatus {
  return statusOf[result];
}

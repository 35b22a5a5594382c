/** The states of supervision (AUTOSAR Watchdog Manager: local and global supervision status), as tables. Pure. */

export const localStates = ["deactivated", "ok", "failed", "expired"] as const;
export type LocalState = (typeof localStates)[number];

export const localEvents = [
  /** A reference cycle had the right number of reports. */ "aliveRight",
  /** One had not, and that may still happen so often. */ "aliveWrong",
  /** One had not, and that was once too often. */ "aliveTooOftenWrong",
  /** Every wrong reference cycle has been made up for. */ "recovered",
  /** A deadline or the order of checkpoints was broken. */ "broken",
  "activate", "deactivate",
] as const;
export type LocalEvent = (typeof localEvents)[number];

/** Expired has no way out: whatever broke the order of a program once is not repaired by going on. */
export const localTable = {
  deactivated: { aliveRight: "deactivated", aliveWrong: "deactivated", aliveTooOftenWrong: "deactivated", recovered: "deactivated", broken: "deactivated", activate: "ok", deactivate: "deactivated" },
  ok: { aliveRight: "ok", aliveWrong: "failed", aliveTooOftenWrong: "expired", recovered: "ok", broken: "expired", activate: "ok", deactivate: "deactivated" },
  failed: { aliveRight: "failed", aliveWrong: "failed", aliveTooOftenWrong: "expired", recovered: "ok", broken: "expired", activate: "failed", deactivate: "deactivated" },
  expired: { aliveRight: "expired", aliveWrong: "expired", aliveTooOftenWrong: "expired", recovered: "expired", broken: "expired", activate: "expired", deactivate: "expired" },
} as const satisfies Record<LocalState, Record<LocalEvent, LocalState>>;

export const globalStates = ["ok", "failed", "expired", "stopped"] as const;
export type GlobalState = (typeof globalStates)[number];

/** What all local states come to. `graceOver`: it has been expired for as many cycles as there are for cleaning up. Stopped has no way out. */
export function globalState(before: GlobalState, locals: readonly LocalState[], graceOver: boolean): GlobalState {
  if (before === "stopped") return "stopped";
  if (locals.includes("expired")) return graceOver ? "stopped" : "expired";
  return locals.includes("failed") ? "failed" : "ok";
}

/**
 * Which of two instances is active: the whole table. Pure; the edge performs the effects and says what happens.
 *
 * Nobody becomes active but by the lock (a cold start: nobody else is there) or by the proof that the other one is dead. `late` and `gone` are signs, never proofs.
 */
export const roles = ["looking", "joining", "following", "standby", "fencing", "active", "handingOver", "ended"] as const;
export type Role = (typeof roles)[number];

export const roleEvents = [
  /** Nobody holds the lock: it is ours now. */ "lockTaken",
  /** Somebody holds it. */ "lockHeld",
  /** The link is there. */ "linked",
  /** Nobody listens for us yet, or the link broke before the twin said who it is. */ "notLinked",
  /** Everything that the active has is open here too. */ "inSync",
  /** The active makes no progress. */ "twinLate",
  /** The link has ended. */ "twinGone",
  /** The kernel says that it is dead. */ "twinDead",
  /** The two cannot be a pair. */ "refused",
  /** Somebody wants the other one to go on. */ "switchAsked",
  /** Who took over has not got the lock, and waits for it no longer: another one has it by right. */ "lockKept",
  /** Our own supervision has given this instance up. */ "expired",
  /** SIGTERM and the like. */ "stopAsked",
] as const;
export type RoleEvent = (typeof roleEvents)[number];

export type RoleEffect =
  /** Try the lock; if it is held, say so. */ | "look"
  /** Connect to whoever holds it; look again a moment later if that fails. */ | "join"
  | "lookLater"
  /** Begin from nothing. */ | "startCold"
  /** SIGKILL through the pidfd. */ | "fence"
  /** Go on with what the dead one has left. */ | "takeOver"
  /** End without the safe pose: a successor goes on. */ | "handOver"
  /** End at once: whatever is wrong here must not be waited for. */ | "die"
  /** Safe pose, then end: nobody goes on. */ | "stop"
  /** End; the other one goes on as it is. */ | "leave"
  /** Say loudly why there is no pair. */ | "reportRefusal";

export interface RoleCell {
  readonly to: Role;
  readonly do: readonly RoleEffect[];
}

const ignore = "ignore";
type Cell = RoleCell | typeof ignore;

export const roleTable = {
  looking: {
    lockTaken: { to: "active", do: ["startCold"] }, lockHeld: { to: "joining", do: ["join"] }, linked: ignore, notLinked: ignore, inSync: ignore, twinLate: ignore, twinGone: ignore, twinDead: ignore,
    refused: ignore, switchAsked: ignore, lockKept: ignore, expired: { to: "ended", do: ["leave"] }, stopAsked: { to: "ended", do: ["leave"] },
  },
  joining: {
    lockTaken: ignore, lockHeld: ignore, linked: { to: "following", do: [] }, notLinked: { to: "looking", do: ["lookLater"] }, inSync: ignore, twinLate: ignore, twinGone: { to: "looking", do: ["lookLater"] }, twinDead: { to: "looking", do: ["lookLater"] },
    refused: { to: "looking", do: ["reportRefusal", "lookLater"] }, switchAsked: ignore, lockKept: ignore, expired: { to: "ended", do: ["leave"] }, stopAsked: { to: "ended", do: ["leave"] },
  },
  following: {
    // Until everything is here too, a sign is not enough: an active that lets us go for being slow is well. Its death is its death.
    lockTaken: ignore, lockHeld: ignore, linked: ignore, notLinked: ignore, inSync: { to: "standby", do: [] }, twinLate: { to: "fencing", do: ["fence"] }, twinGone: { to: "looking", do: ["lookLater"] }, twinDead: { to: "active", do: ["takeOver"] },
    refused: { to: "looking", do: ["reportRefusal", "lookLater"] }, switchAsked: ignore, lockKept: ignore, expired: { to: "ended", do: ["leave"] }, stopAsked: { to: "ended", do: ["leave"] },
  },
  standby: {
    lockTaken: ignore, lockHeld: ignore, linked: ignore, notLinked: ignore, inSync: ignore, twinLate: { to: "fencing", do: ["fence"] }, twinGone: { to: "fencing", do: ["fence"] }, twinDead: { to: "active", do: ["takeOver"] },
    refused: { to: "looking", do: ["reportRefusal", "lookLater"] }, switchAsked: ignore, lockKept: ignore, expired: { to: "ended", do: ["leave"] }, stopAsked: { to: "ended", do: ["leave"] },
  },
  fencing: {
    lockTaken: ignore, lockHeld: ignore, linked: ignore, notLinked: ignore, inSync: ignore, twinLate: ignore, twinGone: ignore, twinDead: { to: "active", do: ["takeOver"] },
    // The twin is being killed: whoever leaves now leaves nobody. So first take over, then stop: the edge asks again.
    refused: ignore, switchAsked: ignore, lockKept: ignore, expired: ignore, stopAsked: ignore,
  },
  active: {
    lockTaken: ignore, lockHeld: ignore, linked: ignore, notLinked: ignore, inSync: ignore, twinLate: ignore, twinGone: ignore, twinDead: ignore, refused: ignore,
    switchAsked: { to: "handingOver", do: ["handOver"] }, lockKept: { to: "looking", do: ["lookLater"] }, expired: { to: "ended", do: ["die"] }, stopAsked: { to: "ended", do: ["stop"] },
  },
  handingOver: {
    lockTaken: ignore, lockHeld: ignore, linked: ignore, notLinked: ignore, inSync: ignore, twinLate: ignore, twinGone: ignore, twinDead: ignore, refused: ignore, switchAsked: ignore, lockKept: ignore,
    expired: { to: "ended", do: ["die"] }, stopAsked: ignore,
  },
  ended: {
    lockTaken: ignore, lockHeld: ignore, linked: ignore, notLinked: ignore, inSync: ignore, twinLate: ignore, twinGone: ignore, twinDead: ignore, refused: ignore, switchAsked: ignore, lockKept: ignore, expired: ignore, stopAsked: ignore,
  },
} as const satisfies Record<Role, Record<RoleEvent, Cell>>;

/** Where an event leads, and what is to be done, in this order; undefined: nothing. */
export function nextRole(role: Role, event: RoleEvent): RoleCell | undefined {
  const cell: Cell = roleTable[role][event];
  return cell === ignore ? undefined : cell;
}

/** What the gateway needs of whoever holds its one state: itself (`Supervisor`), or the reflex that owns the buses (`failsafe/reflex/client`). */
import type { PoseCause } from "../../failsafe/shutdown/cause.ts";
import type { ArmingState } from "../../failsafe/arming/machine.ts";
import type { PoseVerdict } from "../../failsafe/safePose/sequence.ts";
import type { StopCategory } from "../../failsafe/shutdown/compiled.ts";

/** Why a safe pose is asked for: by somebody, because the service stops, because the operating system does, or because something cannot be trusted any more. */
export type PoseReason = "onRequest" | "onStop" | "onShutdown" | "onCompromise";

export interface SupervisorPort {
  readonly state: ArmingState;
  /** Why it is in this state. */
  readonly reason: string;
  readonly armed: boolean;
  /** After a takeover: whether it is armed is about to be told by whoever holds the state, and has not been yet. Ends by itself. */
  readonly settling: boolean;
  /** A process of its own holds the state: it goes on when this gateway ends. */
  readonly survives: boolean;
  /** Of the pose that runs, or ran last; undefined: there was none, or it was reset. */
  readonly cause: PoseCause | undefined;
  /** The last safe pose's verdict. */
  readonly verdict: PoseVerdict | undefined;
  /** A gateway that told people so is dead, and this one goes on (or, `before` undefined, nobody knows what it told). */
  takenOver(before: { state: ArmingState; reason: string } | undefined, nowUs: number): void;
  setOptions(options: { autoDisarmAfterSilentMs: number }): void;
  /** What stands between now and armed: empty when `arm` would succeed. */
  missing(): string[];
  arm(why: string, nowUs: number): string[] | Promise<string[]>;
  disarm(why: string, nowUs: number): void;
  /** Acknowledges a safe pose or a fault; permits arming, moves nothing. */
  reset(why: string, nowUs: number): void | Promise<void>;
  /** Something that armed operation needs is gone; `link`: it was seen by way of this link. */
  lost(why: string, nowUs: number, link?: string): void;
  /** Runs the safe pose, or joins the one that runs; resolves with its verdict. Never rejects. `category`: which stop was asked for; where there is one pose only, it serves all of them. */
  safePose(why: string, nowUs: number, reason?: PoseReason, category?: StopCategory): Promise<PoseVerdict>;
  /** A command passed: the silence that would disarm begins anew. */
  commandPassed(nowUs: number): void;
  poll(nowUs: number): void;
  nextDeadlineUs(): number | undefined;
}

/**
 * The rules of a node on a bus with CLAIM frames (docs/specs/claim.md), for simulated ones: the same as ipcnet_node.c, and checked against it by
 * schemas/vectors/claim.json. Pure: time is an argument.
 */
import { CheckResult, type FrameCheck, Verdict } from "../../schemas/e2e/index.ts";
import { decodeClaim, epochNewer } from "./claimFrame.ts";

export type Heard = "followed" | "kept" | "released" | "stale" | "notHeard";
export type CommandVerdict = "accepted" | "notFollowing" | "otherEpoch" | "otherOwner" | "badFrame" | "oldCounter";
/** safe: dead-man or nobody commands. hold: a new owner has not commanded yet. follow: as last commanded. */
export type Outputs = "safe" | "hold" | "follow";

/** What a node reports while it follows nobody. */
export const NOBODY = 7;
export const CLAIM_TIMEOUT_MS_DEFAULT = 500;

/** Little-endian: bit 0 of byte 0 is 0. */
export interface OwnerField {
  startBit: number;
  bits: number;
}

export interface NodeCommand {
  /** This node's own receiver of the message. */
  check: FrameCheck;
  canId: number;
  /** Feeds the dead-man. */
  motion: boolean;
  epoch?: OwnerField | undefined;
  owner?: OwnerField | undefined;
}

export interface NodeOptions {
  /** 0: a bus without claims; every valid command counts. */
  claimTimeoutUs: number;
  deadManUs: number;
  /** The owner unheard for so long is reported as nobody, and still obeyed; 0 or absent: not before `claimTimeoutUs`. */
  claimQuietUs?: number | undefined;
  commands: readonly NodeCommand[];
}

export class NodeRules {
  readonly counters = { staleClaims: 0, refusedCommands: 0, acceptedCommands: 0, deadManStops: 0 };
  /** The newest epoch heard since power-up; 0: none. Only moves forward. */
  epoch = 0;
  outputs: Outputs = "safe";
  readonly #options: NodeOptions;
  #owner = 0;
  #claimCounter = 0;
  #following = false;
  #quiet = false;
  #heardUs = 0;
  #fedUs: number | undefined;

  constructor(options: NodeOptions) {
    this.#options = options;
  }

  /** For the report: the owner that is followed and was heard within `claimQuietUs`, or NOBODY. */
  get owner(): number {
    return this.#following && !this.#quiet ? this.#owner : NOBODY;
  }

  /** When the report changes by silence alone, if nothing is heard; Infinity: it does not. */
  get quietAtUs(): number {
    const { claimQuietUs = 0, claimTimeoutUs } = this.#options;
    return !this.#following ? Infinity : this.#heardUs + (claimQuietUs === 0 || this.#quiet ? claimTimeoutUs : claimQuietUs);
  }

  /** A frame with the identifier claim id | `idOwner`. */
  hear(idOwner: number, frame: Uint8Array, nowUs: number): Heard {
    this.poll(nowUs);
    const claim = this.#options.claimTimeoutUs === 0 ? undefined : decodeClaim(frame);
    if (!claim || claim.owner !== idOwner) return "notHeard";
    const { kind, epoch, owner, counter } = claim;
    if (this.epoch !== 0 && epoch === this.epoch && owner === this.#owner) {
      if (counter === this.#claimCounter) return "notHeard";
      this.#claimCounter = counter;
      if (kind === "release") {
        this.#following = false;
        this.#makeSafe();
        return "released";
      }
      this.#heard(nowUs);
      return "kept";
    }
    if (this.epoch !== 0 && !epochNewer(epoch, this.epoch)) {
      this.counters.staleClaims += 1;
      return "stale";
    }
    // Nobody is followed for going, or for passing on.
    if (kind === "release" || kind === "handover") return "notHeard";
    this.#follow(epoch, owner);
    this.#claimCounter = counter;
    this.#heard(nowUs);
    return "followed";
  }

  /** A frame of command number `index`. Its content counts only if accepted. */
  judge(index: number, frame: Uint8Array, nowUs: number): CommandVerdict {
    this.poll(nowUs);
    const verdict = this.#judge(index, frame, nowUs);
    if (verdict === "accepted") this.counters.acceptedCommands += 1;
    else this.counters.refusedCommands += 1;
    return verdict;
  }

  /** Time passed. */
  poll(nowUs: number): void {
    if (this.#fedUs !== undefined && nowUs - this.#fedUs >= this.#options.deadManUs) {
      this.counters.deadManStops += 1;
      this.#makeSafe();
    }
    if (this.#following && nowUs - this.#heardUs >= this.#options.claimTimeoutUs) {
      this.#following = false;
      this.#makeSafe();
    }
    const { claimQuietUs = 0 } = this.#options;
    if (claimQuietUs !== 0 && nowUs - this.#heardUs >= claimQuietUs) this.#quiet = true;
  }

  #judge(index: number, frame: Uint8Array, nowUs: number): CommandVerdict {
    const command = this.#options.commands[index];
    if (!command) return "badFrame";
    const { check, canId, epoch, owner } = command;
    if (check.inspect(frame, 0, frame.length, canId) !== Verdict.ok) return "badFrame";
    if (this.#options.claimTimeoutUs !== 0) {
      if (!this.#following) return "notFollowing";
      if (differs(epoch, frame, this.epoch)) return "otherEpoch";
      if (differs(owner, frame, this.#owner)) return "otherOwner";
    }
    // Only now: a stranger's frames never move the window of the owner's.
    if (check.check(frame, 0, frame.length, canId, nowUs) > CheckResult.okSomeLost) return "oldCounter";
    this.#heardUs = nowUs;
    this.#quiet = false;
    if (command.motion) {
      this.outputs = "follow";
      this.#fedUs = nowUs;
    }
    return "accepted";
  }

  #follow(epoch: number, owner: number): void {
    this.epoch = epoch;
    this.#owner = owner;
    if (this.outputs === "follow") this.outputs = "hold";
    for (const { check } of this.#options.commands) check.restartSequence();
  }

  #heard(nowUs: number): void {
    this.#following = true;
    this.#quiet = false;
    this.#heardUs = nowUs;
  }

  #makeSafe(): void {
    this.outputs = "safe";
    this.#fedUs = undefined;
  }
}

function differs(field: OwnerField | undefined, frame: Uint8Array, expected: number): boolean {
  if (!field) return false;
  if (field.startBit + field.bits > frame.length * 8) return true;
  let value = 0;
  for (let bit = 0; bit < field.bits; bit++) {
    const at = field.startBit + bit;
    value |= ((frame[at >> 3]! >> (at & 7)) & 1) << bit;
  }
  return value !== (expected & ((1 << field.bits) - 1));
}

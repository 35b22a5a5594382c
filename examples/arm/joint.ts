/**
 * One simulated motor node: a joint with a velocity-limited position controller, and the protocol of its firmware. Pure: `receive` and
 * `tick` take the time and return what it sends; examples/arm/robot.ts puts it on the emulated bus.
 *
 * It behaves as a careful firmware does: silent until powered, it believes only frames whose E2E check passed, feeds its dead-man from
 * valid, fresh motion commands alone, and stops by itself and holds when they end. On a bus with CLAIM frames it obeys the newest owner
 * alone and says whom it follows (docs/specs/claim.md).
 */
import { CanFlag, canFlagsOf, type CanFrame } from "../../drivers/can/frame.ts";
import type { MessageCodec } from "../../schemas/dbc/index.ts";
import { CLAIM_OWNERS } from "../../drivers/nodekit/claimFrame.ts";
import { CLAIM_TIMEOUT_MS_DEFAULT, type CommandVerdict, NOBODY, NodeRules, type OwnerField } from "../../drivers/nodekit/nodeRules.ts";
import type { FrameCheck, FrameProtector } from "../../schemas/e2e/index.ts";

/** Without a valid command for so long the joint stops and holds. */
export const DEAD_MAN_MS = 200;
const STATE_PERIOD_US = 10_000;
const STATUS_PERIOD_US = 100_000;
const HEARTBEAT_PERIOD_US = 100_000;
const WITNESS_PERIOD_US = 10_000;
/** rad/s²: what the motor can do. */
const ACCELERATION_RAD_S2 = 8;
/** Where "Park" goes. */
const PARK_POSITION_RAD = 0;
const PARK_VELOCITY_RAD_S = 1.5;

export type JointMode = "Off" | "Hold" | "Move" | "Park" | "Fault";

export interface JointCodecs {
  state: MessageCodec;
  /** Compiled with `checkRanges`. */
  command: MessageCodec;
  status: MessageCodec;
  protectState: FrameProtector;
  protectStatus: FrameProtector;
  checkCommand: FrameCheck;
  witness: MessageCodec;
  protectWitness: FrameProtector;
  /** Where the command says who commands. */
  ownerFields: { epoch: OwnerField; owner: OwnerField };
}

export interface JointOptions {
  nodeId: number;
  codecs: JointCodecs;
  /** Default: 0. */
  positionRad?: number;
  /** Of the bus's CLAIM frames; undefined: nobody claims, every valid command counts. */
  claimId?: number | undefined;
  /** An owner that was not heard for so long is not obeyed any more. Default: 500. */
  claimTimeoutMs?: number | undefined;
  /** And after so long reported as nobody, for a second host to know; 0, the default: not before it. */
  claimQuietMs?: number | undefined;
}

export class Joint {
  readonly nodeId: number;
  readonly counters = { commandsAccepted: 0, commandsRejected: 0, deadManStops: 0 };
  /** For which reasons commands were ever rejected. */
  readonly refusals = new Set<Exclude<CommandVerdict, "accepted"> | "noCommand">();
  positionRad: number;
  velocityRadS = 0;
  mode: JointMode = "Hold";
  fault: "None" | "CommandLost" = "None";
  readonly #codecs: JointCodecs;
  readonly #rules: NodeRules;
  readonly #claimId: number | undefined;
  /** As reported last. */
  #reportedOwner = NOBODY;
  #target: { positionRad: number; velocityLimitRadS: number };
  #integratedUs: number | undefined;
  #due = { stateUs: 0, statusUs: 0, heartbeatUs: 0, witnessUs: 0 };
  #booted = false;

  constructor({ nodeId, codecs, positionRad = 0, claimId, claimTimeoutMs = CLAIM_TIMEOUT_MS_DEFAULT, claimQuietMs = 0 }: JointOptions) {
    this.nodeId = nodeId;
    this.#codecs = codecs;
    this.#claimId = claimId;
    this.positionRad = positionRad;
    this.#target = { positionRad, velocityLimitRadS: 0 };
    const { checkCommand: check, command, ownerFields } = codecs;
    this.#rules = new NodeRules({
      claimTimeoutUs: claimId === undefined ? 0 : claimTimeoutMs * 1e3, deadManUs: DEAD_MAN_MS * 1e3, claimQuietUs: claimQuietMs * 1e3,
      commands: [{ check, canId: command.message.canId, motion: true, ...ownerFields }],
    });
  }

  /** Whom it follows: epoch (0: nobody claimed since power-up) and owner (7: nobody). */
  get follows(): { epoch: number; owner: number } {
    return { epoch: this.#rules.epoch, owner: this.#rules.owner };
  }

  /** A frame from the bus. Frames for others are ignored. Returns what is to be sent at once. */
  receive(frame: CanFrame, nowUs: number): CanFrame[] {
    if ((frame.flags & (CanFlag.extended | CanFlag.remote | CanFlag.error)) !== 0) return [];
    const claimId = this.#claimId;
    if (claimId !== undefined && frame.canId >= claimId && frame.canId < claimId + CLAIM_OWNERS) return this.#hear(frame.canId - claimId, frame.data, nowUs);
    const { command } = this.#codecs;
    if (frame.canId !== command.message.canId) return [];
    // What it says must make sense before it may count as a command.
    const decoded = command.decode(frame.data, 0, frame.data.length);
    const verdict = decoded.ok ? this.#rules.judge(0, frame.data, nowUs) : "noCommand";
    if (!decoded.ok || verdict !== "accepted") {
      this.counters.commandsRejected += 1;
      if (verdict !== "accepted") this.refusals.add(verdict);
      return [];
    }
    this.counters.commandsAccepted += 1;
    this.fault = "None";
    this.mode = (["Off", "Hold", "Move", "Park"] as const)[Number(decoded.signals["mode"])] ?? "Hold";
    if (this.mode === "Move") this.#target = { positionRad: Number(decoded.signals["targetPosition"]), velocityLimitRadS: Number(decoded.signals["velocityLimit"]) };
    else if (this.mode === "Park") this.#target = { positionRad: PARK_POSITION_RAD, velocityLimitRadS: PARK_VELOCITY_RAD_S };
    return [];
  }

  /** Moves the joint to `nowUs` and returns the frames that are due. */
  tick(nowUs: number): CanFrame[] {
    this.#integrate(nowUs);
    const frames: CanFrame[] = [];
    if (nowUs >= this.#due.heartbeatUs) {
      // CiA 301: the first heartbeat after power-up is the boot-up message.
      frames.push({ timeUs: 0, canId: 0x700 + this.nodeId, flags: 0, data: Uint8Array.of(this.#booted ? 5 : 0) });
      this.#due.heartbeatUs = nowUs + (this.#booted ? HEARTBEAT_PERIOD_US : 20_000);
      this.#booted = true;
    }
    if (nowUs >= this.#due.stateUs) {
      const { state, protectState } = this.#codecs;
      frames.push(protectedFrame(state, protectState, { crc: 0, counter: 0, position: this.positionRad, velocity: this.velocityRadS, mode: this.mode, fault: this.fault }));
      this.#due.stateUs = Math.max(this.#due.stateUs + STATE_PERIOD_US, nowUs - STATE_PERIOD_US);
    }
    if (nowUs >= this.#due.statusUs) {
      const { status, protectStatus } = this.#codecs;
      const currentA = 0.2 + 1.5 * Math.abs(this.velocityRadS);
      frames.push(protectedFrame(status, protectStatus, { crc: 0, counter: 0, temperature: Math.round(31 + 4 * Math.abs(this.velocityRadS)), current: Math.round(currentA * 1e3) / 1e3, supply: 24 }));
      this.#due.statusUs = nowUs + STATUS_PERIOD_US;
    }
    if (this.#claimId !== undefined && (nowUs >= this.#due.witnessUs || this.follows.owner !== this.#reportedOwner)) frames.push(this.#witness(nowUs));
    return frames;
  }

  /** When `tick` has something to do next, µs. */
  nextDeadlineUs(): number {
    const { stateUs, statusUs, heartbeatUs, witnessUs } = this.#due;
    return Math.min(stateUs, statusUs, heartbeatUs, this.#claimId === undefined ? Infinity : Math.min(witnessUs, this.#rules.quietAtUs));
  }

  #hear(idOwner: number, data: Uint8Array, nowUs: number): CanFrame[] {
    const before = this.follows;
    this.#rules.hear(idOwner, data, nowUs);
    const { epoch, owner } = this.follows;
    return epoch === before.epoch && owner === before.owner ? [] : [this.#witness(nowUs)];
  }

  #witness(nowUs: number): CanFrame {
    this.#due.witnessUs = nowUs + WITNESS_PERIOD_US;
    this.#reportedOwner = this.follows.owner;
    return protectedFrame(this.#codecs.witness, this.#codecs.protectWitness, { crc: 0, counter: 0, ...this.follows });
  }

  #integrate(nowUs: number): void {
    const seconds = Math.min(0.1, (nowUs - (this.#integratedUs ?? nowUs)) / 1e6);
    this.#integratedUs = nowUs;
    this.#rules.poll(nowUs);
    if ((this.mode === "Move" || this.mode === "Park") && this.#rules.outputs !== "follow") {
      // A new owner that has not commanded yet: it holds, and nothing is wrong.
      if (this.#rules.outputs === "safe") {
        this.counters.deadManStops += 1;
        this.fault = "CommandLost";
      }
      this.mode = "Hold";
    }
    const wantedRadS = this.mode === "Move" || this.mode === "Park" ? this.#velocityTowardsTarget() : 0;
    const step = ACCELERATION_RAD_S2 * seconds;
    this.velocityRadS += Math.max(-step, Math.min(step, wantedRadS - this.velocityRadS));
    if (Math.abs(this.velocityRadS) < 1e-4) this.velocityRadS = 0;
    this.positionRad = Math.max(-3.2, Math.min(3.2, this.positionRad + this.velocityRadS * seconds));
  }

  #velocityTowardsTarget(): number {
    const distanceRad = this.#target.positionRad - this.positionRad;
    // Slow enough to stop in time: v² = 2·a·s, with half of the acceleration kept in hand.
    const stoppableRadS = Math.sqrt(ACCELERATION_RAD_S2 * Math.abs(distanceRad));
    return Math.sign(distanceRad) * Math.min(stoppableRadS, this.#target.velocityLimitRadS, 12 * Math.abs(distanceRad));
  }
}

function protectedFrame(codec: MessageCodec, protector: FrameProtector, values: Record<string, number | string>): CanFrame {
  const encoded = codec.encode(values);
  if (!encoded.ok) throw new Error(`${codec.message.name}: ${encoded.text}`);
  protector.protect(encoded.data, 0, encoded.data.length, codec.message.canId);
  return { timeUs: 0, canId: codec.message.canId, flags: canFlagsOf(codec.message), data: encoded.data };
}

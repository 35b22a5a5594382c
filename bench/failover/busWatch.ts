/**
 * What the bus had of a program's commands, and of the bus process itself, told apart by what happened at the time. Pure: fed with commands as they are sent and frames as they were on the bus,
 * both by the same clock.
 *
 * A command is *late* when, at its deadline (sent + time to live), neither it nor a newer one for the same joint had been on the bus: then the joint's set-point is over although its program
 * sent in time. It does not matter whether it was lost, refused or only slow. A frame is *stale* when it was on the bus after the deadline of its command, *repeated* when the same command
 * was the last one there (a gateway died between handing it on and noting that: the other one hands it on once more), and *out of order* when a newer command was there before it. A beat (the owner's CLAIM
 * frames, the one cyclic message of the bus process) is late when it comes more than half a period after its time, unless the simulated joints, whose messages are cyclic too and whose process has the bus in it, stood still as long.
 *
 * The program, too, may stand still on a busy machine. Then nothing is late, but set-points end and the robot poses: whoever judges a phase has to look at `programGapMsMax` first.
 *
 * A command belongs to the phase in which it was sent, a gap between two frames to the one in which it ended.
 */
import { CanFlag } from "../../drivers/can/frame.ts";
import { CLAIM_OWNERS, decodeClaim } from "../../drivers/nodekit/claimFrame.ts";

export interface BusPhase {
  /** How long it lasted, in all. */
  ms: number;
  sent: number;
  late: number;
  /** Answers other than "ok", by what they said. */
  refused: Map<string, number>;
  /** From sending a command until it, or a newer one, was on the bus. */
  delaysMs: number[];
  /** Between two command frames of one joint. */
  gapMsMax: number;
  stale: number;
  outOfOrder: number;
  repeated: number;
  beatGapsMs: number[];
  lateBeats: number;
  /** The longest that the simulated joints themselves were silent. */
  robotGapMsMax: number;
  /** Frames of the safe pose. */
  poseFrames: number;
  poses: number;
  disarms: number;
  ownerChanges: number;
  /** A joint that held by itself: nothing fresh had come for its dead-man's time. */
  deadManStops: number;
  /** The longest that the program itself sent nothing: its set-points were over then whoever was alive. */
  programGapMsMax: number;
}

export interface BusWatchOptions {
  /** Identifiers of each joint's commands and states. */
  joints: readonly { name: string; commandId: number; stateId: number }[];
  claimId: number;
  beatPeriodMs: number;
}

interface Pending {
  code: number;
  sentUs: number;
  deadlineUs: number;
  phase: BusPhase;
  isLate: boolean;
}

interface JointState {
  name: string;
  pending: Pending[];
  lastFrameUs: number | undefined;
  lastCode: number | undefined;
  isStopped: boolean;
}

/** Target positions in a frame are counted in 0.0001 rad; so many steps are told apart before they come again. */
export const CODES = 4_000;
const CODE_STEP = 10;
const RADIANS_PER_CODE = 1e-4;
const MODE_MOVE = 2;
const FAULT_COMMAND_LOST = 1;
/** More than the jitter of a frame that waited for another one on the bus, and of what stamps it. */
const ROBOT_LATE_MS = 1;

/** The target of the `number`-th command: a slow sweep, no two alike within the time that any of them lives. */
export const targetOf = (number: number): number => codeOf(number) * RADIANS_PER_CODE;
const codeOf = (number: number): number => ((number % CODES) - CODES / 2) * CODE_STEP;

export class BusWatch {
  readonly phases = new Map<string, BusPhase>();
  readonly #options: BusWatchOptions;
  readonly #commands = new Map<number, JointState>();
  readonly #states = new Map<number, JointState>();
  readonly #history: { fromUs: number; phase: BusPhase }[] = [];
  #beatUs: number | undefined;
  #stateUs: number | undefined;
  /** The longest silence of the joints since the last beat. */
  #robotGapMs = 0;
  #programUs: number | undefined;
  #owner: { epoch: number; owner: number; armed: boolean } | undefined;
  #posing = false;

  constructor(options: BusWatchOptions) {
    this.#options = options;
    for (const { name, commandId, stateId } of options.joints) {
      const joint: JointState = { name, pending: [], lastFrameUs: undefined, lastCode: undefined, isStopped: false };
      this.#commands.set(commandId, joint);
      this.#states.set(stateId, joint);
    }
  }

  /** From now on it is this phase's, which it returns; undefined: nobody's. */
  begin(name: string | undefined, nowUs: number): BusPhase {
    const last = this.#history.at(-1);
    if (last) last.phase.ms += (nowUs - last.fromUs) / 1e3;
    let phase = name === undefined ? newPhase() : this.phases.get(name);
    if (!phase) this.phases.set(name!, (phase = newPhase()));
    this.#history.push({ fromUs: nowUs, phase });
    return phase;
  }

  /** Command `number` of a joint is handed to the gateway; it lives until `deadlineUs`. */
  sent(name: string, number: number, sentUs: number, deadlineUs: number): void {
    const phase = this.#phaseAt(sentUs);
    phase.sent += 1;
    if (this.#programUs !== undefined) phase.programGapMsMax = Math.max(phase.programGapMsMax, (sentUs - this.#programUs) / 1e3);
    this.#programUs = sentUs;
    this.#joint(name).pending.push({ code: codeOf(number), sentUs, deadlineUs, phase, isLate: false });
  }

  /** What the program was told of it instead of "ok". It may still be late: a refusal is no set-point. */
  refused(sentUs: number, why: string): void {
    const { refused } = this.#phaseAt(sentUs);
    refused.set(why, (refused.get(why) ?? 0) + 1);
  }

  /** A frame that was on the bus at `timeUs`; in their order. */
  frame(timeUs: number, canId: number, flags: number, data: Uint8Array): void {
    if ((flags & (CanFlag.extended | CanFlag.remote | CanFlag.error)) !== 0) return;
    const { claimId } = this.#options;
    const phase = this.#phaseAt(timeUs);
    const commanded = this.#commands.get(canId);
    if (commanded) this.#command(commanded, timeUs, data, phase);
    else if (canId >= claimId && canId < claimId + CLAIM_OWNERS) this.#claim(timeUs, data, phase);
    else this.#state(canId, timeUs, data, phase);
  }

  /** Every frame until `nowUs` has been told. */
  sweep(nowUs: number): void {
    for (const { pending } of this.#commands.values()) for (const each of pending) if (each.deadlineUs < nowUs) tellLate(each);
  }

  /** By joint: commands that were not seen on the bus yet, and since when there was none, ms. */
  waiting(nowUs: number): Record<string, { commands: number; silentMs: number }> {
    return Object.fromEntries([...this.#commands.values()].map(({ name, pending, lastFrameUs }) => [name, { commands: pending.length, silentMs: Math.round((nowUs - (lastFrameUs ?? nowUs)) / 1e3) }]));
  }

  #joint(name: string): JointState {
    for (const joint of this.#commands.values()) if (joint.name === name) return joint;
    throw new Error(`there is no joint ${name}`);
  }

  #phaseAt(timeUs: number): BusPhase {
    return (this.#history.findLast(({ fromUs }) => fromUs <= timeUs) ?? this.#history[0]!).phase;
  }

  #command(joint: JointState, timeUs: number, data: Uint8Array, phase: BusPhase): void {
    if (joint.lastFrameUs !== undefined) phase.gapMsMax = Math.max(phase.gapMsMax, (timeUs - joint.lastFrameUs) / 1e3);
    joint.lastFrameUs = timeUs;
    if (((data[7]! >> 4) & 3) !== MODE_MOVE) {
      phase.poseFrames += 1;
      if (!this.#posing) phase.poses += 1;
      this.#posing = true;
      return;
    }
    this.#posing = false;
    const code = new DataView(data.buffer, data.byteOffset).getInt16(4, true);
    const index = joint.pending.findLastIndex((each) => each.code === code);
    if (index < 0) {
      if (code === joint.lastCode) phase.repeated += 1;
      else phase.outOfOrder += 1;
      return;
    }
    joint.lastCode = code;
    if (timeUs > joint.pending[index]!.deadlineUs) phase.stale += 1;
    for (const each of joint.pending.splice(0, index + 1)) {
      each.phase.delaysMs.push((timeUs - each.sentUs) / 1e3);
      if (timeUs > each.deadlineUs) tellLate(each);
    }
  }

  #claim(timeUs: number, data: Uint8Array, phase: BusPhase): void {
    const claim = decodeClaim(data);
    if (!claim || claim.kind === "handover" || claim.kind === "release") return;
    const { epoch, owner, last } = claim;
    const armed = (last & 1) !== 0;
    if (this.#owner && (this.#owner.epoch !== epoch || this.#owner.owner !== owner)) phase.ownerChanges += 1;
    if (this.#owner?.armed && !armed) phase.disarms += 1;
    this.#owner = { epoch, owner, armed };
    if (this.#beatUs !== undefined) {
      const gapMs = (timeUs - this.#beatUs) / 1e3;
      const lateMs = gapMs - this.#options.beatPeriodMs;
      // Who wakes up reads what waits for it, beats as well, before it sends anything: then its gap is not over yet.
      const robotGapMs = Math.max(this.#robotGapMs, (timeUs - (this.#stateUs ?? timeUs)) / 1e3);
      phase.beatGapsMs.push(gapMs);
      if (lateMs > this.#options.beatPeriodMs / 2 && lateMs > robotGapMs + ROBOT_LATE_MS) phase.lateBeats += 1;
    }
    this.#beatUs = timeUs;
    this.#robotGapMs = 0;
  }

  #state(canId: number, timeUs: number, data: Uint8Array, phase: BusPhase): void {
    const joint = this.#states.get(canId);
    if (!joint) return;
    if (joint.name === this.#options.joints[0]!.name) {
      if (this.#stateUs !== undefined) {
        const gapMs = (timeUs - this.#stateUs) / 1e3;
        this.#robotGapMs = Math.max(this.#robotGapMs, gapMs);
        phase.robotGapMsMax = Math.max(phase.robotGapMsMax, gapMs);
      }
      this.#stateUs = timeUs;
    }
    const isStopped = data[7]! >> 4 === FAULT_COMMAND_LOST;
    if (isStopped && !joint.isStopped) phase.deadManStops += 1;
    joint.isStopped = isStopped;
  }
}

function tellLate(each: Pending): void {
  if (!each.isLate) each.phase.late += 1;
  each.isLate = true;
}

export function newPhase(): BusPhase {
  return {
    ms: 0, sent: 0, late: 0, refused: new Map(), delaysMs: [], gapMsMax: 0, stale: 0, outOfOrder: 0, repeated: 0, beatGapsMs: [], lateBeats: 0, robotGapMsMax: 0, poseFrames: 0, poses: 0, disarms: 0, ownerChanges: 0, deadManStops: 0,
    programGapMsMax: 0,
  };
}

/** Several phases as one. */
export function together(phases: readonly BusPhase[]): BusPhase {
  const sum = newPhase();
  for (const phase of phases) {
    for (const key of ["ms", "sent", "late", "stale", "outOfOrder", "repeated", "lateBeats", "poseFrames", "poses", "disarms", "ownerChanges", "deadManStops"] as const) sum[key] += phase[key];
    for (const key of ["gapMsMax", "robotGapMsMax", "programGapMsMax"] as const) sum[key] = Math.max(sum[key], phase[key]);
    for (const [why, count] of phase.refused) sum.refused.set(why, (sum.refused.get(why) ?? 0) + count);
    for (const delay of phase.delaysMs) sum.delaysMs.push(delay);
    for (const gap of phase.beatGapsMs) sum.beatGapsMs.push(gap);
  }
  return sum;
}

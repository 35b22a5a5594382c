/** What whichever gateway of a host serves does to its reflexes (gatewayPair.ts says which): it commands while they are armed, beats, answers calls; and, when something is wrong with it, sends what must never reach a motor. */
import { COMMAND_BYTES, Order } from "../reflex/addon/core.ts";
import type { Host } from "./host.ts";
import type { EventQueue } from "./queue.ts";
import { BRAIN_TIMEOUT_US, COMMAND_PERIOD_US, COMMAND_TTL_US, commandPayload, Mode, type Robot, SPEED_MAX, TARGET_MAX } from "./robot.ts";

/** A command that was written, as the judge knows it. The target makes it unique for its joint. */
export interface IssuedCommand {
  /** Why it must never be accepted; undefined: it may. */
  wrong: string | undefined;
  host: Host;
  brainEpoch: number;
  sequence: bigint;
  deadlineUs: number;
  deadlineLocalUs: number;
}

export const wrongs = ["outOfRange", "expired", "otherTable", "oldBrain", "repeated", "unknownMessage", "wrongLength", "damagedMode"] as const;
export type Wrong = (typeof wrongs)[number];

export class Brain {
  readonly host: Host;
  /** Of the pair; rises when another one takes over. */
  epoch = 1;
  /** What components say is lost until then. */
  answersLostUntilUs = 0;
  /** From now on nothing goes wrong with it. */
  isQuiet = false;
  readonly #random: () => number;
  readonly #isServing: () => boolean;
  readonly #time: EventQueue;
  readonly #robot: Robot;
  readonly #issued: Map<number, IssuedCommand>[];
  #sequence = 0n;
  /** Of the last command with which nothing was wrong. */
  #goodSequence = 0n;
  #target: number;

  /** `issued`: by joint and target, what was written; of all brains. */
  constructor({ host, time, random, robot, issued, isServing }: { host: Host; time: EventQueue; random: () => number; robot: Robot; issued: Map<number, IssuedCommand>[]; isServing: () => boolean }) {
    this.host = host;
    this.#time = time;
    this.#robot = robot;
    this.#random = random;
    this.#isServing = isServing;
    this.#issued = issued;
    this.#target = host.number === 0 ? -TARGET_MAX : 0;
    this.#every(COMMAND_PERIOD_US, () => this.#command());
    this.#every(BRAIN_TIMEOUT_US / 3, () => {
      for (const process of this.host.processes) process.order(Order.brainBeat, this.epoch);
    });
  }

  /** Another gateway of the pair is active now. */
  replace(): void {
    this.epoch += 1;
    this.#sequence = this.#goodSequence = 0n;
  }

  /** A plan's step has called: the component answers a moment later, sometimes twice, sometimes with a refusal; and its answer may be lost. */
  answer(runId: bigint, step: number): void {
    if (!this.#works) return;
    const chance = this.#random();
    const isRefused = chance < 0.02 && !this.isQuiet;
    const times = chance > 0.95 ? 2 : 1;
    for (let time = 0; time < times; time++) {
      this.#time.after(500 + Math.floor(this.#random() * 15_000), () => {
        if (!this.#works || this.#time.nowUs < this.answersLostUntilUs) return;
        for (const process of this.host.processes) process.order(Order.callDone, step, isRefused ? 0 : 1, runId);
      });
    }
  }

  /** One command that must not get through. */
  misbehave(wrong: Wrong, joint: number): void {
    if (!this.host.isPowered) return;
    const nowUs = this.host.nowUs;
    const target = wrong === "outOfRange" ? TARGET_MAX + 1 + (this.#next() & 0x3ff) : this.#next();
    const deadlineUs = wrong === "expired" ? nowUs - 1 : nowUs + COMMAND_TTL_US;
    const sequence = wrong === "repeated" ? this.#goodSequence : ++this.#sequence;
    const bytes = this.#record(joint, target, deadlineUs, wrong === "oldBrain" ? this.epoch - 1 : this.epoch, sequence);
    const view = new DataView(bytes.buffer);
    if (wrong === "otherTable") view.setBigUint64(24, this.#robot.hash ^ 1n, true);
    if (wrong === "unknownMessage") view.setUint16(32, this.#robot.joints + joint, true);
    if (wrong === "wrongLength") bytes[34] = 7;
    if (wrong === "damagedMode") bytes[47] = bytes[47]! | 0x30;
    // The first brain of all has none before it.
    if (wrong === "oldBrain" && this.epoch === 1) return;
    this.#issued[joint]!.set(target, { wrong, host: this.host, brainEpoch: wrong === "oldBrain" ? this.epoch - 1 : this.epoch, sequence, deadlineUs: this.host.clock.trueOf(deadlineUs), deadlineLocalUs: deadlineUs });
    this.host.write(bytes, false);
  }

  get #works(): boolean {
    return this.host.isPowered && this.#isServing();
  }

  #command(): void {
    const isArmed = this.host.processes.some((process) => process.role === "owner" && process.core.arming === 1);
    if (!isArmed) return;
    const deadlineLocalUs = this.host.nowUs + COMMAND_TTL_US;
    for (let joint = 0; joint < this.#robot.joints; joint++) {
      const target = this.#next();
      this.#goodSequence = ++this.#sequence;
      this.#issued[joint]!.set(target, { wrong: undefined, host: this.host, brainEpoch: this.epoch, sequence: this.#sequence, deadlineUs: this.host.clock.trueOf(deadlineLocalUs), deadlineLocalUs });
      this.host.write(this.#record(joint, target, deadlineLocalUs, this.epoch, this.#sequence), true);
    }
  }

  #next(): number {
    this.#target += 1;
    return this.#target;
  }

  #record(joint: number, target: number, deadlineUs: number, epoch: number, sequence: bigint): Uint8Array {
    const bytes = new Uint8Array(COMMAND_BYTES);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(Math.max(0, deadlineUs)), true);
    view.setBigUint64(8, sequence, true);
    view.setUint32(16, epoch, true);
    view.setUint32(20, Number(sequence & 0xffffn), true);
    view.setBigUint64(24, this.#robot.hash, true);
    view.setUint16(32, joint, true);
    bytes[34] = 8;
    bytes.set(commandPayload(Mode.move, target, SPEED_MAX), 40);
    return bytes;
  }

  #every(periodUs: number, action: () => void): void {
    const turn = (): void => {
      if (this.#works) action();
      this.#time.after(periodUs, turn);
    };
    this.#time.after(periodUs, turn);
  }
}

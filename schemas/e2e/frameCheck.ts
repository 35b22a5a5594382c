/**
 * The two ends of a protected channel. A `FrameCheck` is one receiver's memory of one message: give every (bus, message) its own. A
 * `FrameProtector` is its sender's. Neither reads a clock, allocates or throws on what arrives.
 */
import type { FrameCodec } from "./codec.ts";
import { Verdict } from "./codec.ts";
import type { E2eConfig, ReceiverConfig } from "./config.ts";
import { CounterJudge } from "./counter.ts";
import { e2eCodec } from "./profiles.ts";
import { ChannelStateMachine, NO_NEW_DATA } from "./stateMachine.ts";
import type { ChannelState } from "./stateMachine.ts";
import { CheckResult } from "./status.ts";

export class FrameCheck {
  readonly timeoutMs: number | undefined;
  readonly #codec: FrameCodec;
  readonly #judge: CounterJudge;
  readonly #machine: ChannelStateMachine;
  #lastAcceptedUs = Number.NEGATIVE_INFINITY;
  /** Counter of the newest frame whose CRC was right, accepted or not; −1 before it. */
  counter = -1;
  /** Frames missed just before the newest one, as far as its counter tells. */
  lost = 0;

  constructor(codec: FrameCodec, config: ReceiverConfig = {}) {
    this.#codec = codec;
    this.#judge = new CounterJudge({ counterCount: codec.counterCount, maxDeltaCounter: config.maxDeltaCounter, resyncFrames: config.resyncFrames });
    this.#machine = new ChannelStateMachine(config.stateMachine);
    this.timeoutMs = config.timeoutMs;
  }

  /** Judges `bytes[at, at + lengthBytes)`. ok and okSomeLost mean: use it. */
  check(bytes: Uint8Array, at: number, lengthBytes: number, canId: number, nowUs: number): CheckResult {
    const result = this.#result(bytes, at, lengthBytes, canId);
    this.#machine.step(result);
    if (result <= CheckResult.okSomeLost) this.#lastAcceptedUs = nowUs;
    return result;
  }

  /** What the frame by itself is worth, whatever came before: changes nothing. For whoever must look into a frame before its counter may count. */
  inspect(bytes: Uint8Array, at: number, lengthBytes: number, canId: number): Verdict {
    return this.#codec.inspect(bytes, at, lengthBytes, canId);
  }

  /** For a receiver that is called cyclically: nothing came since the last call. */
  noNewData(): void {
    this.#machine.step(NO_NEW_DATA);
  }

  /** E2E_SM's view of the channel. */
  get state(): ChannelState {
    return this.#machine.state;
  }

  /** When a frame was accepted last, µs; −Infinity before the first. */
  get lastAcceptedUs(): number {
    return this.#lastAcceptedUs;
  }

  /** How often a sender that started its counter anew was followed. */
  get resyncs(): number {
    return this.#judge.resyncs;
  }

  /** Whether at `nowUs` the newest accepted frame is too old; true before the first frame, false without a timeout. */
  wouldTimeOut(nowUs: number): boolean {
    return this.timeoutMs !== undefined && nowUs - this.#lastAcceptedUs > this.timeoutMs * 1e3;
  }

  /** Starts the channel afresh, as when the sender is known to have been replaced. */
  reset(): void {
    this.#judge.reset();
    this.#machine.start();
    this.#lastAcceptedUs = Number.NEGATIVE_INFINITY;
    this.counter = -1;
    this.lost = 0;
  }

  /** Forgets the counter alone: the next frame is accepted as the first of a new sender. */
  restartSequence(): void {
    this.#judge.reset();
  }

  #result(bytes: Uint8Array, at: number, lengthBytes: number, canId: number): CheckResult {
    this.lost = 0;
    const verdict = this.#codec.inspect(bytes, at, lengthBytes, canId);
    // Profiles that do not send their Data ID cannot tell a wrong one from a wrong CRC: nor do the others here.
    if (verdict !== Verdict.ok) return verdict === Verdict.badLength ? CheckResult.badLength : CheckResult.crcMismatch;
    this.counter = this.#codec.counterOf(bytes, at, lengthBytes, canId);
    const result = this.#judge.judge(this.counter);
    this.lost = this.#judge.lost;
    return result;
  }
}

export class FrameProtector {
  readonly #codec: FrameCodec;
  #next: number;

  constructor(codec: FrameCodec) {
    this.#codec = codec;
    this.#next = codec.firstCounter;
  }

  /** The counter of the next frame. Settable, so that whoever takes over can continue the sequence. */
  get counter(): number {
    return this.#next;
  }

  set counter(value: number) {
    if (!(Number.isInteger(value) && value >= 0 && value < this.#codec.counterCount)) throw new RangeError(`counter ${value} is outside 0…${this.#codec.counterCount - 1}`);
    this.#next = value;
  }

  /** Writes header and CRC into `bytes[at, at + lengthBytes)`; call it at the moment of sending. Throws RangeError for a length the layout cannot have. */
  protect(bytes: Uint8Array, at: number, lengthBytes: number, canId: number): void {
    this.#codec.protect(bytes, at, lengthBytes, canId, this.#next);
    this.#next = this.#next + 1 === this.#codec.counterCount ? 0 : this.#next + 1;
  }
}

/** A receiver for an AUTOSAR profile. Throws E2eConfigError. */
export function e2eCheck(config: E2eConfig): FrameCheck {
  return new FrameCheck(e2eCodec(config), config);
}

/** A sender for an AUTOSAR profile. Throws E2eConfigError. */
export function e2eProtector(config: E2eConfig): FrameProtector {
  return new FrameProtector(e2eCodec(config));
}

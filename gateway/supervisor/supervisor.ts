/**
 * Holds the gateway's one state and performs the effects of `failsafe/arming`: opens and closes the way of commands, runs the safe pose.
 *
 * Who may call what is decided before (gateway/access); here it is only asked whether it is possible: `arm` answers with everything that is
 * missing, not only the first.
 */
import { stepArming, type ArmingEvent, type ArmingState } from "../../failsafe/arming/machine.ts";
import type { PoseEffect, PoseVerdict } from "../../failsafe/safePose/sequence.ts";
import type { PoseReason, SupervisorPort } from "./port.ts";
import type { PoseCause } from "../../failsafe/shutdown/cause.ts";

/** Names of triggers as a plan file has them. */
const poseWords: Readonly<Record<PoseReason, string>> = { onRequest: "request", onStop: "stop", onShutdown: "shutdown", onCompromise: "compromise" };

export interface SupervisorPorts {
  /** One sentence for each thing without which nothing may move: nodes, buses, purge, plan. */
  missing(): string[];
  /** Forgets every waiting command and lets none pass until the state is `armed` again. */
  clearCommands(): void;
  /** Begins, goes on with, and asks for the next deadline of the safe pose. */
  pose: {
    start(why: string, nowUs: number): PoseEffect[];
    poll(nowUs: number): PoseEffect[];
    send(stepIndex: number, sendIndex: number, nowUs: number): void;
    nextDeadlineUs(): number | undefined;
  };
  stateChanged(from: ArmingState, to: ArmingState, why: string): void;
}

export interface SupervisorOptions {
  /** Armed without any command for so long: disarmed again. 0 = never. */
  autoDisarmAfterSilentMs: number;
}

export class Supervisor implements SupervisorPort {
  readonly settling = false;
  readonly survives = false;
  #state: ArmingState = "disarmed";
  #reason = "";
  #cause: PoseCause | undefined;
  #lastCommandUs = 0;
  #verdict: PoseVerdict | undefined;
  #waiting: ((verdict: PoseVerdict) => void)[] = [];
  readonly #ports: SupervisorPorts;
  #options: SupervisorOptions;

  constructor(ports: SupervisorPorts, options: SupervisorOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  /**
   * Armed: the process that let commands pass is dead, and nothing passes before somebody arms again. A pose that ran was cut, and nobody has measured its end: that is a fault. What
   * demanded a reset demands it still.
   */
  takenOver(before: { state: ArmingState; reason: string } | undefined): void {
    if (!before) return;
    this.#state = before.state === "armed" ? "disarmed" : before.state === "safePose" ? "fault" : before.state;
    this.#reason = before.state === "armed" ? "disarmed by the death of the gateway that was armed: arm it again" : before.state === "safePose" ? `the gateway died during the safe pose (${before.reason})` : before.reason;
  }

  setOptions(options: SupervisorOptions): void {
    this.#options = options;
  }

  get state(): ArmingState {
    return this.#state;
  }

  /** Why it is in this state. */
  get reason(): string {
    return this.#reason;
  }

  /** There is one pose for all triggers: the one that began it stays its cause, whoever joins. */
  get cause(): PoseCause | undefined {
    return this.#cause;
  }

  get armed(): boolean {
    return this.#state === "armed";
  }

  /** The last safe pose's verdict. */
  get verdict(): PoseVerdict | undefined {
    return this.#verdict;
  }

  /** What stands between now and armed: empty when `arm` would succeed. */
  missing(): string[] {
    const missing = this.#ports.missing();
    if (this.#state === "posed" || this.#state === "fault") missing.unshift(`the gateway is ${this.#state === "fault" ? "in fault: the safe pose was not measured" : "in the safe pose"}: reset it first (ipcnet arm --reset)`);
    if (this.#state === "safePose") missing.unshift("the safe pose is running");
    return missing;
  }

  arm(why: string, nowUs: number): string[] {
    if (this.#state === "armed") return [];
    const missing = this.missing();
    if (missing.length > 0) return missing;
    this.#lastCommandUs = nowUs;
    this.#step("armGranted", why, nowUs);
    return [];
  }

  disarm(why: string, nowUs: number): void {
    this.#step("disarm", why, nowUs);
  }

  /** Acknowledges a safe pose or a fault; permits arming, moves nothing. */
  reset(why: string, nowUs: number): void {
    this.#step("reset", why, nowUs);
  }

  /** Something that armed operation needs is gone. */
  lost(why: string, nowUs: number): void {
    if (this.#state === "armed") this.#cause = { trigger: "lost", why, atUs: nowUs, latched: true };
    this.#step("lost", why, nowUs);
  }

  /** Runs the safe pose, or joins the one that runs; resolves with its verdict. Never rejects. */
  safePose(why: string, nowUs: number, reason: PoseReason = "onRequest"): Promise<PoseVerdict> {
    if (this.#state !== "safePose") this.#cause = { trigger: poseWords[reason], why, atUs: nowUs, latched: true };
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#step("safePose", why, nowUs);
    });
  }

  /** A command passed: the silence that would disarm begins anew. */
  commandPassed(nowUs: number): void {
    this.#lastCommandUs = nowUs;
  }

  poll(nowUs: number): void {
    if (this.#state === "safePose") {
      const ended = this.#send(this.#ports.pose.poll(nowUs), nowUs);
      if (ended) this.#poseEnded(ended, nowUs);
    }
    const silentMs = this.#options.autoDisarmAfterSilentMs;
    if (this.#state === "armed" && silentMs > 0 && nowUs - this.#lastCommandUs > silentMs * 1e3) this.disarm(`no command for ${silentMs} ms`, nowUs);
  }

  nextDeadlineUs(): number | undefined {
    return this.#state === "safePose" ? this.#ports.pose.nextDeadlineUs() : undefined;
  }

  #step(event: ArmingEvent, why: string, nowUs: number): void {
    const from = this.#state;
    const { to, do: effects } = stepArming(from, event);
    this.#state = to;
    if (to !== from) this.#reason = why;
    if (to === "disarmed") this.#cause = undefined;
    let ended: PoseVerdict | undefined;
    for (const effect of effects) {
      switch (effect) {
        case "refuseCommands":
          this.#ports.clearCommands();
          break;
        case "publishState":
          this.#ports.stateChanged(from, to, why);
          break;
        case "startSafePose":
          ended = this.#send(this.#ports.pose.start(why, nowUs), nowUs);
          break;
        case "acceptCommands":
          // The gate reads `armed`: nothing to do but to be in that state.
          break;
        default:
          effect satisfies never;
      }
    }
    // A pose that ended at once: told after its beginning.
    if (ended) this.#poseEnded(ended, nowUs);
  }

  /** Performs a pose's effects; returns its verdict when it has ended. */
  #send(effects: readonly PoseEffect[], nowUs: number): PoseVerdict | undefined {
    let ended: PoseVerdict | undefined;
    for (const effect of effects) {
      if (effect.type === "send") this.#ports.pose.send(effect.stepIndex, effect.sendIndex, nowUs);
      else ended = effect.verdict;
    }
    return ended;
  }

  #poseEnded(ended: PoseVerdict, nowUs: number): void {
    const verdict: PoseVerdict = { ...ended, ...(this.#cause ? { trigger: this.#cause.trigger } : {}) };
    this.#verdict = verdict;
    // Only what was measured is a pose. "cut" means that the frames went out and nobody knows what came of them.
    this.#step(verdict.verdict === "posed" ? "poseReached" : "poseFailed", `safe pose ${verdict.verdict}`, nowUs);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve(verdict);
  }
}

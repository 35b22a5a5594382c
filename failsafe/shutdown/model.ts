/**
 * The rules of a plan once more, as plainly as they can be said: what `failsafe/reflex/core/reflex_plan.c` is held against. It runs the compiled objects, keeps no image and needs no table; a takeover is
 * `afterOutage`. Not for production: the executor is the one in C.
 */
import type { CompiledPlan, CompiledStep } from "./compiled.ts";

/** In the order of `enum ipcnet_reflex_step_state`. */
export const stepStates = ["waiting", "running", "backoff", "reached", "sentOnly", "timedOut", "fellBack", "skipped", "hurried"] as const;
export type StepState = (typeof stepStates)[number];
/** In the order of `enum ipcnet_reflex_verdict`. */
export const verdicts = ["none", "posed", "cut", "failed"] as const;
export type Verdict = (typeof verdicts)[number];

/** reflex_plan.h: IPCNET_REFLEX_PLAN_RETRY_US, _RESUME_US, _LAST_US. */
const RETRY_US = 1_000;
const RESUME_US = 100_000;
const LAST_US = 100_000;

export interface PlanOutside {
  /** A frame of a step, or of the last rung (step undefined); false: the bus did not take it. */
  send(step: number | undefined, send: number): boolean;
  call(step: number): void;
  holds(step: number, condition: number, nowUs: number): boolean;
}

interface Run {
  state: StepState;
  sinceUs: number;
  tookUs: number;
  tries: number;
  answer: "open" | "yes" | "no";
  /** Of this try: when frames go out again; undefined: none were sent. */
  nextSendUs: number | undefined;
  retryUs: number;
  owed: Set<number>;
  /** The bus took all frames once. */
  taken: boolean;
  /** Reached before a takeover, not measured since. */
  doubted: boolean;
}

export class PlanModel {
  readonly #plan: CompiledPlan;
  readonly #outside: PlanOutside;
  readonly runs: Run[];
  readonly #startUs: number;
  #resumedUs = 0;
  #failed = false;
  /** The last rung: undefined while it is not needed. */
  #last: { sinceUs: number; retryUs: number; owed: Set<number>; steps: Map<number, Set<number>> } | undefined;
  verdict: Verdict = "none";

  constructor(plan: CompiledPlan, outside: PlanOutside, nowUs: number) {
    this.#plan = plan;
    this.#outside = outside;
    this.#startUs = nowUs;
    this.runs = plan.steps.map(() => ({ state: "waiting", sinceUs: 0, tookUs: 0, tries: 0, answer: "open", nextSendUs: undefined, retryUs: 0, owed: new Set<number>(), taken: false, doubted: false }));
  }

  get lastRungNeeded(): boolean {
    return this.#last !== undefined;
  }

  poll(nowUs: number): Verdict {
    while (this.verdict === "none" && !this.#last) {
      if (nowUs - this.#startUs >= this.#plan.budgetUs) {
        this.#beginLast(nowUs);
        break;
      }
      this.#beginSteps(nowUs);
      const running = this.#inState("running");
      for (const place of running) this.#sendDue(place, nowUs);
      const judged = running.map((place) => this.#judge(place, nowUs));
      if (judged.includes("last")) {
        this.#beginLast(nowUs);
        break;
      }
      if (judged.includes("moved")) continue;
      if (this.#stillDoubted(nowUs) || this.runs.some(({ state }) => isOpen(state))) return "none";
      this.verdict = this.#failed ? "failed" : this.runs.every(({ state }) => state === "reached" || state === "skipped") ? "posed" : "cut";
    }
    if (this.#last && this.verdict === "none") this.#goOnWithLast(nowUs);
    return this.verdict;
  }

  answer(step: number, ok: boolean): void {
    const run = this.runs[step]!;
    if (run.state === "running" && this.#plan.steps[step]!.call && run.answer === "open") run.answer = ok ? "yes" : "no";
  }

  /** Somebody else goes on, with what the journal says: which steps are where, not which frames have gone out. */
  afterOutage(nowUs: number): void {
    this.#resumedUs = nowUs;
    for (const run of this.runs) Object.assign(run, { nextSendUs: undefined, owed: new Set<number>(), taken: false, doubted: false });
    if (this.#last) {
      this.#last = undefined;
      this.#beginLast(nowUs);
      return;
    }
    for (const [place, run] of this.runs.entries()) {
      if (run.state === "running") this.#grantTime(place, nowUs);
      if (run.state !== "reached" || this.#measured(place, nowUs)) continue;
      if (this.#somethingFollowed(place)) run.doubted = true;
      else {
        run.state = "running";
        this.#grantTime(place, nowUs);
      }
    }
  }

  /** When it must be polled at the latest. */
  nextUs(): number {
    if (this.#last) return this.#last.retryUs;
    const times = [this.#startUs + this.#plan.budgetUs];
    for (const [place, run] of this.runs.entries()) {
      const step = this.#plan.steps[place]!;
      if (run.state === "backoff") times.push(run.sinceUs + step.backoffUs);
      if (run.doubted) times.push(this.#resumedUs + RESUME_US);
      if (run.state === "running") times.push(run.sinceUs + step.deadlineUs, run.nextSendUs ?? 0, run.owed.size > 0 ? run.retryUs : Infinity);
    }
    return Math.min(...times);
  }

  #inState(state: StepState): number[] {
    return [...this.runs.keys()].filter((place) => this.runs[place]!.state === state);
  }

  /** The step that runs in the place of this one. */
  #standIn(place: number): number {
    return this.runs[place]!.state === "fellBack" ? this.#standIn(this.#plan.steps[place]!.fallback!) : place;
  }

  #hasEnded(place: number): boolean {
    return !isOpen(this.runs[this.#standIn(place)]!.state);
  }

  #beginSteps(nowUs: number): void {
    while (this.#beginSome(nowUs));
  }

  #beginSome(nowUs: number): boolean {
    let begun = false;
    for (const [place, step] of this.#plan.steps.entries()) {
      const run = this.runs[place]!;
      if (run.state === "backoff" && nowUs - run.sinceUs >= step.backoffUs) {
        run.tookUs += nowUs - run.sinceUs;
        this.#beginTry(place, nowUs);
        begun = true;
      }
      if (run.state !== "waiting") continue;
      const owners = this.runs.filter((_, owner) => this.#plan.steps[owner]!.fallback === place);
      if (step.onlyFallback ? owners.some(({ state }) => state === "fellBack") : step.needs.every((need) => this.#hasEnded(need))) this.#beginTry(place, nowUs);
      else if (step.onlyFallback && !owners.some(({ state }) => isOpen(state))) Object.assign(run, { state: "skipped", sinceUs: nowUs });
      begun ||= run.state !== "waiting";
    }
    return begun;
  }

  #beginTry(place: number, nowUs: number): void {
    const run = this.runs[place]!;
    Object.assign(run, { state: "running", sinceUs: nowUs, tries: run.tries + 1, answer: "open", nextSendUs: undefined });
  }

  #sendDue(place: number, nowUs: number): void {
    const step = this.#plan.steps[place]!;
    const run = this.runs[place]!;
    const again = run.nextSendUs !== undefined && nowUs >= run.nextSendUs && nowUs - run.sinceUs < step.deadlineUs;
    if (run.nextSendUs === undefined || again) {
      run.owed = new Set(step.sends.keys());
      run.nextSendUs = step.resendUs > 0 ? nowUs + step.resendUs : Infinity;
      run.retryUs = nowUs;
      if (step.call && run.answer === "open") this.#outside.call(place);
    }
    if (run.owed.size > 0 && nowUs < run.retryUs) return;
    this.#handOver(place, run.owed);
    if (run.owed.size === 0) run.taken = true;
    else run.retryUs = nowUs + RETRY_US;
  }

  #handOver(place: number | undefined, owed: Set<number>): void {
    for (const send of owed) if (this.#outside.send(place, send)) owed.delete(send);
  }

  #measured(place: number, nowUs: number): boolean {
    return this.#plan.steps[place]!.conditions.every((_, condition) => this.#outside.holds(place, condition, nowUs));
  }

  #judge(place: number, nowUs: number): "waits" | "moved" | "last" {
    const step = this.#plan.steps[place]!;
    const run = this.runs[place]!;
    const end = (state: StepState): void => void Object.assign(run, { state, sinceUs: nowUs });
    if (run.owed.size === 0 && (!step.call || run.answer === "yes") && this.#measured(place, nowUs)) {
      run.tookUs += nowUs - run.sinceUs;
      end(measures(step) ? "reached" : "sentOnly");
      return "moved";
    }
    if (run.answer !== "no" && nowUs - run.sinceUs < step.deadlineUs) return "waits";
    run.tookUs += nowUs - run.sinceUs;
    run.owed.clear();
    if (run.tries < step.tries) end("backoff");
    else if (step.fallback !== undefined) end("fellBack");
    else {
      end("timedOut");
      if (step.onTimeout !== "continue") this.#failed = true;
      if (step.onTimeout === "last") return "last";
    }
    return "moved";
  }

  #stillDoubted(nowUs: number): boolean {
    for (const [place, run] of this.runs.entries()) {
      if (!run.doubted) continue;
      if (this.#measured(place, nowUs)) run.doubted = false;
      else if (nowUs - this.#resumedUs >= RESUME_US) Object.assign(run, { doubted: false, state: "timedOut" });
    }
    return this.runs.some(({ doubted }) => doubted);
  }

  /** What is sent anew gets time to show. */
  #grantTime(place: number, nowUs: number): void {
    const { deadlineUs } = this.#plan.steps[place]!;
    const run = this.runs[place]!;
    run.sinceUs = Math.max(run.sinceUs, nowUs - (deadlineUs - Math.min(deadlineUs, RESUME_US)));
  }

  /** Whether a step has begun that needs this one, or one in whose place this one ran. */
  #somethingFollowed(place: number): boolean {
    return this.#plan.steps.some(({ needs }, at) => this.runs[at]!.state !== "waiting" && needs.some((need) => this.#standIn(need) === place));
  }

  #beginLast(nowUs: number): void {
    const steps = new Map<number, Set<number>>();
    for (const [place, step] of this.#plan.steps.entries()) {
      const { state, taken } = this.runs[place]!;
      const begun = state === "running" || state === "backoff" || (state === "waiting" && !step.onlyFallback);
      if (step.mandatory && !taken && begun) steps.set(place, new Set(step.sends.keys()));
    }
    this.#last = { sinceUs: nowUs, retryUs: nowUs, owed: new Set(this.#plan.lastRung.keys()), steps };
  }

  #goOnWithLast(nowUs: number): void {
    const last = this.#last!;
    if (nowUs < last.retryUs) return;
    for (const [place, owed] of last.steps) this.#handOver(place, owed);
    this.#handOver(undefined, last.owed);
    const all = last.owed.size === 0 && [...last.steps.values()].every((owed) => owed.size === 0);
    if (!all && nowUs - last.sinceUs < LAST_US) {
      last.retryUs = Math.min(nowUs + RETRY_US, last.sinceUs + LAST_US);
      return;
    }
    for (const [place, run] of this.runs.entries()) {
      if (!isOpen(run.state)) continue;
      if (run.state !== "waiting") run.tookUs += nowUs - run.sinceUs;
      run.state = run.state !== "waiting" ? "timedOut" : this.#plan.steps[place]!.onlyFallback ? "skipped" : "hurried";
    }
    this.verdict = "failed";
  }
}

function isOpen(state: StepState): boolean {
  return state === "waiting" || state === "running" || state === "backoff";
}

function measures({ conditions, call }: CompiledStep): boolean {
  return conditions.length > 0 || call !== undefined;
}

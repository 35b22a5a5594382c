/**
 * The safe pose as a sequence of steps, pure: `start` and `poll` take the time and a way to read measured signals, and return what to send.
 *
 * A step sends its frames at once and again every `resendMs` (they may be lost, and a node's dead-man wants to be fed by whoever is in charge,
 * which for these milliseconds is the sequence), until its conditions are met by *measured, fresh* signals for their hold time.
 * Not met by the step's deadline: the sequence goes on all the same, since a later step may be the brake; `fail` makes the verdict a failure.
 * The whole plan has a budget that no step can stretch: when it is used up, what is left is sent once, without waiting, and the verdict is a
 * failure. Every path ends; the verdict lists each step.
 *
 * Invariants: every step's frames are sent at least once; a step never begins before the one before it has ended; nothing is sent after the
 * end; a stale signal never counts as reached.
 */
export interface PoseCondition {
  /** What is measured, for the verdict: "can/arm/shoulder_State velocity". */
  label: string;
  /** Judges one fresh value. */
  holds(value: number): boolean;
  holdMs: number;
  ageMsMax: number;
}

export interface PoseStep {
  name: string;
  /** How many frames the step sends; the caller knows which. */
  sendCount: number;
  until: readonly PoseCondition[];
  deadlineMs: number;
  onTimeout: "continue" | "fail";
  resendMs: number;
}

export interface PosePlan {
  steps: readonly PoseStep[];
  budgetMs: number;
}

/** One measured value and how old it is, or undefined when there was none yet. */
export type ReadCondition = (stepIndex: number, conditionIndex: number) => { value: number; ageMs: number } | undefined;

export type PoseEffect = { type: "send"; stepIndex: number; sendIndex: number } | { type: "ended"; verdict: PoseVerdict };

export type StepOutcome =
  /** Its conditions were measured. */
  | "reached"
  /** It has no conditions: the frames went out, nothing was measured. */
  | "sentOnly"
  | "timedOut"
  /** Its fallback ran in its place. */
  | "fellBack"
  /** The budget had run out: its frames were sent once, nothing was waited for. */
  | "hurried";

export interface PoseVerdict {
  /** posed: every step was measured as reached. cut: the end was reached, but not all of it was measured. failed: a step that must not fail did, or the budget ran out. */
  verdict: "posed" | "cut" | "failed";
  /** Which trigger began it. */
  trigger?: string;
  why: string;
  tookMs: number;
  budgetMs: number;
  /** `missing`: the conditions that were not measured. */
  steps: { name: string; result: StepOutcome; tookMs: number; deadlineMs: number; missing: string[] }[];
}

export class SafePoseSequence {
  readonly #plan: PosePlan;
  #running = false;
  #failed = false;
  #why = "";
  #startUs = 0;
  #step = 0;
  #stepStartUs = 0;
  #nextSendUs = 0;
  /** Per condition of the running step: since when it holds without a break, or undefined. */
  #holdsSinceUs: (number | undefined)[] = [];
  #results: PoseVerdict["steps"] = [];

  constructor(plan: PosePlan) {
    this.#plan = plan;
  }

  get running(): boolean {
    return this.#running;
  }

  /** Longest time the plan can take, ms: the sum of its steps' deadlines, or its budget if that is shorter. */
  get worstCaseMs(): number {
    return Math.min(this.#plan.budgetMs, this.#plan.steps.reduce((sum, step) => sum + (step.until.length > 0 ? step.deadlineMs : 0), 0));
  }

  /** Begins; a call while it runs changes nothing (a second trigger finds it on its way). */
  start(why: string, nowUs: number, read: ReadCondition): PoseEffect[] {
    if (this.#running) return [];
    this.#running = true;
    this.#failed = false;
    this.#why = why;
    this.#startUs = nowUs;
    this.#results = [];
    this.#enter(0, nowUs);
    return this.poll(nowUs, read);
  }

  /** Goes on; to be called on every new sample of a condition and at `nextDeadlineUs`. */
  poll(nowUs: number, read: ReadCondition): PoseEffect[] {
    const effects: PoseEffect[] = [];
    while (this.#running) {
      const step = this.#plan.steps[this.#step];
      if (!step) return [...effects, this.#end(nowUs)];
      if (nowUs - this.#startUs >= this.#plan.budgetMs * 1e3) return [...effects, ...this.#hurry(nowUs)];
      if (nowUs >= this.#nextSendUs) {
        for (let sendIndex = 0; sendIndex < step.sendCount; sendIndex++) effects.push({ type: "send", stepIndex: this.#step, sendIndex });
        this.#nextSendUs = nowUs + step.resendMs * 1e3;
      }
      if (this.#measured(step, nowUs, read)) {
        this.#finish(step.until.length > 0 ? "reached" : "sentOnly", [], nowUs);
      } else if (nowUs - this.#stepStartUs >= step.deadlineMs * 1e3) {
        this.#finish("timedOut", this.#missing(), nowUs);
        if (step.onTimeout === "fail") this.#failed = true;
      } else {
        return effects;
      }
      this.#enter(this.#step + 1, nowUs);
    }
    return effects;
  }

  /** When to call `poll` at the latest, µs; undefined when nothing runs. */
  nextDeadlineUs(): number | undefined {
    if (!this.#running) return undefined;
    const step = this.#plan.steps[this.#step];
    if (!step) return this.#stepStartUs;
    let deadlineUs = Math.min(this.#nextSendUs, this.#stepStartUs + step.deadlineMs * 1e3, this.#startUs + this.#plan.budgetMs * 1e3);
    for (const [index, condition] of step.until.entries()) {
      const sinceUs = this.#holdsSinceUs[index];
      if (sinceUs !== undefined) deadlineUs = Math.min(deadlineUs, sinceUs + condition.holdMs * 1e3);
    }
    return deadlineUs;
  }

  #enter(index: number, nowUs: number): void {
    this.#step = index;
    this.#stepStartUs = nowUs;
    this.#nextSendUs = nowUs;
    this.#holdsSinceUs = (this.#plan.steps[index]?.until ?? []).map(() => undefined);
  }

  #measured(step: PoseStep, nowUs: number, read: ReadCondition): boolean {
    let all = true;
    for (const [index, condition] of step.until.entries()) {
      const measured = read(this.#step, index);
      const holds = measured !== undefined && measured.ageMs <= condition.ageMsMax && condition.holds(measured.value);
      this.#holdsSinceUs[index] = holds ? (this.#holdsSinceUs[index] ?? nowUs) : undefined;
      const sinceUs = this.#holdsSinceUs[index];
      if (sinceUs === undefined || nowUs - sinceUs < condition.holdMs * 1e3) all = false;
    }
    return all;
  }

  #missing(): string[] {
    const step = this.#plan.steps[this.#step]!;
    return step.until.filter((_, index) => this.#holdsSinceUs[index] === undefined).map((condition) => condition.label);
  }

  #finish(outcome: StepOutcome, missing: string[], nowUs: number): void {
    const { name, deadlineMs } = this.#plan.steps[this.#step]!;
    this.#results.push({ name, result: outcome, tookMs: (nowUs - this.#stepStartUs) / 1e3, deadlineMs, missing });
  }

  /** The budget is used up: the running step ends, the frames of all later ones go out now. */
  #hurry(nowUs: number): PoseEffect[] {
    const effects: PoseEffect[] = [];
    // A step that was entered at this very instant has sent nothing yet.
    const sentAlready = this.#nextSendUs > this.#stepStartUs;
    const first = this.#step;
    for (const [stepIndex, step] of this.#plan.steps.entries()) {
      if (stepIndex < first) continue;
      if (stepIndex > first || !sentAlready) for (let sendIndex = 0; sendIndex < step.sendCount; sendIndex++) effects.push({ type: "send", stepIndex, sendIndex });
      if (stepIndex === first && sentAlready) this.#finish("timedOut", this.#missing(), nowUs);
      else this.#results.push({ name: step.name, result: "hurried", tookMs: 0, deadlineMs: step.deadlineMs, missing: step.until.map((condition) => condition.label) });
    }
    this.#failed = true;
    return [...effects, this.#end(nowUs)];
  }

  #end(nowUs: number): PoseEffect {
    this.#running = false;
    const verdict = this.#failed ? "failed" : this.#results.every((step) => step.result === "reached") ? "posed" : "cut";
    return { type: "ended", verdict: { verdict, why: this.#why, tookMs: (nowUs - this.#startUs) / 1e3, budgetMs: this.#plan.budgetMs, steps: this.#results } };
  }
}

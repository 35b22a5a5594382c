/** The safe pose of a configuration, `safePose: { budgetMs, steps }`, as a plan file says it: one plan, one step after the other. */
import type { SafePose } from "../config.ts";
import type { PlanFile, Step } from "../plan.ts";

/** While a step waits, its frames go out this often: the nodes' dead-man times are ten times as long, and a lost frame costs 20 ms. */
const RESEND_MS = 20;
/** A step that waits for nothing is held up by a bus that takes no frames only. */
const SEND_ONLY_MS = 20;

/** Every step is mandatory, as the steps of a safe pose always were. The last rung is what the last step sends on CAN. Undefined: the configuration has no steps. */
export function planOfSafePose({ budgetMs, steps }: Pick<SafePose, "budgetMs" | "steps">): PlanFile | undefined {
  if (steps.length === 0) return undefined;
  const planSteps = steps.map(({ name, send, until, deadlineMs, onTimeout }): Step => ({
    name, send, until, onTimeout, deadlineMs: until.length > 0 ? deadlineMs : Math.min(deadlineMs, SEND_ONLY_MS), tries: 1, backoffMs: 0, resendMs: until.length > 0 ? RESEND_MS : 0, mandatory: true,
  }));
  const onCan = steps.map(({ send }) => send.flatMap((each) => ("bus" in each ? [each] : [])));
  const lastRung = onCan.findLast((sends) => sends.length > 0) ?? [];
  return { version: 1, plans: [{ name: "safe-pose", category: "parkedThenOff", budgetMs, steps: planSteps, lastRung }], triggers: [] };
}

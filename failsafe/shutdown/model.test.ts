/** The executor in C and the model in TypeScript run the same random plans on the same random plants: the same frames at the same microseconds, the same states, the same verdict; also when the runner dies half-way. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { seededRandom } from "../../schemas/random.ts";
import type { CompiledCondition, CompiledPlan, CompiledSend, CompiledStep } from "./compiled.ts";
import { PlanModel, stepStates, verdicts } from "./model.ts";

const PLANS = 2000;
const SEED = 20261122;
const BEGIN_US = 1_000_000;

/** How a condition comes true: so long after the `lost`-th delivery of a frame (a row as the program in C counts: last rung first), or by itself. */
interface Cause { send: number; delayUs: number; lastsUs: number; lost: number; never: boolean }

interface Scene {
  plan: CompiledPlan;
  /** By step and condition. */
  causes: Cause[][];
  /** By step and send: until when the bus takes nothing. */
  refuseUntilUs: number[][];
  brain: boolean;
  answerUs: number;
  answersNo: boolean;
  /** 0: nobody dies. */
  diesUs: number;
  outageUs: number;
}

const frame: CompiledSend = { bus: "a", message: "m", payload: new Uint8Array() };
const condition = (holdUs: number): CompiledCondition => ({ label: "", bus: "a", message: "m", field: { startBit: 0, bits: 1, bigEndian: false, signed: false, float: false }, rawMin: 0n, rawMax: 0n, holdUs, ageUsMax: 1 });

function randomScene(random: () => number): Scene {
  const below = (most: number): number => Math.floor(random() * most);
  const percent = (of: number): boolean => random() * 100 < of;
  const steps: CompiledStep[] = [];
  const heads: number[] = [];
  const causes: Cause[][] = [];
  const refuseUntilUs: number[][] = [];
  const lastRung = Array.from({ length: 1 + below(2) }, () => frame);
  let rows = lastRung.length;
  const add = (most: number, onlyFallback: boolean, needs: readonly number[]): number => {
    const deadlineUs = 1 + below(most);
    const sends = Array.from({ length: below(3) }, () => frame);
    const conditions = Array.from({ length: below(3) }, () => condition(percent(50) ? below(40_000) : 0));
    causes.push(conditions.map(() => ({ send: sends.length > 0 && percent(70) ? rows + below(sends.length) : -1, delayUs: below(deadlineUs + 20_000), lastsUs: percent(20) ? 1 + below(150_000) : 0, lost: percent(20) ? below(4) : 0, never: percent(6) })));
    refuseUntilUs.push(sends.map(() => (percent(8) ? (percent(20) ? 1e15 : BEGIN_US + below(500_000)) : 0)));
    rows += sends.length;
    const tries = percent(30) ? 2 + below(2) : 1;
    steps.push({
      name: "", needs, sends, conditions, deadlineUs, tries, backoffUs: tries > 1 ? below(40_000) : 0, resendUs: percent(50) ? 1_000 + below(30_000) : 0, onTimeout: percent(80) ? "continue" : percent(60) ? "fail" : "last", mandatory: !onlyFallback && percent(40), onlyFallback,
      ...(!onlyFallback && percent(15) ? { call: { sends: [], until: [] } } : {}),
    });
    return steps.length - 1;
  };
  for (let count = 1 + below(6); count > 0; count--) {
    const needs = [...new Set(Array.from({ length: heads.length > 0 ? below(3) : 0 }, () => heads[below(heads.length)]!))];
    let place = add(200_000, false, needs);
    heads.push(place);
    while (percent(25) && steps.length < 14) {
      const fallback = add(steps[place]!.deadlineUs, true, []);
      steps[place] = { ...steps[place]!, fallback };
      place = fallback;
    }
    // One fallback for several: not one that comes before its own step, so that there is no circle.
    const shared = steps.findIndex(({ onlyFallback }) => onlyFallback);
    if (shared >= 0 && shared < heads.at(-1)! && percent(30)) steps[place] = { ...steps[place]!, fallback: shared };
  }
  const budgetUs = percent(70) ? 3_000_000 : 1 + below(600_000);
  return {
    plan: { name: "", category: 1, budgetUs, worstUs: 0, steps, lastRung }, causes, refuseUntilUs, brain: percent(70), answerUs: below(100_000), answersNo: percent(15),
    ...(percent(50) ? { diesUs: BEGIN_US + below(500_000), outageUs: percent(80) ? below(12_000) : below(800_000) } : { diesUs: 0, outageUs: 0 }),
  };
}

/** The scene as reflex_plan_driver.c reads it. */
function written({ plan, causes, refuseUntilUs, brain, answerUs, answersNo, diesUs, outageUs }: Scene): string {
  const lines: (number | string)[][] = [["plan", plan.budgetUs, Number(brain), answerUs, Number(answersNo), plan.lastRung.length, plan.steps.length, diesUs, outageUs]];
  for (const [place, step] of plan.steps.entries()) {
    lines.push([
      step.deadlineUs, step.tries, step.backoffUs, step.resendUs, ["continue", "fail", "last"].indexOf(step.onTimeout), step.fallback ?? -1, Number(step.mandatory) | (Number(step.onlyFallback) << 1), Number(step.call !== undefined),
      step.needs.length, ...step.needs, step.sends.length, ...refuseUntilUs[place]!, step.conditions.length,
      ...step.conditions.flatMap(({ holdUs }, at) => {
        const { send, delayUs, lastsUs, lost, never } = causes[place]![at]!;
        return [holdUs, send, delayUs, lastsUs, lost, Number(never)];
      }),
    ]);
  }
  return lines.map((words) => words.join(" ")).join("\n");
}

/** The model on the same plant; what the program in C would print. */
function run({ plan, causes, refuseUntilUs, brain, answerUs, answersNo, diesUs, outageUs }: Scene): string {
  const out: string[] = [];
  let nowUs = BEGIN_US;
  const firstRow: number[] = [];
  let rows = plan.lastRung.length;
  for (const { sends } of plan.steps) {
    firstRow.push(rows);
    rows += sends.length;
  }
  const delivered = Array.from({ length: rows }, () => 0);
  const spans = causes.map((each) => each.map(({ send, delayUs, lastsUs, never }) => (send < 0 && !never ? { onUs: BEGIN_US + delayUs, offUs: lastsUs > 0 ? BEGIN_US + delayUs + lastsUs : Infinity } : { onUs: Infinity, offUs: Infinity })));
  const answers = new Map<number, number>();
  const model = new PlanModel(plan, {
    send(step, at) {
      const row = step === undefined ? at : firstRow[step]! + at;
      out.push(`${nowUs} send ${row}`);
      if (step !== undefined && nowUs < refuseUntilUs[step]![at]!) return false;
      delivered[row]! += 1;
      for (const [place, list] of causes.entries()) {
        for (const [index, { send, delayUs, lastsUs, lost, never }] of list.entries()) {
          const span = spans[place]![index]!;
          if (never || send !== row || delivered[row]! <= lost || span.onUs !== Infinity) continue;
          span.onUs = nowUs + delayUs;
          span.offUs = lastsUs > 0 ? span.onUs + lastsUs : Infinity;
        }
      }
      return true;
    },
    call(step) {
      out.push(`${nowUs} call ${step}`);
      if (brain && !answers.has(step)) answers.set(step, nowUs + answerUs);
    },
    holds(step, at, atUs) {
      const { onUs, offUs } = spans[step]![at]!;
      return atUs >= onUs + plan.steps[step]!.conditions[at]!.holdUs && atUs < offUs;
    },
  }, nowUs);
  /** Until it ends or until that time. */
  const live = (untilUs: number): boolean => {
    for (;;) {
      for (const [step, atUs] of [...answers].toSorted(([a], [b]) => a - b)) {
        if (atUs > nowUs) continue;
        answers.delete(step);
        model.answer(step, !answersNo);
      }
      if (model.poll(nowUs) !== "none") return true;
      const events = spans.flatMap((list, place) => list.flatMap(({ onUs, offUs }, at) => [onUs, offUs, onUs + plan.steps[place]!.conditions[at]!.holdUs])).filter((atUs) => atUs > nowUs);
      const nextUs = Math.max(nowUs, Math.min(model.nextUs(), ...events, ...answers.values()));
      if (nextUs > untilUs) {
        nowUs = untilUs;
        return false;
      }
      nowUs = nextUs;
    }
  };
  if (!live(diesUs > 0 ? diesUs : Infinity)) {
    nowUs += outageUs;
    answers.clear();
    model.afterOutage(nowUs);
    live(Infinity);
  }
  const states = model.runs.map(({ state, tries, tookUs }) => `${stepStates.indexOf(state)}:${tries}:${tookUs}`);
  return [...out, `end ${nowUs} ${verdicts.indexOf(model.verdict)} ${model.lastRungNeeded ? 2 : 0} ${states.join(" ")}`].join("\n");
}

let root = import.meta.dirname;
while (!existsSync(join(root, "package.json"))) root = dirname(root);
const program = join(root, "dist/native/test/reflex_plan_driver");

test(`${PLANS} random plans: the executor and the model do the same (seed ${SEED})`, { skip: existsSync(program) ? false : "reflex_plan_driver is not built" }, () => {
  const random = seededRandom(SEED);
  const scenes = Array.from({ length: PLANS }, () => randomScene(random));
  const ran = spawnSync(program, { input: `${scenes.map(written).join("\n")}\n`, encoding: "utf8", maxBuffer: 1 << 28 });
  assert.equal(ran.status, 0, ran.stderr);
  const told = ran.stdout.split(/(?<=^end .*)\n/m).filter((part) => part !== "");
  assert.equal(told.length, PLANS);
  const seen = new Map<string, number>();
  for (const [index, scene] of scenes.entries()) {
    const expected = run(scene);
    assert.equal(told[index], expected, `plan ${index}`);
    const verdict = expected.split("\n").at(-1)!.split(" ")[2]!;
    seen.set(verdict, (seen.get(verdict) ?? 0) + 1);
  }
  // A generator that makes only failures would show little.
  for (const verdict of ["1", "2", "3"]) assert.ok((seen.get(verdict) ?? 0) > PLANS / 50, `${verdicts[Number(verdict)]}: ${seen.get(verdict)}`);
});

/**
 * From a checked plan file to plain objects (`compiled.ts`): names become places, values become bytes and raw limits, what a reflex cannot do becomes a call of a brain.
 * Throws only if the plan was not checked against the same configuration.
 */
import { compileMessage } from "../../schemas/dbc/codec.ts";
import type { Signal } from "../../schemas/dbc/model.ts";
import { isFloat } from "../../schemas/dbc/scaling.ts";
import type { BusMessages } from "../../schemas/messages/check/databases.ts";
import type { CheckedParts } from "../../schemas/messages/checkConfig.ts";
import type { Config } from "../../schemas/messages/config.ts";
import type { CanPlanSend, Plan, PlanCondition, PlanFile, Step } from "../../schemas/messages/plan.ts";
import { integerRange, limitsOf } from "../../schemas/messages/plan/condition.ts";
import { buildGraph, type GraphStep } from "../../schemas/messages/plan/graph.ts";
import { planOfSafePose } from "../../schemas/messages/plan/linear.ts";
import { categoryOf, resolveTriggers, type ResolvedTrigger } from "../../schemas/messages/plan/triggers.ts";
import { rawIntervalOf } from "../reflex/table/field.ts";
import type { BrainCondition, CompiledCall, CompiledCondition, CompiledPlan, CompiledPlanSet, CompiledSend, CompiledStep, CompiledTrigger, TriggerSubject } from "./compiled.ts";

export interface PlanSurroundings {
  messages: BusMessages;
  topics: CheckedParts["topics"];
  /** Whether the executor of the plan hears this CAN bus; of others a brain must tell. */
  hearsBus(bus: string): boolean;
}

const none: CompiledPlanSet = { plans: [], triggers: [] };

/** The plans of a configuration: those of its plan file, else its safe pose. Without either there are none. */
export function compilePlansOf(config: Pick<Config, "safePose">, file: PlanFile | undefined, surroundings: PlanSurroundings): CompiledPlanSet {
  const source = file ?? planOfSafePose(config.safePose);
  return source ? compilePlans(source, surroundings) : none;
}

export function compilePlans(file: PlanFile, surroundings: PlanSurroundings): CompiledPlanSet {
  return {
    plans: file.plans.map((plan) => compilePlan(plan, surroundings)),
    triggers: resolveTriggers(file).map((trigger) => compileTrigger(trigger, surroundings)),
  };
}

function compilePlan(plan: Plan, surroundings: PlanSurroundings): CompiledPlan {
  const graph = buildGraph(plan);
  return {
    name: plan.name, category: categoryOf(plan.category), budgetUs: plan.budgetMs * 1e3, worstUs: graph.worstMs * 1e3,
    steps: graph.steps.map((each) => compileStep(each, surroundings)),
    lastRung: plan.lastRung.map((send) => compileSend(send, surroundings)),
  };
}

function compileStep({ name, step, needs, fallback, onlyFallback }: GraphStep, surroundings: PlanSurroundings): CompiledStep {
  const call = compileCall(step, surroundings);
  return {
    name, needs,
    sends: step.send.flatMap((send) => ("bus" in send ? [compileSend(send, surroundings)] : [])),
    conditions: step.until.flatMap((condition) => measuredOnBus(condition, surroundings) ?? []),
    ...(call ? { call } : {}),
    deadlineUs: step.deadlineMs * 1e3, tries: step.tries, backoffUs: step.backoffMs * 1e3, resendUs: step.resendMs * 1e3,
    onTimeout: step.onTimeout ?? "continue", ...(fallback === undefined ? {} : { fallback }), mandatory: step.mandatory, onlyFallback,
  };
}

function compileCall(step: Step, surroundings: PlanSurroundings): CompiledCall | undefined {
  const sends = step.send.flatMap((send) => ("bus" in send ? [] : [send]));
  const until = step.until.filter((condition) => !measuredOnBus(condition, surroundings)).map((condition) => brainCondition(condition, surroundings));
  const { call } = step;
  if (sends.length === 0 && until.length === 0 && !call) return undefined;
  return { sends, until, ...(call ? { service: { name: call.service, arguments: call.arguments } } : {}) };
}

/** What protection and ownership fill in stands as zeros; nothing is checked of those. */
function compileSend({ bus, message: name, values }: CanPlanSend, { messages }: PlanSurroundings): CompiledSend {
  const entry = messages.of(bus).get(name);
  if (!entry) throw new Error(`plan: there is no message ${name} on ${bus}`);
  const filled = Object.fromEntries(entry.message.signals.filter((signal) => entry.managed.has(signal.name) && signal.multiplexing === undefined).map((signal) => [signal.name, 0]));
  const result = compileMessage(entry.message, { checkRanges: false }).encode({ ...filled, ...values });
  if (!result.ok) throw new Error(`plan: ${name}: ${result.text}`);
  return { bus, message: name, payload: result.data };
}

function measuredOnBus(condition: PlanCondition, { messages, topics, hearsBus }: PlanSurroundings): CompiledCondition | undefined {
  const info = topics.get(condition.topic);
  if (info?.kind !== "message" || !info.frame || !hearsBus(info.frame.bus)) return undefined;
  const { bus } = info.frame;
  const message = condition.topic.slice(`can/${bus}/`.length);
  const signal = messages.of(bus).get(message)?.message.signals.find(({ name }) => name === condition.signal);
  if (!signal) throw new Error(`plan: ${condition.topic} has no signal ${condition.signal}`);
  const range = rawRangeOf(condition, signal);
  if (!range) throw new Error(`plan: no value of ${condition.topic} ${condition.signal} is within its limits`);
  return {
    label: labelOf(condition), bus, message,
    field: { startBit: signal.startBit, bits: signal.lengthBits, bigEndian: signal.byteOrder === "big", signed: signal.kind === "signed", float: isFloat(signal) },
    rawMin: range.least, rawMax: range.greatest, holdUs: condition.holdMs * 1e3, ageUsMax: condition.ageMsMax * 1e3,
  };
}

/** Never wider than the limits: integers by exact decimals, IEEE numbers as they are computed. Undefined: no raw value is within. */
function rawRangeOf(condition: PlanCondition, signal: Signal): { least: bigint; greatest: bigint } | undefined {
  if (!isFloat(signal)) return integerRange(condition, signal);
  const { minimum, maximum } = limitsOf(condition);
  return rawIntervalOf(signal, minimum, maximum);
}

function brainCondition(condition: PlanCondition, { topics }: PlanSurroundings): BrainCondition {
  const { topic, signal, holdMs, ageMsMax } = condition;
  const fields = topics.get(topic)?.fields;
  const type = fields === undefined || fields === "unknown" ? undefined : fields.get(signal)?.type;
  const named = typeof condition.equals === "string" && type?.kind === "number" ? type.names?.get(condition.equals) : undefined;
  return { label: labelOf(condition), topic, signal, holdMs, ageMsMax, ...limitsOf(condition, named) };
}

function labelOf({ topic, signal }: PlanCondition): string {
  return `${topic} ${signal}`;
}

function compileTrigger({ name, on, plan, priority, latched, onlyArmed, category, when, node, command, bus }: ResolvedTrigger, surroundings: PlanSurroundings): CompiledTrigger {
  const subject = ((): TriggerSubject | undefined => {
    if (category !== undefined) return { category };
    if (node !== undefined) return { node };
    if (bus !== undefined) return { bus };
    if (command !== undefined) {
      const [, link, message] = command.split("/");
      return { bus: link!, message: message! };
    }
    if (!when) return undefined;
    const condition = measuredOnBus(when, surroundings);
    if (!condition) throw new Error(`plan: ${when.topic} of a trigger is not measured on a bus of the executor`);
    return { condition };
  })();
  return { name, on, plan, priority, latched, onlyArmed, ...(subject ? { subject } : {}) };
}

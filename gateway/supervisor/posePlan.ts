/** From the configuration's safe pose to what `failsafe/safePose` runs: names become frames and readers of measured signals. */
import { SafePoseSequence, type PoseCondition, type PosePlan } from "../../failsafe/safePose/sequence.ts";
import type { PlanCondition, PlanStep, SafePose } from "../../schemas/messages/config.ts";
import { readField, type RecordField } from "../../schemas/records/layout.ts";
import type { CommandPath, CommandValues } from "../commands/commandPath.ts";
import type { SupervisorPorts } from "./supervisor.ts";
import type { TopicEntry, TopicSource } from "../topics/topicSource.ts";

/** While a step waits, its frames go out this often: the nodes' dead-man times are ten times as long, and a lost frame costs 20 ms. */
const RESEND_MS = 20;

export interface PosePlanParts {
  topics: TopicSource;
  /** The way of commands by link name (bus or serial port). */
  paths: ReadonlyMap<string, CommandPath>;
  /** Opens a link again that was dead and has proved alive: the safe pose is the one sender that needs no person's word for that. */
  rearm(link: string): void;
  onRefused(step: string, message: string, text: string): void;
}

interface Measured {
  topic: TopicEntry;
  field: RecordField;
}

/** Throws only if the configuration was not checked: every name is known to exist. */
export function compilePose(config: SafePose, parts: PosePlanParts): SupervisorPorts["pose"] & { worstCaseMs: number } {
  const measured = config.steps.map((step) => step.until.map((condition) => find(condition, parts.topics)));
  const plan: PosePlan = {
    budgetMs: config.budgetMs,
    steps: config.steps.map((step, index) => ({
      name: step.name, sendCount: step.send.length, deadlineMs: step.deadlineMs, onTimeout: step.onTimeout, resendMs: RESEND_MS,
      until: step.until.map((condition, at) => compileCondition(condition, measured[index]![at]!.field)),
    })),
  };
  const sequence = new SafePoseSequence(plan);
  const reader = (nowUs: number) => (stepIndex: number, conditionIndex: number) => {
    const { topic, field } = measured[stepIndex]![conditionIndex]!;
    if (topic.sequence === 0 || topic.quality === 2) return undefined;
    const value = readField(field, new DataView(topic.lastBytes.buffer, topic.lastBytes.byteOffset), 0);
    return { value: Number(value), ageMs: (nowUs - topic.timeUs) / 1e3 };
  };
  return {
    worstCaseMs: sequence.worstCaseMs,
    start: (why, nowUs) => sequence.start(why, nowUs, reader(nowUs)),
    poll: (nowUs) => sequence.poll(nowUs, reader(nowUs)),
    nextDeadlineUs: () => sequence.nextDeadlineUs(),
    send: (stepIndex, sendIndex, nowUs) => send(config.steps[stepIndex]!, sendIndex, parts, nowUs),
  };
}

function send(step: PlanStep, sendIndex: number, { paths, rearm, onRefused }: PosePlanParts, nowUs: number): void {
  const { message, values, ...target } = step.send[sendIndex]!;
  const link = "bus" in target ? target.bus : target.serial;
  const path = paths.get(link)!;
  rearm(link);
  const verdict = path.sendForSafePose(message, values as CommandValues, nowUs + 2 * RESEND_MS * 1e3);
  if (!verdict.ok) onRefused(step.name, message, verdict.text);
}

function find(condition: PlanCondition, topics: TopicSource): Measured {
  const topic = topics.get(condition.topic);
  const field = topic?.layout?.fields.find((each) => each.name === condition.signal);
  if (!topic || !field) throw new Error(`safe pose: ${condition.topic} has no signal ${condition.signal}`);
  return { topic, field };
}

function compileCondition(condition: PlanCondition, field: RecordField): PoseCondition {
  const { absMax = Infinity, minimum = -Infinity, maximum = Infinity } = condition;
  const equals = condition.equals === undefined ? undefined : numberOf(condition.equals, field);
  return {
    label: `${condition.topic} ${condition.signal}`,
    holdMs: condition.holdMs, ageMsMax: condition.ageMsMax,
    holds: (value) => Math.abs(value) <= absMax && value >= minimum && value <= maximum && (equals === undefined || value === equals),
  };
}

function numberOf(value: number | string, field: RecordField): number {
  if (typeof value === "number") return value;
  for (const [raw, name] of field.valueNames ?? []) if (name === value) return Number(raw);
  throw new Error(`safe pose: ${field.name} has no value ${value}`);
}

/**
 * Routes of the configuration: samples of one topic passed on to another, with a condition, a rate and new names for signals. The targets
 * obey what every writer obeys (`topics/publisher.ts`); loops were refused when the configuration was checked.
 */
import { compileExpression, type FieldType } from "../../schemas/expression/index.ts";
import type { Route } from "../../schemas/messages/config.ts";
import type { RecordLayout } from "../../schemas/records/layout.ts";
import type { PublishReply } from "../topics/publisher.ts";
import { readValue } from "../topics/values.ts";
import type { SampleSink, TopicEntry, TopicSource } from "../topics/topicSource.ts";
import { RateGate } from "./rateGate.ts";

export interface RouteParts {
  topics: TopicSource;
  /** Signals each target takes, by target topic; undefined: whatever comes. What a target does not take is left out. */
  targetFields(topic: string): readonly string[] | undefined;
  publish(topic: string, value: unknown, origin: string, nowUs: number): PublishReply;
  nowUs(): number;
}

export interface RouteReport {
  from: string;
  to: string;
  passed: number;
  /** By the condition. */
  filtered: number;
  /** Replaced by a newer one while the rate held them back. */
  conflated: number;
  refused: number;
  lastRefusal: string;
}

export class TopicRoute implements SampleSink {
  readonly counters: RouteReport;
  readonly #route: Route;
  readonly #parts: RouteParts;
  readonly #gate: RateGate<Record<string, unknown>>;
  readonly #passes: (value: Record<string, unknown>) => boolean;
  readonly #rename: ReadonlyMap<string, string>;
  #targetFields: ReadonlySet<string> | undefined;
  #unwatch: () => void = () => {};

  /** Throws only if the configuration was not checked. */
  constructor(route: Route, parts: RouteParts) {
    this.#route = route;
    this.#parts = parts;
    this.#gate = new RateGate(route.rateHzMax);
    this.#rename = new Map(Object.entries(route.rename));
    this.#passes = compileCondition(route.when, parts.topics.get(route.from)?.layout);
    this.counters = { from: route.from, to: route.to, passed: 0, filtered: 0, conflated: 0, refused: 0, lastRefusal: "" };
  }

  start(): void {
    const fields = this.#parts.targetFields(this.#route.to);
    this.#targetFields = fields && new Set(fields);
    this.#unwatch = this.#parts.topics.watch(this.#route.from, this);
  }

  stop(): void {
    this.#unwatch();
  }

  sample(topic: TopicEntry, bytes: Uint8Array, at: number, lengthBytes: number): void {
    // A value that is known to be bad or old must not become a good one on the other side.
    if (topic.quality !== 0) return;
    const read = readValue(topic, bytes, at, lengthBytes);
    const value = read.ok && typeof read.value === "object" && read.value !== null ? (read.value as Record<string, unknown>) : undefined;
    if (value === undefined || !this.#passes(value)) {
      this.counters.filtered += 1;
      return;
    }
    const nowUs = this.#parts.nowUs();
    const held = this.#gate.nextDeadlineUs() !== undefined;
    if (this.#gate.offer(nowUs, () => value)) this.#pass(value, nowUs);
    else if (held) this.counters.conflated += 1;
  }

  poll(nowUs: number): void {
    const value = this.#gate.take(nowUs);
    if (value !== undefined) this.#pass(value, nowUs);
  }

  nextDeadlineUs(): number | undefined {
    return this.#gate.nextDeadlineUs();
  }

  #pass(value: Record<string, unknown>, nowUs: number): void {
    const renamed: Record<string, unknown> = {};
    for (const [name, each] of Object.entries(value)) {
      const target = this.#rename.get(name) ?? name;
      if (this.#targetFields === undefined || this.#targetFields.has(target)) renamed[target] = each;
    }
    const reply = this.#parts.publish(this.#route.to, renamed, `route ${this.#route.from}`, nowUs);
    if (reply.status < 200) this.counters.passed += 1;
    else {
      this.counters.refused += 1;
      this.counters.lastRefusal = reply.text;
    }
  }
}

function compileCondition(when: string | undefined, layout: RecordLayout | undefined): (value: Record<string, unknown>) => boolean {
  if (when === undefined) return () => true;
  const result = compileExpression(when, layout ? fieldTypes(layout) : "unknown");
  if (result.compiled === undefined) throw new Error(`route condition "${when}": ${result.faults[0]?.message}`);
  const { fields, test } = result.compiled;
  return (value) => test((slot) => value[fields[slot]!]);
}

/** What a record's fields are to a condition: numbers, with the names their values have. */
function fieldTypes(layout: RecordLayout): Map<string, FieldType> {
  return new Map(layout.fields.map((field): [string, FieldType] => [field.name, {
    kind: "number",
    ...(field.valueNames ? { names: new Map([...field.valueNames].map(([raw, name]): [string, number] => [name, Number(raw)])) } : {}),
  }]));
}

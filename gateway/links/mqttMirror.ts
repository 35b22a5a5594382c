/**
 * IPCNet topics shown on MQTT as JSON under `ipcnet/<robot>/<topic>`: per topic at most `rateHzMax` a second and always, in the end, the
 * newest. The message says how good the value is, so that a retained value of a stopped robot is not taken for a fresh one. Raw frames are mirrored
 * only where a pattern names them: nobody who asks for `can/arm/+` wants every frame twice.
 */
import type { MqttOutgoing } from "../../drivers/mqtt/message.ts";
import type { TopicTree } from "../../drivers/mqtt/topics.ts";
import type { MqttPublish } from "../../schemas/messages/config.ts";
import { RateGate } from "../bridges/rateGate.ts";
import { readValue } from "../topics/values.ts";
import type { SampleSink, TopicEntry, TopicSource } from "../topics/topicSource.ts";

/** A mirrored value that could not leave for so long is old news. */
const LIFETIME_MS = 5_000;
const qualities = ["good", "stale", "bad"] as const;

export interface MqttMirrorOptions {
  config: MqttPublish;
  tree: TopicTree;
  topics: TopicSource;
  send(outgoing: MqttOutgoing, nowUs: number): void;
  nowUs(): number;
}

interface Mirrored {
  mqttTopic: string | undefined;
  gate: RateGate<Uint8Array>;
}

export class MqttMirror implements SampleSink {
  readonly #options: MqttMirrorOptions;
  readonly #mirrored = new Map<TopicEntry, Mirrored>();
  #unwatch: (() => void)[] = [];

  constructor(options: MqttMirrorOptions) {
    this.#options = options;
  }

  start(): void {
    this.#unwatch = this.#options.config.topics.map((pattern) => this.#options.topics.watch(pattern, this));
  }

  stop(): void {
    for (const unwatch of this.#unwatch) unwatch();
    this.#unwatch = [];
  }

  sample(topic: TopicEntry, bytes: Uint8Array, at: number, lengthBytes: number): void {
    let mirrored = this.#mirrored.get(topic);
    if (!mirrored) this.#mirrored.set(topic, (mirrored = { mqttTopic: this.#wanted(topic) ? this.#options.tree.stateTopic(topic.name) : undefined, gate: new RateGate(this.#options.config.rateHzMax) }));
    const { mqttTopic, gate } = mirrored;
    if (mqttTopic === undefined) return;
    const nowUs = this.#options.nowUs();
    // While it is held back, only the copy of the bytes is made; it becomes JSON when its time has come.
    if (gate.offer(nowUs, () => bytes.slice(at, at + lengthBytes))) this.#send(mqttTopic, topic, bytes, at, lengthBytes, nowUs);
  }

  poll(nowUs: number): void {
    for (const [topic, { mqttTopic, gate }] of this.#mirrored) {
      const held = gate.take(nowUs);
      if (held !== undefined && mqttTopic !== undefined) this.#send(mqttTopic, topic, held, 0, held.length, nowUs);
    }
  }

  nextDeadlineUs(): number | undefined {
    let next: number | undefined;
    for (const { gate } of this.#mirrored.values()) {
      const dueUs = gate.nextDeadlineUs();
      if (dueUs !== undefined && (next === undefined || dueUs < next)) next = dueUs;
    }
    return next;
  }

  #send(mqttTopic: string, topic: TopicEntry, bytes: Uint8Array, at: number, lengthBytes: number, nowUs: number): void {
    const read = readValue(topic, bytes, at, lengthBytes);
    if (!read.ok) return;
    const text = JSON.stringify({ value: read.value, quality: qualities[topic.quality], sequence: topic.sequence, wallTimeNs: topic.wallTimeNs }, jsonForm);
    this.#options.send({ topic: mqttTopic, payload: Buffer.from(text), qos: 0, retain: this.#options.config.retain, deadlineUs: nowUs + LIFETIME_MS * 1e3, contentType: "application/json" }, nowUs);
  }

  #wanted({ encoding, name }: TopicEntry): boolean {
    return encoding !== "canframe" || this.#options.config.topics.some((pattern) => pattern === name || pattern.endsWith("/raw"));
  }
}

/** What JSON cannot say: integers beyond 2^53 and what is no number as strings, bytes in hexadecimal. */
function jsonForm(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
}

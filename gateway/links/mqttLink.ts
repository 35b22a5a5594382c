/**
 * One MQTT connection of the gateway, the embedded broker or a client of an external one: inputs become topics, topics are mirrored,
 * commands come in and are answered.
 */
import type { MqttDriver } from "../../drivers/mqtt/driverBase.ts";
import type { MqttMessage } from "../../drivers/mqtt/message.ts";
import { topicTree, type TopicTree } from "../../drivers/mqtt/topics.ts";
import type { Clock } from "../../schemas/clock.ts";
import { crc32Iscsi } from "../../schemas/crc/crc32.ts";
import type { MqttCommandGrant, MqttPublish } from "../../schemas/messages/config.ts";
import type { LinkReport } from "../../schemas/messages/statusReport.ts";
import type { Link, LinkPorts } from "./link.ts";
import { MqttCommands } from "./mqttCommands.ts";
import type { MqttInputReceiver } from "./mqttInput.ts";
import { MqttMirror } from "./mqttMirror.ts";
import { MqttOutQueue } from "./mqttOutQueue.ts";
import type { Rejects } from "../observe/rejects.ts";
import type { MessageWatch } from "../pipeline/messageWatch.ts";
import type { PublishReply } from "../topics/publisher.ts";
import type { TopicSource } from "../topics/topicSource.ts";

export interface MqttLinkOptions {
  robot: string;
  driver: MqttDriver;
  inputs: readonly MqttInputReceiver[];
  mirrors: readonly MqttPublish[];
  /** Who may command what over this connection; undefined: nobody anything. */
  grants: readonly MqttCommandGrant[] | undefined;
  topics: TopicSource;
  rejects: Rejects;
  publish(topic: string, values: unknown, ttlMs: number | undefined, origin: string, nowUs: number): PublishReply;
  clock: Clock;
  ports: LinkPorts;
  /** Looks at each message before it is handled. */
  watch: MessageWatch | undefined;
}

export class MqttLink implements Link {
  readonly name: string;
  readonly path = undefined;
  readonly driver: MqttDriver;
  readonly #options: MqttLinkOptions;
  readonly #tree: TopicTree;
  readonly #out: MqttOutQueue;
  readonly #mirrors: readonly MqttMirror[];
  readonly #commands: MqttCommands | undefined;
  #counts = { received: 0, sent: 0 };
  #atLastInterval = { received: 0, sent: 0 };
  #rates = { receivedHz: 0, sentHz: 0 };

  constructor(options: MqttLinkOptions) {
    const { driver, robot, clock } = options;
    this.#options = options;
    this.driver = driver;
    this.name = driver.name;
    this.#tree = topicTree(robot);
    const send: MqttDriver["send"] = (outgoing) => {
      const verdict = driver.send(outgoing);
      if (verdict === "queued") this.#counts.sent += 1;
      return verdict;
    };
    this.#out = new MqttOutQueue(send);
    this.#mirrors = options.mirrors.map((config) => new MqttMirror({ config, tree: this.#tree, topics: options.topics, send: (outgoing, nowUs) => this.#out.push(outgoing, nowUs), nowUs: () => clock.nowUs() }));
    this.#commands = options.grants && new MqttCommands({ link: driver.name, rejects: options.rejects, tree: this.#tree, grants: options.grants, publish: options.publish, send, clock });
    driver.onFrames((message) => this.#onMessage(message));
    driver.onEvent((event) => options.ports.event(this, event));
  }

  async start(): Promise<void> {
    await this.driver.start();
    for (const mirror of this.#mirrors) mirror.start();
    this.driver.bridge?.set("online", "");
  }

  async stop(): Promise<void> {
    for (const mirror of this.#mirrors) mirror.stop();
    await this.driver.stop();
  }

  /** Publishes an object as JSON, at least once, to be forgotten after `lifeMs`; false: the driver does not take it. */
  publishJson(topic: string, value: unknown, lifeMs: number): boolean {
    return this.driver.send({ topic, payload: Buffer.from(JSON.stringify(value)), qos: 1, deadlineUs: this.#options.clock.nowUs() + lifeMs * 1e3 }) === "queued";
  }

  missing(): string[] {
    return [];
  }

  readonly awaitsRearm = false;

  rearm(): void {
    // Nothing here is ever dead for commands: each carries its own time to live.
  }

  poll(nowUs: number): void {
    for (const mirror of this.#mirrors) mirror.poll(nowUs);
    this.#out.poll(nowUs);
  }

  nextDeadlineUs(): number | undefined {
    let next = this.#out.nextDeadlineUs();
    for (const mirror of this.#mirrors) {
      const dueUs = mirror.nextDeadlineUs();
      if (dueUs !== undefined && (next === undefined || dueUs < next)) next = dueUs;
    }
    return next;
  }

  closeInterval(seconds: number): void {
    this.#rates = { receivedHz: (this.#counts.received - this.#atLastInterval.received) / seconds, sentHz: (this.#counts.sent - this.#atLastInterval.sent) / seconds };
    this.#atLastInterval = { ...this.#counts };
  }

  report(): LinkReport {
    const health = this.driver.health();
    return {
      kind: "mqtt", name: this.name, driver: this.driver.kind, state: health.state, reason: health.reason, loadPercent: undefined,
      receivedRateHz: this.#rates.receivedHz, sentRateHz: this.#rates.sentHz,
      counters: { ...health.counters, waitingMessages: this.#out.length, droppedMessages: this.#out.counters.dropped },
    };
  }

  #onMessage(message: MqttMessage): void {
    this.#counts.received += 1;
    const nowUs = this.#options.clock.nowUs();
    const { watch, rejects } = this.#options;
    if (watch) {
      // By its topic: what is in it is another each time.
      const topic = Buffer.from(message.topic);
      if (!watch.begins(crc32Iscsi(topic), topic, 0, topic.length)) return rejects.counter(this.name, "quarantined").add(message.payload, 0, message.payload.length, nowUs, () => message.topic);
    }
    try {
      for (const input of this.#options.inputs) if (input.matches(message.topic)) input.receive(message, nowUs);
      this.#commands?.receive(message, nowUs);
    } finally {
      watch?.ends();
    }
  }
}

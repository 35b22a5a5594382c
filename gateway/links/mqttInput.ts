/** An MQTT topic that becomes an IPCNet topic: envelope, decoding, schema, each with its own way to be rejected. */
import { decodeCbor } from "../../drivers/mqtt/cbor.ts";
import { EnvelopeReader } from "../../drivers/mqtt/envelope.ts";
import { decodeJson } from "../../drivers/mqtt/json.ts";
import type { MqttMessage } from "../../drivers/mqtt/message.ts";
import { topicMatcher } from "../../schemas/topics/topicName.ts";
import type { RejectReason, Rejects } from "../observe/rejects.ts";
import type { Validate } from "../topics/publisher.ts";
import type { Topic, TopicTable } from "../topics/table.ts";
import { writeValue } from "../topics/values.ts";

export interface MqttInputOptions {
  link: string;
  /** MQTT topic or pattern. */
  filter: string;
  encoding: "json" | "cbor";
  /** Data ID of the P08 envelope; undefined: there is none. */
  dataId: number | undefined;
  validate: Validate | undefined;
  topic: Topic;
  table: TopicTable;
  rejects: Rejects;
}

/** Senders whose counters are remembered: a device reconnects under a new connection now and then, a flood of them must not cost memory. */
const SENDERS_MAX = 64;

export class MqttInputReceiver {
  /** Whether an MQTT topic is one of this input's. */
  readonly matches: (mqttTopic: string) => boolean;
  readonly #options: MqttInputOptions;
  /** One receiver per MQTT topic and connection: two devices under one pattern count each for itself. */
  readonly #readers = new Map<string, EnvelopeReader>();

  constructor(options: MqttInputOptions) {
    this.#options = options;
    this.matches = topicMatcher(options.filter);
  }

  receive(message: MqttMessage, nowUs: number): void {
    const { topic, table, encoding, validate } = this.#options;
    // A retained value is not a measurement: nobody knows when it was made.
    if (message.retain) return this.#reject("stale", message, nowUs);
    let payload = message.payload;
    let lost = 0;
    if (this.#options.dataId !== undefined) {
      const result = this.#reader(message, this.#options.dataId).read(payload, nowUs);
      if (!result.ok) return this.#reject(result.code, message, nowUs);
      payload = result.body;
      lost = result.lostBefore;
    }
    const decoded = encoding === "cbor" ? decodeCbor(payload) : decodeJson(payload);
    if (!decoded.ok) return this.#reject("malformed", message, nowUs);
    if (validate?.(decoded.value) !== undefined) return this.#reject("outOfRange", message, nowUs);
    // Encoded anew: subscribers get the value that was judged, in one form, whatever the sender's encoder did.
    const written = writeValue(encoding, decoded.value);
    if (!written.ok) return this.#reject("malformed", message, nowUs);
    table.publish(topic, written.bytes, 0, written.bytes.length, nowUs, 0, this.#options.link, lost);
  }

  #reader({ topic, sender }: MqttMessage, dataId: number): EnvelopeReader {
    const key = `${sender?.connection ?? ""}\n${topic}`;
    let reader = this.#readers.get(key);
    if (!reader) {
      if (this.#readers.size >= SENDERS_MAX) this.#readers.delete(this.#readers.keys().next().value!);
      this.#readers.set(key, (reader = new EnvelopeReader({ dataId })));
    }
    return reader;
  }

  #reject(reason: RejectReason, { topic, payload }: MqttMessage, nowUs: number): void {
    this.#options.rejects.counter(this.#options.link, reason).add(payload, 0, payload.length, nowUs, () => topic);
  }
}

/** One serial link of the gateway: messages by number become topics, commands go out by number. */
import type { SerialDriver } from "../../drivers/serial/driver.ts";
import type { SerialMessage, SerialReject, SerialRejectReason } from "../../drivers/serial/link.ts";
import { DecodeFault } from "../../schemas/dbc/index.ts";
import type { FieldsCodec } from "../../schemas/records/index.ts";
import { packFields } from "../../schemas/records/index.ts";
import type { LinkReport } from "../../schemas/messages/statusReport.ts";
import { CommandPath } from "../commands/commandPath.ts";
import type { MessageWatch } from "../pipeline/messageWatch.ts";
import type { RejectReason, Rejects } from "../observe/rejects.ts";
import type { Topic, TopicTable } from "../topics/table.ts";
import type { Clock } from "../../schemas/clock.ts";
import type { DeviceService } from "./deviceServices.ts";
import type { Link, LinkPorts } from "./link.ts";

export interface SerialInput {
  id: number;
  name: string;
  codec: FieldsCodec;
  topic: Topic;
  /** Node presence. */
  accepted: ((timeUs: number) => void) | undefined;
}

export interface SerialCommand {
  id: number;
  name: string;
  codec: FieldsCodec;
  ttlMsMax: number;
  rateHzMax: number;
  /** Only the safe pose may send it. */
  poseOnly: boolean;
}

export interface SerialLinkOptions {
  driver: SerialDriver;
  /** What the device serves, by its own names. */
  services: ReadonlyMap<string, DeviceService>;
  /** How the device is brought new firmware, if it is. */
  updater?: DeviceService | undefined;
  inputs: readonly SerialInput[];
  commands: readonly SerialCommand[];
  table: TopicTable;
  rejects: Rejects;
  clock: Clock;
  gate(): boolean;
  ports: LinkPorts;
  /** The device has begun a session of its own accord: it started anew, or it has lost us for a while and stopped by itself. What it was told before is void. */
  restarted(nowUs: number): void;
  /** Looks at each message before it is handled. */
  watch: MessageWatch | undefined;
}

interface Incoming extends SerialInput {
  record: Uint8Array;
  view: DataView;
}

/** The link's own words for what the rest of the gateway has others for. */
const reasonOf: Readonly<Record<SerialRejectReason, RejectReason>> = {
  truncated: "malformed", tooLong: "badLength", badLength: "badLength", crcMismatch: "crcMismatch", wrongDataId: "crcMismatch", repeated: "repeated",
  wrongSequence: "wrongSequence", unknownId: "unknownId", badHello: "malformed", otherVersion: "malformed",
};

export class SerialPortLink implements Link {
  readonly name: string;
  readonly path: CommandPath | undefined;
  readonly driver: SerialDriver;
  readonly services: ReadonlyMap<string, DeviceService>;
  readonly updater: DeviceService | undefined;
  readonly #options: SerialLinkOptions;
  readonly #inputs = new Map<number, Incoming>();
  #counts = { received: 0, accepted: 0 };
  #atLastInterval = { received: 0, sent: 0 };
  #rates = { receivedHz: 0, sentHz: 0 };

  constructor(options: SerialLinkOptions) {
    const { driver, ports, clock } = options;
    this.#options = options;
    this.driver = driver;
    this.services = options.services;
    this.updater = options.updater;
    this.name = driver.name;
    for (const input of options.inputs) {
      const record = new Uint8Array(input.codec.layout.sizeBytes);
      this.#inputs.set(input.id, { ...input, record, view: new DataView(record.buffer) });
    }
    this.path = options.commands.length === 0 ? undefined : new CommandPath({
      budget: undefined, gate: options.gate,
      messages: options.commands.map(({ id, name, codec, ttlMsMax, rateHzMax, poseOnly }) => ({
        name, ttlMsMax, rateHzMax, bits: 0, confirms: false, poseOnly,
        encode: (values) => packFields(codec, values),
        transmit: (data, deadlineUs) => driver.send({ id, body: data, deadlineUs }),
      })),
    });
    driver.onFrames((message) => this.#take(message));
    driver.onReject((reject) => this.#reject(reject, clock.nowUs()));
    driver.onEvent((event) => {
      if (event.code === "stateChanged" && event.state !== "up") this.path?.clear();
      ports.event(this, event);
      // Behind its event: the reader of the log sees why the node is not operational.
      if (event.code === "resynchronised") {
        this.path?.clear();
        options.restarted(clock.nowUs());
      }
    });
  }

  start(): Promise<void> {
    return this.driver.start();
  }

  stop(): Promise<void> {
    return this.driver.stop();
  }

  /** A serial device that is away refuses its own commands; it keeps nothing else from moving. Whoever needs it names its node `required`. */
  missing(): string[] {
    return [];
  }

  readonly awaitsRearm = false;

  rearm(): void {
    // A serial link opens by itself.
  }

  poll(nowUs: number): void {
    this.path?.poll(nowUs);
  }

  nextDeadlineUs(nowUs: number): number | undefined {
    return this.path?.nextDeadlineUs(nowUs);
  }

  closeInterval(seconds: number): void {
    const sent = this.path?.counters.sent ?? 0;
    this.#rates = { receivedHz: (this.#counts.received - this.#atLastInterval.received) / seconds, sentHz: (sent - this.#atLastInterval.sent) / seconds };
    this.#atLastInterval = { received: this.#counts.received, sent };
  }

  report(): LinkReport {
    const health = this.driver.health();
    return {
      kind: "serial", name: this.name, driver: this.driver.kind, state: health.state, reason: health.reason, loadPercent: undefined,
      receivedRateHz: this.#rates.receivedHz, sentRateHz: this.#rates.sentHz, counters: { ...health.counters, accepted: this.#counts.accepted },
    };
  }

  #take(message: SerialMessage): void {
    const { watch } = this.#options;
    const { id, body, timeUs } = message;
    if (watch?.begins(id, body, 0, body.length) === false) return this.#count("quarantined", body, timeUs, () => `message ${id}`);
    try {
      this.#receive(message);
    } finally {
      watch?.ends();
    }
  }

  #receive({ id, body, timeUs, lostBefore }: SerialMessage): void {
    this.#counts.received += 1;
    const input = this.#inputs.get(id);
    if (!input) {
      this.#count("unknownId", body, timeUs, () => `message ${id}`);
      return;
    }
    const fault = input.codec.unpackInto(new DataView(body.buffer, body.byteOffset, body.byteLength), 0, body.length, input.view, 0);
    if (fault !== DecodeFault.ok) {
      this.#count(fault === DecodeFault.badLength ? "badLength" : fault === DecodeFault.outOfRange ? "outOfRange" : "notANumber", body, timeUs, () => `${input.name}.${input.codec.faultField ?? ""}`);
      return;
    }
    this.#counts.accepted += 1;
    input.accepted?.(timeUs);
    this.#options.table.publish(input.topic, input.record, 0, input.record.length, timeUs, 0, this.name, lostBefore);
  }

  #reject({ reason, bytes }: SerialReject, nowUs: number): void {
    this.#count(reasonOf[reason], bytes, nowUs, () => reason);
  }

  #count(reason: RejectReason, bytes: Uint8Array, nowUs: number, source: () => string): void {
    this.#options.rejects.counter(this.name, reason).add(bytes, 0, bytes.length, nowUs, source);
  }
}

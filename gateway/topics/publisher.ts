/**
 * The one door by which anything but a bus gets a value into a topic: local clients, MQTT, routes. A command goes the commands' way (armed,
 * range, TTL, rate, load); an application topic is checked against its schema. Who may knock was decided before (gateway/policy).
 */
import type { CanFrame } from "../../drivers/can/frame.ts";
import { writeRecord } from "../../schemas/records/index.ts";
import { Status } from "../../schemas/status.ts";
import type { CommandPath, CommandValues } from "../commands/commandPath.ts";
import type { Topic, TopicTable } from "./table.ts";
import { readValue, writeValue } from "./values.ts";

export interface PublishMeta {
  /** "native": bytes in the topic's own encoding. "value": decoded. */
  form: "native" | "value";
  ttlMs: number | undefined;
  /** When its sender handed it over, CLOCK_MONOTONIC µs; its life begins then. Undefined: now. */
  sentUs?: number | undefined;
  /** Who sends, as it is shown as the sample's origin. */
  origin: string;
}

export interface PublishReply {
  status: number;
  text: string;
  /** Stable code of a refusal. */
  code?: string;
}

/** Judges a value against a topic's JSON Schema; undefined = it fits, otherwise what does not. */
export type Validate = (value: unknown) => string | undefined;

/** The record of an encoded command, for those who watch commands; undefined when it cannot be read back. */
export type RecordOf = (data: Uint8Array) => Uint8Array | undefined;

/** Which command a raw frame stands for, with its values as signals: the frame's own counter and checksum are left out, the command's way computes them. */
export type FrameCommands = (frame: CanFrame) => { ok: true; message: string; values: CommandValues } | { ok: false; code: string; text: string };

type Target =
  | { kind: "command"; topic: Topic; path: CommandPath; message: string; recordOf: RecordOf }
  | { kind: "frames"; topic: Topic; path: CommandPath; resolve: FrameCommands }
  | { kind: "application"; topic: Topic; validate: Validate | undefined };

const heldText = "held until its rate, the bus load or the frame before it allow";
const accepted: PublishReply = { status: Status.ok, text: "" };

export class Publisher {
  readonly #table: TopicTable;
  readonly #targets = new Map<string, Target>();
  readonly #onCommand: (nowUs: number) => void;

  /** `onCommand` is called for each command that passed. */
  constructor(table: TopicTable, onCommand: (nowUs: number) => void) {
    this.#table = table;
    this.#onCommand = onCommand;
  }

  addCommand(topic: Topic, path: CommandPath, message: string, recordOf: RecordOf): void {
    this.#targets.set(topic.name, { kind: "command", topic, path, message, recordOf });
  }

  /** Raw frames to a bus: each must be one of its commands, by identifier and length, and goes the same way as that command. */
  addFrames(topic: Topic, path: CommandPath, resolve: FrameCommands): void {
    this.#targets.set(topic.name, { kind: "frames", topic, path, resolve });
  }

  addApplicationTopic(topic: Topic, validate: Validate | undefined): void {
    this.#targets.set(topic.name, { kind: "application", topic, validate });
  }

  /** A topic that a program writes by a lane: what is published through the gateway joins in, the gateway being one more of its writers. */
  declared(topic: Topic): void {
    this.addApplicationTopic(topic, undefined);
  }

  /** It has gone with its last writer. */
  removed(topic: Topic): void {
    this.#targets.delete(topic.name);
  }

  has(topic: string): boolean {
    return this.#targets.has(topic);
  }

  publish(name: string, value: unknown, meta: PublishMeta, nowUs: number): PublishReply {
    const target = this.#targets.get(name);
    if (!target) {
      return this.#table.get(name)
        ? { status: Status.forbidden, code: "notWritable", text: `${name} is written by the gateway alone` }
        : { status: Status.notFound, code: "unknownTopic", text: `there is no topic ${name}: declare it in the configuration under topics` };
    }
    let decoded = value;
    if (meta.form === "native") {
      const bytes = value as Uint8Array;
      const read = readValue(target.topic, bytes, 0, bytes.length);
      if (!read.ok) return { status: Status.unprocessableContent, code: "malformed", text: read.text };
      decoded = read.value;
    }
    switch (target.kind) {
      case "command":
        return this.#command(target, decoded, meta, nowUs);
      case "frames":
        return this.#frame(target, decoded, meta, nowUs);
      case "application":
        return this.#application(target, decoded, meta, nowUs);
      default:
        return target satisfies never;
    }
  }

  #command({ topic, path, message, recordOf }: Extract<Target, { kind: "command" }>, value: unknown, meta: PublishMeta, nowUs: number): PublishReply {
    if (!isValues(value)) return { status: Status.unprocessableContent, code: "malformed", text: `${topic.name} takes an object of signals: numbers, or value names as strings` };
    const verdict = path.submit(message, value, meta.ttlMs, nowUs, meta.sentUs);
    if (!verdict.ok) return { status: verdict.status, code: verdict.code, text: verdict.text };
    this.#onCommand(nowUs);
    // What was commanded can be watched like anything else.
    const record = topic.sinks.length > 0 ? recordOf(verdict.data) : undefined;
    if (record) this.#table.publish(topic, record, 0, record.length, nowUs, 0, meta.origin, 0);
    return verdict.held ? { status: Status.accepted, text: heldText } : accepted;
  }

  #frame({ path, resolve }: Extract<Target, { kind: "frames" }>, value: unknown, meta: PublishMeta, nowUs: number): PublishReply {
    if (!isFrame(value)) return { status: Status.unprocessableContent, code: "malformed", text: "the topic takes one CAN frame: canId, flags, data" };
    const resolved = resolve(value);
    if (!resolved.ok) return { status: resolved.code === "unknownCommand" ? Status.notFound : Status.unprocessableContent, code: resolved.code, text: resolved.text };
    const verdict = path.submit(resolved.message, resolved.values, meta.ttlMs, nowUs, meta.sentUs);
    if (!verdict.ok) return { status: verdict.status, code: verdict.code, text: verdict.text };
    this.#onCommand(nowUs);
    return verdict.held ? { status: Status.accepted, text: heldText } : accepted;
  }

  #application({ topic, validate }: Extract<Target, { kind: "application" }>, value: unknown, meta: PublishMeta, nowUs: number): PublishReply {
    if (meta.ttlMs !== undefined && !(meta.ttlMs > 0)) return { status: Status.gone, code: "expired", text: `a time to live of ${meta.ttlMs} ms is over before it began` };
    // What has waited in queues until its time was over must not move anything.
    if (meta.ttlMs !== undefined && nowUs - (meta.sentUs ?? nowUs) > meta.ttlMs * 1e3) return { status: Status.gone, code: "expired", text: `its time to live of ${meta.ttlMs} ms had passed` };
    const fault = validate?.(value);
    if (fault !== undefined) return { status: Status.unprocessableContent, code: "schema", text: fault };
    const written = topic.encoding === "cbor" || topic.encoding === "json" || topic.encoding === "bytes" ? writeValue(topic.encoding, value) : writeOther(topic, value);
    if (!written.ok) return { status: Status.unprocessableContent, code: "malformed", text: written.text };
    this.#table.publish(topic, written.bytes, 0, written.bytes.length, nowUs, 0, meta.origin, 0);
    return accepted;
  }
}

/** A record from its values, or the bytes of a media type as they are. */
function writeOther({ layout, name }: Topic, value: unknown): { ok: true; bytes: Uint8Array } | { ok: false; text: string } {
  if (!layout) return value instanceof Uint8Array ? { ok: true, bytes: value } : { ok: false, text: `${name} takes bytes` };
  if (typeof value !== "object" || value === null || Array.isArray(value)) return { ok: false, text: `${name} takes an object of fields` };
  const bytes = new Uint8Array(layout.sizeBytes);
  const result = writeRecord(layout, value as Record<string, unknown>, new DataView(bytes.buffer));
  return result.ok ? { ok: true, bytes } : { ok: false, text: result.text };
}

function isFrame(value: unknown): value is CanFrame {
  const frame = value as Partial<CanFrame> | null;
  return typeof frame === "object" && frame !== null && typeof frame.canId === "number" && typeof frame.flags === "number" && frame.data instanceof Uint8Array;
}

function isValues(value: unknown): value is CommandValues {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array) return false;
  return Object.values(value).every((each) => typeof each === "number" || typeof each === "bigint" || typeof each === "string");
}

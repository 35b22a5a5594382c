/**
 * Commands by MQTT: `ipcnet/<robot>/cmd/<link>/<message>/set`. Each carries an id, a time to live, a sequence number and a CRC that is bound
 * to the command's name; none is ever retained. Two forms, told apart by their bytes:
 *
 * JSON: `{"id":"a1","ttlMs":100,"seq":17,"values":{"velocity":0.5},"crc":"1697d06a"}`. `crc` is the last member. It covers the name
 * (`<robot>/cmd/<link>/<message>`) followed by the payload's bytes up to, not including, the comma in front of `"crc"`: the text as it was sent,
 * so that nobody has to agree with us on how a number is written.
 *
 * Binary: an envelope of E2E profile 8 whose Data ID is the CRC of the name and whose counter is the low half of `seq`, around the same members in CBOR.
 *
 * Trouble is a value with a stable code; nothing here throws on what arrives.
 */
import { crc32Autosar } from "../../schemas/crc/crc32.ts";
import { Verdict } from "../../schemas/e2e/index.ts";
import type { CborFault } from "./cbor.ts";
import { decodeCbor, encodeCbor, valueFault } from "./cbor.ts";
import { ENVELOPE_HEADER_BYTES, envelopeCodec, seal } from "./envelope.ts";
import type { JsonFault } from "./json.ts";
import { decodeJson } from "./json.ts";
import { CLOCK_AHEAD_MS_MAX, COMMAND_TTL_MS_MAX } from "./limits.ts";

export interface MqttCommand {
  /** The sender's name for it, 1 … 64 characters; comes back with the answer. */
  id: string;
  /** How long it may be carried out, counted from `sentAt` if given, else from its arrival. */
  ttlMs: number;
  /** Rises with each command of one sender for one topic. */
  seq: number;
  /** The sender's wall clock, ms since 1970. Only ever shortens a command's life. */
  sentAt?: number;
  values: Readonly<Record<string, unknown>>;
}

export type CommandFault = "retained" | CborFault | JsonFault | "crcMissing" | "crcMismatch" | "notAnObject" | "missingField" | "unknownField" | "badField";
export type CommandResult = { ok: true; command: MqttCommand } | { ok: false; code: CommandFault; text: string };

const refuse = (code: CommandFault, text: string): CommandResult => ({ ok: false, code, text });
const crcText = (crc: number): string => crc.toString(16).padStart(8, "0");
const dataIdOf = (name: string): number => crc32Autosar(Buffer.from(name));

function jsonCrc(name: string, text: Uint8Array): number {
  return crc32Autosar(text, 0, text.length, crc32Autosar(Buffer.from(name)));
}

/** Throws a RangeError for values that cannot travel. `name` is `TopicTree.commandName`. */
export function encodeJsonCommand(name: string, command: MqttCommand): Uint8Array {
  const fault = valueFault(command.values, 0);
  if (fault !== undefined) throw new RangeError(fault);
  const { id, ttlMs, seq, sentAt, values } = command;
  const rest = JSON.stringify({ id, ttlMs, seq, ...(sentAt === undefined ? {} : { sentAt }), values }).slice(0, -1);
  return Buffer.from(`${rest},"crc":"${crcText(jsonCrc(name, Buffer.from(rest)))}"}`);
}

/** Throws a RangeError for values that cannot travel. */
export function encodeBinaryCommand(name: string, command: MqttCommand): Uint8Array {
  const { id, ttlMs, seq, sentAt, values } = command;
  return seal(envelopeCodec(dataIdOf(name)), encodeCbor({ id, ttlMs, seq, ...(sentAt === undefined ? {} : { sentAt }), values }), seq % 2 ** 32);
}

export function decodeCommand(name: string, { payload, retain }: { payload: Uint8Array; retain: boolean }): CommandResult {
  if (retain) return refuse("retained", "a command must not be retained: it would be repeated to whoever subscribes later");
  const first = payload.find((byte) => byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09);
  const codec = envelopeCodec(dataIdOf(name));
  const verdict = codec.inspect(payload, 0, payload.length, 0);
  if (verdict === Verdict.ok) return decodeBinary(payload, codec.counterOf(payload, 0, payload.length, 0));
  // A JSON text begins with a brace; what does not was meant to be binary.
  if (first !== 0x7b) return verdict === Verdict.badLength ? refuse("truncated", "shorter or longer than its header says") : refuse("crcMismatch", "the CRC is wrong, or it belongs to another command");
  return decodeText(name, payload);
}

function decodeBinary(payload: Uint8Array, counter: number): CommandResult {
  const decoded = decodeCbor(payload.subarray(ENVELOPE_HEADER_BYTES));
  if (!decoded.ok) return refuse(decoded.code, `CBOR at byte ${decoded.atByte}`);
  const result = commandOf(decoded.value, []);
  if (result.ok && result.command.seq % 2 ** 32 !== counter) return refuse("badField", "seq is not the envelope's counter");
  return result;
}

/** `,"crc":"xxxxxxxx"}` with JSON's white space, at the end of a text. */
const CRC_AT_END = /,\s*"crc"\s*:\s*"([0-9a-fA-F]{8})"\s*\}\s*$/;
const CRC_TAIL_BYTES = 64;

function decodeText(name: string, payload: Uint8Array): CommandResult {
  const tailAt = Math.max(0, payload.length - CRC_TAIL_BYTES);
  const tail = Buffer.from(payload.buffer, payload.byteOffset + tailAt, payload.length - tailAt).toString("latin1");
  const match = CRC_AT_END.exec(tail);
  if (!match) return refuse("crcMissing", '"crc" must be the last member, 8 hexadecimal digits in quotes');
  const actual = jsonCrc(name, payload.subarray(0, tailAt + match.index));
  if (actual !== Number.parseInt(match[1]!, 16)) return refuse("crcMismatch", "the CRC is wrong, or it belongs to another command");
  const decoded = decodeJson(payload);
  return decoded.ok ? commandOf(decoded.value, ["crc"]) : refuse(decoded.code, decoded.text);
}

const FIELDS = ["id", "ttlMs", "seq", "sentAt", "values"];

function commandOf(value: unknown, furtherFields: readonly string[]): CommandResult {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array) return refuse("notAnObject", "a command is an object");
  const { id, ttlMs, seq, sentAt, values } = value as Record<string, unknown>;
  const unknown = Object.keys(value).find((key) => !FIELDS.includes(key) && !furtherFields.includes(key));
  if (unknown !== undefined) return refuse("unknownField", `${JSON.stringify(unknown.slice(0, 32))} is no field of a command`);
  for (const field of ["id", "ttlMs", "seq", "values"]) if (!(field in value)) return refuse("missingField", `${field} is missing`);
  if (typeof id !== "string" || id.length < 1 || id.length > 64) return refuse("badField", "id is 1 to 64 characters");
  if (typeof ttlMs !== "number" || !(ttlMs > 0) || ttlMs > COMMAND_TTL_MS_MAX) return refuse("badField", `ttlMs is above 0 and at most ${COMMAND_TTL_MS_MAX}`);
  if (typeof seq !== "number" || !Number.isSafeInteger(seq) || seq < 0) return refuse("badField", "seq is a whole number from 0 to 2^53 - 1");
  if (sentAt !== undefined && (typeof sentAt !== "number" || !(sentAt > 0))) return refuse("badField", "sentAt is the time in ms since 1970");
  if (typeof values !== "object" || values === null || Array.isArray(values) || values instanceof Uint8Array) return refuse("badField", "values is an object");
  return { ok: true, command: { id, ttlMs, seq, ...(sentAt === undefined ? {} : { sentAt }), values: values as Record<string, unknown> } };
}

export type FreshnessVerdict = { ok: true; deadlineUs: number } | { ok: false; code: "expired" | "sentInFuture" | "repeated" | "duplicateId"; text: string };

/** Ids remembered per sender and topic, senders and topics remembered: a sender that comes back after so many others starts afresh. */
const IDS_MAX = 64;
const SENDERS_MAX = 256;
/** After so long without a command the sequence may start anew: no command lives longer, so none of before can come back as fresh. */
const FORGET_AFTER_US = COMMAND_TTL_MS_MAX * 1e3;

interface SenderMemory {
  seq: number;
  atUs: number;
  ids: string[];
}

/**
 * Whether a command that is right in itself is also new: its sequence number rises, its id was not seen, its life is not over.
 * One per gateway; only an accepted command changes what it remembers.
 */
export class CommandFreshness {
  readonly #memory = new Map<string, SenderMemory>();

  /** `sender` names a connection where the broker knows it (a client that reconnects may start its sequence anew), else the link. */
  judge({ sender, topic, command, nowUs, wallTimeMs }: { sender: string; topic: string; command: MqttCommand; nowUs: number; wallTimeMs: number }): FreshnessVerdict {
    const ageMs = command.sentAt === undefined ? 0 : wallTimeMs - command.sentAt;
    if (ageMs < -CLOCK_AHEAD_MS_MAX) return { ok: false, code: "sentInFuture", text: `sent ${Math.round(-ageMs)} ms from now: the clocks disagree` };
    if (ageMs >= command.ttlMs) return { ok: false, code: "expired", text: `sent ${Math.round(ageMs)} ms ago, good for ${command.ttlMs} ms` };
    const key = `${sender}\n${topic}`;
    const known = this.#memory.get(key);
    const valid = known && nowUs - known.atUs < FORGET_AFTER_US ? known : undefined;
    if (valid?.ids.includes(command.id)) return { ok: false, code: "duplicateId", text: `id ${command.id} came before` };
    if (valid && command.seq <= valid.seq) return { ok: false, code: "repeated", text: `seq ${command.seq} is not above ${valid.seq}` };
    // Re-inserted, so that the map's order is that of the last use and the first entry the one to forget.
    this.#memory.delete(key);
    this.#memory.set(key, { seq: command.seq, atUs: nowUs, ids: [...(valid?.ids.slice(1 - IDS_MAX) ?? []), command.id] });
    if (this.#memory.size > SENDERS_MAX) this.#memory.delete(this.#memory.keys().next().value!);
    return { ok: true, deadlineUs: nowUs + (command.ttlMs - Math.max(0, ageMs)) * 1e3 };
  }
}

/**
 * From what the gateway knows of buses, messages, nodes and the plan to the table of the reflex. Pure; it finds all faults at once and names what they concern.
 *
 * Nothing is left out silently: a message that the reflex could not check or protect, a node that it could not hear, a plan that names what is not there are faults.
 */
import { createHash } from "node:crypto";
import { CanFlag } from "../../../drivers/can/frame.ts";
import type { Message, Signal } from "../../../schemas/dbc/index.ts";
import { layoutOf, profileFacts, type E2eConfig } from "../../../schemas/e2e/index.ts";
import { maxDeltaCounterDefault, RESYNC_FRAMES_DEFAULT } from "../../../schemas/e2e/counter.ts";
import type { CompiledCall, CompiledCondition, CompiledField, CompiledPlan, CompiledPlanSet, CompiledSend, CompiledStep, CompiledTrigger } from "../../shutdown/compiled.ts";
import { triggerKinds } from "../../shutdown/compiled.ts";
import { TableBuilder } from "./builder.ts";
import { messageChecks } from "./checks.ts";
import { fieldOf, noField } from "./field.ts";
import { checkHolds } from "./judge.ts";
import {
  busDrivers, busFlags, dataIdModes, fieldFlags, messageFlags, NO_CLAIM_ID, nodeFlags, NONE, onTimeouts, profileNumbers, stepFlags, tableFlags, triggerFlags, headerStruct, type E2eRow, type FieldRow, type TableRows,
} from "./layout.ts";
import { writeTable } from "./write.ts";

export interface ReflexBusInput {
  name: string;
  driver: (typeof busDrivers)[number];
  interface: string;
  bitrateBps: number | undefined;
  dataBitrateBps: number | undefined;
  fd: boolean;
  listenOnly: boolean;
  txQueueFrames: number;
  deadAfterMs: number;
  busLoadMaxPercent: number;
  /** CAN id of CLAIM and BEAT frames, without the owner; above 0x7FF: 29 bits. Undefined: none are sent. */
  claimId: number | undefined;
  /** 0 or 1: of two hosts on this bus, which one this is. */
  host: number;
  /** Undefined: there is no other host on this bus. */
  selfFenceMs: number | undefined;
}

/** A message that is sent or received, with how it is protected; `e2e` undefined: by the bus alone. */
export interface ReflexMessage {
  bus: string;
  message: Message;
  lengthBytes: number;
  e2e: E2eConfig | undefined;
  /** Names of the signals that say who commands the bus; undefined where the message has none. */
  epoch: string | undefined;
  owner: string | undefined;
}

export interface ReflexCommandInput extends ReflexMessage {
  /** Signals that protection and owner fill in, and all bits of the protection (bit n of byte k at k·8+n). */
  filledIn: ReadonlySet<string>;
  filledBits: bigint;
  ttlMsMax: number;
  rateHzMax: number;
  /** Bits on the wire at most. */
  bits: number;
  poseOnly: boolean;
}

export interface ReflexNodeInput {
  name: string;
  bus: string;
  /** CiA 301 heartbeat of this node number, or the message (among `measured`) whose arrival counts. */
  heartbeat: { canopen: number } | { message: string };
  timeoutMs: number;
  required: boolean;
}

export interface ReflexTableInput {
  /** Rises with every table that is made. */
  generation: number;
  resumeArmed: boolean;
  drills: boolean;
  /** 0: never judged. */
  brainTimeoutMs: number;
  beatPeriodMs: number;
  twinDeadlineMs: number;
  buses: readonly ReflexBusInput[];
  commands: readonly ReflexCommandInput[];
  /** Every message that nodes, conditions or witnesses may refer to. Only those that are referred to get a row; those with an epoch signal always (witnesses). */
  measured: readonly ReflexMessage[];
  nodes: readonly ReflexNodeInput[];
  plans: CompiledPlanSet;
}

export interface TableFault {
  /** The message, node, step, trigger or bus it concerns. */
  subject: string;
  text: string;
}

export interface CompiledTable {
  ok: true;
  bytes: Uint8Array;
  /** SHA-256; the first 8 bytes are what commands carry. */
  hash: Uint8Array;
  rows: TableRows;
  /** What steps ask a brain for; a step's `call` is the place in this list. */
  calls: readonly CompiledCall[];
  /** Rows of messages by `bus/name`. */
  messageRows: ReadonlyMap<string, number>;
}

/** CiA 301. */
const HEARTBEAT_BASE = 0x700;
const EXTENDED_FROM = 0x800;
const U8_MAX = 0xff;

export function compileTable(input: ReflexTableInput): CompiledTable | { ok: false; faults: TableFault[] } {
  return new Compiler(input).compile();
}

class Compiler {
  readonly #input: ReflexTableInput;
  readonly #table = new TableBuilder();
  readonly #faults: TableFault[] = [];
  readonly #buses: ReadonlyMap<string, number>;
  readonly #messages = new Map<string, number>();
  readonly #watches = new Map<string, number>();
  readonly #calls: CompiledCall[] = [];

  constructor(input: ReflexTableInput) {
    this.#input = input;
    this.#buses = new Map(input.buses.map(({ name }, row) => [name, row]));
  }

  compile(): CompiledTable | { ok: false; faults: TableFault[] } {
    const { generation, resumeArmed, drills, brainTimeoutMs, beatPeriodMs, twinDeadlineMs, buses, commands, measured, nodes, plans } = this.#input;
    for (const bus of buses) this.#bus(bus);
    for (const command of commands) this.#command(command);
    for (const message of measured) if (message.epoch !== undefined) this.#watch(message.bus, message.message.name, `witness ${message.message.name}`);
    for (const trigger of plans.triggers) this.#trigger(trigger);
    for (const node of nodes) this.#node(node);
    for (const plan of plans.plans) this.#plan(plan);
    const finished = this.#table.finish();
    if (!finished.ok) this.#fault("table", `it would have ${finished.count} ${finished.section}, more than ${finished.most}`);
    if (!finished.ok || this.#faults.length > 0) return { ok: false, faults: this.#faults };
    const { rows } = finished;
    const head = { generation, flags: (resumeArmed ? tableFlags.resumeArmed : 0) | (drills ? tableFlags.drills : 0), brainTimeoutUs: brainTimeoutMs * 1e3, beatPeriodUs: beatPeriodMs * 1e3, twinDeadlineUs: twinDeadlineMs * 1e3 };
    const bytes = writeTable(head, rows);
    return { ok: true, bytes, hash: createHash("sha256").update(bytes.subarray(headerStruct.sizeBytes)).digest(), rows, calls: this.#calls, messageRows: this.#messages };
  }

  #fault(subject: string, text: string): void {
    this.#faults.push({ subject, text });
  }

  #bus(bus: ReflexBusInput): void {
    const { claimId } = bus;
    this.#table.add("buses", {
      name: this.#table.text(bus.name), interface: this.#table.text(bus.interface), bitrateBps: bus.bitrateBps ?? 0, dataBitrateBps: bus.dataBitrateBps ?? 0, deadAfterUs: bus.deadAfterMs * 1e3,
      claimId: claimId ?? NO_CLAIM_ID, loadPermilleMax: bus.bitrateBps === undefined ? 0 : Math.floor(bus.busLoadMaxPercent * 10), txQueueFrames: bus.txQueueFrames, driver: busDrivers.indexOf(bus.driver),
      flags: (bus.fd ? busFlags.fd : 0) | (bus.listenOnly ? busFlags.listenOnly : 0) | (claimId !== undefined && claimId >= EXTENDED_FROM ? busFlags.extendedClaimId : 0), host: bus.host,
      selfFenceUs: (bus.selfFenceMs ?? 0) * 1e3, probeId: 0,
    });
  }

  #busOf(name: string, subject: string): number {
    const row = this.#buses.get(name);
    if (row === undefined) this.#fault(subject, `there is no bus ${name} among those of the reflex`);
    return row ?? 0;
  }

  #command(command: ReflexCommandInput): void {
    const { bus, message, lengthBytes, filledIn, filledBits, ttlMsMax, rateHzMax, bits, poseOnly } = command;
    const made = messageChecks(message, { filledIn, filledBits, lengthBytes });
    if (!made.ok) this.#fault(message.name, made.text);
    const checks = made.ok ? made.checks : [];
    // What only the plan sends refers to no rate: it is sent when the plan says.
    const row = this.#table.add("messages", {
      name: this.#table.text(message.name), canId: message.canId, canFlags: canFlags(message), lengthBytes, bus: this.#busOf(bus, message.name), flags: poseOnly ? messageFlags.poseOnly : 0,
      ttlUsMax: Math.round(ttlMsMax * 1e3), intervalUsMin: Math.round(1e6 / rateHzMax), bits, checksFirst: this.#table.addAll("checks", checks), checksCount: checks.length,
      ...this.#claimFields(command), expiredTrigger: poseOnly ? NONE : this.#triggerFor(["expired"], (subject) => subject === undefined || ("message" in subject && subject.bus === bus && subject.message === message.name)), e2e: this.#e2e(command),
    });
    this.#messages.set(`${bus}/${message.name}`, row);
  }

  /** The highest trigger of a kind that concerns something; triggers stand in falling priority, each with the row of its place. */
  #triggerFor(kinds: readonly CompiledTrigger["on"][], concerns: (subject: CompiledTrigger["subject"]) => boolean): number {
    const row = this.#input.plans.triggers.findIndex(({ on, subject }) => kinds.includes(on) && concerns(subject));
    return row < 0 ? NONE : row;
  }

  #claimFields({ message, epoch, owner }: ReflexMessage): { epoch: FieldRow; owner: FieldRow } {
    const find = (name: string | undefined, bitsMax: number): FieldRow => {
      if (name === undefined) return noField;
      const signal: Signal | undefined = message.signals.find((each) => each.name === name);
      if (!signal || signal.kind !== "unsigned" || signal.lengthBits > bitsMax || signal.multiplexing) {
        this.#fault(message.name, signal ? `${name} must be an unsigned signal of at most ${bitsMax} bits that is not multiplexed` : `it has no signal ${name}`);
        return noField;
      }
      return fieldOf(signal);
    };
    return { epoch: find(epoch, 16), owner: find(owner, 8) };
  }

  #e2e({ e2e, message, lengthBytes }: ReflexMessage): E2eRow {
    if (e2e === undefined) return noProtection;
    const layout = layoutOf(e2e);
    const facts = profileFacts[e2e.profile];
    const maxDelta = e2e.maxDeltaCounter ?? maxDeltaCounterDefault(facts.counterCount);
    if (maxDelta > U8_MAX) this.#fault(message.name, `maxDeltaCounter ${maxDelta} is more than the reflex can count (${U8_MAX})`);
    if (lengthBytes < layout.minLengthBytes || lengthBytes > layout.maxLengthBytes) this.#fault(message.name, `its frames have ${lengthBytes} bytes, its protection ${layout.minLengthBytes} to ${layout.maxLengthBytes}`);
    return {
      profile: profileNumbers[e2e.profile], dataId: e2e.dataId ?? 0, dataIdList: e2e.dataIdList ? this.#table.bytes(Uint8Array.from(e2e.dataIdList)) : 0,
      offsetBytes: layout.offsetBytes, minLengthBytes: layout.minLengthBytes, maxLengthBytes: Math.min(layout.maxLengthBytes, 64),
      crcOffsetBits: layout.crcOffsetBits, counterOffsetBits: layout.counterOffsetBits, dataIdNibbleOffsetBits: layout.dataIdNibbleOffsetBits,
      dataIdMode: dataIdModes.indexOf(e2e.dataIdMode ?? "both"), maxDelta: Math.min(maxDelta, U8_MAX), resyncFrames: e2e.resyncFrames ?? RESYNC_FRAMES_DEFAULT,
    };
  }

  /** The row of a measured message; made when it is first asked for. */
  #watch(bus: string, name: string, subject: string): number {
    const key = `${bus}/${name}`;
    const before = this.#watches.get(key);
    if (before !== undefined) return before;
    const found = this.#input.measured.find((each) => each.bus === bus && each.message.name === name);
    if (!found) {
      this.#fault(subject, `the reflex cannot measure ${key}: it is not received, or not protected in a way that the reflex can check`);
      return 0;
    }
    const row = this.#table.add("watches", {
      name: this.#table.text(name), canId: found.message.canId, canFlags: canFlags(found.message) & ~CanFlag.bitRateSwitch, lengthBytes: found.lengthBytes, bus: this.#busOf(bus, subject), flags: 0, e2e: this.#e2e(found), ...this.#claimFields(found),
    });
    this.#watches.set(key, row);
    return row;
  }

  #canopenWatch(bus: string, node: number): number {
    const key = `${bus}/#${node}`;
    const row = this.#watches.get(key) ?? this.#table.add("watches", {
      name: this.#table.text(`heartbeat ${node}`), canId: HEARTBEAT_BASE + node, canFlags: 0, lengthBytes: 1, bus: this.#busOf(bus, `node ${node}`), flags: 0, e2e: noProtection, epoch: noField, owner: noField,
    });
    this.#watches.set(key, row);
    return row;
  }

  #node(node: ReflexNodeInput): void {
    const { name, bus, heartbeat, timeoutMs, required } = node;
    const watch = "canopen" in heartbeat ? this.#canopenWatch(bus, heartbeat.canopen) : this.#watch(bus, heartbeat.message, `node ${name}`);
    this.#table.add("nodes", {
      name: this.#table.text(name), timeoutUs: timeoutMs * 1e3, watch, bus: this.#busOf(bus, `node ${name}`),
      lostTrigger: required ? this.#triggerFor(["nodeLost"], (subject) => subject === undefined || ("node" in subject && subject.node === name)) : NONE,
      flags: (required ? nodeFlags.required : 0) | ("canopen" in heartbeat ? nodeFlags.canopen | nodeFlags.mustBeOperational : 0),
    });
  }

  #plan({ name, category, budgetUs, worstUs, steps, lastRung }: CompiledPlan): void {
    const stepsFirst = this.#table.rows.steps.length;
    for (const step of steps) this.#step(name, step, stepsFirst);
    this.#table.add("plans", {
      name: this.#table.text(name), stepsFirst, stepsCount: steps.length, budgetUs, worstUs, category,
      lastFirst: this.#table.addAll("sends", lastRung.map((send) => this.#send(send, `the last rung of ${name}`))), lastCount: lastRung.length,
    });
  }

  #step(plan: string, step: CompiledStep, stepsFirst: number): void {
    const subject = `step ${step.name} of ${plan}`;
    const conditions = step.conditions.map((condition) => this.#condition(condition, subject));
    this.#table.add("steps", {
      name: this.#table.text(step.name),
      needsFirst: this.#table.addAll("needs", step.needs.map((need) => stepsFirst + need)), needsCount: step.needs.length,
      sendsFirst: this.#table.addAll("sends", step.sends.map((send) => this.#send(send, subject))), sendsCount: step.sends.length,
      conditionsFirst: this.#table.addAll("conditions", conditions), conditionsCount: conditions.length,
      deadlineUs: step.deadlineUs, resendUs: step.resendUs, backoffUs: step.backoffUs, tries: step.tries, onTimeout: onTimeouts.indexOf(step.onTimeout),
      fallback: step.fallback === undefined ? NONE : stepsFirst + step.fallback, call: step.call ? this.#calls.push(step.call) - 1 : NONE,
      flags: (step.mandatory ? stepFlags.mandatory : 0) | (step.onlyFallback ? stepFlags.fallbackOnly : 0),
    });
  }

  #send({ bus, message, payload }: CompiledSend, subject: string): TableRows["sends"][number] {
    const row = this.#messages.get(`${bus}/${message}`);
    const rows = row === undefined ? undefined : this.#table.rows.messages[row];
    if (row === undefined || !rows) {
      this.#fault(subject, `${bus}/${message} is not among what the reflex may send`);
      return { message: 0, lengthBytes: 0, payload: 0 };
    }
    if (payload.length !== rows.lengthBytes) this.#fault(subject, `${message} has ${rows.lengthBytes} bytes, the payload ${payload.length}`);
    else if (!this.#table.rows.checks.slice(rows.checksFirst, rows.checksFirst + rows.checksCount).every((check) => checkHolds(check, payload))) this.#fault(subject, `what it sends as ${message} breaks that message's own limits`);
    return { message: row, lengthBytes: payload.length, payload: this.#table.bytes(payload) };
  }

  #condition(condition: CompiledCondition, subject: string): TableRows["conditions"][number] {
    const { label, bus, message, field, rawMin, rawMax, holdUs, ageUsMax } = condition;
    return { label: this.#table.text(label), watch: this.#watch(bus, message, subject), field: fieldRow(field), holdUs, ageUsMax, rawMin: BigInt.asIntN(64, rawMin), rawMax: BigInt.asIntN(64, rawMax) };
  }

  #trigger({ name, on, plan, priority, latched, onlyArmed, subject }: CompiledTrigger): void {
    this.#table.add("triggers", {
      name: this.#table.text(name), plan, priority, kind: triggerKinds.indexOf(on), subject: this.#subjectRow(name, subject), flags: (latched ? triggerFlags.latched : 0) | (onlyArmed ? triggerFlags.onlyWhileArmed : 0),
    });
  }

  #subjectRow(name: string, subject: CompiledTrigger["subject"]): number {
    if (subject === undefined) return NONE;
    if ("category" in subject) return subject.category;
    if ("condition" in subject) return this.#table.add("conditions", this.#condition(subject.condition, `trigger ${name}`));
    if ("node" in subject) {
      const row = this.#input.nodes.findIndex((node) => node.name === subject.node);
      if (row < 0) this.#fault(`trigger ${name}`, `there is no node ${subject.node} that the reflex can hear`);
      return row < 0 ? NONE : row;
    }
    if ("message" in subject) {
      const row = this.#messages.get(`${subject.bus}/${subject.message}`);
      if (row === undefined) this.#fault(`trigger ${name}`, `${subject.bus}/${subject.message} is not a command`);
      return row ?? NONE;
    }
    return this.#busOf(subject.bus, `trigger ${name}`);
  }
}

const noProtection: E2eRow = {
  profile: 0, dataId: 0, dataIdList: 0, offsetBytes: 0, minLengthBytes: 0, maxLengthBytes: 0, crcOffsetBits: 0, counterOffsetBits: 0, dataIdNibbleOffsetBits: 0, dataIdMode: 0, maxDelta: 0, resyncFrames: 0,
};

function canFlags({ extended, fd }: Message): number {
  return (extended ? CanFlag.extended : 0) | (fd ? CanFlag.fd | CanFlag.bitRateSwitch : 0);
}

function fieldRow({ startBit, bits, bigEndian, signed, float }: CompiledField): FieldRow {
  return { startBit, bits, flags: (bigEndian ? fieldFlags.bigEndian : 0) | (signed ? fieldFlags.signed : 0) | (float ? fieldFlags.ieee : 0) };
}

/** The first 8 bytes of a table's hash, as commands and HELLO carry them. */
export function shortHash(hash: Uint8Array): bigint {
  return new DataView(hash.buffer, hash.byteOffset, 8).getBigUint64(0, true);
}

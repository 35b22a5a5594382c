/**
 * From what the gateway knows of buses, messages, nodes and the plan to the table of the reflex. Pure; it finds all faults at once and names what they concern.
 *
 * Nothing is left out silently: a message that the reflex could not check or protect, a node that it could not hear, a plan that names what is not there are faults.
 */
import { CanFlag, canFlagsOf } from "../../../drivers/can/frame.ts";
import type { Message, Signal } from "../../../schemas/dbc/index.ts";
import { layoutOf, profileFacts, type E2eConfig } from "../../../schemas/e2e/index.ts";
import { maxDeltaCounterDefault, RESYNC_FRAMES_DEFAULT } from "../../../schemas/e2e/counter.ts";
import type { CompiledCall, CompiledCondition, CompiledField, CompiledPlan, CompiledPlanSet, CompiledSend, CompiledStep, CompiledTrigger } from "../../shutdown/compiled.ts";
import { triggerKinds } from "../../shutdown/compiled.ts";
import { TableBuilder } from "./builder.ts";
import { messageChecks } from "./checks.ts";
import { claimTimesFaults } from "./claimTimes.ts";
import { fieldOf, noField } from "./field.ts";
import { checkHolds } from "./judge.ts";
import { tableHash } from "./hash.ts";
import {
  busDrivers, busFlags, dataIdModes, fieldFlags, messageFlags, NO_CLAIM_ID, nodeFlags, NONE, onTimeouts, profileNumbers, sectionRowsMax, stepFlags, tableFlags, triggerFlags, type CheckRow, type E2eRow, type FieldRow, type TableRows,
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
  /** The time is told to nodes so often, on this id (above 0x7FF: 29 bits); undefined: it is not. */
  time: { id: number; periodMs: number } | undefined;
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
  /** Of a frame in which a node says whom it follows: the group of actuators that it belongs to. */
  group?: string | undefined;
}

export interface ReflexCommandInput extends ReflexMessage {
  /** Signals that protection and owner fill in, and all bits of the protection (bit n of byte k at k·8+n). */
  filledIn: ReadonlySet<string>;
  filledBits: bigint;
  /** No profile that the reflex knows protects it. */
  unprotected: boolean;
  ttlMsMax: number;
  rateHzMax: number;
  /** Bits on the wire at most. */
  bits: number;
  poseOnly: boolean;
}

/** A frame of 11-bit id for the care of nodes: it may pass while the robot is disarmed, and in no other state. What may stand in it is for `checks` to say (`service.ts`). */
export interface ReflexServiceInput {
  name: string;
  bus: string;
  canId: number;
  lengthBytes: number;
  bits: number;
  checks: readonly CheckRow[];
}

export interface ReflexNodeInput {
  name: string;
  bus: string;
  /** CiA 301 heartbeat of this node number, or the message (among `measured`) whose arrival counts. */
  heartbeat: { canopen: number } | { message: string };
  timeoutMs: number;
  required: boolean;
  group?: string | undefined;
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
  services: readonly ReflexServiceInput[];
  /** Every message that nodes, conditions or witnesses may refer to. Only those that are referred to get a row; those with an epoch signal always (witnesses). */
  measured: readonly ReflexMessage[];
  nodes: readonly ReflexNodeInput[];
  plans: CompiledPlanSet;
  /** The GPIO line that says that power fails. */
  powerFail: ReflexPinInput | undefined;
}

export interface ReflexPinInput {
  /** Device of the chip. */
  chip: string;
  /** Number on the chip, or name. */
  line: number | string;
  /** Low when power fails. */
  activeLow: boolean;
  debounceUs: number;
}

/** What a fault concerns: a command by `bus/message`, a node or bus by its name, something of the plan by a sentence's beginning, or the table as a whole. */
export interface TableSubject {
  kind: "command" | "node" | "bus" | "plan" | "table";
  name: string;
  /** Which key of it, where one is to blame. */
  key?: string;
}

export interface TableFault {
  about: TableSubject;
  text: string;
  /** What would be right, where that can be computed. */
  hint?: string;
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
/** As long as nodes remember a silent owner (docs/specs/claim.md). */
const WITNESS_TIMEOUT_MS = 500;
/** Longest life, age, hold and silence that the table takes. */
const TIME_MS_MAX = 60_000;
/** A frame for a node that waits longer than this is asked for again by whoever needs it (drivers/nodekit/sdoTransfer.ts). */
const SERVICE_TTL_US = 500_000;
/** For probes where a message has 0x7FF itself. */
const STANDARD_PROBE_ID = 0x7ff;
const EXTENDED_PROBE_ID = 0x1fffffff;

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
  /** Their numbers in the table: from 1. */
  readonly #groups: string[] = [];
  /** Those that were asked for, then the witnesses. */
  readonly #nodes: readonly ReflexNodeInput[];
  /** In falling priority; the place is the row. */
  readonly #triggers: { trigger: CompiledTrigger; subject: number }[] = [];

  constructor(input: ReflexTableInput) {
    this.#input = input;
    this.#nodes = [...input.nodes, ...input.measured.filter(({ bus, epoch }) => epoch !== undefined && input.buses.some(({ name, claimId }) => name === bus && claimId !== undefined)).map((message) => witness(message, input.nodes))];
    this.#buses = new Map(input.buses.map(({ name }, row) => [name, row]));
  }

  compile(): CompiledTable | { ok: false; faults: TableFault[] } {
    const { generation, resumeArmed, drills, brainTimeoutMs, beatPeriodMs, twinDeadlineMs, buses, commands, plans } = this.#input;
    for (const bus of buses) {
      this.#bus(bus);
      this.#claimTimes(bus, beatPeriodMs);
    }
    this.#groupMembers();
    for (const [row, { bus, message }] of commands.entries()) this.#messages.set(`${bus}/${message.name}`, row);
    this.#expandTriggers(plans.triggers);
    for (const command of commands) this.#command(command);
    for (const service of this.#input.services) this.#service(service);
    for (const node of this.#nodes) this.#node(node);
    for (const plan of plans.plans) this.#plan(plan);
    this.#addTriggers();
    const finished = this.#table.finish();
    if (!finished.ok) this.#fault(wholeTable, `it would have ${finished.count} ${finished.section}, more than ${finished.most}`);
    if (!finished.ok || this.#faults.length > 0) return { ok: false, faults: this.#faults };
    const { rows } = finished;
    const head = { generation, flags: (resumeArmed ? tableFlags.resumeArmed : 0) | (drills ? tableFlags.drills : 0), brainTimeoutUs: brainTimeoutMs * 1e3, beatPeriodUs: beatPeriodMs * 1e3, twinDeadlineUs: twinDeadlineMs * 1e3 };
    const bytes = writeTable(head, rows);
    return { ok: true, bytes, hash: tableHash(bytes), rows, calls: this.#calls, messageRows: this.#messages };
  }

  #fault(about: TableSubject, text: string, hint?: string): void {
    this.#faults.push(hint === undefined ? { about, text } : { about, text, hint });
  }

  #claimTimes(bus: ReflexBusInput, beatPeriodMs: number): void {
    const witnesses = this.#input.measured.filter((each) => each.bus === bus.name && each.epoch !== undefined);
    for (const { text, hint } of claimTimesFaults(bus, beatPeriodMs, witnesses)) this.#fault({ kind: "bus", name: bus.name, key: "selfFenceMs" }, text, hint);
  }

  /** A group whose members cannot say whom they follow would confirm nothing, and nobody would notice. */
  #groupMembers(): void {
    const { commands, measured } = this.#input;
    const silent = [...commands.filter(({ group }) => group !== undefined), ...measured.filter(({ group, epoch }) => group !== undefined && epoch === undefined)];
    for (const { bus, message, group } of silent) this.#fault({ kind: "bus", name: bus }, `${message.name} is in the group ${group} of claims, and does not say whom its node follows`, "messages of nodes with the signals that claims.epoch and claims.owner name");
  }

  #bus(bus: ReflexBusInput): void {
    const { claimId } = bus;
    this.#table.add("buses", {
      name: this.#table.text(bus.name), interface: this.#table.text(bus.interface), bitrateBps: bus.bitrateBps ?? 0, dataBitrateBps: bus.dataBitrateBps ?? 0, deadAfterUs: bus.deadAfterMs * 1e3,
      claimId: claimId ?? NO_CLAIM_ID, loadPermilleMax: bus.bitrateBps === undefined ? 0 : Math.floor(bus.busLoadMaxPercent * 10), txQueueFrames: bus.txQueueFrames, driver: busDrivers.indexOf(bus.driver),
      flags: (bus.fd ? busFlags.fd : 0) | (bus.listenOnly ? busFlags.listenOnly : 0) | (claimId !== undefined && claimId >= EXTENDED_FROM ? busFlags.extendedClaimId : 0), host: bus.host,
      selfFenceUs: (bus.selfFenceMs ?? 0) * 1e3, probeId: this.#isUsed(bus.name, STANDARD_PROBE_ID) || bus.time?.id === STANDARD_PROBE_ID ? EXTENDED_PROBE_ID : 0,
      timeId: bus.time?.id ?? 0, timePeriodUs: (bus.time?.periodMs ?? 0) * 1e3,
    });
  }

  #isUsed(bus: string, canId: number): boolean {
    return this.#input.services.some((each) => each.bus === bus && each.canId === canId) || [...this.#input.commands, ...this.#input.measured].some((each) => each.bus === bus && each.message.canId === canId && !each.message.extended);
  }

  #busOf(name: string, about: TableSubject): number {
    const row = this.#buses.get(name);
    if (row === undefined) this.#fault(about, `there is no bus ${name} among those of the reflex`);
    return row ?? 0;
  }

  #command(command: ReflexCommandInput): void {
    const { bus, message, lengthBytes, filledIn, filledBits, ttlMsMax, rateHzMax, bits, poseOnly } = command;
    const about: TableSubject = { kind: "command", name: `${bus}/${message.name}` };
    if (command.unprotected) this.#fault(about, `${message.name} is protected by a checksum that the reflex does not know`);
    const made = messageChecks(message, { filledIn, filledBits, lengthBytes });
    if (!made.ok) this.#fault(about, `${message.name}: ${made.text}`);
    const checks = made.ok ? made.checks : [];
    this.#table.add("messages", {
      name: this.#table.text(message.name), canId: message.canId, canFlags: canFlagsOf(message), lengthBytes, bus: this.#busOf(bus, about), flags: poseOnly ? messageFlags.poseOnly : 0,
      ttlUsMax: Math.round(ttlMsMax * 1e3), intervalUsMin: Math.round(1e6 / rateHzMax), bits, checksFirst: this.#table.addAll("checks", checks), checksCount: checks.length,
      ...this.#claimFields(command, about), expiredTrigger: this.#triggerFor("expired", this.#messages.get(`${bus}/${message.name}`)!), e2e: this.#e2e(command, about),
    });
  }

  /** After the commands: triggers refer to those by their rows. */
  #service({ name, bus, canId, lengthBytes, bits, checks }: ReflexServiceInput): void {
    this.#table.add("messages", {
      name: this.#table.text(name), canId, canFlags: 0, lengthBytes, bus: this.#busOf(bus, { kind: "bus", name: bus }), flags: messageFlags.service, ttlUsMax: SERVICE_TTL_US, intervalUsMin: 0, bits,
      checksFirst: this.#table.addAll("checks", checks), checksCount: checks.length, epoch: noField, owner: noField, expiredTrigger: NONE, e2e: noProtection,
    });
  }

  /**
   * In the table each trigger names one node, message, bus or category. One that stands for all of them becomes as many rows, each below those that are named: the one that is named
   * counts for its subject. The order stays what it was; the numbers of the priorities are given anew.
   */
  #expandTriggers(triggers: readonly CompiledTrigger[]): void {
    const named = new Set<string>();
    const rowOf = (trigger: CompiledTrigger): number | undefined => (trigger.subject && !("condition" in trigger.subject) ? this.#subjectRow(trigger.name, trigger.subject) : undefined);
    for (const trigger of triggers) {
      const row = rowOf(trigger);
      if (row !== undefined) named.add(`${trigger.on} ${row}`);
    }
    for (const trigger of triggers.toSorted((a, b) => b.priority - a.priority)) {
      const own = rowOf(trigger);
      const all = trigger.subject === undefined ? this.#allSubjects(trigger.on).filter((row) => !named.has(`${trigger.on} ${row}`)) : [own ?? NONE];
      for (const subject of all) {
        named.add(`${trigger.on} ${subject}`);
        this.#triggers.push({ trigger, subject });
      }
    }
  }

  #allSubjects(kind: CompiledTrigger["on"]): number[] {
    const { commands, buses } = this.#input;
    const rows = (count: number): number[] => Array.from({ length: count }, (_, row) => row);
    switch (kind) {
      case "request": return [0, 1, 2];
      case "nodeLost": return this.#nodes.flatMap(({ required }, row) => (required ? [row] : []));
      case "expired": return commands.flatMap(({ poseOnly }, row) => (poseOnly ? [] : [row]));
      case "busDead": return rows(buses.length);
      case "stop": case "shutdown": case "condition": case "brainLost": case "takeover": case "compromise": case "powerFail": return [NONE];
      default: return kind satisfies never;
    }
  }

  /** The row of the trigger that fires for this subject. */
  #triggerFor(kind: CompiledTrigger["on"], subject: number): number {
    const row = this.#triggers.findIndex((each) => each.trigger.on === kind && each.subject === subject);
    return row < 0 ? NONE : row;
  }

  #claimFields({ message, epoch, owner }: ReflexMessage, about: TableSubject): { epoch: FieldRow; owner: FieldRow } {
    const find = (name: string | undefined, bitsMax: number): FieldRow => {
      if (name === undefined) return noField;
      const signal: Signal | undefined = message.signals.find((each) => each.name === name);
      if (!signal || signal.kind !== "unsigned" || signal.lengthBits > bitsMax || signal.multiplexing) {
        this.#fault(about, signal ? `${message.name}: ${name} must be an unsigned signal of at most ${bitsMax} bits that is not multiplexed` : `${message.name} has no signal ${name}`);
        return noField;
      }
      return fieldOf(signal);
    };
    return { epoch: find(epoch, 16), owner: find(owner, 8) };
  }

  #e2e({ e2e, message, lengthBytes }: ReflexMessage, about: TableSubject): E2eRow {
    if (e2e === undefined) return noProtection;
    const layout = layoutOf(e2e);
    const facts = profileFacts[e2e.profile];
    const maxDelta = e2e.maxDeltaCounter ?? maxDeltaCounterDefault(facts.counterCount);
    if (maxDelta > U8_MAX) this.#fault(about, `${message.name}: maxDeltaCounter ${maxDelta} is more than the reflex can count (${U8_MAX})`);
    if (lengthBytes < layout.minLengthBytes || lengthBytes > layout.maxLengthBytes) this.#fault(about, `${message.name}: its frames have ${lengthBytes} bytes, its protection ${layout.minLengthBytes} to ${layout.maxLengthBytes}`);
    return {
      profile: profileNumbers[e2e.profile], dataId: e2e.dataId ?? 0, dataIdList: e2e.dataIdList ? this.#table.bytes(Uint8Array.from(e2e.dataIdList)) : 0,
      offsetBytes: layout.offsetBytes, minLengthBytes: layout.minLengthBytes, maxLengthBytes: Math.min(layout.maxLengthBytes, 64),
      crcOffsetBits: layout.crcOffsetBits, counterOffsetBits: layout.counterOffsetBits, dataIdNibbleOffsetBits: layout.dataIdNibbleOffsetBits,
      dataIdMode: dataIdModes.indexOf(e2e.dataIdMode ?? "both"), maxDelta: Math.min(maxDelta, U8_MAX), resyncFrames: e2e.resyncFrames ?? RESYNC_FRAMES_DEFAULT,
    };
  }

  /** The row of a measured message; made when it is first asked for. */
  #watch(bus: string, name: string, about: TableSubject): number {
    const found = this.#input.measured.find((each) => each.bus === bus && each.message.name === name);
    if (!found) {
      this.#fault(about, `${about.name}: the reflex cannot measure ${bus}/${name}: it is not received, or not protected in a way that the reflex can check`);
      return 0;
    }
    const key = watchKey(bus, found.message);
    const before = this.#watches.get(key);
    if (before !== undefined) return before;
    const row = this.#table.add("watches", {
      name: this.#table.text(name), canId: found.message.canId, canFlags: canFlagsOf(found.message) & ~CanFlag.bitRateSwitch, lengthBytes: found.lengthBytes, bus: this.#busOf(bus, about), flags: 0, e2e: this.#e2e(found, about), ...this.#claimFields(found, about),
    });
    this.#watches.set(key, row);
    return row;
  }

  #canopenWatch(bus: string, node: number, about: TableSubject): number {
    const key = watchKey(bus, { canId: HEARTBEAT_BASE + node, extended: false });
    const row = this.#watches.get(key) ?? this.#table.add("watches", {
      name: this.#table.text(`heartbeat ${node}`), canId: HEARTBEAT_BASE + node, canFlags: 0, lengthBytes: 1, bus: this.#busOf(bus, about), flags: 0, e2e: noProtection, epoch: noField, owner: noField,
    });
    this.#watches.set(key, row);
    return row;
  }

  #groupNumber(group: string | undefined): number {
    if (group === undefined) return 0;
    return this.#groups.includes(group) ? this.#groups.indexOf(group) + 1 : this.#groups.push(group);
  }

  #node(node: ReflexNodeInput): void {
    const { name, bus, heartbeat, timeoutMs, required, group } = node;
    const about: TableSubject = { kind: "node", name };
    if (timeoutMs > TIME_MS_MAX) this.#fault(about, `timeoutMs ${timeoutMs}: the reflex counts up to ${TIME_MS_MAX}`);
    const watch = "canopen" in heartbeat ? this.#canopenWatch(bus, heartbeat.canopen, about) : this.#watch(bus, heartbeat.message, about);
    this.#table.add("nodes", {
      name: this.#table.text(name), timeoutUs: timeoutMs * 1e3, watch, bus: this.#busOf(bus, about), group: this.#groupNumber(group),
      lostTrigger: this.#triggerFor("nodeLost", this.#table.rows.nodes.length),
      flags: (required ? nodeFlags.required : 0) | ("canopen" in heartbeat ? nodeFlags.canopen | nodeFlags.mustBeOperational : 0),
    });
  }

  #plan({ name, category, budgetUs, worstUs, steps, lastRung }: CompiledPlan): void {
    const stepsFirst = this.#table.rows.steps.length;
    for (const step of steps) this.#step(name, step, stepsFirst);
    this.#table.add("plans", {
      name: this.#table.text(name), stepsFirst, stepsCount: steps.length, budgetUs, worstUs, category,
      lastFirst: this.#table.addAll("sends", lastRung.map((send) => this.#send(send, { kind: "plan", name: `the last rung of ${name}` }))), lastCount: lastRung.length,
    });
  }

  #step(plan: string, step: CompiledStep, stepsFirst: number): void {
    const about: TableSubject = { kind: "plan", name: `step ${step.name} of ${plan}` };
    const conditions = step.conditions.map((condition) => this.#condition(condition, about));
    this.#table.add("steps", {
      name: this.#table.text(step.name),
      needsFirst: this.#table.addAll("needs", step.needs.map((need) => stepsFirst + need)), needsCount: step.needs.length,
      sendsFirst: this.#table.addAll("sends", step.sends.map((send) => this.#send(send, about))), sendsCount: step.sends.length,
      conditionsFirst: this.#table.addAll("conditions", conditions), conditionsCount: conditions.length,
      deadlineUs: step.deadlineUs, resendUs: step.resendUs, backoffUs: step.backoffUs, tries: step.tries, onTimeout: onTimeouts.indexOf(step.onTimeout),
      fallback: step.fallback === undefined ? NONE : stepsFirst + step.fallback, call: step.call ? this.#calls.push(step.call) - 1 : NONE,
      flags: (step.mandatory ? stepFlags.mandatory : 0) | (step.onlyFallback ? stepFlags.fallbackOnly : 0),
    });
  }

  #send({ bus, message, payload }: CompiledSend, about: TableSubject): TableRows["sends"][number] {
    const row = this.#messages.get(`${bus}/${message}`);
    const rows = row === undefined ? undefined : this.#table.rows.messages[row];
    if (row === undefined || !rows) {
      this.#fault(about, `${about.name}: ${bus}/${message} is not among what the reflex may send`);
      return { message: 0, lengthBytes: 0, payload: 0 };
    }
    if (payload.length !== rows.lengthBytes) this.#fault(about, `${about.name}: ${message} has ${rows.lengthBytes} bytes, the payload ${payload.length}`);
    else if (!this.#table.rows.checks.slice(rows.checksFirst, rows.checksFirst + rows.checksCount).every((check) => checkHolds(check, payload))) this.#fault(about, `${about.name}: what it sends as ${message} breaks that message's own limits`);
    return { message: row, lengthBytes: payload.length, payload: this.#table.bytes(payload) };
  }

  #condition(condition: CompiledCondition, about: TableSubject): TableRows["conditions"][number] {
    const { label, bus, message, field, rawMin, rawMax, holdUs, ageUsMax } = condition;
    return { label: this.#table.text(label), watch: this.#watch(bus, message, about), field: fieldRow(field), holdUs, ageUsMax, rawMin: BigInt.asIntN(64, rawMin), rawMax: BigInt.asIntN(64, rawMax) };
  }

  #addTriggers(): void {
    if (this.#triggers.length > sectionRowsMax.triggers) return this.#fault(wholeTable, `it would have ${this.#triggers.length} triggers, more than ${sectionRowsMax.triggers}: each node, command and bus is one`);
    for (const [index, { trigger, subject }] of this.#triggers.entries()) {
      const { name, on, plan, latched, onlyArmed } = trigger;
      const condition = trigger.subject && "condition" in trigger.subject ? this.#table.add("conditions", this.#condition(trigger.subject.condition, { kind: "plan", name: `trigger ${name}` })) : undefined;
      this.#table.add("triggers", {
        name: this.#table.text(name), plan, priority: sectionRowsMax.triggers - 1 - index, kind: triggerKinds.indexOf(on), subject: condition ?? subject,
        ...this.#pin(on, (latched ? triggerFlags.latched : 0) | (onlyArmed ? triggerFlags.onlyWhileArmed : 0)),
      });
    }
    if (this.#input.powerFail && !this.#triggers.some(({ trigger }) => trigger.on === "powerFail")) this.#fault({ kind: "plan", name: "powerFail" }, "a line says that power fails, and no plan is started by it");
  }

  #pin(on: CompiledTrigger["on"], flags: number): { flags: number; chip: number; line: number; debounceUs: number } {
    const pin = on === "powerFail" ? this.#input.powerFail : undefined;
    if (!pin) return { flags, chip: 0, line: 0, debounceUs: 0 };
    const { chip, line, activeLow, debounceUs } = pin;
    const named = typeof line === "string";
    return { flags: flags | triggerFlags.pin | (activeLow ? triggerFlags.activeLow : 0) | (named ? triggerFlags.named : 0), chip: this.#table.text(chip), line: named ? this.#table.text(line) : line, debounceUs };
  }

  #subjectRow(name: string, subject: Exclude<CompiledTrigger["subject"], undefined | { condition: CompiledCondition }>): number {
    if ("category" in subject) return subject.category;
    const about: TableSubject = { kind: "plan", name: `trigger ${name}` };
    if ("node" in subject) {
      const row = this.#input.nodes.findIndex((node) => node.name === subject.node);
      if (row < 0) this.#fault(about, `${about.name}: there is no node ${subject.node} that the reflex can hear`);
      return row < 0 ? NONE : row;
    }
    if ("message" in subject) {
      const row = this.#messages.get(`${subject.bus}/${subject.message}`);
      if (row === undefined) this.#fault(about, `${about.name}: ${subject.bus}/${subject.message} is not a command`);
      return row ?? NONE;
    }
    return this.#busOf(subject.bus, about);
  }
}

const wholeTable: TableSubject = { kind: "table", name: "the table" };
const noProtection: E2eRow = {
  profile: 0, dataId: 0, dataIdList: 0, offsetBytes: 0, minLengthBytes: 0, maxLengthBytes: 0, crcOffsetBits: 0, counterOffsetBits: 0, dataIdNibbleOffsetBits: 0, dataIdMode: 0, maxDelta: 0, resyncFrames: 0,
};

/** A frame in which a node says whom it follows is a node of its own: required, because who does not follow us cannot be commanded; lost, it is as any lost node. */
function witness({ bus, message, group }: ReflexMessage, nodes: readonly ReflexNodeInput[]): ReflexNodeInput {
  const timeoutMs = Math.max(WITNESS_TIMEOUT_MS, ...nodes.filter((node) => node.bus === bus).map((node) => node.timeoutMs));
  return { name: message.name, bus, heartbeat: { message: message.name }, timeoutMs, required: true, group };
}

function fieldRow({ startBit, bits, bigEndian, signed, float }: CompiledField): FieldRow {
  return { startBit, bits, flags: (bigEndian ? fieldFlags.bigEndian : 0) | (signed ? fieldFlags.signed : 0) | (float ? fieldFlags.ieee : 0) };
}

function watchKey(bus: string, { canId, extended }: Pick<Message, "canId" | "extended">): string {
  return `${bus}/${canId}${extended ? "x" : ""}`;
}

/** The first 8 bytes of a table's hash, as commands and HELLO carry them. */
export function shortHash(hash: Uint8Array): bigint {
  return new DataView(hash.buffer, hash.byteOffset, 8).getBigUint64(0, true);
}

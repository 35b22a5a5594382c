/** From the parser's drafts to the finished database: multiplexing, long names, frame formats, and what has to be mended or left out. */
import { fits } from "./bits.ts";
import type { DatabaseDraft, MessageDraft, SignalDraft } from "./draft.ts";
import type { FindingList } from "./findings.ts";
import { DBC_LIMITS } from "./limits.ts";
import { attributeValue, type Attributes, type Database, type Message, type Multiplexing, type Signal } from "./model.ts";
import { isNobody, type References } from "./references.ts";
import { isFloat, rawRange } from "./scaling.ts";

export function finishDatabase(file: string, references: References, findings: FindingList): Database {
  const { draft } = references;
  references.apply();
  useLongNames(draft, findings);
  judgeMessages(draft, findings);
  judgeNodes(draft, findings);
  const base: Database = {
    file, version: draft.version, messages: [], nodes: [...draft.nodes.keys()],
    nodeDetails: [...draft.nodes.values()].map(({ name, comment, attributes }) => ({ name, comment, attributes })),
    valueTables: draft.valueTables, comment: draft.comment, attributes: draft.attributes, attributeDefinitions: draft.attributeDefinitions,
    relationAttributes: draft.relationAttributes, environmentVariables: [...draft.environmentVariables], refused: findings.refused, findings: [],
  };
  const messages = draft.messages.map((message) => finishMessage(base, message, findings));
  return { ...base, messages, findings: findings.finish() };
}

// --- Names --------------------------------------------------------------------------------------------------------------------

/** Tools that must keep to 32 characters put the full name into an attribute. */
function useLongNames(draft: DatabaseDraft, findings: FindingList): void {
  const nodes = new Map<string, string>();
  for (const node of draft.nodes.values()) {
    const name = longName(node.attributes, "SystemNodeLongSymbol");
    if (name !== undefined) nodes.set(node.name, name);
  }
  if (nodes.size > 0) {
    draft.nodes = new Map([...draft.nodes.values()].map((node) => {
      const name = nodes.get(node.name) ?? node.name;
      return [name, { ...node, name }];
    }));
  }
  const nodeName = (name: string) => nodes.get(name) ?? name;
  const messageNames = new Map<string, string>();
  for (const message of draft.messages) {
    const name = longName(message.attributes, "SystemMessageLongSymbol");
    if (name !== undefined) {
      messageNames.set(message.name, name);
      message.name = name;
      message.alias.name = name;
    }
    if (message.sender !== undefined) message.sender = nodeName(message.sender);
    message.otherSenders = message.otherSenders.map(nodeName);
    renameSignals(message, findings);
    for (const signal of message.signals) signal.receivers = signal.receivers.map(nodeName);
  }
  draft.relationAttributes = draft.relationAttributes.map((relation) => ({
    ...relation, node: nodeName(relation.node), ...(relation.messageName === undefined ? {} : { messageName: messageNames.get(relation.messageName) ?? relation.messageName }),
  }));
}

function renameSignals(message: MessageDraft, findings: FindingList): void {
  const renamed = new Map<string, string>();
  for (const signal of message.signals) {
    const name = longName(signal.attributes, "SystemSignalLongSymbol");
    if (name === undefined || name === signal.name) continue;
    if (message.signalIndex.has(name)) {
      findings.add("duplicateSignal", signal.at, `message ${message.name}: the long name ${name} is taken; ${signal.name} keeps its short one`, message);
      continue;
    }
    renamed.set(signal.name, name);
    message.signalIndex.set(name, signal);
  }
  if (renamed.size === 0) return;
  const current = (name: string) => renamed.get(name) ?? name;
  for (const signal of message.signals) {
    signal.name = current(signal.name);
    if (signal.multiplexEntry !== undefined) signal.multiplexEntry.multiplexor = current(signal.multiplexEntry.multiplexor);
  }
  message.signalIndex = new Map(message.signals.map((signal) => [signal.name, signal]));
  message.signalGroups = message.signalGroups.map((group) => ({ ...group, signals: group.signals.map(current) }));
}

function longName(attributes: Attributes, attribute: string): string | undefined {
  const name = Object.hasOwn(attributes, attribute) ? attributes[attribute] : undefined;
  return typeof name === "string" && name.length <= DBC_LIMITS.nameChars && name !== "__proto__" && /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? name : undefined;
}

function judgeMessages(draft: DatabaseDraft, findings: FindingList): void {
  const byId = new Map<number, MessageDraft>();
  const byName = new Map<string, MessageDraft>();
  for (const message of draft.messages) {
    const key = message.canId + (message.extended ? 2 ** 31 : 0);
    const sameId = byId.get(key);
    if (sameId !== undefined) {
      findings.add("duplicateId", message.at, `messages ${sameId.name} and ${message.name} have the same identifier 0x${message.canId.toString(16)}`, message);
      findings.add("duplicateId", sameId.at, `messages ${sameId.name} and ${message.name} have the same identifier 0x${message.canId.toString(16)}`, sameId);
    }
    byId.set(key, message);
    const sameName = byName.get(message.name);
    // One finding is enough: it is filed under the name that both have.
    if (sameName !== undefined) findings.add("duplicateMessageName", message.at, `two messages are called ${message.name} (the other in line ${sameName.at.line})`, message);
    byName.set(message.name, message);
  }
}

function judgeNodes(draft: DatabaseDraft, findings: FindingList): void {
  if (draft.nodes.size === 0) return;
  const told = new Set<string>();
  const check = (name: string | undefined, at: Signal["at"], what: string) => {
    if (name === undefined || isNobody(name) || draft.nodes.has(name) || told.has(name)) return;
    told.add(name);
    findings.add("unknownNode", at, `${what} ${name.slice(0, 80)}, which BU_ does not list`);
  };
  for (const message of draft.messages) {
    check(message.sender, message.at, `message ${message.name} is sent by`);
    for (const sender of message.otherSenders) check(sender, message.at, `message ${message.name} is sent by`);
    for (const signal of message.signals) for (const receiver of signal.receivers) check(receiver, signal.at, `signal ${signal.name} is received by`);
  }
}

// --- Messages -----------------------------------------------------------------------------------------------------------------

/** VFrameFormat by its number in Vector's enumeration, for files that declare it as an integer. */
const frameFormats: Readonly<Record<number, string>> = { 0: "StandardCAN", 1: "ExtendedCAN", 3: "J1939PG", 14: "StandardCAN_FD", 15: "ExtendedCAN_FD" };

function finishMessage(database: Database, draft: MessageDraft, findings: FindingList): Message {
  const { name, at, canId, extended, lengthBytes, sender, otherSenders, comment, attributes, signalGroups } = draft;
  const given = attributeValue(database, "message", attributes, "VFrameFormat");
  const format = typeof given === "number" ? frameFormats[given] : given;
  const j1939 = format === "J1939PG" && extended;
  const fd = format?.endsWith("_FD") === true || (lengthBytes > 8 && !j1939);
  // An enumeration of "0" and "1" in Vector's own files, an integer in others'.
  const brs = attributeValue(database, "message", attributes, "CANFD_BRS");
  const bitRateSwitch = fd && (brs === undefined || Number(brs) !== 0);
  const explicit = Object.hasOwn(attributes, "VFrameFormat");
  if (explicit && format !== undefined && ((format.startsWith("Standard") && extended) || (/^(?:Extended|J1939)/.test(format) && !extended))) {
    findings.add("frameFormatMismatch", at, `message ${name} is ${format}, its identifier has ${extended ? 29 : 11} bits`, draft);
  }
  if (lengthBytes > 64 && !j1939) findings.add("lengthBeyondFrame", at, `message ${name} has ${lengthBytes} bytes`, draft);
  const kept = mendSignals(draft, findings);
  const resolved = resolveMultiplexing(draft, kept, findings);
  const signals = kept.map((signal) => finishSignal(signal, resolved.get(signal)));
  const cycleTime = attributeValue(database, "message", attributes, "GenMsgCycleTime");
  return {
    name, at, canId, extended, lengthBytes, fd, bitRateSwitch, j1939, sender, otherSenders, signals, signalGroups, comment, attributes,
    cycleTimeMs: typeof cycleTime === "number" && cycleTime > 0 ? cycleTime : undefined,
  };
}

/** The signals that can be read, with impossible scalings and ranges mended. */
function mendSignals(message: MessageDraft, findings: FindingList): SignalDraft[] {
  return message.signals.filter((signal) => {
    const told = `message ${message.name}, signal ${signal.name}`;
    if (signal.lengthBits === 0) {
      findings.add("zeroLengthSignal", signal.at, `${told} has no bits`, message);
      return false;
    }
    if (!fits(signal, message.lengthBytes)) {
      findings.add("signalDoesNotFit", signal.at, `${told} (${signal.startBit}|${signal.lengthBits}@${signal.byteOrder === "little" ? 1 : 0}) does not fit into ${message.lengthBytes} bytes`, message);
      return false;
    }
    if (signal.factor === 0) {
      findings.add("factorZero", signal.at, `${told} has the factor 0`, message);
      signal.factor = 1;
    }
    if (signal.minimum !== undefined && signal.maximum !== undefined && signal.minimum > signal.maximum) {
      findings.add("minimumAboveMaximum", signal.at, `${told} has the range ${signal.minimum}…${signal.maximum}`, message);
      signal.minimum = undefined;
      signal.maximum = undefined;
    }
    const range = isFloat(signal) ? undefined : rawRange(signal);
    if (range !== undefined && range.least > range.greatest) {
      findings.add("rangeExcludesAll", signal.at, `${told}: no raw value lies in ${signal.minimum}…${signal.maximum}`, message);
      signal.minimum = undefined;
      signal.maximum = undefined;
    }
    return true;
  });
}

function finishSignal(draft: SignalDraft, multiplexing: Multiplexing | undefined): Signal {
  const { multiplexValue: _value, multiplexEntry: _entry, ...signal } = draft;
  return { ...signal, multiplexing };
}

// --- Multiplexing ---------------------------------------------------------------------------------------------------------------

/** What selects each multiplexed signal of `message`. Marks multiplexors on the way. */
function resolveMultiplexing(message: MessageDraft, signals: SignalDraft[], findings: FindingList): Map<SignalDraft, Multiplexing> {
  const resolved = new Map<SignalDraft, Multiplexing>();
  const byName = new Map(signals.map((signal) => [signal.name, signal]));
  const roots = signals.filter((signal) => signal.isMultiplexor && signal.multiplexValue === undefined);
  const multiplexors = signals.filter((signal) => signal.isMultiplexor);
  for (const signal of signals) {
    const multiplexing = byEntry(message, signal, byName, findings) ?? byToken({ message, signal, roots, multiplexors }, findings);
    if (multiplexing === undefined) continue;
    resolved.set(signal, multiplexing);
    const multiplexor = byName.get(multiplexing.multiplexor)!;
    if (!multiplexor.isMultiplexor) findings.add("multiplexorNotMarked", multiplexor.at, `message ${message.name}: signal ${multiplexor.name} selects others but is not marked`, message);
    multiplexor.isMultiplexor = true;
  }
  for (const signal of signals) {
    if (!resolved.has(signal) || !endless(signal, resolved, byName)) continue;
    findings.add("multiplexCycle", signal.at, `message ${message.name}: signal ${signal.name} selects itself, or too many multiplexors stand in a row`, message);
    resolved.delete(signal);
  }
  return resolved;
}

/** From SG_MUL_VAL_. */
function byEntry(message: MessageDraft, signal: SignalDraft, byName: ReadonlyMap<string, SignalDraft>, findings: FindingList): Multiplexing | undefined {
  const entry = signal.multiplexEntry;
  if (entry === undefined) return undefined;
  if (!byName.has(entry.multiplexor)) {
    findings.add("multiplexorUnknown", entry.at, `message ${message.name}: signal ${signal.name} is to be selected by ${entry.multiplexor.slice(0, 80)}`, message);
    return undefined;
  }
  if (entry.ranges.length === 0) return undefined;
  const value = signal.multiplexValue;
  if (value !== undefined && !entry.ranges.some(([low, high]) => low <= value && value <= high)) {
    findings.add("multiplexRangeMismatch", entry.at, `message ${message.name}: signal ${signal.name} is marked m${value}, which its ranges do not contain`, message);
  }
  return { multiplexor: entry.multiplexor, ranges: entry.ranges };
}

/** From `mN` alone: the message's one `M`. */
function byToken({ message, signal, roots, multiplexors }: { message: MessageDraft; signal: SignalDraft; roots: SignalDraft[]; multiplexors: SignalDraft[] }, findings: FindingList): Multiplexing | undefined {
  const value = signal.multiplexValue;
  if (value === undefined) return undefined;
  const root = roots.find((candidate) => candidate !== signal);
  if (root === undefined) {
    findings.add("multiplexorMissing", signal.at, `message ${message.name}: signal ${signal.name} is marked m${value}, but no signal is marked M`, message);
    return undefined;
  }
  if (multiplexors.some((candidate) => candidate !== root && candidate !== signal)) {
    findings.add("multiplexorAmbiguous", signal.at, `message ${message.name}: signal ${signal.name} could be selected by several signals; ${root.name} was taken`, message);
  }
  return { multiplexor: root.name, ranges: [[value, value]] };
}

function endless(signal: SignalDraft, resolved: ReadonlyMap<SignalDraft, Multiplexing>, byName: ReadonlyMap<string, SignalDraft>): boolean {
  let at: SignalDraft = signal;
  for (let depth = 0; depth < DBC_LIMITS.multiplexDepth; depth++) {
    const multiplexing = resolved.get(at);
    if (multiplexing === undefined) return false;
    at = byName.get(multiplexing.multiplexor)!;
  }
  return true;
}

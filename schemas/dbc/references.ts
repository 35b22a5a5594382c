/**
 * Gathers what the parser reads and, once everything is read, applies what refers to something: comments, attributes and value tables
 * may stand before the message they are about, and identifiers may be ambiguous.
 */
import type { DatabaseDraft, MessageDraft, MultiplexEntry, SignalDraft } from "./draft.ts";
import type { FindingCode, FindingList } from "./findings.ts";
import { DBC_LIMITS } from "./limits.ts";
import type { AttributeDefinition, AttributeScope, Position, SignalGroup, ValueNames } from "./model.ts";

/** DBC's bit 31 marks 29-bit identifiers. */
const EXTENDED = 0x8000_0000;
/** Where Vector's tools keep signals that belong to no message. */
const INDEPENDENT_ID = 0xc000_0000;

/** Messages with one identifier that references are applied to; more are an error anyway and would make the work grow with its square. */
const SAME_ID_MAX = 8;

const relationScopes: ReadonlySet<AttributeScope> = new Set(["nodeSignal", "nodeMessage", "nodeEnvironmentVariable"]);

interface AttributeText {
  text: string;
  quoted: boolean;
}

export class References {
  readonly draft: DatabaseDraft = {
    version: "", messages: [], nodes: new Map(), valueTables: new Map(), comment: undefined, attributes: {}, attributeDefinitions: [], relationAttributes: [], environmentVariables: new Set(),
  };
  readonly findings: FindingList;
  readonly #byId = new Map<number, MessageDraft[]>();
  /** Attribute definitions by name; at most one per kind of object. */
  readonly #definitions = new Map<string, AttributeDefinition[]>();
  readonly #deferred: (() => void)[] = [];
  /** Ids whose BO_ was read but left out: what refers to them is left out without another word. */
  readonly #leftOut = new Set<number>();

  constructor(findings: FindingList) {
    this.findings = findings;
  }

  /** Applies everything that was deferred, in file order. */
  apply(): void {
    for (const action of this.#deferred) action();
  }

  deferFinding(code: FindingCode, at: Position, message: string, dbcId: number): void {
    this.#deferred.push(() => this.findings.add(code, at, message, this.#byId.get(dbcId)?.[0]));
  }

  // --- Definitions ----------------------------------------------------------------------------------------------------------

  addNode(name: string, at: Position): void {
    if (this.draft.nodes.has(name)) this.findings.add("duplicateNode", at, `node ${name} is listed twice`);
    else this.draft.nodes.set(name, { name, at, comment: undefined, attributes: {} });
  }

  /** The message, or undefined when it had to be left out. `owner` stands for it in findings. */
  addMessage({ dbcId, name, at, lengthBytes, sender, owner }: { dbcId: number; name: string; at: Position; lengthBytes: number; sender: string | undefined; owner: { name: string } }): MessageDraft | undefined {
    const { messages } = this.draft;
    this.#leftOut.add(dbcId);
    if (dbcId === INDEPENDENT_ID || name === "VECTOR__INDEPENDENT_SIG_MSG") {
      this.findings.add("independentSignals", at, "signals that belong to no message");
      return undefined;
    }
    if (messages.length >= DBC_LIMITS.messages) {
      this.findings.add("tooManyMessages", at, `more than ${DBC_LIMITS.messages} messages; message ${name} was left out`);
      return undefined;
    }
    const extendedFlag = dbcId >= EXTENDED;
    const canId = extendedFlag ? dbcId - EXTENDED : dbcId;
    if (canId > 0x1fff_ffff) {
      this.findings.add("idOutOfRange", at, `message ${name} has identifier ${dbcId}`, owner);
      return undefined;
    }
    if (lengthBytes > DBC_LIMITS.messageBytes) {
      this.findings.add("lengthOutOfRange", at, `message ${name} has ${lengthBytes} bytes`, owner);
      return undefined;
    }
    if (!extendedFlag && canId > 0x7ff) this.findings.add("extendedFlagMissing", at, `message ${name}: identifier ${dbcId} (0x${canId.toString(16)}) has more than 11 bits, but bit 31 is not set`, owner);
    this.#leftOut.delete(dbcId);
    const message: MessageDraft = {
      name, alias: owner, at, dbcId, canId, extended: extendedFlag || canId > 0x7ff, lengthBytes, sender: isNobody(sender) ? undefined : sender,
      otherSenders: [], signals: [], signalIndex: new Map(), signalGroups: [], comment: undefined, attributes: {},
    };
    messages.push(message);
    const sameId = this.#byId.get(dbcId);
    if (sameId === undefined) this.#byId.set(dbcId, [message]);
    else if (sameId.length < SAME_ID_MAX) sameId.push(message);
    return message;
  }

  addSignal(message: MessageDraft, signal: SignalDraft): void {
    if (message.signals.length >= DBC_LIMITS.signalsPerMessage) {
      this.findings.add("tooManySignals", signal.at, `message ${message.name} has more than ${DBC_LIMITS.signalsPerMessage} signals; ${signal.name} was left out`, message);
      return;
    }
    if (message.signalIndex.has(signal.name)) {
      this.findings.add("duplicateSignal", signal.at, `message ${message.name} has two signals ${signal.name}`, message);
      return;
    }
    message.signals.push(signal);
    message.signalIndex.set(signal.name, signal);
  }

  addValueTable(name: string, values: ValueNames): void {
    this.draft.valueTables.set(name, values);
  }

  defineAttribute(definition: AttributeDefinition, at: Position): void {
    const sameName = this.#definitions.get(definition.name) ?? [];
    const known = sameName.find(({ scope }) => scope === definition.scope);
    if (known !== undefined) {
      this.findings.add("duplicateAttributeDefinition", at, `attribute ${definition.name} is defined twice`);
      Object.assign(known, definition);
      return;
    }
    this.#definitions.set(definition.name, [...sameName, definition]);
    this.draft.attributeDefinitions.push(definition);
  }

  defaultAttribute(name: string, value: AttributeText, relation: boolean, at: Position): void {
    this.#deferred.push(() => {
      // A default names no kind of object: it belongs to every definition of that name, of relations or of objects.
      const sameName = this.#definitions.get(name) ?? [];
      const fitting = sameName.filter(({ scope }) => relationScopes.has(scope) === relation);
      const definitions = fitting.length > 0 ? fitting : sameName;
      if (definitions.length === 0) this.findings.add("unknownAttribute", at, `default of attribute ${name}, which is not defined`);
      for (const definition of definitions) definition.default = this.#attributeValue(definition, value, at, undefined);
    });
  }

  // --- What refers to something -----------------------------------------------------------------------------------------------

  commentNode(name: string, text: string, at: Position): void {
    this.#deferred.push(() => {
      const node = this.draft.nodes.get(name);
      if (node === undefined) this.findings.add("unknownNode", at, `comment on node ${name}, which BU_ does not list`);
      else node.comment = text;
    });
  }

  commentMessage(dbcId: number, text: string, at: Position): void {
    this.#forMessages(dbcId, at, "comment", (message) => (message.comment = text));
  }

  commentSignal(dbcId: number, signal: string, text: string, at: Position): void {
    this.#forSignals({ dbcId, signal, at, what: "comment" }, (found) => (found.comment = text));
  }

  commentWithoutTarget(dbcId: number, message: string, at: Position): void {
    this.deferFinding("commentWithoutTarget", at, message, dbcId);
  }

  checkEnvironmentVariable(name: string, at: Position): void {
    this.#deferred.push(() => {
      if (!this.draft.environmentVariables.has(name)) this.findings.add("unknownEnvironmentVariable", at, `environment variable ${name} is not declared`);
    });
  }

  valuesWithoutSignal(dbcId: number, at: Position): void {
    this.deferFinding("unknownSignal", at, `VAL_ ${dbcId} names no signal`, dbcId);
  }

  addValues(dbcId: number, signal: string, values: ValueNames, at: Position): void {
    this.#forSignals({ dbcId, signal, at, what: "value table" }, (found, message) => {
      if (found.valueNames !== undefined) this.findings.add("valueTableRepeated", at, `signal ${signal} has a value table already`, message);
      found.valueNames = values;
    });
  }

  addValuesByTable(dbcId: number, signal: string, table: string, at: Position): void {
    this.#forSignals({ dbcId, signal, at, what: "value table" }, (found, message) => {
      const values = this.draft.valueTables.get(table);
      if (values === undefined) this.findings.add("unknownValueTable", at, `signal ${signal}: there is no value table ${table}`, message);
      else found.valueNames = values;
    });
  }

  setValueType(dbcId: number, signal: string, type: number, at: Position): void {
    this.#forSignals({ dbcId, signal, at, what: "value type" }, (found, message) => {
      if (type > 2) this.findings.add("unknownValueType", at, `signal ${signal}: value type ${type}`, message);
      else if (type !== 0 && found.lengthBits !== 32 && found.lengthBits !== 64) this.findings.add("floatLength", at, `signal ${signal} is a float of ${found.lengthBits} bits`, message);
      else if (type !== 0) {
        if ((type === 1) !== (found.lengthBits === 32)) this.findings.add("floatLength", at, `signal ${signal}: value type ${type} with ${found.lengthBits} bits; the length was believed`, message);
        found.kind = found.lengthBits === 32 ? "float32" : "float64";
      }
    });
  }

  setMultiplexing(dbcId: number, signal: string, entry: MultiplexEntry): void {
    this.#forSignals({ dbcId, signal, at: entry.at, what: "multiplexing" }, (found, message) => {
      if (found.multiplexEntry === undefined || found.multiplexEntry.multiplexor === entry.multiplexor) {
        // Long lists are spread over several statements.
        const ranges = [...(found.multiplexEntry?.ranges ?? []), ...entry.ranges];
        found.multiplexEntry = { ...entry, ranges: ranges.slice(0, DBC_LIMITS.multiplexRanges) };
        if (ranges.length > DBC_LIMITS.multiplexRanges) this.findings.add("multiplexRangeBad", entry.at, `signal ${signal}: more than ${DBC_LIMITS.multiplexRanges} ranges`, message);
      } else {
        this.findings.add("multiplexorAmbiguous", entry.at, `signal ${signal} is selected by ${found.multiplexEntry.multiplexor} and by ${entry.multiplexor}; the first was taken`, message);
      }
    });
  }

  addGroup(dbcId: number, group: SignalGroup, at: Position): void {
    this.#forMessages(dbcId, at, "signal group", (message) => {
      const unknown = group.signals.find((name) => !message.signalIndex.has(name));
      if (unknown !== undefined) this.findings.add("unknownSignal", at, `group ${group.name}: message ${message.name} has no signal ${unknown}`, message);
      message.signalGroups.push(group);
    });
  }

  addSenders(dbcId: number, senders: string[], at: Position): void {
    this.#forMessages(dbcId, at, "senders", (message) => {
      for (const sender of senders) if (!isNobody(sender)) message.otherSenders.push(sender);
    });
  }

  // --- Attributes -------------------------------------------------------------------------------------------------------------

  setDatabaseAttribute(name: string, value: AttributeText, at: Position): void {
    this.#deferred.push(() => this.#setAttribute({ attributes: this.draft.attributes, scope: "database", name, value, at, owner: undefined }));
  }

  setNodeAttribute(name: string, node: string, value: AttributeText, at: Position): void {
    this.#deferred.push(() => {
      const found = this.draft.nodes.get(node);
      if (found === undefined) this.findings.add("unknownNode", at, `attribute ${name} of node ${node}, which BU_ does not list`);
      else this.#setAttribute({ attributes: found.attributes, scope: "node", name, value, at, owner: undefined });
    });
  }

  setMessageAttribute(name: string, dbcId: number, value: AttributeText, at: Position): void {
    this.#forMessages(dbcId, at, `attribute ${name}`, (message) => this.#setAttribute({ attributes: message.attributes, scope: "message", name, value, at, owner: message }));
  }

  setSignalAttribute(name: string, dbcId: number, signal: string, value: AttributeText, at: Position): void {
    this.#forSignals({ dbcId, signal, at, what: `attribute ${name}` }, (found, message) => this.#setAttribute({ attributes: found.attributes, scope: "signal", name, value, at, owner: message }));
  }

  setRelation({ name, node, dbcId, signal, environmentVariable, scope, value, at }: { name: string; node: string; dbcId?: number; signal?: string; environmentVariable?: string; scope: AttributeScope; value: AttributeText; at: Position }): void {
    this.#deferred.push(() => {
      const message = dbcId === undefined ? undefined : this.#byId.get(dbcId)?.[0];
      if (dbcId !== undefined && message === undefined) {
        this.#unknownMessage(dbcId, at, `attribute ${name}`);
        return;
      }
      const holder: Record<string, string | number> = {};
      this.#setAttribute({ attributes: holder, scope, name, value, at, owner: message });
      if (holder[name] === undefined) return;
      this.draft.relationAttributes.push({
        name, node, value: holder[name],
        ...(message === undefined ? {} : { messageName: message.name }), ...(signal === undefined ? {} : { signalName: signal }), ...(environmentVariable === undefined ? {} : { environmentVariable }),
      });
    });
  }

  #setAttribute({ attributes, scope, name, value, at, owner }: { attributes: Record<string, string | number>; scope: AttributeScope; name: string; value: AttributeText; at: Position; owner: MessageDraft | undefined }): void {
    if (name === "__proto__") {
      this.findings.add("nameRefused", at, "an attribute named __proto__", owner);
      return;
    }
    const definition = this.#definitions.get(name)?.find((known) => known.scope === scope);
    if (definition === undefined) this.findings.add("unknownAttribute", at, `attribute ${name} is not defined for this kind of object`, owner);
    attributes[name] = definition === undefined ? plainValue(value) : this.#attributeValue(definition, value, at, owner);
  }

  /** The value in the attribute's type: a word for enumerations (which may be given by number), a number for numbers. */
  #attributeValue(definition: AttributeDefinition, value: AttributeText, at: Position, owner: MessageDraft | undefined): string | number {
    const { name, type, words } = definition;
    if (type === "STRING") return value.text;
    const number = value.text.trim() === "" ? NaN : Number(value.text);
    if (type === "ENUM") {
      if (words.includes(value.text) && (value.quoted || Number.isNaN(number))) return value.text;
      const word = Number.isInteger(number) ? words[number] : undefined;
      if (word !== undefined) return word;
      if (value.text !== "") this.findings.add("attributeOutOfRange", at, `attribute ${name}: "${value.text.slice(0, 40)}" is none of its ${words.length} words`, owner);
      return plainValue(value);
    }
    if (!Number.isFinite(number)) {
      this.findings.add("attributeType", at, `attribute ${name}: "${value.text.slice(0, 40)}" is not a number`, owner);
      return value.text;
    }
    const { minimum, maximum } = definition;
    const bounded = minimum !== undefined && maximum !== undefined && (minimum !== 0 || maximum !== 0);
    if (bounded && (number < minimum || number > maximum)) this.findings.add("attributeOutOfRange", at, `attribute ${name}: ${number} is not in ${minimum}…${maximum}`, owner);
    return number;
  }

  // --- Look-up ----------------------------------------------------------------------------------------------------------------

  #forMessages(dbcId: number, at: Position, what: string, action: (message: MessageDraft) => void): void {
    this.#deferred.push(() => {
      const messages = this.#byId.get(dbcId);
      if (messages === undefined) this.#unknownMessage(dbcId, at, what);
      else for (const message of messages) action(message);
    });
  }

  #forSignals({ dbcId, signal, at, what }: { dbcId: number; signal: string; at: Position; what: string }, action: (signal: SignalDraft, message: MessageDraft) => void): void {
    this.#deferred.push(() => {
      const messages = this.#byId.get(dbcId);
      if (messages === undefined) {
        this.#unknownMessage(dbcId, at, what);
        return;
      }
      let found = false;
      for (const message of messages) {
        const match = message.signalIndex.get(signal);
        if (match === undefined) continue;
        found = true;
        action(match, message);
      }
      if (!found) this.findings.add("unknownSignal", at, `${what}: message ${messages[0]!.name} has no signal ${signal.slice(0, 80)}`, messages[0]);
    });
  }

  #unknownMessage(dbcId: number, at: Position, what: string): void {
    if (!this.#leftOut.has(dbcId)) this.findings.add("unknownMessage", at, `${what} of message ${dbcId}, which does not exist`);
  }
}

/** Vector's word for "no node". */
export function isNobody(node: string | undefined): boolean {
  return node === undefined || /^vector__xxx$/i.test(node);
}

function plainValue({ text, quoted }: AttributeText): string | number {
  const number = Number(text);
  return quoted || text.trim() === "" || !Number.isFinite(number) ? text : number;
}

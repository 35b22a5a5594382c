/** The databases of each bus with their checks: loaded as the gateway loads them, judged, and asked what their messages hold. */
import { bitMask } from "../../dbc/bits.ts";
import { lintDatabase, lintErrors } from "../../dbc/lint.ts";
import type { Database, Finding, Message, Signal } from "../../dbc/model.ts";
import { parseDbc } from "../../dbc/parse.ts";
import { toPhysical } from "../../dbc/scaling.ts";
import { applyTemplate } from "../../dbc/templates.ts";
import { layoutFromMessage } from "../../records/layout.ts";
import { loadChecks } from "../../e2e/checks.ts";
import type { CheckedMessage, CheckSet } from "../../e2e/checks.ts";
import type { Bus, DatabaseFile } from "../config.ts";
import type { Path } from "../fault.ts";
import type { CheckContext } from "./context.ts";
import type { FieldInfo } from "./fields.ts";

/** One database of a bus as the gateway uses it: templates applied, checks verified. */
export interface LoadedDatabase {
  file: string;
  database: Database;
  checks: CheckSet | undefined;
}

export interface BusMessage extends LoadedDatabase {
  message: Message;
  fields: ReadonlyMap<string, FieldInfo>;
  /** Whether a checksum that is not the bus's own protects it; undefined when its checks file cannot be used. */
  isProtected: boolean | undefined;
  /** Whether the errors of its definition were reported already, as those of the whole file. */
  isReported: boolean;
  /** Signals that are filled in when a frame is sent: counters, checksums, data ids, and who commands the bus. */
  managed: ReadonlySet<string>;
  /** Every bit that it fills in, whether a signal owns it or not; bit n of byte k at k·8+n. */
  managedBits: bigint;
}

export class BusMessages {
  readonly #buses = new Map<string, Map<string, BusMessage>>();
  readonly #judged = new Set<string>();
  readonly databases = new Map<string, LoadedDatabase[]>();

  /** The messages of a bus by name; empty for a bus that does not exist. */
  of(bus: string): ReadonlyMap<string, BusMessage> {
    return this.#buses.get(bus) ?? new Map<string, BusMessage>();
  }

  /** True the first time it is asked about a message: what forbids sending it is said once, not at each use. */
  firstUse(bus: string, message: string): boolean {
    const key = `${bus}/${message}`;
    return !this.#judged.has(key) && this.#judged.add(key).has(key);
  }

  load(context: CheckContext, bus: Bus, path: Path): void {
    const messages = new Map<string, BusMessage>();
    const ids = new Map<string, string>();
    this.#buses.set(bus.name, messages);
    this.databases.set(bus.name, []);
    for (const [entry, at] of context.items(bus.databases, [...path, "databases"])) {
      const loaded = loadDatabase(context, entry, at);
      if (!loaded) {
        context.uncertainBuses.add(bus.name);
        continue;
      }
      this.databases.get(bus.name)!.push(loaded);
      if (loaded.database.findings.some(isTemplateFinding)) context.uncertainBuses.add(bus.name);
      for (const message of loaded.database.messages) {
        const id = `0x${message.canId.toString(16).toUpperCase()}${message.extended ? "x" : ""}`;
        const other = ids.get(id) ?? (messages.has(message.name) ? message.name : undefined);
        if (other !== undefined && loaded.database.messages.find((one) => one.name === other) === undefined) {
          context.uncertainBuses.add(bus.name);
          context.fault("duplicateMessage", [...at, "dbc"], `${message.name} (${id}) and ${other} of another database of this bus have the same ${ids.has(id) ? "id" : "name"}`, { expected: "ids and names that are unique on the bus" });
          continue;
        }
        ids.set(id, message.name);
        if (message.fd && !bus.fd) context.warning("fdNeeded", [...at, "dbc"], `${message.name} is a CAN FD message, and the bus ${bus.name} is classic`, { hint: "fd: true, if the interface can" });
        messages.set(message.name, { message, ...loaded, fields: fieldsOf(message), ...protectionOf(message, loaded.checks), ...(entry.checks !== undefined && !loaded.checks ? { isProtected: undefined } : {}), isReported: entry.lint === "required" });
      }
    }
    if (context.loaded.isIncomplete([...path, "databases"].join("."))) context.uncertainBuses.add(bus.name);
  }
}

/** A message as checks files want to know it: `dataId: schema` is derived from the hash of its record. */
export function checkedMessage(message: Message): CheckedMessage {
  return { name: message.name, canId: message.canId, extended: message.extended, lengthBytes: message.lengthBytes, layoutHash: layoutFromMessage(message).hash };
}

function loadDatabase(context: CheckContext, entry: DatabaseFile, path: Path): LoadedDatabase | undefined {
  const bytes = context.read(entry.dbc, [...path, "dbc"]);
  if (!bytes) return undefined;
  context.texts.set(entry.dbc, new TextDecoder("utf-8").decode(bytes));
  const plain = parseDbc(bytes, { file: entry.dbc });
  if (plain.refused) {
    const why = plain.findings.at(-1);
    context.fault("badDatabase", [...path, "dbc"], `"${entry.dbc}" cannot be used: ${why?.message ?? "it is no DBC file"}`, { hint: why?.hint ?? "" });
    return undefined;
  }
  const database = entry.template ? applyTemplate(plain, entry.template) : plain;
  reportTemplate(context, database, path);
  reportFindings(context, entry, database, path);
  return { file: entry.dbc, database, checks: loadCheckSet(context, entry, database, path) };
}

/** What a template cannot do is a fault of the configuration, where the template stands. */
function reportTemplate(context: CheckContext, database: Database, path: Path): void {
  for (const finding of database.findings) {
    if (!isTemplateFinding(finding)) continue;
    const key = { templateExpression: ["id"], templateNode: ["nodes"], templateMessageUnknown: ["messages"] }[finding.code] ?? [];
    context.fault("badTemplate", [...path, "template", ...key], finding.message, { hint: finding.hint });
  }
}

function isTemplateFinding(finding: Finding): boolean {
  return finding.code.startsWith("template");
}

/** A template multiplies the faults of what it multiplies: each place is named once. */
function oncePerPlace(findings: readonly Finding[]): Finding[] {
  return [...new Map(findings.toReversed().map((finding) => [`${finding.code} ${finding.at.line}:${finding.at.column}`, finding])).values()].toReversed();
}

function reportFindings(context: CheckContext, entry: DatabaseFile, database: Database, path: Path): void {
  const errors = oncePerPlace(lintDatabase(database).filter((finding) => finding.severity === "error" && !isTemplateFinding(finding)));
  if (entry.lint === "required") for (const finding of errors) reportFinding(context, finding, [...path, "dbc"]);
  else if (errors.length > 0) {
    const [first] = errors;
    context.warning("databaseQuirks", [...path, "dbc"], `${errors.length} ${errors.length === 1 ? "part" : "parts"} of "${entry.dbc}" had to be mended or left out; the first: line ${first!.at.line}: ${first!.message}`, { hint: `ipcnet dbc lint ${entry.dbc}` });
  }
}

function reportFinding(context: CheckContext, finding: Finding, path: Path): void {
  context.fault("databaseFault", path, `${finding.message} (${finding.code})`, { hint: finding.hint, elsewhere: { file: finding.file, ...finding.at } });
}

function loadCheckSet(context: CheckContext, entry: DatabaseFile, database: Database, path: Path): CheckSet | undefined {
  if (entry.checks === undefined) return undefined;
  const text = context.readText(entry.checks, [...path, "checks"]);
  if (text === undefined) return undefined;
  const loaded = loadChecks(text, { file: entry.checks });
  const faults = loaded.ok ? loaded.checks.verify(database.messages.map(checkedMessage)) : loaded.faults;
  for (const { file, line, column, message, hint } of faults) context.fault("badChecks", [...path, "checks"], message, { hint, elsewhere: { file, line, column } });
  return loaded.ok && faults.length === 0 ? loaded.checks : undefined;
}

/** Reports why a message may not be sent: only definitions without errors, with protection of their own, move something. */
export function checkSendable(context: CheckContext, { message, database, isProtected, isReported }: BusMessage, bus: Bus, path: Path): void {
  const errors = isReported ? [] : oncePerPlace(lintErrors(database, message.name));
  const [first] = errors;
  if (first) {
    context.fault("notLintClean", path, `${message.name} is defined with ${errors.length === 1 ? "an error" : `${errors.length} errors`}; the first: ${first.file}:${first.at.line}: ${first.message}`, { expected: "a definition without errors for whatever is sent", hint: first.hint });
  }
  if (isProtected === false) {
    context.fault("notProtected", path, `${message.name} has no end-to-end protection`, { expected: "an entry with a profile or checksum in the checks file of its database; integrity: link is for input only" });
  }
  if (bus.listenOnly) context.fault("listenOnlyBus", path, `the bus ${bus.name} only listens`, { expected: `listenOnly: false on the bus ${bus.name}` });
  if (message.lengthBytes > (message.fd ? 64 : 8)) context.fault("tooLongToSend", path, `${message.name} has ${message.lengthBytes} bytes: no frame carries that`, { expected: "at most 8 bytes, or 64 with CAN FD" });
  if (message.fd && !bus.fd) context.fault("fdNeeded", path, `${message.name} is a CAN FD message, and the bus ${bus.name} is classic`, { expected: `fd: true on the bus ${bus.name}` });
}

function fieldsOf(message: Message): ReadonlyMap<string, FieldInfo> {
  return new Map(message.signals.map((signal) => [signal.name, { type: { kind: "number", ...namesOf(signal) }, minimum: signal.minimum, maximum: signal.maximum }]));
}

function namesOf(signal: Signal): { names?: ReadonlyMap<string, number> } {
  if (!signal.valueNames) return {};
  return { names: new Map([...signal.valueNames].map(([raw, name]) => [name, Number(toPhysical(raw, signal))])) };
}

/** Whichever bits a sender's protection changes, whatever stood there, are its own. */
function protectionOf(message: Message, checks: CheckSet | undefined): Pick<BusMessage, "managed" | "managedBits"> & { isProtected: boolean } {
  const sender = checks?.protectorFor(checkedMessage(message));
  const { lengthBytes, canId } = message;
  if (!sender || lengthBytes === 0) return { isProtected: false, managed: new Set(), managedBits: 0n };
  let changed = 0n;
  // All zeros and all ones in turn show every constant and every counter bit; 64 checksums of changing counters show every bit of theirs.
  for (let trial = 0; trial < 64; trial++) {
    const before = trial % 2 === 0 ? 0x00 : 0xff;
    const frame = new Uint8Array(lengthBytes).fill(before);
    sender.protect(frame, 0, lengthBytes, canId);
    for (const [at, byte] of frame.entries()) changed |= BigInt(byte ^ before) << BigInt(at * 8);
  }
  const claims: readonly (string | undefined)[] = [checks!.claims.epoch, checks!.claims.owner];
  return { isProtected: changed !== 0n, managedBits: changed, managed: new Set(message.signals.filter((signal) => (bitMask(signal) & changed) !== 0n || claims.includes(signal.name)).map((signal) => signal.name)) };
}

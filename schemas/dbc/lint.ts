/**
 * What is wrong with a database beyond what the reader noticed: signals that share bits, ranges that the bits cannot reach, value tables that do
 * not fit, and so on. Judged for the whole file or, for messages that command an actuator, for one message.
 */
import { byPosition, findingCatalogue, type FindingCode } from "./findings.ts";
import { DBC_LIMITS } from "./limits.ts";
import type { Database, Finding, Message, Position, Signal, ValueNames } from "./model.ts";
import { eachOverlap, type PairBudget } from "./overlap.ts";
import { isFloat, rawLimits, toPhysical } from "./scaling.ts";

/** `about` "file" for what concerns more than the message at hand. */
type Report = (code: FindingCode, at: Position, message: string, about?: "file") => void;

const cache = new WeakMap<Database, readonly Finding[]>();

/** The reader's findings and lint's own, in file order. Computed once per database. */
export function lintDatabase(database: Database): readonly Finding[] {
  const known = cache.get(database);
  if (known !== undefined) return known;
  const findings: Finding[] = [...database.findings];
  const budget: PairBudget = { pairs: DBC_LIMITS.overlapPairs };
  for (const message of database.messages) {
    const messageName = message.templateName ?? message.name;
    lintMessage(message, budget, (code, at, text, about) => {
      // Notes and warnings are cut off; errors never, because they decide what may command something.
      if (findings.length >= 2 * DBC_LIMITS.findings && findingCatalogue[code].severity !== "error") return;
      findings.push({ code, ...findingCatalogue[code], file: database.file, at, message: text, ...(about === "file" ? {} : { messageName }) });
    });
  }
  findings.sort(byPosition);
  cache.set(database, findings);
  return findings;
}

/**
 * Whether `messageName` may command something: no error concerns it or the file as a whole. Faults of other messages do not count, warnings and
 * notes neither. False for a message that does not exist.
 */
export function isLintClean(database: Database, messageName: string): boolean {
  return lintErrors(database, messageName).length === 0;
}

/** The errors that keep `messageName` from being lint-clean; a message that does not exist counts as one. */
export function lintErrors(database: Database, messageName: string): readonly Finding[] {
  const message = database.messages.find(({ name }) => name === messageName);
  if (message === undefined) {
    return [{ code: "unknownMessage", severity: "error", file: database.file, at: { line: 1, column: 1 }, message: `there is no message ${messageName}`, hint: "check the spelling; `ipcnet dbc show` lists the messages", messageName }];
  }
  const own = new Set([message.name, message.templateName ?? message.name]);
  return lintDatabase(database).filter((finding) => finding.severity === "error" && (finding.messageName === undefined || own.has(finding.messageName)));
}

function lintMessage(message: Message, budget: PairBudget, report: Report): void {
  const { name, at, lengthBytes } = message;
  if (message.fd && lengthBytes > 8 && lengthBytes <= 64 && ![12, 16, 20, 24, 32, 48, 64].includes(lengthBytes)) report("lengthNotFd", at, `message ${name} has ${lengthBytes} bytes`);
  if (message.cycleTimeMs === undefined) report("noCycleTime", at, `message ${name} has no cycle time`);
  lintOverlap(message, budget, report);
  const byName = new Map(message.signals.map((signal) => [signal.name, signal]));
  for (const signal of message.signals) {
    const told = `message ${name}, signal ${signal.name}`;
    if (signal.lengthBits > 64) report("signalTooLong", signal.at, `${told} has ${signal.lengthBits} bits`);
    lintRange(signal, told, report);
    if (signal.valueNames !== undefined) lintValueNames(signal, signal.valueNames, told, report);
    if (signal.multiplexing !== undefined) lintSelection(signal, byName.get(signal.multiplexing.multiplexor)!, told, report);
    if (signal.isMultiplexor) lintMultiplexor(message, signal, told, report);
  }
}

function lintOverlap(message: Message, budget: PairBudget, report: Report): void {
  if (budget.pairs < 0) return;
  const complete = eachOverlap(message, budget, (a, b) => {
    const [first, second] = before(a, b) ? [a, b] : [b, a];
    report("signalsOverlap", second.at, `message ${message.name}: signals ${first.name} (line ${first.at.line}) and ${second.name} share bits`);
    return undefined;
  });
  if (!complete) report("lintIncomplete", message.at, `overlaps were compared up to message ${message.name}`, "file");
}

function before(a: Signal, b: Signal): boolean {
  return a.at.line < b.at.line || (a.at.line === b.at.line && a.at.column <= b.at.column);
}

function lintRange(signal: Signal, told: string, report: Report): void {
  const { minimum, maximum } = signal;
  if ((minimum === undefined && maximum === undefined) || isFloat(signal)) return;
  const limits = rawLimits(signal);
  const ends = [Number(toPhysical(limits.least, signal)), Number(toPhysical(limits.greatest, signal))];
  // One step is allowed: 0…6553.6 for 16 bits of 0.1 is how people write "all of them".
  const step = Math.abs(signal.factor) * (1 + 1e-9) + Math.abs(ends[1]!) * 1e-14;
  if ((minimum !== undefined && minimum < Math.min(...ends) - step) || (maximum !== undefined && maximum > Math.max(...ends) + step)) {
    report("rangeNotRepresentable", signal.at, `${told}: declared ${minimum}…${maximum}, ${signal.lengthBits} bits reach ${Math.min(...ends)}…${Math.max(...ends)}`);
  }
}

function lintValueNames(signal: Signal, valueNames: ValueNames, told: string, report: Report): void {
  const limits = isFloat(signal) ? undefined : rawLimits(signal);
  const names = new Set<string>();
  let outside: number | bigint | undefined;
  let repeated: string | undefined;
  for (const [value, name] of valueNames) {
    if (limits !== undefined && (value < limits.least || value > limits.greatest)) outside ??= value;
    if (names.has(name)) repeated ??= name;
    names.add(name);
  }
  if (outside !== undefined) report("valueTableOutOfRange", signal.at, `${told}: ${outside} does not fit into ${signal.lengthBits} ${signal.kind} bits`);
  if (repeated !== undefined) report("valueTableDuplicateName", signal.at, `${told}: two values are called "${repeated.slice(0, 40)}"`);
}

function lintSelection(signal: Signal, multiplexor: Signal, told: string, report: Report): void {
  if (isFloat(multiplexor)) return;
  const limits = rawLimits(multiplexor);
  const unreachable = signal.multiplexing!.ranges.find(([low, high]) => BigInt(high) > limits.greatest || BigInt(low) < limits.least);
  if (unreachable !== undefined) report("multiplexValueUnreachable", signal.at, `${told}: ${multiplexor.name} cannot be ${unreachable[0] === unreachable[1] ? unreachable[0] : unreachable.join("…")}`);
}

function lintMultiplexor(message: Message, signal: Signal, told: string, report: Report): void {
  if (!message.signals.some(({ multiplexing }) => multiplexing?.multiplexor === signal.name)) report("multiplexorUnused", signal.at, `${told} selects nothing`);
  if (signal.kind !== "unsigned" || signal.factor !== 1 || signal.offset !== 0) report("multiplexorOdd", signal.at, `${told} is ${signal.kind} with factor ${signal.factor} and offset ${signal.offset}`);
}

/**
 * Every quirk that the reader and lint know, with its severity and what to do about it. Codes are stable: they are printed by
 * `ipcnet dbc lint --json` and listed in docs/specs/dbc.md (a test compares the two).
 */
import { DBC_LIMITS } from "./limits.ts";
import type { Finding, Position } from "./model.ts";

type Entry = { severity: Finding["severity"]; hint: string };

export const findingCatalogue = {
  // The file as a whole
  fileTooLarge: { severity: "error", hint: "split the file; limits are in schemas/dbc/limits.ts" },
  notADatabase: { severity: "error", hint: "check the path: a DBC file has statements such as VERSION, BU_ and BO_" },
  tooManyMessages: { severity: "error", hint: "split the file by bus" },
  tooManySignals: { severity: "error", hint: "split the message" },
  tooManyFindings: { severity: "error", hint: "mend the findings above first" },
  encodingCp1252: { severity: "note", hint: "save the file as UTF-8" },
  encodingUtf16: { severity: "warning", hint: "save the file as UTF-8" },
  byteOrderMark: { severity: "note", hint: "save the file as UTF-8 without a byte order mark" },
  controlCharacter: { severity: "warning", hint: "remove it" },

  // Syntax
  syntax: { severity: "error", hint: "write the statement as in docs/specs/dbc.md; it was left out" },
  unknownStatement: { severity: "error", hint: "remove it, or correct its keyword; it was skipped" },
  ignoredStatement: { severity: "note", hint: "nothing to do: IPCNet does not use this statement" },
  lineComment: { severity: "warning", hint: "DBC has no line comments: use CM_" },
  missingSemicolon: { severity: "error", hint: "end the statement with a semicolon" },
  strayPunctuation: { severity: "warning", hint: "remove it" },
  unterminatedString: { severity: "error", hint: "close the text with a quotation mark; it was ended before the next statement" },
  badName: { severity: "error", hint: "a name is a letter or underscore, then letters, digits and underscores" },
  nameStartsWithDigit: { severity: "error", hint: "put a letter or underscore in front" },
  nameTooLong: { severity: "note", hint: "names beyond 32 characters belong into the System…LongSymbol attributes" },
  nameRefused: { severity: "error", hint: "choose another name; it was left out" },
  numberWithoutLeadingZero: { severity: "error", hint: "write 0 before the point" },
  numberNotDecimal: { severity: "error", hint: "write the number in decimal digits" },
  badNumber: { severity: "error", hint: "write finite decimal numbers, or [0|0] for no range" },
  missingPart: { severity: "error", hint: "write all parts: start|length@order sign (factor,offset) [min|max] \"unit\" receivers" },
  signalOutsideMessage: { severity: "error", hint: "put the SG_ line below its BO_ line; it was left out" },
  commentWithoutTarget: { severity: "error", hint: "name what is meant: CM_ BO_ id \"…\"; or CM_ SG_ id name \"…\";" },

  // Messages
  extendedFlagMissing: { severity: "error", hint: "add 2147483648 (bit 31) to the identifier; it was taken as a 29-bit one" },
  idOutOfRange: { severity: "error", hint: "identifiers have 11 or, with bit 31, 29 bits; the message was left out" },
  duplicateId: { severity: "error", hint: "give each message its own identifier; a frame is decoded as the last one" },
  duplicateMessageName: { severity: "error", hint: "rename one of them" },
  lengthOutOfRange: { severity: "error", hint: "0…8 bytes, up to 64 for CAN FD, up to 1785 for J1939; the message was left out" },
  lengthBeyondFrame: { severity: "warning", hint: "set VFrameFormat to J1939PG if it is a transport message; one frame cannot carry it" },
  lengthNotFd: { severity: "note", hint: "CAN FD carries 12, 16, 20, 24, 32, 48 or 64 bytes: the frame will be padded" },
  frameFormatMismatch: { severity: "warning", hint: "make VFrameFormat agree with bit 31 of the identifier" },
  independentSignals: { severity: "note", hint: "VECTOR__INDEPENDENT_SIG_MSG holds signals without a message; they were left out" },
  noCycleTime: { severity: "note", hint: "give GenMsgCycleTime, so that a missing message is noticed" },

  // Signals
  duplicateSignal: { severity: "error", hint: "rename one of them; the later one was left out" },
  zeroLengthSignal: { severity: "error", hint: "a signal has at least one bit; it was left out" },
  signalDoesNotFit: { severity: "error", hint: "correct the start bit, the length, or the message's length; the signal was left out" },
  signalTooLong: { severity: "warning", hint: "more than 64 bits are decoded offline only, not into records" },
  signalsOverlap: { severity: "error", hint: "correct the start bit or length of one of them, or multiplex them" },
  factorZero: { severity: "error", hint: "a factor of 0 cannot be inverted; 1 was taken" },
  minimumAboveMaximum: { severity: "error", hint: "exchange them; the range was ignored" },
  rangeNotRepresentable: { severity: "warning", hint: "the raw bits cannot reach the declared range: correct the length, factor or range" },
  rangeExcludesAll: { severity: "error", hint: "correct the range, factor or offset; the range was ignored" },
  floatLength: { severity: "error", hint: "IEEE floats have 32 or 64 bits; it was read as an integer" },
  signMissing: { severity: "error", hint: "write + (unsigned) or - (signed) after the byte order; unsigned was taken" },

  // Multiplexing
  unknownMultiplexToken: { severity: "error", hint: "use M, m<number> or m<number>M; it was read as not multiplexed" },
  multiplexorMissing: { severity: "error", hint: "mark the selecting signal with M; the signal was read as always present" },
  multiplexorAmbiguous: { severity: "error", hint: "say which multiplexor selects the signal: SG_MUL_VAL_" },
  multiplexorUnknown: { severity: "error", hint: "SG_MUL_VAL_ names a signal that the message does not have" },
  multiplexorNotMarked: { severity: "warning", hint: "mark the selecting signal with M or m<number>M" },
  multiplexorUnused: { severity: "warning", hint: "no signal is selected by it: remove the M" },
  multiplexRangeMismatch: { severity: "warning", hint: "make m<number> agree with SG_MUL_VAL_; SG_MUL_VAL_ was taken" },
  multiplexRangeBad: { severity: "error", hint: "write ranges as low-high within the multiplexor's raw range" },
  multiplexValueUnreachable: { severity: "warning", hint: "the multiplexor has too few bits for this value" },
  multiplexCycle: { severity: "error", hint: "a signal cannot select itself, not through others either; it was read as always present" },
  multiplexorOdd: { severity: "warning", hint: "a multiplexor is an unsigned integer without scaling" },

  // What refers to something
  unknownMessage: { severity: "warning", hint: "there is no message with this identifier; the statement was ignored" },
  unknownSignal: { severity: "warning", hint: "the message has no such signal; the statement was ignored" },
  unknownNode: { severity: "note", hint: "list the node in BU_" },
  unknownEnvironmentVariable: { severity: "note", hint: "declare it with EV_" },
  unknownValueTable: { severity: "error", hint: "declare it with VAL_TABLE_; the signal has no value names" },
  unknownAttribute: { severity: "warning", hint: "declare it with BA_DEF_" },
  unknownValueType: { severity: "error", hint: "SIG_VALTYPE_ knows 0 (integer), 1 (float) and 2 (double)" },
  duplicateNode: { severity: "warning", hint: "list each node once" },
  duplicateAttributeDefinition: { severity: "warning", hint: "define it once; the last one was taken" },
  attributeOutOfRange: { severity: "note", hint: "correct the value or the attribute's definition" },
  attributeType: { severity: "warning", hint: "make the value agree with the attribute's type" },

  // Value tables
  valueTableDuplicateValue: { severity: "warning", hint: "name each value once; the last name was taken" },
  valueTableDuplicateName: { severity: "note", hint: "encoding by this name takes the first value" },
  valueTableOutOfRange: { severity: "warning", hint: "the signal's bits cannot hold this value" },
  valueTableRepeated: { severity: "warning", hint: "give VAL_ once per signal; the last one was taken" },

  // Lint's own
  lintIncomplete: { severity: "error", hint: "the file has more signals than lint compares; overlaps beyond this point are not known" },

  // Templates
  templateExpression: { severity: "error", hint: "numbers, node_id, message_id, + - * << >> & | and parentheses" },
  templateIdOutOfRange: { severity: "error", hint: "the expression gives an identifier beyond 11 (or, extended, 29) bits; the message was left out" },
  templateCollision: { severity: "error", hint: "two messages got the same identifier; the later one was left out" },
  templateNode: { severity: "error", hint: "a node has a name like a signal's and a whole number from 0 up" },
  templateMessageUnknown: { severity: "error", hint: "the database has no such message" },
  templateTooLarge: { severity: "error", hint: "fewer nodes or messages" },
} as const satisfies Record<string, Entry>;

export type FindingCode = keyof typeof findingCatalogue;

/** Gathers findings up to the limit; then it only counts. The owner is named at the end, when long names are known. */
export class FindingList {
  readonly #file: string;
  readonly #entries: { finding: Finding; owner: { name: string } | undefined }[] = [];
  #more = 0;
  #moreErrors = false;
  #refusal: Finding | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  add(code: FindingCode, at: Position, message: string, owner?: { name: string }): void {
    const { severity, hint } = findingCatalogue[code];
    if (this.#entries.length >= DBC_LIMITS.findings) {
      this.#more += 1;
      this.#moreErrors ||= severity === "error";
      return;
    }
    this.#entries.push({ finding: { code, severity, file: this.#file, at, message, hint }, owner });
  }

  /** Why nothing of the file can be used. */
  refuse(code: FindingCode, at: Position, message: string): void {
    this.#refusal = { code, ...findingCatalogue[code], file: this.#file, at, message };
  }

  get refused(): boolean {
    return this.#refusal !== undefined;
  }

  /** All findings in file order; then, if the file is refused, the reason. */
  finish(): Finding[] {
    const findings = this.#entries.map(({ finding, owner }) => (owner === undefined ? finding : { ...finding, messageName: owner.name }));
    findings.sort(byPosition);
    if (this.#more > 0) {
      const last = findings.at(-1)!;
      // Errors among the uncounted could concern any message: then nothing of this file is lint-clean.
      const entry = findingCatalogue.tooManyFindings;
      findings.push({ code: "tooManyFindings", severity: this.#moreErrors ? entry.severity : "warning", file: this.#file, at: last.at, message: `${this.#more} more findings are not listed`, hint: entry.hint });
    }
    if (this.#refusal) findings.push(this.#refusal);
    return findings;
  }
}

export function byPosition(a: Finding, b: Finding): number {
  return a.at.line - b.at.line || a.at.column - b.at.column;
}

/** "file:line:column: severity code: message (hint)", as compilers print, so that editors jump there. */
export function formatFinding(finding: Finding): string {
  return `${finding.file}:${finding.at.line}:${finding.at.column}: ${finding.severity} ${finding.code}: ${finding.message} (${finding.hint})`;
}

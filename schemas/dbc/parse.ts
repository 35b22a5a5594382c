/**
 * Reads DBC text: a recursive descent over `tokens.ts`, one method per statement, that goes on at the next statement when one cannot be read.
 *
 * Nothing is passed over in silence: whatever is not understood, mended or left out is a finding with line and column.
 * `parseDbc` never throws on any input and takes time linear in its length (limits.ts bounds the rest).
 */
import type { MessageDraft, MultiplexEntry, SignalDraft } from "./draft.ts";
import { FindingList, type FindingCode } from "./findings.ts";
import { DBC_LIMITS } from "./limits.ts";
import type { AttributeDefinition, AttributeScope, Database, Position } from "./model.ts";
import { References } from "./references.ts";
import { finishDatabase } from "./resolve.ts";
import { decodeText } from "./text.ts";
import { Lexer } from "./tokens.ts";

/**
 * The database in `source` (a file's bytes, or its text). `file` is used in findings only.
 * Always returns; a file that cannot be used at all comes back empty with `refused` set and the reason as its last finding.
 */
export function parseDbc(source: Uint8Array | string, { file }: { file: string }): Database {
  const findings = new FindingList(file);
  const references = new References(findings);
  const start = { line: 1, column: 1 };
  const sizeBytes = typeof source === "string" ? source.length : source.byteLength;
  if (sizeBytes > DBC_LIMITS.fileBytes) {
    findings.refuse("fileTooLarge", start, `${sizeBytes} bytes, at most ${DBC_LIMITS.fileBytes} are read`);
    return finishDatabase(file, references, findings);
  }
  const { text, quirks } = decodeText(source);
  const parser = new Parser(text, references, findings);
  for (const quirk of quirks) findings.add(quirk.code, parser.positionOf(quirk.offset), quirk.message);
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  const control = text.search(/[\0-\x08\x0b\x0c\x0e-\x19\x1b-\x1f]/);
  if (control >= 0) findings.add("controlCharacter", parser.positionOf(control), `a control character (${text.charCodeAt(control)})`);
  const statements = parser.run();
  if (statements === 0) findings.refuse("notADatabase", parser.positionOf(0), text.trim() === "" ? "the file is empty" : "no DBC statement was found");
  return finishDatabase(file, references, findings);
}

/** Ends the reading of one statement; caught in `run`, nowhere else. Inside a recursive descent this is plainer than a verdict on each token. */
class SyntaxFault extends Error {
  readonly offset: number;
  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

/** Statements of the format that carry nothing IPCNet uses. */
const ignored = new Set(["SGTYPE_", "SGTYPE_VAL_", "SIGTYPE_VALTYPE_", "SIG_TYPE_REF_", "BA_DEF_SGTYPE_", "BA_SGTYPE_", "CAT_DEF_", "CAT_", "FILTER", "NS_DESC_", "EV_DATA_", "ENVVAR_DATA_"]);

/** The words that NS_ lists. */
const symbols = new Set([...ignored, "CM_", "BA_DEF_", "BA_", "VAL_", "BA_DEF_DEF_", "VAL_TABLE_", "SIG_GROUP_", "SIG_VALTYPE_", "BO_TX_BU_", "BA_DEF_REL_", "BA_REL_", "BA_DEF_DEF_REL_", "BU_SG_REL_", "BU_EV_REL_", "BU_BO_REL_", "SG_MUL_VAL_"]);

const scopes: Readonly<Record<string, AttributeScope>> = { BU_: "node", BO_: "message", SG_: "signal", EV_: "environmentVariable", BU_SG_REL_: "nodeSignal", BU_BO_REL_: "nodeMessage", BU_EV_REL_: "nodeEnvironmentVariable" };

class Parser {
  readonly #lexer: Lexer;
  readonly #references: References;
  readonly #findings: FindingList;
  /** The message whose SG_ lines are being read; "skipped" when its BO_ was left out and has its finding already. */
  #message: MessageDraft | "skipped" | undefined;
  /** Whom findings of the current statement concern: a message, the identifier of one, or (undefined) the whole file. */
  #subject: { name: string } | number | undefined;
  readonly #statements: ReadonlyMap<string, () => void>;

  constructor(text: string, references: References, findings: FindingList) {
    this.#references = references;
    this.#findings = findings;
    this.#lexer = new Lexer(text, (code, offset, message) => {
      // A comment is seen on the way to the next statement: it belongs to none.
      if (code === "lineComment") findings.add(code, this.#lexer.positionOf(offset), message);
      else this.#finding(code, offset, message);
    });
    this.#statements = new Map<string, () => void>([
      ["VERSION", () => this.#version()],
      ["NS_", () => this.#newSymbols()],
      ["BS_", () => this.#bitTiming()],
      ["BU_", () => this.#nodes()],
      ["BO_", () => this.#messageStatement()],
      ["SG_", () => this.#signalStatement()],
      ["EV_", () => this.#environmentVariable()],
      ["VAL_TABLE_", () => this.#valueTable()],
      ["VAL_", () => this.#values()],
      ["CM_", () => this.#comment()],
      ["BA_DEF_", () => this.#attributeDefinition()],
      ["BA_DEF_REL_", () => this.#attributeDefinition()],
      ["BA_DEF_DEF_", () => this.#attributeDefault()],
      ["BA_DEF_DEF_REL_", () => this.#attributeDefault()],
      ["BA_", () => this.#attribute()],
      ["BA_REL_", () => this.#relationAttribute()],
      ["SIG_VALTYPE_", () => this.#valueType()],
      ["SIG_GROUP_", () => this.#signalGroup()],
      ["SG_MUL_VAL_", () => this.#multiplexRanges()],
      ["BO_TX_BU_", () => this.#senders()],
      ...[...ignored].map((word) => [word, () => this.#ignoredStatement()] as const),
    ]);
  }

  positionOf(offset: number): Position {
    return this.#lexer.positionOf(offset);
  }

  /** Reads everything; returns how many statements were recognised. */
  run(): number {
    const lexer = this.#lexer;
    let recognised = 0;
    lexer.advance();
    while (lexer.kind !== "end") {
      const { start } = lexer;
      const statement = lexer.kind === "word" ? this.#statements.get(lexer.value) : undefined;
      if (statement === undefined) {
        this.#subject = undefined;
        this.#unknownStatement();
      } else {
        recognised += 1;
        this.#subject = lexer.value === "SG_" && this.#message !== "skipped" ? this.#message : undefined;
        try {
          statement();
        } catch (fault) {
          if (!(fault instanceof SyntaxFault)) throw fault;
          this.#finding("syntax", fault.offset, fault.message);
          this.#recover();
        }
      }
      // Each turn consumes at least one token: no input can hold the reader here.
      if (lexer.start === start) lexer.advance();
    }
    return recognised;
  }

  // --- Statements ---------------------------------------------------------------------------------------------------------

  #version(): void {
    this.#lexer.advance();
    this.#references.draft.version = this.#string("the version");
    this.#optional(";");
  }

  #newSymbols(): void {
    const lexer = this.#lexer;
    lexer.advance();
    this.#optional(":");
    while (lexer.kind === "word" && symbols.has(lexer.value)) {
      // A real statement of that name has its arguments on the same line; a symbol stands alone or before other symbols.
      const mark = lexer.mark();
      lexer.advance();
      if (this.#atEnd() || lexer.firstOnLine || (lexer.kind === "word" && /^[A-Z_]+_$|^FILTER$/.test(lexer.value))) continue;
      lexer.reset(mark);
      return;
    }
    // Words that newer tools add to the list.
    while (lexer.kind === "word" && !this.#statements.has(lexer.value) && /^[A-Z_]+$/.test(lexer.value)) lexer.advance();
  }

  #bitTiming(): void {
    const lexer = this.#lexer;
    lexer.advance();
    this.#optional(":");
    while (!this.#atEnd() && !this.#atStatement() && (!lexer.firstOnLine || /^\d/.test(lexer.value))) lexer.advance();
  }

  #nodes(): void {
    const lexer = this.#lexer;
    lexer.advance();
    this.#optional(":");
    while (lexer.kind === "word" ? !this.#atStatement() : lexer.value === "," && lexer.kind === "punctuation") {
      // The list may go on over lines of names; anything else there is something else.
      if (lexer.firstOnLine && !/^[A-Za-z_,][\w \t,]*$/.test(lexer.restOfLine())) break;
      if (lexer.kind === "word") {
        const { start } = lexer;
        const name = this.#name("a node");
        if (name !== undefined) this.#references.addNode(name, this.positionOf(start));
      } else {
        lexer.advance();
      }
    }
    this.#optional(";");
  }

  #messageStatement(): void {
    const lexer = this.#lexer;
    const at = this.positionOf(lexer.start);
    this.#message = "skipped";
    lexer.advance();
    const dbcId = this.#integer("the message's identifier");
    const nameOffset = lexer.start;
    const spelled = this.#word("the message's name");
    const owner = { name: spelled };
    this.#subject = owner;
    const name = this.#judgeName(spelled, nameOffset, "message");
    this.#punctuation(":");
    const lengthBytes = this.#integer("the message's length");
    let sender: string | undefined;
    if (lexer.kind === "word" && !lexer.firstOnLine) sender = this.#word("the sender");
    else this.#finding("missingPart", lexer.start, `message ${spelled} has no sender`);
    this.#optional(";");
    if (name === undefined) return;
    this.#message = this.#references.addMessage({ dbcId, name, at, lengthBytes, sender, owner }) ?? "skipped";
  }

  #signalStatement(): void {
    const lexer = this.#lexer;
    const start = lexer.start;
    const at = this.positionOf(start);
    lexer.advance();
    const words: string[] = [];
    const nameOffset = lexer.start;
    while (lexer.kind === "word" && words.length < 8) words.push(this.#word("the signal's name"));
    const { name: spelled, multiplexing } = this.#signalHead(words, nameOffset);
    const name = this.#judgeName(spelled, nameOffset, "signal");
    this.#punctuation(":");
    const startBit = this.#integer("the start bit");
    this.#punctuation("|");
    const lengthBits = this.#integer("the length in bits");
    this.#punctuation("@");
    const { byteOrder, signed } = this.#orderAndSign();
    const [factor, offset] = this.#pair("(", ",", ")", (what) => this.#number(what), "the factor and offset") ?? [1, 0];
    const [minimum, maximum] = this.#pair("[", "|", "]", (what) => this.#bound(what), "the range") ?? [0, 0];
    const unit = this.#unit();
    const receivers = this.#receivers();
    if (this.#message === undefined) this.#finding("signalOutsideMessage", start, `signal ${spelled} belongs to no message`);
    if (name === undefined || this.#message === undefined || this.#message === "skipped") return;
    const declared = minimum !== 0 || maximum !== 0;
    const signal: SignalDraft = {
      name, at, startBit, lengthBits, byteOrder, kind: signed ? "signed" : "unsigned", factor, offset,
      minimum: declared ? minimum : undefined, maximum: declared ? maximum : undefined, unit, receivers,
      isMultiplexor: multiplexing.isMultiplexor, multiplexValue: multiplexing.value, multiplexEntry: undefined, valueNames: undefined, comment: undefined, attributes: {},
    };
    this.#references.addSignal(this.#message, signal);
  }

  /** Name and multiplexing of `SG_ name [M|mN|mNM] :`. */
  #signalHead(words: string[], offset: number): { name: string; multiplexing: { isMultiplexor: boolean; value: number | undefined } } {
    if (words.length === 0) throw new SyntaxFault(this.#lexer.start, "expected the signal's name");
    const plain = { isMultiplexor: false, value: undefined };
    if (words.length === 1) return { name: words[0]!, multiplexing: plain };
    const token = words.at(-1)!;
    const match = /^(?:M|m(\d{1,15})(M?))$/.exec(token);
    const name = words.slice(0, -1).join("_");
    if (words.length > 2) this.#finding("badName", offset, `the signal's name has blanks: read as ${name}`);
    if (match !== null) return { name, multiplexing: match[1] === undefined ? { isMultiplexor: true, value: undefined } : { isMultiplexor: match[2] === "M", value: Number(match[1]) } };
    this.#finding("unknownMultiplexToken", offset, `signal ${name}: "${token}" is no multiplexing`);
    return { name, multiplexing: plain };
  }

  #orderAndSign(): { byteOrder: "little" | "big"; signed: boolean } {
    const lexer = this.#lexer;
    const { start } = lexer;
    let word = this.#word("the byte order and sign, as in @1+");
    if (word.length === 1 && lexer.kind === "word" && /^[+-]$/.test(lexer.value)) word += this.#word("the sign");
    const match = /^([01])([+-]?)$/.exec(word);
    if (match === null) throw new SyntaxFault(start, `expected a byte order and sign (1+, 1-, 0+ or 0-), found "${clip(word)}"`);
    if (match[2] === "") this.#finding("signMissing", start, "the sign is missing");
    return { byteOrder: match[1] === "0" ? "big" : "little", signed: match[2] === "-" };
  }

  /** `(a,b)` or `[a|b]`; undefined with a finding when it is not there. */
  #pair<Value>(open: string, between: string, close: string, read: (what: string) => Value, what: string): [Value, Value] | undefined {
    const lexer = this.#lexer;
    if (!this.#optional(open)) {
      this.#finding("missingPart", lexer.start, `${what} is missing`);
      return undefined;
    }
    const first = read(what);
    this.#punctuation(between);
    const second = read(what);
    this.#punctuation(close);
    return [first, second];
  }

  #unit(): string {
    const lexer = this.#lexer;
    if (lexer.kind === "string" && !lexer.firstOnLine) return this.#string("the unit");
    this.#finding("missingPart", lexer.start, "the unit is missing");
    return "";
  }

  #receivers(): string[] {
    const lexer = this.#lexer;
    const receivers: string[] = [];
    let afterComma = false;
    while ((lexer.kind === "word" && (!lexer.firstOnLine || (afterComma && !this.#atStatement()))) || (lexer.kind === "punctuation" && lexer.value === "," && !lexer.firstOnLine)) {
      afterComma = lexer.kind === "punctuation";
      if (!afterComma && !/^vector__xxx$/i.test(lexer.value)) receivers.push(lexer.value);
      lexer.advance();
    }
    this.#optional(";");
    return receivers;
  }

  #environmentVariable(): void {
    const lexer = this.#lexer;
    lexer.advance();
    const name = this.#name("the environment variable");
    if (name !== undefined) this.#references.draft.environmentVariables.add(name);
    // Type, range, unit, initial value, access and nodes are not used.
    this.#skipToSemicolon();
  }

  #valueTable(): void {
    this.#lexer.advance();
    const name = this.#word("the value table's name");
    this.#references.addValueTable(name, this.#valueNames(name));
    this.#semicolon();
  }

  #values(): void {
    const lexer = this.#lexer;
    const at = this.positionOf(lexer.start);
    lexer.advance();
    const first = this.#word("an identifier or environment variable");
    if (!/^\d/.test(first) || lexer.kind !== "word" || isNumber(lexer.value)) {
      // Of an environment variable, or (first is a number) of nothing.
      this.#valueNames(first);
      if (/^\d/.test(first)) this.#references.valuesWithoutSignal(Number(first), at);
      else this.#references.checkEnvironmentVariable(first, at);
      this.#semicolon();
      return;
    }
    const dbcId = this.#toInteger(first, "an identifier", lexer.start);
    this.#subject = dbcId;
    const signal = this.#word("the signal's name");
    if (lexer.kind === "word" && !isNumber(lexer.value)) this.#references.addValuesByTable(dbcId, signal, this.#word("the value table's name"), at);
    else this.#references.addValues(dbcId, signal, this.#valueNames(signal), at);
    this.#semicolon();
  }

  #valueNames(what: string): Map<number | bigint, string> {
    const lexer = this.#lexer;
    const names = new Map<number | bigint, string>();
    while (lexer.kind === "word" && !(lexer.firstOnLine && this.#atStatement())) {
      const { start } = lexer;
      const value = this.#valueNumber();
      const name = this.#string("the value's name");
      if (names.has(value)) this.#finding("valueTableDuplicateValue", start, `${what}: the value ${value} has two names`);
      names.set(value, name);
    }
    return names;
  }

  /** A raw value in a value table: an integer of any size. */
  #valueNumber(): number | bigint {
    const { start } = this.#lexer;
    const word = this.#word("a value");
    if (/^[+-]?\d{1,40}$/.test(word)) {
      const exact = BigInt(word.replace("+", ""));
      return exact >= BigInt(Number.MIN_SAFE_INTEGER) && exact <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(exact) : exact;
    }
    const value = this.#toNumber(word, "a value", start);
    if (!Number.isInteger(value)) throw new SyntaxFault(start, `expected a whole number, found "${clip(word)}"`);
    return Number.isSafeInteger(value) ? value : BigInt(value);
  }

  #comment(): void {
    const lexer = this.#lexer;
    const at = this.positionOf(lexer.start);
    lexer.advance();
    const references = this.#references;
    if (lexer.kind === "string") {
      references.draft.comment = this.#string("a comment");
    } else {
      const kind = this.#word("a comment, or what it is about");
      if (kind === "BU_" || kind === "EV_") {
        const name = this.#word("a name");
        const text = this.#string("a comment");
        if (kind === "BU_") references.commentNode(name, text, at);
        else references.checkEnvironmentVariable(name, at);
      } else if (kind === "BO_" || kind === "SG_") {
        const dbcId = this.#identifier();
        const signal = lexer.kind === "word" ? this.#word("a name") : undefined;
        const text = this.#string("a comment");
        if (kind === "BO_") references.commentMessage(dbcId, text, at);
        else if (signal === undefined) references.commentWithoutTarget(dbcId, `CM_ SG_ ${dbcId} does not name the signal; the comment was left out`, at);
        else references.commentSignal(dbcId, signal, text, at);
      } else if (/^\d+$/.test(kind)) {
        const dbcId = Number(kind);
        const text = this.#string("a comment");
        references.commentWithoutTarget(dbcId, `CM_ ${dbcId} does not say what it is about; taken as the message's comment`, at);
        references.commentMessage(dbcId, text, at);
      } else {
        const { start } = lexer;
        this.#string("BU_, BO_, SG_, EV_ or a comment");
        this.#finding("commentWithoutTarget", start, `"${clip(kind)}" is nothing a comment can be about; the comment was left out`);
      }
    }
    this.#semicolon();
  }

  #attributeDefinition(): void {
    const lexer = this.#lexer;
    const at = this.positionOf(lexer.start);
    lexer.advance();
    let scope: AttributeScope = "database";
    if (lexer.kind === "word") {
      const word = this.#word("what the attribute belongs to");
      const known = Object.hasOwn(scopes, word) ? scopes[word] : undefined;
      if (known === undefined) throw new SyntaxFault(lexer.start, `"${clip(word)}" cannot have attributes`);
      scope = known;
    }
    const name = this.#string("the attribute's name");
    const { start } = lexer;
    const type = this.#word("the attribute's type");
    const definition: AttributeDefinition = { name, scope, type: "STRING", minimum: undefined, maximum: undefined, words: [], default: undefined };
    if (type === "INT" || type === "HEX" || type === "FLOAT") {
      definition.type = type;
      if (lexer.kind === "word") definition.minimum = this.#bound("the attribute's minimum");
      if (lexer.kind === "word") definition.maximum = this.#bound("the attribute's maximum");
    } else if (type === "ENUM") {
      definition.type = "ENUM";
      definition.words = this.#enumeration();
    } else if (type !== "STRING") {
      throw new SyntaxFault(start, `"${clip(type)}" is no type of attribute (INT, HEX, FLOAT, STRING, ENUM)`);
    }
    this.#references.defineAttribute(definition, at);
    this.#semicolon();
  }

  #enumeration(): string[] {
    const lexer = this.#lexer;
    const words: string[] = [];
    while (lexer.kind === "string" || (lexer.kind === "word" && !lexer.firstOnLine) || (lexer.kind === "punctuation" && lexer.value === ",")) {
      if (lexer.kind !== "punctuation") words.push(lexer.value);
      lexer.advance();
    }
    return words;
  }

  #attributeDefault(): void {
    const lexer = this.#lexer;
    const relation = lexer.value === "BA_DEF_DEF_REL_";
    const at = this.positionOf(lexer.start);
    lexer.advance();
    // Some tools repeat the object here.
    if (lexer.kind === "word" && Object.hasOwn(scopes, lexer.value)) lexer.advance();
    const name = this.#string("the attribute's name");
    const value = this.#attributeText();
    this.#references.defaultAttribute(name, value, relation, at);
    this.#semicolon();
  }

  #attribute(): void {
    const lexer = this.#lexer;
    const at = this.positionOf(lexer.start);
    lexer.advance();
    const name = this.#string("the attribute's name");
    const kind = lexer.kind === "word" && Object.hasOwn(scopes, lexer.value) ? this.#word("what it belongs to") : undefined;
    const references = this.#references;
    if (kind === undefined) {
      references.setDatabaseAttribute(name, this.#attributeText(), at);
    } else if (kind === "BU_") {
      const node = this.#word("the node");
      references.setNodeAttribute(name, node, this.#attributeText(), at);
    } else if (kind === "BO_") {
      const dbcId = this.#identifier();
      references.setMessageAttribute(name, dbcId, this.#attributeText(), at);
    } else if (kind === "SG_") {
      const dbcId = this.#identifier();
      const signal = this.#word("the signal");
      references.setSignalAttribute(name, dbcId, signal, this.#attributeText(), at);
    } else if (kind === "EV_") {
      references.checkEnvironmentVariable(this.#word("the environment variable"), at);
      this.#attributeText();
    } else {
      throw new SyntaxFault(lexer.start, `${kind} belongs into BA_REL_`);
    }
    this.#semicolon();
  }

  #relationAttribute(): void {
    const lexer = this.#lexer;
    const at = this.positionOf(lexer.start);
    lexer.advance();
    const name = this.#string("the attribute's name");
    const kind = this.#word("BU_SG_REL_, BU_BO_REL_ or BU_EV_REL_");
    const node = this.#word("the node");
    if (kind === "BU_SG_REL_") {
      if (lexer.kind === "word" && lexer.value === "SG_") lexer.advance();
      const dbcId = this.#identifier();
      const signal = this.#word("the signal");
      this.#references.setRelation({ name, node, dbcId, signal, scope: "nodeSignal", value: this.#attributeText(), at });
    } else if (kind === "BU_BO_REL_") {
      const dbcId = this.#identifier();
      this.#references.setRelation({ name, node, dbcId, scope: "nodeMessage", value: this.#attributeText(), at });
    } else if (kind === "BU_EV_REL_") {
      const environmentVariable = this.#word("the environment variable");
      this.#references.setRelation({ name, node, environmentVariable, scope: "nodeEnvironmentVariable", value: this.#attributeText(), at });
    } else {
      throw new SyntaxFault(lexer.start, `"${clip(kind)}" is no relation (BU_SG_REL_, BU_BO_REL_, BU_EV_REL_)`);
    }
    this.#semicolon();
  }

  /** An attribute's value as written: text of a string, or the spelling of a number or word. */
  #attributeText(): { text: string; quoted: boolean } {
    const { kind, value } = this.#lexer;
    if (kind !== "string" && kind !== "word") throw new SyntaxFault(this.#lexer.start, "expected the attribute's value");
    this.#lexer.advance();
    return { text: value, quoted: kind === "string" };
  }

  #valueType(): void {
    const at = this.positionOf(this.#lexer.start);
    this.#lexer.advance();
    const dbcId = this.#identifier();
    const signal = this.#word("the signal");
    this.#optional(":");
    const type = this.#integer("0, 1 or 2");
    this.#references.setValueType(dbcId, signal, type, at);
    this.#semicolon();
  }

  #signalGroup(): void {
    const lexer = this.#lexer;
    const at = this.positionOf(lexer.start);
    lexer.advance();
    const dbcId = this.#identifier();
    const name = this.#word("the group's name");
    const repetitions = lexer.kind === "word" ? this.#integer("the number of repetitions") : 1;
    this.#optional(":");
    const signals = this.#words();
    this.#references.addGroup(dbcId, { name, repetitions, signals }, at);
    this.#semicolon();
  }

  #senders(): void {
    const at = this.positionOf(this.#lexer.start);
    this.#lexer.advance();
    const dbcId = this.#identifier();
    this.#optional(":");
    this.#references.addSenders(dbcId, this.#words(), at);
    this.#semicolon();
  }

  #words(): string[] {
    const lexer = this.#lexer;
    const words: string[] = [];
    while (lexer.kind === "word" ? !(lexer.firstOnLine && this.#atStatement()) : lexer.kind === "punctuation" && lexer.value === ",") {
      if (lexer.kind === "word") words.push(lexer.value);
      lexer.advance();
    }
    return words;
  }

  #multiplexRanges(): void {
    const lexer = this.#lexer;
    const at = this.positionOf(lexer.start);
    lexer.advance();
    const dbcId = this.#identifier();
    const signal = this.#word("the signal");
    const multiplexor = this.#word("the multiplexor");
    const { start } = lexer;
    // "1-1", "1 - 1" and "1 -1" all occur: join the words first.
    const parts = [""];
    while (lexer.kind === "word" ? !(lexer.firstOnLine && this.#atStatement()) : lexer.kind === "punctuation" && lexer.value === ",") {
      if (lexer.kind === "punctuation") parts.push("");
      else parts[parts.length - 1] += lexer.value;
      lexer.advance();
    }
    const entry: MultiplexEntry = { at, multiplexor, ranges: [] };
    for (const part of parts) {
      const match = /^(-?\d{1,15})(?:-(-?\d{1,15}))?$/.exec(part);
      const low = Number(match?.[1]);
      const high = Number(match?.[2] ?? match?.[1]);
      if (match === null || low > high || entry.ranges.length >= DBC_LIMITS.multiplexRanges) this.#finding("multiplexRangeBad", start, `signal ${signal}: "${clip(part)}" is no range that can be used; it was left out`);
      else entry.ranges.push([low, high]);
    }
    this.#references.setMultiplexing(dbcId, signal, entry);
    this.#semicolon();
  }

  #ignoredStatement(): void {
    const { start, value } = this.#lexer;
    this.#lexer.advance();
    if (value !== "ENVVAR_DATA_" && value !== "EV_DATA_") this.#finding("ignoredStatement", start, `${value} is not used`);
    this.#skipToSemicolon();
  }

  // --- Parts ----------------------------------------------------------------------------------------------------------------

  #word(what: string): string {
    const lexer = this.#lexer;
    if (lexer.kind !== "word") throw new SyntaxFault(lexer.start, `expected ${what}, found ${this.#found()}`);
    const { value } = lexer;
    lexer.advance();
    return value;
  }

  #string(what: string): string {
    const lexer = this.#lexer;
    if (lexer.kind !== "string") throw new SyntaxFault(lexer.start, `expected ${what} in quotation marks, found ${this.#found()}`);
    const { value } = lexer;
    lexer.advance();
    return value;
  }

  #punctuation(mark: string): void {
    if (!this.#optional(mark)) throw new SyntaxFault(this.#lexer.start, `expected "${mark}", found ${this.#found()}`);
  }

  #optional(mark: string): boolean {
    const lexer = this.#lexer;
    if (lexer.kind !== "punctuation" || lexer.value !== mark) return false;
    lexer.advance();
    return true;
  }

  #name(what: string): string | undefined {
    const { start } = this.#lexer;
    return this.#judgeName(this.#word(what), start, what);
  }

  /** The name as it will be used, or undefined when it cannot be. */
  #judgeName(name: string, offset: number, what: string): string | undefined {
    if (name.length > DBC_LIMITS.nameChars || name === "__proto__") {
      this.#finding("nameRefused", offset, `${what}: the name "${clip(name)}" cannot be used`);
      return undefined;
    }
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      const code = /^[0-9][A-Za-z0-9_]*$/.test(name) ? "nameStartsWithDigit" : "badName";
      this.#finding(code, offset, `${what}: "${clip(name)}" is not a name as DBC defines it`);
    } else if (name.length > 128) {
      this.#finding("nameTooLong", offset, `${what}: the name has ${name.length} characters`);
    }
    return name;
  }

  #number(what: string): number {
    const { start } = this.#lexer;
    return this.#toNumber(this.#word(what), what, start);
  }

  /** One end of a range: what is not finite ("inf", "1.#QNAN", 1E+999) is no bound. */
  #bound(what: string): number | undefined {
    const { start } = this.#lexer;
    const word = this.#word(what);
    if (/^[+-]?(?:nan|inf|1\.#|-nan)/i.test(word) || (isNumber(word) && !Number.isFinite(Number(word)))) {
      this.#finding("badNumber", start, `${what}: ${clip(word)} is not a finite number; there is no bound`);
      return undefined;
    }
    return this.#toNumber(word, what, start);
  }

  #toNumber(word: string, what: string, offset: number): number {
    if (/^[+-]?0[xX][0-9a-fA-F]{1,13}$/.test(word)) {
      this.#finding("numberNotDecimal", offset, `${what} is written in hexadecimal digits: ${clip(word)}`);
      return word.startsWith("-") ? -Number(word.slice(1)) : Number(word.replace("+", ""));
    }
    if (!isNumber(word)) throw new SyntaxFault(offset, `expected ${what} as a number, found "${clip(word)}"`);
    if (/^[+-]?\./.test(word)) this.#finding("numberWithoutLeadingZero", offset, `${what}: ${clip(word)} has no digit before the point`);
    const value = Number(word);
    if (!Number.isFinite(value)) throw new SyntaxFault(offset, `${what}: ${clip(word)} is too large`);
    return value;
  }

  #integer(what: string): number {
    const { start } = this.#lexer;
    return this.#toInteger(this.#word(what), what, start);
  }

  /** The identifier of the message that the statement is about: its findings are that message's from here on. */
  #identifier(): number {
    const dbcId = this.#integer("an identifier");
    this.#subject = dbcId;
    return dbcId;
  }

  #toInteger(word: string, what: string, offset: number): number {
    if (/^\d{1,15}$/.test(word)) return Number(word);
    const value = this.#toNumber(word, what, offset);
    if (!Number.isSafeInteger(value) || value < 0) throw new SyntaxFault(offset, `expected ${what} as a whole number, found "${clip(word)}"`);
    return value;
  }

  // --- Ends and recovery --------------------------------------------------------------------------------------------------

  #semicolon(): void {
    const lexer = this.#lexer;
    if (this.#optional(";")) {
      while (this.#optional(";")) this.#finding("strayPunctuation", lexer.start, "one semicolon too many");
      return;
    }
    if (lexer.kind === "end" || (lexer.firstOnLine && this.#atStatement())) this.#finding("missingSemicolon", lexer.start, "the statement before this has no semicolon");
    else throw new SyntaxFault(lexer.start, `expected ";", found ${this.#found()}`);
  }

  #skipToSemicolon(): void {
    const lexer = this.#lexer;
    while (lexer.kind !== "end" && !(lexer.kind === "punctuation" && lexer.value === ";") && !(lexer.firstOnLine && this.#atStatement())) lexer.advance();
    this.#optional(";");
  }

  #unknownStatement(): void {
    const lexer = this.#lexer;
    if (lexer.kind === "punctuation") {
      this.#finding("strayPunctuation", lexer.start, `stray "${lexer.value}"`);
      lexer.advance();
    } else {
      this.#finding("unknownStatement", lexer.start, `${this.#found()} begins no statement`);
      lexer.advance();
      this.#recover();
    }
  }

  /** Skips what is left of a statement: to behind its semicolon, or to the next line that begins with a keyword. */
  #recover(): void {
    const lexer = this.#lexer;
    for (;;) {
      if (lexer.kind === "end" || (lexer.firstOnLine && this.#atStatement())) return;
      const ends = lexer.kind === "punctuation" && lexer.value === ";";
      lexer.advance();
      if (ends) return;
    }
  }

  #atEnd(): boolean {
    return this.#lexer.kind === "end";
  }

  #atStatement(): boolean {
    return this.#lexer.kind === "word" && this.#statements.has(this.#lexer.value);
  }

  #found(): string {
    const { kind, value } = this.#lexer;
    if (kind === "end") return "the end of the file";
    return kind === "string" ? `the text "${clip(value)}"` : `"${clip(value)}"`;
  }

  #finding(code: FindingCode, offset: number, message: string): void {
    const at = this.#lexer.positionOf(offset);
    if (typeof this.#subject === "number") this.#references.deferFinding(code, at, message, this.#subject);
    else this.#findings.add(code, at, message, this.#subject);
  }
}

function isNumber(word: string): boolean {
  return /^[+-]?(?:\d{1,400}\.?\d{0,400}|\.\d{1,400})(?:[eE][+-]?\d{1,4})?$/.test(word) || /^[+-]?0[xX][0-9a-fA-F]{1,13}$/.test(word);
}

function clip(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

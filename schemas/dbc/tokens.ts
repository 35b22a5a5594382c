/**
 * The words of a DBC text, one at a time, with their offsets.
 *
 * A *word* is a run of characters that are neither blank nor one of : ; , | @ ( ) [ ] ". So names of any spelling, numbers and the
 * "1+" after @ are words; the parser judges them. Strings have no escapes by the book, but tools write \" inside them.
 *
 * From // to the end of the line is skipped: DBC has no such comments, but people write them.
 *
 * The one trap is a string that nobody closed: it would swallow statements up to the next quotation mark, and from there on inside and
 * outside are exchanged. It is recognised by a line that can only be a statement, together with a closing mark that is not followed by
 * what follows strings; then the string ends before that line.
 *
 * Linear in the length of the text: a scan for the next closing mark is remembered until it is passed.
 */
import type { FindingCode } from "./findings.ts";
import type { Position } from "./model.ts";

export type TokenKind = "word" | "string" | "punctuation" | "end";

const BLANK = 1;
const PUNCTUATION = 2;
const QUOTE = 3;

/** What each character is; beyond the table: part of a word, but for the few blanks of Unicode that editors slip in. */
const classes = new Uint8Array(128);
for (let code = 0; code <= 0x20; code++) classes[code] = BLANK;
classes[0x7f] = BLANK;
for (const letter of ":;,|@()[]") classes[letter.charCodeAt(0)] = PUNCTUATION;
classes[0x22] = QUOTE;

function classOf(code: number): number {
  if (code < 128) return classes[code]!;
  return code === 0xa0 || code === 0xfeff || code === 0x2028 || code === 0x2029 ? BLANK : 0;
}

/** A line that can only be a statement: keyword and the begin of what must follow it. Sticky: used at line starts. Every repetition is bounded: no backtracking on long lines. */
const statementStart = new RegExp(
  [
    String.raw`BO_ {1,8}\d{1,10} {1,8}[^\s":]{1,256} {0,8}:`,
    String.raw`SG_ {1,8}[^\s":]{1,256}(?: {1,8}[Mm]\d{0,10}M?)? {0,8}: {0,8}\d{1,5}\|`,
    String.raw`(?:CM_|BA_|VAL_) {1,8}(?:(?:BU_|BO_|SG_|EV_) {1,8})?(?:[^\s"]{1,256} {1,8}){0,2}["\d]`,
    String.raw`(?:BA_DEF_|BA_DEF_DEF_|BA_REL_|BA_DEF_REL_|BA_DEF_DEF_REL_) {1,8}(?:[A-Z_]{3,12} {1,8})?"`,
    String.raw`VAL_TABLE_ {1,8}[^\s"]{1,256} `,
    String.raw`(?:SIG_VALTYPE_|SG_MUL_VAL_|SIG_GROUP_|BO_TX_BU_) {1,8}\d`,
    String.raw`EV_ {1,8}[^\s":]{1,256} {0,8}:`,
    String.raw`(?:BU_|BS_) {0,8}:`,
  ].map((form) => `[ \\t]{0,16}${form}`).join("|"),
  "y",
);

export class Lexer {
  readonly text: string;
  /** Nothing is read before the first `advance()`. */
  kind: TokenKind = "end";
  /** The word, the punctuation mark, or the content of the string with \" resolved. */
  value = "";
  start = 0;
  /** Just behind the token. */
  end = 0;
  /** Whether only blanks stand before the token on its line. */
  firstOnLine = true;

  readonly #quirk: (code: FindingCode, offset: number, message: string) => void;
  readonly #lineStarts: number[];
  #closing = -2;
  #closingFrom = 0;
  #lastComment = -1;
  #statementLine = -1;
  #statementFrom = 0;

  constructor(text: string, quirk: (code: FindingCode, offset: number, message: string) => void) {
    this.text = text;
    this.#quirk = quirk;
    this.#lineStarts = lineStarts(text);
  }

  positionOf(offset: number): Position {
    const line = this.#lineOf(offset);
    return { line: line + 1, column: offset - this.#lineStarts[line]! + 1 };
  }

  #lineOf(offset: number): number {
    let low = 0;
    let high = this.#lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#lineStarts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Moves to the next token. At the end it stays there. */
  advance(): void {
    const { text } = this;
    let at = this.end;
    this.firstOnLine = at === 0;
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === 0x0a || code === 0x0d) this.firstOnLine = true;
      else if (code === 0x2f && text.charCodeAt(at + 1) === 0x2f) {
        // Going back (`reset`) must not tell it twice.
        if (at > this.#lastComment) this.#quirk("lineComment", at, "a line comment");
        this.#lastComment = Math.max(at, this.#lastComment);
        at = this.#lineEnd(at) - 1;
      } else if (classOf(code) !== BLANK) break;
    }
    this.start = at;
    if (at >= text.length) {
      this.kind = "end";
      this.value = "";
      this.end = at;
      return;
    }
    const kind = classOf(text.charCodeAt(at));
    if (kind === QUOTE) return this.#string(at);
    if (kind === PUNCTUATION) {
      this.kind = "punctuation";
      this.value = text[at]!;
      this.end = at + 1;
      return;
    }
    let end = at + 1;
    while (end < text.length && classOf(text.charCodeAt(end)) === 0) end++;
    this.kind = "word";
    this.value = text.slice(at, end);
    this.end = end;
  }

  /** Where the lexer stands, for looking further ahead than one token. */
  mark(): number {
    return this.start;
  }

  /** Goes back to a token's start. */
  reset(mark: number): void {
    const first = this.#isFirstOnLine(mark);
    this.end = mark;
    this.advance();
    this.firstOnLine = first;
  }

  /** The text from the current token to the end of its line, cut to what a list of names may need. */
  restOfLine(): string {
    return this.text.slice(this.start, Math.min(this.#lineEnd(this.start), this.start + 4096)).trimEnd();
  }

  /** Offset of the line break that ends the line of `offset`, or the end of the text. */
  #lineEnd(offset: number): number {
    const next = this.#lineStarts[this.#lineOf(offset) + 1];
    return next === undefined ? this.text.length : next - 1;
  }

  #isFirstOnLine(offset: number): boolean {
    for (let at = offset - 1; at >= 0; at--) {
      const code = this.text.charCodeAt(at);
      if (code === 0x0a || code === 0x0d) return true;
      if (classOf(code) !== BLANK) return false;
    }
    return true;
  }

  #string(at: number): void {
    const from = at + 1;
    const closing = this.#nextClosing(from);
    const bound = closing < 0 ? this.text.length : closing;
    this.kind = "string";
    const cut = closing >= 0 && followsString(this.text, closing + 1) ? -1 : this.#statementInside(from, bound);
    if (cut < 0 && closing >= 0) {
      this.value = unescape(this.text.slice(from, closing));
      this.end = closing + 1;
      return;
    }
    // The line break itself stays, so that the next token is seen as the first of its line.
    const end = cut >= 0 ? cut - 1 : this.#lineEnd(from);
    this.#quirk("unterminatedString", at, "the text is not closed");
    this.value = unescape(withoutSemicolon(this.text.slice(from, end)));
    this.end = end;
  }

  /** The next quotation mark at or behind `from` that closes a string, or -1. */
  #nextClosing(from: number): number {
    // Whether a mark closes depends on its surroundings only, so the last answer holds for every start between the two.
    if (from >= this.#closingFrom && (this.#closing === -1 || from <= this.#closing)) return this.#closing;
    const { text } = this;
    let at = text.indexOf('"', from);
    while (at >= 0 && text.charCodeAt(at - 1) === 0x5c && !endsStatement(text, at + 1)) at = text.indexOf('"', at + 1);
    this.#closingFrom = from;
    this.#closing = at;
    return at;
  }

  /** Start of the first line within the string that can only be a statement, or -1. Remembered like `#nextClosing`. */
  #statementInside(from: number, bound: number): number {
    const first = this.#lineOf(from) + 1;
    if (first < this.#statementFrom || first > this.#statementLine) {
      let line = first;
      for (; line < this.#lineStarts.length; line++) {
        statementStart.lastIndex = this.#lineStarts[line]!;
        if (statementStart.test(this.text)) break;
      }
      this.#statementFrom = first;
      this.#statementLine = line;
    }
    const start = this.#lineStarts[this.#statementLine] ?? Infinity;
    return start < bound ? start : -1;
  }
}

function withoutSemicolon(text: string): string {
  const trimmed = text.trimEnd();
  return trimmed.endsWith(";") ? trimmed.slice(0, -1).trimEnd() : trimmed;
}

function unescape(text: string): string {
  return text.includes('\\"') ? text.replaceAll('\\"', '"') : text;
}

/** Whether what stands behind a closing mark is what stands behind strings: a separator, another string, a number, or a receiver's name. */
function followsString(text: string, offset: number): boolean {
  let at = offset;
  while (at < text.length && at < offset + 64 && (text[at] === " " || text[at] === "\t")) at++;
  return at >= text.length || text[at] === ";" || text[at] === ",";
}

/** `\"` followed by `;` and the end of the line closes the string although a backslash stands before it (Windows paths). */
function endsStatement(text: string, offset: number): boolean {
  return /^[ \t]{0,8};[ \t]{0,8}(?:\r?\n|$)/.test(text.slice(offset, offset + 20));
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x0a) starts.push(at + 1);
    else if (code === 0x0d && text.charCodeAt(at + 1) !== 0x0a) starts.push(at + 1);
  }
  return starts;
}

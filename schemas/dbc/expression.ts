/**
 * The arithmetic of node templates: whole numbers (decimal or 0x…), names, + - * << >> & ^ | and parentheses, with C's precedence.
 * Parsed by hand, never evaluated as code. Values are bigints, so that no shift or product wraps silently.
 */
import { TEMPLATE_LIMITS } from "./limits.ts";

export type Expression = (variables: Readonly<Record<string, number>>) => bigint;

export type ExpressionResult = { ok: true; evaluate: Expression; names: ReadonlySet<string> } | { ok: false; offset: number; text: string };

/** Weakest first. */
const levels: readonly (readonly string[])[] = [["|"], ["^"], ["&"], ["<<", ">>"], ["+", "-"], ["*"]];

const operations: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
  "|": (a, b) => a | b,
  "^": (a, b) => a ^ b,
  "&": (a, b) => a & b,
  "<<": (a, b) => (b >= 0n && b <= 32n ? a << b : -1n),
  ">>": (a, b) => (b >= 0n && b <= 64n ? a >> b : -1n),
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
};

class Fault extends Error {
  readonly offset: number;
  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

/** Compiles `text`, in which `names` may occur. Shifts by less than 0 or more than 32 give -1, which no identifier is. */
export function parseExpression(text: string, names: readonly string[]): ExpressionResult {
  if (text.length > TEMPLATE_LIMITS.expressionChars) return { ok: false, offset: 0, text: `longer than ${TEMPLATE_LIMITS.expressionChars} characters` };
  try {
    return new ExpressionParser(text, names).parse();
  } catch (fault) {
    if (!(fault instanceof Fault)) throw fault;
    return { ok: false, offset: fault.offset, text: fault.message };
  }
}

class ExpressionParser {
  readonly #text: string;
  readonly #names: readonly string[];
  readonly #used = new Set<string>();
  #at = 0;
  #token = "";
  #start = 0;

  constructor(text: string, names: readonly string[]) {
    this.#text = text;
    this.#names = names;
    this.#advance();
  }

  parse(): ExpressionResult {
    const evaluate = this.#level(0, 0);
    if (this.#token !== "") throw new Fault(this.#start, `unexpected "${this.#token}"`);
    return { ok: true, evaluate, names: this.#used };
  }

  #level(level: number, depth: number): Expression {
    const operators = levels[level];
    if (operators === undefined) return this.#operand(depth);
    let left = this.#level(level + 1, depth);
    while (operators.includes(this.#token)) {
      const operation = operations[this.#token]!;
      this.#advance();
      const first = left;
      const second = this.#level(level + 1, depth);
      left = (variables) => operation(first(variables), second(variables));
    }
    return left;
  }

  #operand(depth: number): Expression {
    if (depth > TEMPLATE_LIMITS.depth) throw new Fault(this.#start, "too many parentheses");
    const token = this.#token;
    const start = this.#start;
    if (token === "(") {
      this.#advance();
      const inner = this.#level(0, depth + 1);
      if (this.#token !== ")") throw new Fault(this.#start, 'expected ")"');
      this.#advance();
      return inner;
    }
    if (/^(?:\d{1,10}|0[xX][0-9a-fA-F]{1,8})$/.test(token)) {
      this.#advance();
      const value = BigInt(token);
      return () => value;
    }
    if (this.#names.includes(token)) {
      this.#advance();
      this.#used.add(token);
      return (variables) => BigInt(variables[token]!);
    }
    throw new Fault(start, token === "" ? "the expression ends too early" : `"${token}" is neither a number nor ${this.#names.join(" or ")}`);
  }

  #advance(): void {
    const match = /\s*(<<|>>|[A-Za-z0-9_]+|\S)?/y;
    match.lastIndex = this.#at;
    const found = match.exec(this.#text);
    this.#token = found?.[1] ?? "";
    this.#at = match.lastIndex;
    this.#start = this.#at - this.#token.length;
  }
}

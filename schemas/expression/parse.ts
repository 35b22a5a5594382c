/**
 * Words to a tree. Precedence, weakest first: `||`, `&&`, comparison (which does not chain), `+ -`, `* / %`, unary `- !`.
 * Depth and size are bounded, so the recursion here and in `compile.ts` is, too.
 */
import { expressionLimits, tokenize } from "./tokens.ts";
import type { ExpressionFault, Sign, Token } from "./tokens.ts";

export type Comparison = "==" | "!=" | "<" | "<=" | ">" | ">=";
export type Arithmetic = "+" | "-" | "*" | "/" | "%";
export type Expression = { from: number; to: number } & (
  | { kind: "number"; value: number }
  | { kind: "text"; value: string }
  | { kind: "truth"; value: boolean }
  | { kind: "field"; name: string }
  | { kind: "call"; name: string; nameTo: number; args: readonly Expression[] }
  | { kind: "not" | "minus"; operand: Expression }
  | { kind: "and" | "or"; left: Expression; right: Expression }
  | { kind: "compare"; sign: Comparison; left: Expression; right: Expression }
  | { kind: "arithmetic"; sign: Arithmetic; left: Expression; right: Expression }
);

const comparisons: readonly Sign[] = ["==", "!=", "<", "<=", ">", ">="];
const wordsForSigns: Readonly<Record<string, string>> = { and: "&&", or: "||", not: "!", AND: "&&", OR: "||", NOT: "!" };

class Stop extends Error {
  readonly fault: ExpressionFault;
  constructor(fault: ExpressionFault) {
    super(fault.message);
    this.fault = fault;
  }
}

/** The tree, or the first fault of syntax. */
export function parseExpression(text: string): { tree: Expression } | { fault: ExpressionFault } {
  const tokens = tokenize(text);
  if (!Array.isArray(tokens)) return { fault: tokens };
  try {
    return { tree: new ExpressionParser(tokens).whole() };
  } catch (error) {
    // A parser of nested functions stops by throwing; nothing else is caught here.
    if (error instanceof Stop) return { fault: error.fault };
    throw error;
  }
}

class ExpressionParser {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;
  #nodes = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  whole(): Expression {
    const tree = this.#or();
    if (this.#peek().kind !== "end") this.#stop("syntax", this.#peek(), `${this.#words(this.#peek())} does not belong here`, this.#wordHint());
    return tree;
  }

  #or(): Expression {
    let left = this.#and();
    while (this.#take("||")) {
      const right = this.#and();
      left = this.#node({ kind: "or", from: left.from, to: right.to, left, right });
    }
    return left;
  }

  #and(): Expression {
    let left = this.#compare();
    while (this.#take("&&")) {
      const right = this.#compare();
      left = this.#node({ kind: "and", from: left.from, to: right.to, left, right });
    }
    return left;
  }

  #compare(): Expression {
    const left = this.#sum();
    const sign = this.#takeOneOf(comparisons);
    if (sign === undefined) return left;
    const right = this.#sum();
    const next = this.#peek();
    if (next.kind === "sign" && comparisons.includes(next.value)) this.#stop("chainedComparison", next, "comparisons do not chain", "write a < b && b < c");
    return this.#node({ kind: "compare", from: left.from, to: right.to, sign: sign as Comparison, left, right });
  }

  #sum(): Expression {
    let left = this.#product();
    for (let sign = this.#takeOneOf(["+", "-"]); sign !== undefined; sign = this.#takeOneOf(["+", "-"])) {
      const right = this.#product();
      left = this.#node({ kind: "arithmetic", from: left.from, to: right.to, sign: sign as Arithmetic, left, right });
    }
    return left;
  }

  #product(): Expression {
    let left = this.#unary();
    for (let sign = this.#takeOneOf(["*", "/", "%"]); sign !== undefined; sign = this.#takeOneOf(["*", "/", "%"])) {
      const right = this.#unary();
      left = this.#node({ kind: "arithmetic", from: left.from, to: right.to, sign: sign as Arithmetic, left, right });
    }
    return left;
  }

  #unary(): Expression {
    const first = this.#peek();
    this.#depth += 1;
    if (this.#depth > expressionLimits.depth) this.#stop("tooDeep", first, `more than ${expressionLimits.depth} levels of parentheses and signs`, "");
    let result: Expression;
    if (this.#take("-")) {
      const operand = this.#unary();
      result = this.#node({ kind: "minus", from: first.from, to: operand.to, operand });
    } else if (this.#take("!")) {
      const operand = this.#unary();
      result = this.#node({ kind: "not", from: first.from, to: operand.to, operand });
    } else result = this.#primary(first);
    this.#depth -= 1;
    return result;
  }

  #primary(token: Token): Expression {
    const { from, to } = token;
    if (token.kind === "number" || token.kind === "text") {
      this.#at += 1;
      return this.#node(token.kind === "number" ? { kind: "number", from, to, value: token.value } : { kind: "text", from, to, value: token.value });
    }
    if (token.kind === "word" && !Object.hasOwn(wordsForSigns, token.value)) {
      this.#at += 1;
      if (token.value === "true" || token.value === "false") return this.#node({ kind: "truth", from, to, value: token.value === "true" });
      if (this.#take("(")) return this.#call(token.value, from, to);
      return this.#node({ kind: "field", from, to, name: token.value });
    }
    if (this.#take("(")) {
      const inner = this.#or();
      this.#expect(")");
      return { ...inner, from, to: this.#tokens[this.#at - 1]!.to };
    }
    return this.#stop("syntax", token, `expected a signal, a number or "(", found ${this.#words(token)}`, this.#wordHint());
  }

  #call(name: string, from: number, nameTo: number): Expression {
    const args: Expression[] = [];
    if (!this.#take(")")) {
      do args.push(this.#or());
      while (this.#take(","));
      this.#expect(")");
    }
    return this.#node({ kind: "call", from, to: this.#tokens[this.#at - 1]!.to, name, nameTo, args });
  }

  #peek(): Token {
    return this.#tokens[this.#at]!;
  }

  #take(sign: Sign): boolean {
    return this.#takeOneOf([sign]) !== undefined;
  }

  #takeOneOf(signs: readonly Sign[]): Sign | undefined {
    const token = this.#peek();
    if (token.kind !== "sign" || !signs.includes(token.value)) return undefined;
    this.#at += 1;
    return token.value;
  }

  #expect(sign: Sign): void {
    if (!this.#take(sign)) this.#stop("syntax", this.#peek(), `expected "${sign}", found ${this.#words(this.#peek())}`, this.#wordHint());
  }

  #node(node: Expression): Expression {
    this.#nodes += 1;
    if (this.#nodes > expressionLimits.nodes) this.#stop("tooLarge", node, `the expression has more than ${expressionLimits.nodes} parts`, "");
    return node;
  }

  #words(token: Token): string {
    return token.kind === "end" ? "the end" : token.kind === "text" ? `the text "${token.value}"` : `"${token.value}"`;
  }

  #wordHint(): string {
    const token = this.#peek();
    const sign = token.kind === "word" && Object.hasOwn(wordsForSigns, token.value) ? wordsForSigns[token.value] : undefined;
    return sign === undefined ? "" : `did you mean ${sign}?`;
  }

  #stop(code: ExpressionFault["code"], { from, to }: { from: number; to: number }, message: string, hint: string): never {
    throw new Stop({ code, from, to, message, hint });
  }
}

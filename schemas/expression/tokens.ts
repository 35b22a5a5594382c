/** The words of an expression, with their places. */

/** A `when:` of more than this is a program, and belongs into one. */
export const expressionLimits = { textChars: 1000, depth: 32, nodes: 300 } as const;

export interface ExpressionFault {
  /** Stable; docs/specs/expressions.md lists them. */
  code: "tooLong" | "tooDeep" | "tooLarge" | "syntax" | "unknownField" | "unknownFunction" | "unknownValue" | "wrongType" | "wrongArguments" | "chainedComparison";
  /** Offsets in the text. */
  from: number;
  to: number;
  message: string;
  hint: string;
}

export type Token =
  | { kind: "number"; from: number; to: number; value: number }
  | { kind: "text"; from: number; to: number; value: string }
  | { kind: "word"; from: number; to: number; value: string }
  | { kind: "sign"; from: number; to: number; value: Sign }
  | { kind: "end"; from: number; to: number };

const signs = ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "(", ")", ","] as const;
export type Sign = (typeof signs)[number];

const wordPattern = /[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*/y;
const numberPattern = /0x[0-9A-Fa-f]+|[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?/y;

/** What people write who come from other languages. */
const strangers: Readonly<Record<string, string>> = { "===": "==", "!==": "!=", "=": "==", "&": "&&", "|": "||", "<>": "!=", "**": "*" };

export function tokenize(text: string): Token[] | ExpressionFault {
  if (text.length > expressionLimits.textChars) {
    return { code: "tooLong", from: 0, to: text.length, message: `the expression has ${text.length} characters, at most ${expressionLimits.textChars} are allowed`, hint: "" };
  }
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    if (/\s/.test(text[at]!)) {
      at += 1;
      continue;
    }
    const token = tokenAt(text, at);
    if ("code" in token) return token;
    tokens.push(token);
    at = token.to;
  }
  tokens.push({ kind: "end", from: text.length, to: text.length });
  return tokens;
}

function tokenAt(text: string, from: number): Token | ExpressionFault {
  const word = matchAt(wordPattern, text, from);
  if (word !== undefined) return { kind: "word", from, to: from + word.length, value: word };
  const number = matchAt(numberPattern, text, from);
  if (number !== undefined) return { kind: "number", from, to: from + number.length, value: Number(number) };
  const quote = text[from]!;
  if (quote === '"' || quote === "'") {
    const end = text.indexOf(quote, from + 1);
    if (end < 0) return { code: "syntax", from, to: text.length, message: "a text that does not end", hint: `close it with ${quote}` };
    return { kind: "text", from, to: end + 1, value: text.slice(from + 1, end) };
  }
  for (const [stranger, ours] of Object.entries(strangers)) {
    const longer = signs.find((sign) => sign.length > stranger.length && text.startsWith(sign, from));
    if (text.startsWith(stranger, from) && longer === undefined && !(stranger === "=" && text.startsWith("==", from))) {
      return { code: "syntax", from, to: from + stranger.length, message: `"${stranger}" is no sign here`, hint: `did you mean ${ours}?` };
    }
  }
  const sign = signs.find((one) => text.startsWith(one, from));
  if (sign !== undefined) return { kind: "sign", from, to: from + sign.length, value: sign };
  return { code: "syntax", from, to: from + 1, message: `the character ${JSON.stringify(quote)} has no meaning here`, hint: "" };
}

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

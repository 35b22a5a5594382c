// Puts small faults into C: one source in, the same source with every fault in it behind `ipcnet_mutant == ID` out. Used by scripts/mutate.mjs.
// Knows as much C as the reflex's core is written in: functions of statements, no macros with braces, no labels.

const tokenPattern = /\/\*[^]*?\*\/|\/\/[^\n]*|#[^\n]*(?:\\\n[^\n]*)*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[A-Za-z_]\w*|0[xX][0-9a-fA-F]+[uUlL]*|\d+\.\d+|\d+[uUlL]*|->|\+\+|--|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\S/g;

function tokenize(source) {
  const tokens = [];
  let line = 1;
  let at = 0;
  for (const match of source.matchAll(tokenPattern)) {
    for (; at < match.index; at++) if (source[at] === "\n") line++;
    const text = match[0];
    const comment = text.startsWith("/*") || text.startsWith("//");
    if (!comment) tokens.push({ text, line, directive: text.startsWith("#") });
    for (const character of text) if (character === "\n") line++;
    at = match.index + text.length;
  }
  return tokens;
}

const opening = new Set(["(", "[", "{"]);
const closing = new Set([")", "]", "}"]);
const isWord = (text) => /^[A-Za-z_]\w*$/.test(text ?? "");
const isNumber = (text) => /^(0[xX][0-9a-fA-F]+|\d+)[uUlL]*$/.test(text ?? "");

/**
 * `mutants`: after `mutated()`, in order of the text, each { id, file, function, line, what, key }. The key names it as long as its function, its line's words and its operator stay: not by the number of the line,
 * so that what is known of it survives whatever else moves. Of several with the same key in one function the second ends in "#2".
 */
export class Mutator {
  mutants = [];
  #keys = new Map();
  #function = "";
  constructor(file, source, firstId) {
    this.file = file;
    this.tokens = tokenize(source);
    this.lines = source.replace(/\/\*[^]*?\*\/|\/\/[^\n]*/g, (comment) => comment.replace(/[^\n]/g, " ")).split("\n").map((line) => line.trim().replace(/\s+/g, " "));
    this.firstId = firstId;
  }

  /** A new mutant; returns the condition under which it is awake. */
  #mutant(at, what) {
    const id = this.firstId + this.mutants.length;
    const { line } = this.tokens[at];
    const plain = `${this.file} ${this.#function}: ${what} @ ${this.lines[line - 1]}`;
    const times = (this.#keys.get(plain) ?? 0) + 1;
    this.#keys.set(plain, times);
    this.mutants.push({ id, file: this.file, function: this.#function, line, what, key: times === 1 ? plain : `${plain} #${times}` });
    return `ipcnet_mutant == ${id}`;
  }

  text(from, to) {
    return this.tokens.slice(from, to).map(({ text }) => text).join(" ");
  }

  /** The place after the bracket that closes the one at `at`. */
  after(at) {
    let depth = 0;
    for (let i = at; i < this.tokens.length; i++) {
      if (opening.has(this.tokens[i].text)) depth++;
      if (closing.has(this.tokens[i].text) && --depth === 0) return i + 1;
    }
    throw new Error(`${this.file}:${this.tokens[at].line}: bracket without end`);
  }

  /** Places of `wanted` within a range, outside of brackets. */
  top(from, to, wanted) {
    const places = [];
    for (let i = from; i < to; i++) {
      if (opening.has(this.tokens[i].text)) i = this.after(i) - 1;
      else if (wanted.includes(this.tokens[i].text)) places.push(i);
    }
    return places;
  }

  /** The whole source with all mutants asleep in it. */
  mutated() {
    let output = "extern int ipcnet_mutant;\n";
    let name = "";
    for (let i = 0; i < this.tokens.length;) {
      const { text, directive } = this.tokens[i];
      if (directive) {
        output += `\n${text}\n`;
        i++;
      } else if (text === "{" && this.tokens[i - 1]?.text === ")") {
        this.#function = name;
        const end = this.after(i);
        output += this.block(i, end);
        i = end;
      } else if (opening.has(text)) {
        if (text === "(") name = this.tokens[i - 1]?.text ?? "";
        const end = this.after(i);
        output += `${this.text(i, end)} `;
        i = end;
      } else {
        output += `${text} `;
        i++;
      }
    }
    return output;
  }

  block(from, to) {
    let output = "{\n";
    for (let i = from + 1; i < to - 1;) [output, i] = this.statement(i, output);
    return `${output}}\n`;
  }

  /** One statement from `i`: appended to `output`, with the place after it. */
  statement(i, output) {
    const { text, directive } = this.tokens[i];
    if (directive) return [`${output}\n${text}\n`, i + 1];
    if (text === ";") return [`${output};\n`, i + 1];
    if (text === "{") return [output + this.block(i, this.after(i)), this.after(i)];
    if (text === "case" || text === "default") {
      const colon = this.top(i, this.tokens.length, [":"])[0];
      return [`${output}${this.text(i, colon + 1)}\n`, colon + 1];
    }
    if (text === "if" || text === "while" || text === "switch") {
      const end = this.after(i + 1);
      const head = text === "switch" ? this.expression(i + 2, end - 1) : this.condition(i + 2, end - 1);
      let next = end;
      let body;
      [body, next] = this.statement(end, "");
      output += `${text} (${head}) {\n${body}}\n`;
      if (text === "if" && this.tokens[next]?.text === "else") {
        [body, next] = this.statement(next + 1, "");
        output += `else {\n${body}}\n`;
      }
      return [output, next];
    }
    if (text === "for") {
      const end = this.after(i + 1);
      const [first, second] = this.top(i + 2, end - 1, [";"]);
      const [body, next] = this.statement(end, "");
      // The counting itself is left alone: one too many is out of bounds, which only a sanitizer sees. What else the condition says is not.
      const clauses = this.split(first + 1, second, "&&");
      const head = first + 1 === second ? "" : clauses.map(([from, to], index) => (index === 0 ? this.never(from, to) : this.condition(from, to))).join(" && ");
      return [`${output}for (${this.text(i + 2, first)}; ${head}; ${this.text(second + 1, end - 1)}) {\n${body}}\n`, next];
    }
    const end = this.top(i, this.tokens.length, [";"])[0];
    if (text === "return") {
      if (end === i + 1) return [`${output}if (!(${this.#mutant(i, "return dropped")})) return;\n`, end + 1];
      return [`${output}return ${this.boolean(i + 1, end) ? this.condition(i + 1, end) : this.expression(i + 1, end)};\n`, end + 1];
    }
    if (text === "break" || text === "continue") return [`${output}if (!(${this.#mutant(i, `${text} dropped`)})) ${text};\n`, end + 1];
    if (this.declares(i, end)) return [`${output}${this.declaration(i, end)};\n`, end + 1];
    if (text === "(" && this.tokens[i + 1].text === "void") return [`${output}${this.text(i, end)};\n`, end + 1];
    const dropped = this.#mutant(i, `dropped: ${this.text(i, end)}`);
    return [`${output}if (!(${dropped})) { ${this.assignment(i, end)}; }\n`, end + 1];
  }

  declares(from, to) {
    const [a, b, c, d] = [0, 1, 2, 3].map((k) => this.tokens[from + k]?.text);
    if (["const", "static", "struct", "enum", "unsigned"].includes(a)) return true;
    if (isWord(a) && isWord(b)) return true;
    return isWord(a) && b === "*" && isWord(c) && ["=", ";", ",", "["].includes(from + 3 >= to ? ";" : d);
  }

  declaration(from, to) {
    if (this.tokens[from].text === "static") return this.text(from, to);
    const equals = this.top(from, to, ["="])[0];
    if (equals === undefined || this.top(from, to, [","]).some((comma) => comma < equals)) return this.text(from, to);
    if (this.top(equals, to, [","]).length > 0) return this.text(from, to); // several at once
    const head = this.text(from, equals);
    if (this.tokens[equals + 1].text === "{") return `${head} = ${this.text(equals + 1, to)}`;
    return `${head} = ${this.boolean(equals + 1, to) ? this.condition(equals + 1, to) : this.expression(equals + 1, to)}`;
  }

  assignment(from, to) {
    const equals = this.top(from, to, ["="])[0];
    if (equals === undefined) return this.expression(from, to);
    return `${this.text(from, equals)} = ${this.boolean(equals + 1, to) ? this.condition(equals + 1, to) : this.assignment(equals + 1, to)}`;
  }

  split(from, to, operator) {
    const places = this.top(from, to, [operator]);
    return [...places, to].map((place, index) => [index === 0 ? from : places[index - 1] + 1, place]);
  }

  /** Whether a range is true or false and nothing else. */
  boolean(from, to) {
    if (this.top(from, to, ["?"]).length > 0) return false;
    return this.top(from, to, ["&&", "||", "==", "!=", "<", ">", "<=", ">="]).length > 0 || this.tokens[from].text === "!";
  }

  never(from, to) {
    return `(!(${this.#mutant(from, `never: ${this.text(from, to)}`)}) && (${this.text(from, to)}))`;
  }

  /** A condition: each clause may be true or false whatever it says, and comparisons shift by one. */
  condition(from, to) {
    if (this.top(from, to, ["?"]).length > 0) return this.expression(from, to);
    for (const operator of ["||", "&&"]) {
      const clauses = this.split(from, to, operator);
      if (clauses.length > 1) return `(${clauses.map(([a, b]) => this.condition(a, b)).join(` ${operator} `)})`;
    }
    if (this.tokens[from].text === "(" && this.after(from) === to) return this.condition(from + 1, to - 1);
    if (this.tokens[from].text === "!" && this.tokens[from + 1]?.text === "(" && this.after(from + 1) === to) return `(!${this.condition(from + 2, to - 1)})`;
    const what = this.text(from, to);
    const yes = this.#mutant(from, `true: ${what}`);
    const no = this.#mutant(from, `false: ${what}`);
    return `(${yes} ? 1 : ${no} ? 0 : (int)(${this.expression(from, to)}))`;
  }

  expression(from, to) {
    if (from >= to) return "";
    const question = this.top(from, to, ["?"])[0];
    if (question !== undefined) {
      let depth = 0;
      let colon = question;
      for (let i = question; i < to; i++) {
        if (opening.has(this.tokens[i].text)) i = this.after(i) - 1;
        else if (this.tokens[i].text === "?") depth++;
        else if (this.tokens[i].text === ":" && --depth === 0) {
          colon = i;
          break;
        }
      }
      return `${this.condition(from, question)} ? ${this.expression(question + 1, colon)} : ${this.expression(colon + 1, to)}`;
    }
    for (const operator of ["||", "&&"]) if (this.top(from, to, [operator]).length > 0) return this.condition(from, to);
    const shifted = { "<": "<=", "<=": "<", ">": ">=", ">=": ">" };
    const comparisons = this.top(from, to, Object.keys(shifted));
    if (comparisons.length === 1 && this.top(from, to, ["==", "!="]).length === 0) {
      const [at] = comparisons;
      const operator = this.tokens[at].text;
      const awake = this.#mutant(at, `${shifted[operator]} for ${operator}: ${this.text(from, to)}`);
      const [a, b] = [this.text(from, at), this.text(at + 1, to)];
      return `(${awake} ? ${a} ${shifted[operator]} ${b} : ${this.flat(from, at)} ${operator} ${this.flat(at + 1, to)})`;
    }
    return this.flat(from, to);
  }

  /** Tokens one by one: numbers become their successors, plus and minus change places, brackets are expressions of their own. */
  flat(from, to) {
    let output = "";
    for (let i = from; i < to; i++) {
      const { text } = this.tokens[i];
      const before = this.tokens[i - 1]?.text;
      if (text === "sizeof") {
        const end = this.tokens[i + 1].text === "(" ? this.after(i + 1) : this.sizeofEnd(i + 1, to);
        output += `${this.text(i, end)} `;
        i = end - 1;
      } else if (text === "(" || text === "[") {
        const end = this.after(i);
        const cast = text === "(" && this.isType(i + 1, end - 1);
        output += cast ? `${this.text(i, end)} ` : `${text}${this.split(i + 1, end - 1, ",").map(([a, b]) => this.expression(a, b)).join(", ")}${text === "(" ? ")" : "]"} `;
        i = end - 1;
      } else if (text === "{") {
        const end = this.after(i);
        output += `${this.text(i, end)} `;
        i = end - 1;
      } else if (isNumber(text) && i > from - 1) {
        const value = Number(BigInt(text.replace(/[uUlL]+$/, "")));
        const suffix = text.replace(/^(0[xX][0-9a-fA-F]+|\d+)/, "");
        output += `(${this.#mutant(i, `${value + 1} for ${text}`)} ? ${value + 1}${suffix} : ${text}) `;
      } else if ((text === "+" || text === "-") && (isWord(before) || isNumber(before) || before === ")" || before === "]") && before !== "return") {
        output += `${text} (${this.#mutant(i, `${text === "+" ? "-" : "+"} for ${text}: ${this.text(Math.max(from, i - 4), Math.min(to, i + 5))}`)} ? -1 : 1) * `;
      } else {
        output += `${text} `;
      }
    }
    return output;
  }

  sizeofEnd(from, to) {
    let i = from;
    while (i < to && (isWord(this.tokens[i].text) || ["*", "->", "."].includes(this.tokens[i].text))) i++;
    return i;
  }

  isType(from, to) {
    const words = this.tokens.slice(from, to).map(({ text }) => text);
    if (words.length === 0) return true;
    if (["struct", "enum", "const", "void"].includes(words[0])) return true;
    return words.every((word) => word === "*" || /^(\w+_t|int|unsigned|char|double|bool|long|ipcnet_e2e_data_id_mode|ipcnet_e2e_config)$/.test(word));
  }
}

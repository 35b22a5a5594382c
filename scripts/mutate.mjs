// Tests of the tests: small faults are put into the rules of the reflex, one at a time, and each must make a C test fail.
//   npm run mutate -- [--only SUBSTRING] [--sample N] [--seed S] [--list] [--keys]
// Without --only: the rules (gate, arming, watch, claim, twin); with it any file of the core whose name contains it.
// All faults are compiled at once: where the source says `a < b`, the mutated one says `(ipcnet_mutant == 17 ? a <= b : a < b)`, so that one build serves them all; the driver
// (failsafe/reflex/mutation/driver.c) forks, chooses one and runs the tests until one fails. Those that no test notices are printed; failsafe/reflex/mutation/known.json names the ones
// that are known: those that change nothing that may be relied on, with the reason ("equivalent": true), and those for which there is no test yet. A fault that is neither noticed nor named fails the run; so does
// a name that is no longer there.
import { spawnSync, spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { basename, dirname } from "node:path";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cc, manifests } from "./native.mjs";
import { dist, join, refuse, root } from "./lib.mjs";

const core = join(root, "failsafe/reflex/core");
const here = join(root, "failsafe/reflex/mutation");
const out = join(dist, "mutation");
/** What is mutated, and which tests are asked first. Static tables are data: they have tests of every cell. */
const targets = {
  "reflex.c": ["takeover", "claim", "arming", "gate", "watch", "bus", "deadline"],
  "reflex_gate.c": ["gate", "takeover", "model", "arming", "claim", "deadline"],
  "reflex_watch.c": ["watch", "arming", "claim", "takeover", "deadline"],
  "reflex_arming.c": ["arming", "takeover", "claim", "gate", "deadline"],
  "reflex_claim.c": ["claim", "takeover", "arming", "deadline"],
  "reflex_bus.c": ["bus", "gate", "arming", "claim", "takeover", "deadline"],
  "reflex_image.c": ["takeover", "arming", "claim"],
  "reflex_field.c": ["table"],
  "reflex_protect.c": ["table", "gate", "watch"],
  "reflex_table.c": ["table"],
  "reflex_plan.c": ["plan", "arming", "takeover"],
  "reflex_twin.c": ["twin", "takeover", "claim"],
};
/** What a run without --only looks at: the rules themselves. */
const rules = ["reflex_gate.c", "reflex_arming.c", "reflex_watch.c", "reflex_claim.c", "reflex_twin.c"];
const tests = ["gate", "arming", "claim", "takeover", "watch", "bus", "deadline", "model", "table", "plan", "twin"];

// ---- Reading C -----------------------------------------------------------------------------------------------------------------------------------

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

class Mutator {
  mutants = [];
  constructor(file, source, firstId) {
    this.file = file;
    this.tokens = tokenize(source);
    this.firstId = firstId;
  }

  /** A new mutant; returns the condition under which it is awake. */
  #mutant(at, what) {
    const id = this.firstId + this.mutants.length;
    this.mutants.push({ id, file: this.file, line: this.tokens[at].line, what });
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

  file_() {
    let output = "extern int ipcnet_mutant;\n";
    for (let i = 0; i < this.tokens.length;) {
      const { text, directive } = this.tokens[i];
      if (directive) {
        output += `\n${text}\n`;
        i++;
      } else if (text === "{" && this.tokens[i - 1]?.text === ")") {
        const end = this.after(i);
        output += this.block(i, end);
        i = end;
      } else if (opening.has(text)) {
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

// ---- Building ------------------------------------------------------------------------------------------------------------------------------------

function sources() {
  const manifest = manifests().find(({ folder }) => folder === core);
  return { manifest, all: manifest.groups.reflex };
}

function compile(args) {
  const result = spawnSync(cc, ["-std=gnu11", "-O1", "-w", "-D_GNU_SOURCE", ...args], { cwd: root, encoding: "utf8" });
  if (result.status !== 0) refuse(`the mutated source does not compile:\n${result.stderr.slice(0, 4000)}`);
}

/** The program with all mutants in it, and their list. */
function build(only) {
  mkdirSync(out, { recursive: true });
  const { manifest, all } = sources();
  const includes = [core, ...manifest.include.map(manifest.at)].map((folder) => `-I${folder}`);
  const objects = [];
  const mutants = [];
  for (const source of all) {
    const file = basename(source);
    let path = manifest.at(source);
    if (targets[file] && (only === undefined ? rules.includes(file) : file.includes(only))) {
      const mutator = new Mutator(file, readFileSync(path, "utf8"), mutants.length + 1);
      const mutated = mutator.file_().replaceAll(/#include "(\.\.[^"]*)"/g, (_, name) => `#include "${join(dirname(path), name)}"`);
      mutants.push(...mutator.mutants);
      path = join(out, file);
      writeFileSync(path, mutated);
    }
    objects.push(join(out, `${file}.o`));
    compile([...includes, "-c", path, "-o", objects.at(-1)]);
  }
  for (const name of tests) {
    const object = join(out, `${name}_test.o`);
    compile([...includes, "-include", join(here, "failFast.h"), `-Dmain=${name}_main`, "-c", join(core, `reflex_${name}_test.c`), "-o", object]);
    objects.push(object);
  }
  const list = tests.map((name) => `TEST(${name})`).join(" ");
  compile([`-DTESTS=${list}`, join(here, "driver.c"), ...objects, "-lm", "-o", join(out, "mutants")]);
  return mutants;
}

// ---- Running -------------------------------------------------------------------------------------------------------------------------------------

/** Ids of mutants that no test noticed. */
async function run(mutants) {
  const workers = Math.max(1, Math.min(2, availableParallelism()));
  const queue = mutants.map(({ id, file }) => `${id} ${targets[file].join(",")}`);
  const shares = Array.from({ length: workers }, (_, worker) => queue.filter((_line, index) => index % workers === worker));
  const survivors = await Promise.all(shares.map((share) => new Promise((resolve, reject) => {
    const child = spawn(join(out, "mutants"), [], { stdio: ["pipe", "pipe", "inherit"], cwd: root });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (chunk) => { output += chunk; });
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolve(output) : reject(new Error(`the driver ended with ${code}: the tests fail without a mutant`))));
    child.stdin.end(`${share.join("\n")}\n`);
  })));
  return new Set(survivors.flatMap((output) => output.split("\n").filter((line) => line.startsWith("survived ")).map((line) => Number(line.slice(9)))));
}

const option = (name) => { const at = process.argv.indexOf(`--${name}`); return at < 0 ? undefined : process.argv[at + 1] ?? ""; };
const key = ({ file, line, what }, source) => `${file}: ${what} @ ${source[line - 1].trim()}`;

async function main() {
  if (cc === undefined) refuse("no C compiler found");
  const only = option("only");
  let mutants = build(only);
  const all = mutants.length;
  const texts = Object.fromEntries(Object.keys(targets).map((file) => [file, readFileSync(join(core, file), "utf8").split("\n")]));
  const known = new Map(JSON.parse(readFileSync(join(here, "known.json"), "utf8")).flatMap(({ equivalent, mutants: keys }) => keys.map((each) => [each, equivalent])));
  const tried = new Set(mutants.map(({ file }) => file));
  const stale = [...known.keys()].filter((each) => tried.has(each.split(":")[0]) && !mutants.some((mutant) => key(mutant, texts[mutant.file]) === each));
  if (option("list") !== undefined) for (const mutant of mutants) process.stdout.write(`${mutant.id} ${mutant.file}:${mutant.line}: ${mutant.what}\n`);
  if (option("list") !== undefined) return;
  const sample = Number(option("sample") ?? 0);
  if (sample > 0) {
    let state = Number(option("seed") ?? 1) >>> 0 || 1;
    const draw = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
    mutants = mutants.map((mutant) => ({ mutant, order: draw() })).sort((a, b) => a.order - b.order).slice(0, sample).map(({ mutant }) => mutant).sort((a, b) => a.id - b.id);
  }
  const startMs = Date.now();
  const survivors = await run(mutants);
  let unexplained = 0;
  let equivalent = 0;
  let untested = 0;
  for (const mutant of mutants) {
    if (!survivors.has(mutant.id)) continue;
    const how = known.get(key(mutant, texts[mutant.file]));
    if (how === true) equivalent++;
    else if (how === false) untested++;
    else {
      unexplained++;
      process.stdout.write(`survived: ${mutant.file}:${mutant.line}: ${mutant.what}\n`);
      if (option("keys") !== undefined) process.stdout.write(`  ${JSON.stringify(key(mutant, texts[mutant.file]))}\n`);
    }
  }
  for (const each of stale) process.stdout.write(`named in known.json, but no longer there: ${each}\n`);
  process.stdout.write(`mutants: ${mutants.length} of ${all} tried in ${Math.round((Date.now() - startMs) / 1e3)} s, ${mutants.length - survivors.size} killed, ${equivalent} equivalent, ${untested} known to have no test yet, ${unexplained} survived\n`);
  process.exit(unexplained > 0 || stale.length > 0 ? 1 : 0);
}

await main();

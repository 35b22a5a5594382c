/**
 * YAML text in, a tree with places out. The `yaml` package reads the grammar; this file guards it and keeps what its plain values lose:
 * where each key and value stands, and how it was written (0660 is not 660 to whoever wrote it).
 *
 * YAML 1.2, core schema: true and false are the only booleans, 0x and 0o numbers, no merge keys, no tags, one document.
 * Anchors and aliases are allowed; the tree shares what an alias names, so that a bomb costs nothing here, and `readTree` counts what it visits.
 * Never throws, whatever the text.
 */
import { Composer, isAlias, isMap, isScalar, isSeq, Lexer, Parser } from "yaml";
import type { CST, ParsedNode, YAMLError } from "yaml";

export const yamlLimits = {
  /** A generous configuration is 50 kB; the reader takes a second for 500 kB of the worst kind. */
  textChars: 512 * 1024,
  /** The format itself needs 10. The composer is recursive, and a few thousand levels end the process inside V8, so it is never given them. */
  depth: 64,
} as const;

/** A stretch of the text, by offset. */
export interface Span {
  from: number;
  to: number;
}

export type Tree = TreeMap | TreeList | TreeScalar;
export interface TreeMap { kind: "map"; at: Span; entries: ReadonlyMap<string, { keyAt: Span; value: Tree }> }
export interface TreeList { kind: "list"; at: Span; items: readonly Tree[] }
export interface TreeScalar { kind: "scalar"; at: Span; value: string | number | boolean | null; source: string; quoted: boolean }

export interface TreeFault { code: string; at: Span; message: string; expected: string; hint: string }

/** `tree` is undefined when the text is empty or breaks the grammar: what the rest then seems to say would be faults nobody made. */
export function readYaml(text: string): { tree: Tree | undefined; faults: TreeFault[] } {
  if (text.length > yamlLimits.textChars) {
    return { tree: undefined, faults: [fault("fileTooLong", { from: 0, to: 1 }, `the file has ${text.length} characters`, `at most ${yamlLimits.textChars}`)] };
  }
  const tokens = tokenize(text);
  if (!Array.isArray(tokens)) return { tree: undefined, faults: [tokens] };
  const composer = new Composer({ version: "1.2", schema: "core", uniqueKeys: false, strict: true, prettyErrors: false, merge: false });
  const faults: TreeFault[] = [];
  let contents: ParsedNode | null = null;
  let documents = 0;
  for (const document of composer.compose(tokens, true, text.length)) {
    documents += 1;
    if (documents === 1) {
      contents = document.contents;
      for (const error of document.errors.slice(0, 100)) faults.push(syntaxFault(error));
    } else {
      const from = document.range?.[0] ?? 0;
      faults.push(fault("severalDocuments", { from, to: from + 3 }, "a second document begins here", "one document in the file", "remove the line ---"));
      break;
    }
  }
  if (contents === null || (isScalar(contents) && contents.value === null)) {
    if (faults.length === 0) faults.push(fault("emptyFile", { from: 0, to: 1 }, "the file holds nothing", "at least the keys without a default"));
    return { tree: undefined, faults };
  }
  if (faults.length > 0) return { tree: undefined, faults };
  return { tree: new TreeBuilder(faults).build(contents), faults };
}

function tokenize(text: string): CST.Token[] | TreeFault {
  const parser = new Parser();
  const tokens: CST.Token[] = [];
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token);
    if (parser.stack.length > yamlLimits.depth) {
      return fault("tooDeep", { from: parser.offset, to: parser.offset + 1 }, "lists and tables are nested too deeply", `at most ${yamlLimits.depth} levels`);
    }
  }
  for (const token of parser.end()) tokens.push(token);
  return tokens;
}

class TreeBuilder {
  readonly #faults: TreeFault[];
  readonly #anchors = new Map<string, Tree>();

  constructor(faults: TreeFault[]) {
    this.#faults = faults;
  }

  build(node: ParsedNode): Tree {
    const at = spanOf(node);
    if (isAlias(node)) return this.#alias(node.source, at);
    if (node.tag !== undefined) this.#faults.push(fault("tag", at, `a tag (${node.tag.slice(0, 40)})`, "a plain value", "remove the word that begins with !"));
    const tree = isMap(node) ? this.#map(node.items, at) : isSeq(node) ? this.#list(node.items, at) : this.#scalar(node.value, node.source, node.type, at);
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, tree);
    return tree;
  }

  #alias(name: string, at: Span): Tree {
    const target = this.#anchors.get(name);
    if (target) return target;
    this.#faults.push(fault("unknownAlias", at, `*${name.slice(0, 40)} names no anchor above`, "the name of an anchor (&name) that stands complete above"));
    return { kind: "scalar", at, value: null, source: `*${name}`, quoted: false };
  }

  #list(items: readonly unknown[], at: Span): TreeList {
    return { kind: "list", at, items: items.map((item) => this.#child(item, at)) };
  }

  #map(items: readonly { key: unknown; value: unknown }[], at: Span): TreeMap {
    const entries = new Map<string, { keyAt: Span; value: Tree }>();
    for (const { key, value } of items) {
      const keyAt = isNode(key) ? spanOf(key) : at;
      const name = this.#keyName(key, keyAt);
      const tree = this.#child(value, keyAt);
      if (name === undefined) continue;
      if (entries.has(name)) this.#faults.push(fault("duplicateKey", keyAt, `the key "${name.slice(0, 64)}" stands here a second time`, "each key once", "remove one of the two"));
      else entries.set(name, { keyAt, value: tree });
    }
    return { kind: "map", at, entries };
  }

  #keyName(key: unknown, at: Span): string | undefined {
    if (isScalar(key) && key.value !== null) {
      const name = typeof key.value === "string" ? key.value : (key.source ?? "");
      if (name === "<<") {
        this.#faults.push(fault("mergeKey", at, "merge keys (<<) are not part of YAML 1.2", "the keys themselves", "repeat the keys, or share a whole value with &name and *name"));
        return undefined;
      }
      // A key that JavaScript would take for the object's prototype.
      if (name !== "__proto__") return name;
    }
    this.#faults.push(fault("badKey", at, "this cannot be a key", "a word as key"));
    return undefined;
  }

  #child(node: unknown, near: Span): Tree {
    if (isNode(node)) return this.build(node);
    return { kind: "scalar", at: { from: near.to, to: near.to }, value: null, source: "", quoted: false };
  }

  #scalar(value: unknown, source: string | undefined, type: string | undefined, at: Span): TreeScalar {
    const plain = typeof value === "string" || typeof value === "number" || typeof value === "boolean" || value === null ? value : (source ?? "");
    return { kind: "scalar", at, value: plain, source: source ?? String(plain), quoted: type !== "PLAIN" };
  }
}

function isNode(value: unknown): value is ParsedNode {
  return isMap(value) || isSeq(value) || isScalar(value) || isAlias(value);
}

function spanOf(node: ParsedNode): Span {
  const [from, to] = node.range;
  return { from, to: Math.max(to, from) };
}

function fault(code: string, at: Span, message: string, expected = "", hint = ""): TreeFault {
  return { code, at, message, expected, hint };
}

const words: Readonly<Partial<Record<YAMLError["code"], { code?: string; message: string; hint: string }>>> = {
  TAB_AS_INDENT: { code: "tab", message: "a tab as indentation", hint: "use spaces" },
  BAD_INDENT: { message: "the indentation does not fit what stands above", hint: "keys of one table begin in one column" },
  BLOCK_AS_IMPLICIT_KEY: { message: "a second key on the same line", hint: 'a text that contains ": " goes in quotes' },
  MULTILINE_IMPLICIT_KEY: { message: "a key without a value, or a line that belongs to nothing", hint: "a colon and a space end a key" },
  BAD_SCALAR_START: { message: "a value cannot begin with this character", hint: "put the value in quotes" },
  BAD_DQ_ESCAPE: { message: "an unknown escape", hint: "in single quotes a backslash stands for itself" },
  MISSING_CHAR: { message: "something is missing here: a closing quote, bracket, brace or comma", hint: "" },
  BAD_ALIAS: { message: "an alias or anchor without a name", hint: "a text that begins with * or & goes in quotes" },
  UNEXPECTED_TOKEN: { message: "this does not belong here", hint: "" },
};

function syntaxFault(error: YAMLError): TreeFault {
  const [from, to] = error.pos;
  const known = words[error.code];
  return fault(known?.code ?? "yamlSyntax", { from, to }, known?.message ?? error.message, "YAML 1.2", known?.hint ?? "");
}

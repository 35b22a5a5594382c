/**
 * A type check against the signals of a source, then closures. What was compiled cannot throw and allocates nothing.
 *
 * Three truth values: a comparison with a missing, non-finite or unfit value is neither true nor false but unknown; `!`, `&&` and `||` treat it as
 * Kleene's logic does; a sample passes only if the whole is true. So neither `x > 1` nor `!(x > 1)` lets a sample pass whose x is missing.
 */
import { nearest } from "../nearest.ts";
import { parseExpression } from "./parse.ts";
import type { Arithmetic, Comparison, Expression } from "./parse.ts";
import type { ExpressionFault } from "./tokens.ts";

/** What a signal holds. `names`: value names of a number (the number is the physical value). `any`: not known before the sample comes. */
export type FieldType = { kind: "number"; names?: ReadonlyMap<string, number> } | { kind: "boolean" } | { kind: "text"; values?: readonly string[] } | { kind: "any" };

/** Reads a signal of the sample at hand: `slot` is its index in `CompiledExpression.fields`. */
export type FieldReader = (slot: number) => unknown;

export interface CompiledExpression {
  /** The signals that are read, each once. */
  readonly fields: readonly string[];
  /** Whether the sample passes. Never throws unless `read` does. */
  readonly test: (read: FieldReader) => boolean;
}

export type CompileResult = { compiled: CompiledExpression; faults: readonly [] } | { compiled: undefined; faults: readonly ExpressionFault[] };

/** `fields`: every signal of the source by name, or "unknown" when the source does not say what its samples hold. All faults of type at once. */
export function compileExpression(text: string, fields: ReadonlyMap<string, FieldType> | "unknown"): CompileResult {
  const parsed = parseExpression(text);
  if ("fault" in parsed) return { compiled: undefined, faults: [parsed.fault] };
  const compiler = new Compiler(fields);
  const test = compiler.truth(parsed.tree);
  if (compiler.faults.length > 0) return { compiled: undefined, faults: compiler.faults };
  return { compiled: { fields: compiler.slots, test: (read) => test(read) === true }, faults: [] };
}

type Truth = (read: FieldReader) => boolean | undefined;
type Numeric = (read: FieldReader) => number;
type Text = (read: FieldReader) => string | undefined;
type Unknown = (read: FieldReader) => unknown;
type Typed =
  | { kind: "number"; get: Numeric; names?: ReadonlyMap<string, number> }
  | { kind: "boolean"; get: Truth }
  | { kind: "text"; get: Text; literal?: string; values?: readonly string[] }
  | { kind: "any"; get: Unknown };

const functions: Readonly<Record<string, { arity: readonly [number, number]; apply: (a: number, b: number) => number }>> = {
  abs: { arity: [1, 1], apply: (a) => Math.abs(a) },
  min: { arity: [2, 16], apply: (a, b) => Math.min(a, b) },
  max: { arity: [2, 16], apply: (a, b) => Math.max(a, b) },
};

const arithmetic: Readonly<Record<Arithmetic, (a: number, b: number) => number>> = {
  "+": (a, b) => a + b, "-": (a, b) => a - b, "*": (a, b) => a * b, "/": (a, b) => a / b, "%": (a, b) => a % b,
};

const compareNumbers: Readonly<Record<Comparison, (a: number, b: number) => boolean>> = {
  "==": (a, b) => a === b, "!=": (a, b) => a !== b, "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
};

class Compiler {
  readonly faults: ExpressionFault[] = [];
  readonly slots: string[] = [];
  readonly #fields: ReadonlyMap<string, FieldType> | "unknown";

  constructor(fields: ReadonlyMap<string, FieldType> | "unknown") {
    this.#fields = fields;
  }

  truth(tree: Expression): Truth {
    const typed = this.#compile(tree);
    if (typed.kind === "boolean") return typed.get;
    if (typed.kind === "any") return (read) => truthOf(typed.get(read));
    const hint = typed.kind === "number" ? (tree.kind === "field" ? `write ${tree.name} != 0` : "compare it with something") : "compare it with == or !=";
    this.#fault("wrongType", tree, `a ${typed.kind} stands where true or false is needed`, hint);
    return () => undefined;
  }

  #number(tree: Expression): Numeric {
    const typed = this.#compile(tree);
    if (typed.kind === "number") return typed.get;
    if (typed.kind === "any") return (read) => numberOf(typed.get(read));
    this.#fault("wrongType", tree, `a ${typed.kind === "boolean" ? "truth value" : "text"} stands where a number is needed`, "");
    return () => NaN;
  }

  #compile(tree: Expression): Typed {
    switch (tree.kind) {
      case "number": {
        const { value } = tree;
        return { kind: "number", get: () => value };
      }
      case "text": {
        const { value } = tree;
        return { kind: "text", get: () => value, literal: value };
      }
      case "truth": {
        const { value } = tree;
        return { kind: "boolean", get: () => value };
      }
      case "field": return this.#field(tree);
      case "call": return this.#call(tree);
      case "minus": {
        const operand = this.#number(tree.operand);
        return { kind: "number", get: (read) => -operand(read) };
      }
      case "not": {
        const operand = this.truth(tree.operand);
        return { kind: "boolean", get: (read) => not(operand(read)) };
      }
      case "and": {
        const left = this.truth(tree.left);
        const right = this.truth(tree.right);
        return { kind: "boolean", get: (read) => and(left(read), right(read)) };
      }
      case "or": {
        const left = this.truth(tree.left);
        const right = this.truth(tree.right);
        return { kind: "boolean", get: (read) => or(left(read), right(read)) };
      }
      case "arithmetic": {
        const left = this.#number(tree.left);
        const right = this.#number(tree.right);
        const apply = arithmetic[tree.sign];
        return { kind: "number", get: (read) => apply(left(read), right(read)) };
      }
      case "compare": return { kind: "boolean", get: this.#comparison(tree, tree.sign) };
      default: return tree satisfies never;
    }
  }

  #field(tree: Expression & { kind: "field" }): Typed {
    const type: FieldType | undefined = this.#fields === "unknown" ? { kind: "any" } : this.#fields.get(tree.name);
    if (!type) {
      const names = this.#fields === "unknown" ? [] : [...this.#fields.keys()];
      const near = nearest(tree.name, names);
      this.#fault("unknownField", tree, `there is no signal "${tree.name}"`, near === undefined ? (names.length > 0 && names.length <= 12 ? `one of ${names.join(", ")}` : "") : `did you mean ${near}?`);
      return { kind: "any", get: () => undefined };
    }
    const known = this.slots.indexOf(tree.name);
    const slot = known >= 0 ? known : this.slots.push(tree.name) - 1;
    switch (type.kind) {
      case "number": return { kind: "number", get: (read) => numberOf(read(slot)), ...(type.names ? { names: type.names } : {}) };
      case "boolean": return { kind: "boolean", get: (read) => truthOf(read(slot)) };
      case "text": return { kind: "text", get: (read) => textOf(read(slot)), ...(type.values ? { values: type.values } : {}) };
      case "any": return { kind: "any", get: (read) => read(slot) };
      default: return type satisfies never;
    }
  }

  #call(tree: Expression & { kind: "call" }): Typed {
    const known = Object.hasOwn(functions, tree.name) ? functions[tree.name] : undefined;
    const args = tree.args.map((arg) => this.#number(arg));
    if (!known) {
      const near = nearest(tree.name, Object.keys(functions));
      this.#fault("unknownFunction", { from: tree.from, to: tree.nameTo }, `there is no function "${tree.name}"`, near === undefined ? `one of ${Object.keys(functions).join(", ")}` : `did you mean ${near}?`);
    } else if (args.length < known.arity[0] || args.length > known.arity[1]) {
      this.#fault("wrongArguments", tree, `${tree.name} has ${args.length} arguments`, known.arity[0] === known.arity[1] ? `${known.arity[0]} is right` : `${known.arity[0]} to ${known.arity[1]} are right`);
    }
    const [first, ...rest] = args;
    if (!known || !first) return { kind: "number", get: () => NaN };
    const { apply } = known;
    if (rest.length === 0) return { kind: "number", get: (read) => apply(first(read), 0) };
    const get: Numeric = (read) => {
      let result = first(read);
      for (const arg of rest) result = apply(result, arg(read));
      return result;
    };
    return { kind: "number", get };
  }

  #comparison(tree: Expression & { kind: "compare" }, sign: Comparison): Truth {
    const left = this.#compile(tree.left);
    const right = this.#compile(tree.right);
    const named = this.#namedValue(tree, left, right) ?? this.#namedValue(tree, right, left);
    if (named) return equality(sign, named) ?? this.#onlyEquality(tree, "names of values");
    if (left.kind === "any" || right.kind === "any") return compareUnknown(sign, left, right);
    if (left.kind !== right.kind) {
      this.#fault("wrongType", tree, `a ${left.kind} is compared with a ${right.kind}`, left.kind === "text" || right.kind === "text" ? "this signal has no value names: compare it with a number" : "");
      return () => undefined;
    }
    if (left.kind === "number" && right.kind === "number") return numberComparison(sign, left.get, right.get);
    this.#checkText(tree.left, right, left);
    this.#checkText(tree.right, left, right);
    if (sign !== "==" && sign !== "!=") return this.#onlyEquality(tree, left.kind === "text" ? "texts" : "truth values");
    const a: Unknown = left.get;
    const b: Unknown = right.get;
    return (read) => definite(a(read), b(read), sign);
  }

  /** A number with value names beside a text: the text becomes the number it names. */
  #namedValue(tree: Expression & { kind: "compare" }, side: Typed, other: Typed): { get: Numeric; value: number } | undefined {
    if (side.kind !== "number" || side.names === undefined || other.kind !== "text" || other.literal === undefined) return undefined;
    const value = side.names.get(other.literal);
    if (value === undefined) {
      const near = nearest(other.literal, side.names.keys());
      const at = tree.left.kind === "text" ? tree.left : tree.right;
      this.#fault("unknownValue", at, `"${other.literal}" is no name of a value`, near === undefined ? `one of ${[...side.names.keys()].slice(0, 12).join(", ")}` : `did you mean "${near}"?`);
    }
    return { get: side.get, value: value ?? NaN };
  }

  #checkText(tree: Expression, field: Typed, literal: Typed): void {
    if (field.kind !== "text" || field.values === undefined || literal.kind !== "text" || literal.literal === undefined || field.values.includes(literal.literal)) return;
    const near = nearest(literal.literal, field.values);
    this.#fault("unknownValue", tree, `"${literal.literal}" is not one of its values`, near === undefined ? `one of ${field.values.slice(0, 12).join(", ")}` : `did you mean "${near}"?`);
  }

  #onlyEquality(tree: Expression, what: string): Truth {
    this.#fault("wrongType", tree, `${what} have no order`, "use == or !=");
    return () => undefined;
  }

  #fault(code: ExpressionFault["code"], { from, to }: { from: number; to: number }, message: string, hint: string): void {
    this.faults.push({ code, from, to, message, hint });
  }
}

function equality(sign: Comparison, { get, value }: { get: Numeric; value: number }): Truth | undefined {
  if (sign !== "==" && sign !== "!=") return undefined;
  return numberComparison(sign, get, () => value);
}

function numberComparison(sign: Comparison, left: Numeric, right: Numeric): Truth {
  const apply = compareNumbers[sign];
  return (read) => {
    const a = left(read);
    const b = right(read);
    return Number.isFinite(a) && Number.isFinite(b) ? apply(a, b) : undefined;
  };
}

function compareUnknown(sign: Comparison, left: Typed, right: Typed): Truth {
  const a: Unknown = left.get;
  const b: Unknown = right.get;
  const apply = compareNumbers[sign];
  return (read) => {
    const x = plain(a(read));
    const y = plain(b(read));
    if (typeof x === "number" && typeof y === "number") return Number.isFinite(x) && Number.isFinite(y) ? apply(x, y) : undefined;
    return sign === "==" || sign === "!=" ? definite(x, y, sign) : undefined;
  };
}

/** Equality of two texts or two truth values; unknown for anything else. */
function definite(a: unknown, b: unknown, sign: "==" | "!="): boolean | undefined {
  if (typeof a !== typeof b || (typeof a !== "string" && typeof a !== "boolean")) return undefined;
  return (a === b) === (sign === "==");
}

const plain = (value: unknown): unknown => (typeof value === "bigint" ? Number(value) : value);
const numberOf = (value: unknown): number => (typeof value === "number" ? value : typeof value === "bigint" ? Number(value) : NaN);
const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
/** A one-bit signal counts as a truth value where the schema says so. */
const truthOf = (value: unknown): boolean | undefined => (typeof value === "boolean" ? value : value === 1 ? true : value === 0 ? false : undefined);

const not = (a: boolean | undefined) => (a === undefined ? undefined : !a);
const and = (a: boolean | undefined, b: boolean | undefined) => (a === false || b === false ? false : a === true && b === true ? true : undefined);
const or = (a: boolean | undefined, b: boolean | undefined) => (a === true || b === true ? true : a === false && b === false ? false : undefined);

/** Inputs for `npm run fuzz`: whatever the text, a verdict; whatever compiles answers any sample with true or false. */
import { compileExpression } from "./index.ts";
import type { FieldType } from "./index.ts";

const fields = new Map<string, FieldType>([
  ["velocity", { kind: "number" }],
  ["mode", { kind: "number", names: new Map([["Off", 0], ["Hold", 1]]) }],
  ["enabled", { kind: "boolean" }],
  ["label", { kind: "text", values: ["a", "b"] }],
]);
const samples: readonly unknown[] = [undefined, null, 0, 1, -1.5, NaN, Infinity, "a", "", true, false, 7n, {}];
const bytes = (value: string) => new TextEncoder().encode(value);

function run(input: Uint8Array): void {
  const text = new TextDecoder("utf-8").decode(input);
  for (const known of [fields, "unknown"] as const) {
    const { compiled, faults } = compileExpression(text, known);
    if ((compiled === undefined) !== (faults.length > 0)) throw new Error("neither an expression nor a fault, or both");
    for (const { from, to, message } of faults) if (!(from >= 0 && from <= to && to <= text.length) || message === "") throw new Error("a fault says too little");
    for (const sample of compiled ? samples : []) if (typeof compiled!.test(() => sample) !== "boolean") throw new Error("neither true nor false");
  }
}

export const fuzzTargets: { name: string; run(input: Uint8Array): void; seeds: Uint8Array[] }[] = [
  { name: "expression", run, seeds: ['abs(velocity) > 0.1 && mode != "Hold"', "!(enabled || velocity + 2 * -3 >= 0x10)", "min(velocity, 1e3) % 7 == 0", "label == 'a' && true"].map(bytes) },
];

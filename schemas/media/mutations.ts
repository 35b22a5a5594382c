/** For tests of other implementations: good payloads, changed at random, and what TypeScript makes of them. */
import * as fc from "fast-check";
import { fromHex, toHex } from "../testData.ts";
import { goodRows, spell } from "./testValues.ts";

/** Rows `ENCODING HEX SPELLED`, as c/vectors.ts writes them. */
export function mutatedRows(seed: number, count: number): string[] {
  const edits = fc.array(fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 127, 128, 255))), { minLength: 1, maxLength: 3 });
  return fc.sample(fc.tuple(fc.constantFrom(...goodRows), edits, fc.nat(19)), { seed, numRuns: count }).map(([{ encoding, payload }, changes, cut]) => {
    const bytes = fromHex(payload);
    for (const [at, value] of changes) bytes[at % Math.min(bytes.length, at % 2 === 0 ? 64 : 700)] = value;
    const kept = cut === 0 ? bytes.subarray(0, bytes.length - 1) : bytes;
    return `${encoding} ${toHex(kept)} ${spell(encoding, kept)}`;
  });
}

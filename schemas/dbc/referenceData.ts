/** For tests: the databases of the field and the frames that an independent implementation has decoded, beside the project. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { sharedData } from "../testData.ts";

/** One decoded frame. Large integers, NaN and infinities are strings in the reference file. */
export interface ReferenceFrame {
  /** Its database, within the folder. */
  f: string;
  id: number;
  ext: boolean;
  msg: string;
  data: string;
  raw: Record<string, number | string>;
  phy: Record<string, number | string>;
}

/** Where the databases lie; undefined on a machine without them. */
export const referenceFolder = (): string | undefined => sharedData("dbc");

/** All of its databases, within the folder. */
export function referenceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".dbc")).sort();
}

export function referenceFrames(folder: string): ReferenceFrame[] {
  return gunzipSync(readFileSync(join(folder, "expected.jsonl.gz"))).toString().trim().split("\n").map((line) => JSON.parse(line) as ReferenceFrame);
}

const words: Readonly<Record<string, number>> = { NaN: NaN, nan: NaN, Infinity, inf: Infinity, "-Infinity": -Infinity, "-inf": -Infinity };

/** The values as numbers; -0 is 0. */
export function referenceValues(values: ReferenceFrame["raw"]): Record<string, number | bigint> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, typeof value === "number" ? value + 0 : words[value] ?? BigInt(value)]));
}

/** The one place of this folder that opens a file. */
import { readFileSync } from "node:fs";
import type { Database } from "./model.ts";
import { parseDbc } from "./parse.ts";

/** Reads and parses `path`. Throws what `readFileSync` throws; what is in the file never throws (see parse.ts). */
export function loadDbcFile(path: string): Database {
  return parseDbc(readFileSync(path), { file: path });
}

/**
 * Writes the vectors as plain text for the C test, which has no JSON: `ENCODING HEX SPELLED` a line, "-" for no bytes; what is spelled is the value or the fault.
 * After a change to schemas/vectors/media.json: node dist/ts/schemas/media/c/vectors.js --write
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot, toHex } from "../../testData.ts";
import { badRows, goodRows } from "../testValues.ts";

export const mediaVectorsPath = "schemas/media/c/vectors.txt";

export function mediaVectors(): string {
  const lines = ["# Written by vectors.ts from schemas/vectors/media.json; do not edit."];
  for (const { encoding, payload, value } of goodRows) lines.push(`${encoding} ${payload} ${value}`);
  for (const { encoding, payload, fault } of badRows) lines.push(`${encoding} ${toHex(payload) || "-"} ${fault}`);
  return `${lines.join("\n")}\n`;
}

if (process.argv[2] === "--write") writeFileSync(join(projectRoot(), mediaVectorsPath), mediaVectors());

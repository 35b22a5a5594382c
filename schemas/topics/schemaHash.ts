/**
 * The 64-bit number that names a topic's schema, for encodings that have no record layout: two ends with different numbers do not talk (206).
 *
 * It is the first 8 bytes (big-endian) of SHA-256 of the text ["ipcnet schema 1", encoding, schema], written as JSON without spaces; the schema is the JSON Schema with the
 * keys of every object in the order of their UTF-16 units, or null when the topic has none. docs/specs/client-socket.md, section "Lanes".
 */
import { createHash } from "node:crypto";
import { canonicalJson } from "../canonicalJson.ts";

const withoutSchema = new Map<string, bigint>();

/** `jsonSchema`: a JSON value; undefined = none. */
export function schemaHash(encoding: string, jsonSchema: unknown): bigint {
  if (jsonSchema !== undefined && jsonSchema !== null) return hashOf(encoding, jsonSchema);
  const known = withoutSchema.get(encoding) ?? hashOf(encoding, null);
  withoutSchema.set(encoding, known);
  return known;
}

/** The 16 hexadecimal digits by which a hash is named on the wire. */
export function hashText(hash: bigint): string {
  return hash.toString(16).padStart(16, "0");
}

/** The id of a topic or an origin in a lineage: first 8 bytes (big-endian) of SHA-256 of its name. docs/specs/lanes.md, section "Ids". */
export function nameHash(name: string): bigint {
  return createHash("sha256").update(name).digest().readBigUInt64BE(0);
}

function hashOf(encoding: string, schema: unknown): bigint {
  return createHash("sha256").update(`["ipcnet schema 1",${JSON.stringify(encoding)},${canonicalJson(schema)}]`).digest().readBigUInt64BE(0);
}

/** The shared vectors: the same rows are to run in every language. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { compileMessage, parseDbc } from "./index.ts";

interface Row {
  name: string;
  database: string;
  message: string;
  data?: string;
  raw?: Record<string, number | string>;
  signals?: Record<string, number | string>;
  values?: Record<string, number>;
  reject?: string;
}

function readVectors(): { databases: Record<string, string>; rows: Row[] } {
  let root = import.meta.dirname;
  while (!existsSync(join(root, "package.json"))) root = dirname(root);
  return JSON.parse(readFileSync(join(root, "schemas/vectors/dbc-codec.json"), "utf8")) as { databases: Record<string, string>; rows: Row[] };
}

function numbers(values: Record<string, number | string>): Record<string, number | bigint> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, typeof value === "number" ? value : /^-?\d+$/.test(value) ? BigInt(value) : Number(value)]));
}

test("the shared codec vectors", () => {
  const { databases, rows } = readVectors();
  for (const { name, database, message, data: text, raw, signals, values, reject } of rows) {
    const codec = compileMessage(parseDbc(databases[database]!, { file: database }).messages.find((candidate) => candidate.name === message)!);
    if (text === undefined) {
      const result = codec.encode(values!);
      assert.equal(result.ok ? "ok" : result.code, reject, name);
      continue;
    }
    const data = Buffer.from(text, "hex");
    const decoded = codec.decode(data, 0, data.length);
    if (reject !== undefined) {
      assert.equal(decoded.ok ? "ok" : decoded.code, reject, name);
      continue;
    }
    assert.deepEqual(decoded, { ok: true, signals: numbers(signals!), raw: numbers(raw!) }, name);
    const encoded = codec.encode(decoded.signals);
    // Not a number is refused; everything else comes back, and here no unused bit is set.
    if (encoded.ok) assert.deepEqual(codec.decode(encoded.data, 0, encoded.data.length), decoded, name);
    else assert.equal(encoded.code, "notANumber", name);
  }
});

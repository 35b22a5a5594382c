/** The vectors that the C client runs too (shm/core/client/vectors_test.c). */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { layoutFromFields, type FieldDefinition } from "../../schemas/records/index.ts";
import { decodeCbor } from "./cborReader.ts";
import { CborWriter } from "./cborWriter.ts";

const vectors = join(import.meta.dirname, "../../../../schemas/vectors");

interface Row {
  name: string;
  hex: string;
  /** JSON text of the value, byte strings as base64url; undefined = it must be refused. */
  json?: string;
  /** Whether a writer makes just these bytes of the value. */
  written?: boolean;
}

describe("CBOR vectors", () => {
  for (const { name, hex, json, written } of JSON.parse(readFileSync(join(vectors, "cbor.json"), "utf8")) as Row[]) {
    test(name, () => {
      const result = decodeCbor(Buffer.from(hex, "hex"));
      assert.equal(result.ok, json !== undefined);
      if (!result.ok) return;
      const asJson = JSON.stringify(result.value ?? null, (_key, value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString("base64url") : value));
      assert.equal(asJson, json);
      if (written) assert.equal(Buffer.from(new CborWriter({ lengthMax: 65_536 }).value(JSON.parse(asJson)).take()).toString("hex"), hex);
    });
  }
});

test("records have the size, offsets and hash of the vectors", () => {
  const { records } = JSON.parse(readFileSync(join(vectors, "schema-hash.json"), "utf8")) as { records: { name: string; fields: FieldDefinition[]; hash: string; sizeBytes: number; offsetsBytes: number[] }[] };
  for (const { name, fields, hash, sizeBytes, offsetsBytes } of records) {
    const layout = layoutFromFields(name, fields);
    assert.deepEqual([layout.hash.toString(16).padStart(16, "0"), layout.sizeBytes, layout.fields.map((field) => field.offsetBytes)], [hash, sizeBytes, offsetsBytes]);
  }
});

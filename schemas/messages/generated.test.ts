import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Ajv } from "ajv";
import { configSchema } from "./configSchema.ts";
import { generatedFiles, sourceFolder } from "./generate.ts";

for (const [name, text] of generatedFiles()) {
  test(`${name} is what its schema says: else run node dist/ts/schemas/messages/generate.js`, () => {
    assert.equal(readFileSync(join(sourceFolder(), name), "utf8"), text);
  });
}

test("the schema is strict draft-07", () => {
  const ajv = new Ajv({ strict: true, strictTypes: false, allErrors: true });
  assert.equal(ajv.validateSchema(configSchema), true);
  ajv.compile(configSchema);
});

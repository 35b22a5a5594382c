/** Writes the files that are generated from the schemas of this folder; `generated.test.ts` says when that was forgotten. */
import { existsSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { configSchema } from "./configSchema.ts";
import { generateTypes } from "./generateTypes.ts";
import { mqttSchema } from "./mqttSchema.ts";
import { planSchema } from "./planSchema.ts";
import { policySchema } from "./policySchema.ts";
import type { RootSchema } from "./schema.ts";
import { statusSchema } from "./statusSchema.ts";

export const asJson = (schema: RootSchema): string => `${JSON.stringify(schema, null, 2)}\n`;

/** File name (in this folder) to what it must hold. */
export function generatedFiles(): Map<string, string> {
  return new Map([
    ["config.schema.json", asJson(configSchema)],
    ["mqtt.schema.json", asJson(mqttSchema)],
    ["plan.schema.json", asJson(planSchema)],
    ["policy.schema.json", asJson(policySchema)],
    ["status.schema.json", asJson(statusSchema)],
    ["config.ts", generateTypes(configSchema, { rootName: "Config", source: "configSchema.ts" })],
    ["plan.ts", generateTypes(planSchema, { rootName: "PlanFile", source: "planSchema.ts" })],
    ["policy.ts", generateTypes(policySchema, { rootName: "Policy", source: "policySchema.ts" })],
  ]);
}

/** The source folder: this module runs from dist. */
export function sourceFolder(): string {
  let root = import.meta.dirname;
  while (!existsSync(join(root, "package.json"))) root = dirname(root);
  return join(root, "schemas/messages");
}

if (process.argv[1] === import.meta.filename) {
  for (const [name, text] of generatedFiles()) writeFileSync(join(sourceFolder(), name), text);
}

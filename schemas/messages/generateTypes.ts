/** JSON Schema in, TypeScript out: one exported type for each definition, in the shape a value has after defaults were filled in. */
import { refName } from "./schema.ts";
import type { RootSchema, Schema } from "./schema.ts";

/** The text of a module. `rootName` is the type of the whole; a key is optional only if it is neither required nor has a default. */
export function generateTypes(root: RootSchema, { rootName, source }: { rootName: string; source: string }): string {
  const parts = [`// Generated from ${source} by generate.ts: change that file, then run \`npm run build && node dist/ts/schemas/messages/generate.js\`.`];
  const add = (name: string, schema: Schema) => {
    const comment = docComment(schema, "");
    if (schema.type === "object" && schema.properties) parts.push(`${comment}export interface ${name} ${objectBody(schema, "")}`);
    else parts.push(`${comment}export type ${name} = ${typeOf(schema, "")};`);
  };
  add(rootName, root);
  for (const [name, schema] of Object.entries(root.definitions)) add(name, schema);
  return `${parts.join("\n\n")}\n`;
}

function objectBody(schema: Schema, indent: string): string {
  const inner = `${indent}  `;
  const lines = Object.entries(schema.properties ?? {}).map(([key, property]) => {
    const certain = schema.required?.includes(key) === true || property.default !== undefined;
    return `${docComment(property, inner)}${inner}${key}${certain ? "" : "?"}: ${typeOf(property, inner)};`;
  });
  return `{\n${lines.join("\n")}\n${indent}}`;
}

function typeOf(schema: Schema, indent: string): string {
  if (schema.$ref !== undefined) return refName(schema.$ref);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const branches = schema.anyOf ?? schema.oneOf;
  if (branches) return branches.map((branch) => typeOf(branch, indent)).join(" | ");
  switch (schema.type) {
    case "string": return "string";
    case "integer": case "number": return "number";
    case "boolean": return "boolean";
    case "array": {
      const item = typeOf(schema.items ?? {}, indent);
      return `readonly ${/[ |{]/.test(item) ? `(${item})` : item}[]`;
    }
    case "object":
      if (schema.properties) return objectBody(schema, indent);
      return `Readonly<Record<string, ${typeOf(schema.additionalProperties === false ? {} : schema.additionalProperties ?? {}, indent)}>>`;
    case undefined: return "unknown";
    default: return schema.type satisfies never;
  }
}

function docComment(schema: Schema, indent: string): string {
  const words = [schema.description, defaultWords(schema)].filter((word) => word !== undefined).join(" ");
  return words === "" ? "" : `${indent}/** ${words.replaceAll("*/", "*\\/")} */\n`;
}

function defaultWords({ default: value }: Schema): string | undefined {
  if (value === undefined || typeof value === "object") return undefined;
  return `Default: ${JSON.stringify(value)}.`;
}

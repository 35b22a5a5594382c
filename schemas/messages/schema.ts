/**
 * The part of JSON Schema draft-07 that the schemas of this folder are written in, and that `readTree.ts` understands.
 * `title` says in people's words what a value looks like ("a whole number of milliseconds"): faults quote it as what was expected.
 */
export interface Schema {
  $ref?: string;
  title?: string;
  description?: string;
  default?: unknown;
  examples?: readonly unknown[];
  type?: "object" | "array" | "string" | "integer" | "number" | "boolean";
  const?: string | number | boolean;
  enum?: readonly (string | number)[];
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  items?: Schema;
  minItems?: number;
  maxItems?: number;
  properties?: Readonly<Record<string, Schema>>;
  required?: readonly string[];
  additionalProperties?: false | Schema;
  propertyNames?: Schema;
  minProperties?: number;
  maxProperties?: number;
  /** Scalars only: the first that fits is taken. */
  anyOf?: readonly Schema[];
  /** Objects only: the first entry of each branch's `required` is the key that tells the branches apart. */
  oneOf?: readonly Schema[];
}

/** A whole schema file: `definitions` are what `$ref: "#/definitions/NAME"` points to. */
export interface RootSchema extends Schema {
  $schema: "http://json-schema.org/draft-07/schema#";
  $id: string;
  definitions: Readonly<Record<string, Schema>>;
}

/** Follows `$ref`; what stands beside it (description, default) overrides what it points to. */
export function resolveRef(schema: Schema, root: RootSchema): Schema {
  if (schema.$ref === undefined) return schema;
  const { $ref, ...beside } = schema;
  const target = root.definitions[refName($ref)];
  if (!target) throw new Error(`the schema names ${$ref}, which does not exist`);
  return { ...resolveRef(target, root), ...beside };
}

export function refName(ref: string): string {
  return ref.slice("#/definitions/".length);
}

export function ref(name: string, beside: Omit<Schema, "$ref"> = {}): Schema {
  return { $ref: `#/definitions/${name}`, ...beside };
}

/** An object that knows exactly these keys. Keys ending in `?` may be missing and have no default; those with a `default` may be missing too. */
export function object(description: string, keys: Readonly<Record<string, Schema>>, more: Schema = {}): Schema {
  const properties: Record<string, Schema> = {};
  const required: string[] = [];
  for (const [key, schema] of Object.entries(keys)) {
    const name = key.replace(/\?$/, "");
    properties[name] = schema;
    if (name === key && schema.default === undefined) required.push(name);
  }
  return { type: "object", description, ...more, properties, ...(required.length > 0 ? { required } : {}), additionalProperties: false };
}

export function list(items: Schema, more: Schema = {}): Schema {
  return { type: "array", ...more, items };
}

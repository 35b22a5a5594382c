/** JSON Schema files of topics: read, compiled to see whether they can be, and asked for the fields they promise. */
import type { Ajv } from "ajv";
import { makeAjv } from "../ajv.ts";
import type { FieldType } from "../../expression/index.ts";
import type { Path } from "../fault.ts";
import type { CheckContext } from "./context.ts";
import type { FieldInfo, Fields } from "./fields.ts";

/** Deep enough for what a condition would name; a schema that refers to itself ends here. */
const depthMax = 6;
const fieldsMax = 2000;

/** Compiling the meta-schema takes as long as all the rest of a check: once a process is enough. */
let metaSchema: Ajv | undefined;

/** Throws with a sentence when `schema` is no JSON Schema that can be compiled. Nothing of it is kept. */
function compile(schema: object): void {
  metaSchema ??= makeAjv({ strict: false });
  if (metaSchema.validateSchema(schema) !== true) throw new Error(metaSchema.errorsText(metaSchema.errors, { dataVar: "schema" }));
  makeAjv({ strict: false, validateFormats: false, meta: false, validateSchema: false }).compile(schema);
}

type Json = Readonly<Record<string, unknown>>;

export class JsonSchemas {
  readonly #schemas = new Map<string, Json>();

  /** Reads and compiles the file; reports what is wrong with it. */
  load(context: CheckContext, file: string, path: Path): void {
    const text = context.readText(file, path);
    if (text === undefined || this.#schemas.has(file)) return;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      context.fault("badSchema", path, `"${file}" is no JSON: ${jsonErrorWords(error)}`, { elsewhere: { file, ...jsonErrorPlace(text, error) } });
      return;
    }
    try {
      if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("a schema is an object");
      compile(value);
      this.#schemas.set(file, value as Json);
    } catch (error) {
      context.fault("badSchema", path, `"${file}" is no JSON Schema: ${error instanceof Error ? error.message : ""}`, { elsewhere: { file, line: 1, column: 1 }, expected: "JSON Schema draft-07" });
    }
  }

  /** Those that can be used, by path. */
  get all(): ReadonlyMap<string, Json> {
    return this.#schemas;
  }

  fieldsOf(file: string | undefined): { fields: Fields; needed?: ReadonlySet<string> } {
    const schema = file === undefined ? undefined : this.#schemas.get(file);
    if (!schema) return { fields: "unknown" };
    const fields = new Map<string, FieldInfo>();
    const open = collect(schema, schema, "", fields, 0);
    return { fields: open ? "unknown" : fields, needed: new Set(Array.isArray(schema.required) ? schema.required.filter((name) => typeof name === "string") : []) };
  }
}

/** Adds the fields below `schema`, nested ones with dots; returns true when the schema leaves open which fields there are. */
function collect(schema: Json, root: Json, prefix: string, fields: Map<string, FieldInfo>, depth: number): boolean {
  const properties = isObject(schema.properties) ? schema.properties : undefined;
  if (!properties || depth > depthMax || fields.size > fieldsMax) return true;
  let open = false;
  for (const [name, given] of Object.entries(properties)) {
    const property = follow(given, root);
    const field = prefix + name;
    if (property.type === "object" || isObject(property.properties)) open = collect(property, root, `${field}.`, fields, depth + 1) || open;
    else fields.set(field, fieldInfo(property));
  }
  return open;
}

function fieldInfo(schema: Json): FieldInfo {
  const limit = (key: string) => (typeof schema[key] === "number" ? schema[key] : undefined);
  return { type: fieldType(schema), minimum: limit("minimum"), maximum: limit("maximum") };
}

function fieldType(schema: Json): FieldType {
  if (schema.type === "number" || schema.type === "integer") return { kind: "number" };
  if (schema.type === "boolean") return { kind: "boolean" };
  const words = Array.isArray(schema.enum) && schema.enum.every((word) => typeof word === "string") ? schema.enum : undefined;
  if (words) return { kind: "text", values: words };
  return schema.type === "string" ? { kind: "text" } : { kind: "any" };
}

function follow(given: unknown, root: Json): Json {
  let schema = isObject(given) ? given : {};
  for (let hops = 0; hops < 8 && typeof schema.$ref === "string" && schema.$ref.startsWith("#/"); hops++) {
    let target: unknown = root;
    for (const key of schema.$ref.slice(2).split("/")) target = isObject(target) ? target[key.replaceAll("~1", "/").replaceAll("~0", "~")] : undefined;
    schema = isObject(target) ? target : {};
  }
  return schema;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** V8 repeats the text in its message, over several lines and differently in each version. */
function jsonErrorWords(error: unknown): string {
  return error instanceof Error ? error.message.replace(/(, | in JSON|\n| \(line).*/s, "") : "";
}

/** V8 says "… at position N" in most cases. */
function jsonErrorPlace(text: string, error: unknown): { line: number; column: number } {
  const offset = Number(/position (\d+)/.exec(error instanceof Error ? error.message : "")?.[1] ?? 0);
  const before = text.slice(0, offset).split("\n");
  return { line: before.length, column: before.at(-1)!.length + 1 };
}

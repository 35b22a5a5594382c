/** What is known of a value before it exists: its type and range, by name within a sample. */
import type { FieldType } from "../../expression/index.ts";
import type { SerialMessage } from "../config.ts";

export interface FieldInfo {
  type: FieldType;
  minimum?: number | undefined;
  maximum?: number | undefined;
}

/** What samples hold by name; "unknown" where nothing says it. */
export type Fields = ReadonlyMap<string, FieldInfo> | "unknown";

export function serialFields(message: SerialMessage): ReadonlyMap<string, FieldInfo> {
  return new Map(
    message.fields.map((field) => {
      const names = field.values && new Map(Object.entries(field.values).map(([name, raw]) => [name, raw * field.factor + field.offset]));
      return [field.name, { type: { kind: "number", ...(names ? { names } : {}) }, minimum: field.minimum, maximum: field.maximum }];
    }),
  );
}

/** Signal names to types, as expressions want them. */
export function fieldTypes(fields: Fields): ReadonlyMap<string, FieldType> | "unknown" {
  return fields === "unknown" ? "unknown" : new Map([...fields].map(([name, { type }]) => [name, type]));
}

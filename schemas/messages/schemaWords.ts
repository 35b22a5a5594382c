/** Words that the schemas of this folder share: kinds of numbers and names, with the sentence that faults quote. */
import type { Schema } from "./schema.ts";

export const text = (title: string, description: string, more: Schema = {}): Schema => ({ type: "string", title, description, minLength: 1, maxLength: 256, ...more });
export const flag = (byDefault: boolean, description: string): Schema => ({ type: "boolean", title: "true or false", description, default: byDefault });
export const whole = (title: string, description: string, minimum: number, maximum: number, more: Schema = {}): Schema =>
  ({ type: "integer", title: `${title}, ${minimum} to ${maximum}`, description, minimum, maximum, ...more });
export const milliseconds = (description: string, minimum: number, maximum: number, more: Schema = {}): Schema => whole("a whole number of milliseconds", description, minimum, maximum, more);
export const number = (description: string, more: Schema = {}): Schema => ({ type: "number", title: "a number", description, ...more });
export const hourMs = 3_600_000;
export const linkName: Schema = { type: "string", title: "a name: a lower-case letter, then lower-case letters, digits, - and _, at most 32 in all", pattern: "^[a-z][a-z0-9_-]{0,31}$" };
export const fieldName: Schema = { type: "string", title: "a name: a letter or _, then letters, digits and _, at most 64 in all", pattern: "^[A-Za-z_][A-Za-z0-9_]{0,63}$" };
export const messageName: Schema = { ...fieldName, title: "a message name: a letter or _, then letters, digits and _, at most 128 in all", pattern: "^[A-Za-z_][A-Za-z0-9_]{0,127}$" };
export const topicName: Schema = { type: "string", title: "a topic name such as can/arm/State: levels of letters, digits, . _ and -, separated by /, at most 16", pattern: "^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,15}$", maxLength: 200 };
export const withText = (schema: Schema, description: string, more: Schema = {}): Schema => ({ ...schema, description, ...more });
export const none: readonly unknown[] = [];

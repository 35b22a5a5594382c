/** Reads the fields of a decoded CBOR map, one check each. The first fault stays; after it the values returned are place holders that nobody uses. */
import { TEXT_LENGTH_MAX } from "./limits.ts";

export class Fields {
  readonly #map: Readonly<Record<string, unknown>>;
  /** The first thing that was wrong. */
  fault: string | undefined;
  readonly #path: string;

  constructor(map: Readonly<Record<string, unknown>>, path = "") {
    this.#map = map;
    this.#path = path;
  }

  /** An integer from `minimum` to `maximum`. */
  integer(name: string, minimum: number, maximum: number): number {
    const value = this.#own(name);
    if (typeof value === "number" && Number.isInteger(value) && value >= minimum && value <= maximum) return value;
    this.#fail(name, `an integer from ${minimum} to ${maximum}`);
    return minimum;
  }

  optionalInteger(name: string, minimum: number, maximum: number): number | undefined {
    return this.#absent(name) ? undefined : this.integer(name, minimum, maximum);
  }

  /** A finite number from `minimum` to `maximum`. */
  number(name: string, minimum: number, maximum: number): number {
    const value = this.#own(name);
    if (typeof value === "number" && value >= minimum && value <= maximum) return value;
    this.#fail(name, `a number from ${minimum} to ${maximum}`);
    return minimum;
  }

  optionalNumber(name: string, minimum: number, maximum: number): number | undefined {
    return this.#absent(name) ? undefined : this.number(name, minimum, maximum);
  }

  text(name: string, lengthMax: number = TEXT_LENGTH_MAX): string {
    const value = this.#own(name);
    if (typeof value === "string" && value.length <= lengthMax) return value;
    this.#fail(name, `a text of at most ${lengthMax} characters`);
    return "";
  }

  optionalText(name: string, lengthMax: number = TEXT_LENGTH_MAX): string | undefined {
    return this.#absent(name) ? undefined : this.text(name, lengthMax);
  }

  boolean(name: string, fallback: boolean): boolean {
    if (this.#absent(name)) return fallback;
    const value = this.#own(name);
    if (typeof value !== "boolean") this.#fail(name, "true or false");
    return value === true;
  }

  choice<T extends string>(name: string, choices: readonly T[]): T {
    const value = this.#own(name);
    const found = choices.find((choice) => choice === value);
    if (found === undefined) this.#fail(name, `one of ${choices.join(", ")}`);
    return found ?? choices[0]!;
  }

  /** `digits` hexadecimal digits, small letters. */
  hex(name: string, digits: number): string {
    const value = this.#own(name);
    if (typeof value === "string" && value.length === digits && /^[0-9a-f]+$/.test(value)) return value;
    this.#fail(name, `${digits} hexadecimal digits`);
    return "0".repeat(digits);
  }

  bytes(name: string): Uint8Array {
    const value = this.#own(name);
    if (value instanceof Uint8Array) return value;
    this.#fail(name, "a byte string");
    return new Uint8Array(0);
  }

  /** An array of at most `countMax` items, each read by `item`. */
  list<T>(name: string, countMax: number, item: (fields: Fields) => T): T[] {
    const value = this.#own(name);
    if (!Array.isArray(value) || value.length > countMax) {
      this.#fail(name, `an array of at most ${countMax} items`);
      return [];
    }
    const items: T[] = [];
    for (let i = 0; i < value.length && this.fault === undefined; i++) {
      const fields = new Fields(isMap(value[i]) ? value[i] : {}, `${name}[${i}].`);
      items.push(item(fields));
      this.fault ??= isMap(value[i]) ? fields.fault : `${name}[${i}] must be a map`;
    }
    return items;
  }

  integers(name: string, countMax: number): number[] {
    const value = this.#own(name);
    if (Array.isArray(value) && value.length <= countMax && value.every((item) => Number.isSafeInteger(item))) return value;
    this.#fail(name, `an array of at most ${countMax} integers`);
    return [];
  }

  /** An array of at most `countMax` texts. */
  texts(name: string, countMax: number, lengthMax: number): string[] {
    const value = this.#own(name);
    if (Array.isArray(value) && value.length <= countMax && value.every((item) => typeof item === "string" && item.length <= lengthMax)) return value;
    this.#fail(name, `an array of at most ${countMax} texts of at most ${lengthMax} characters`);
    return [];
  }

  /** A nested map as it is, with at most `entriesMax` entries. */
  plainMap(name: string, entriesMax: number): Record<string, unknown> {
    const value = this.#own(name);
    if (isMap(value) && Object.keys(value).length <= entriesMax) return value;
    this.#fail(name, `a map of at most ${entriesMax} entries`);
    return {};
  }

  /** A nested map; an absent one reads as empty. */
  map(name: string): Fields {
    const value = this.#own(name);
    if (!isMap(value)) this.#fail(name, "a map");
    return new Fields(isMap(value) ? value : {}, `${this.#path}${name}.`);
  }

  any(name: string): unknown {
    return this.#own(name);
  }

  has(name: string): boolean {
    return !this.#absent(name);
  }

  #own(name: string): unknown {
    return Object.hasOwn(this.#map, name) ? this.#map[name] : undefined;
  }

  #absent(name: string): boolean {
    const value = this.#own(name);
    return value === undefined || value === null;
  }

  #fail(name: string, expected: string): void {
    this.fault ??= `${this.#path}${name} must be ${expected}`;
  }
}

/** Whether `value` is a decoded CBOR map. */
export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

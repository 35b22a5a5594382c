/** A layout as JSON, so that a client decodes records without the DBC file. The hash travels along and is not recomputed. */
import { FIELD_SIZE_BYTES, type FieldType, type RecordField, type RecordLayout } from "./layout.ts";

/** docs/specs/records.md. Integers beyond 2^53 in `values` are strings. */
export interface LayoutJson {
  name: string;
  /** 16 hexadecimal digits. */
  hash: string;
  sizeBytes: number;
  presenceBytes?: number;
  fields: { name: string; type: FieldType; offsetBytes: number; unit?: string; minimum?: number; maximum?: number; values?: [number | string, string][] }[];
}

export function layoutToJson(layout: RecordLayout): LayoutJson {
  return {
    name: layout.name,
    hash: layout.hash.toString(16).padStart(16, "0"),
    sizeBytes: layout.sizeBytes,
    ...(layout.presence === undefined ? {} : { presenceBytes: layout.presence.sizeBytes }),
    fields: layout.fields.map(({ name, type, offsetBytes, unit, minimum, maximum, valueNames }) => ({
      name, type, offsetBytes,
      ...(unit === "" ? {} : { unit }), ...(minimum === undefined ? {} : { minimum }), ...(maximum === undefined ? {} : { maximum }),
      ...(valueNames === undefined ? {} : { values: [...valueNames].map(([value, word]): [number | string, string] => [typeof value === "bigint" ? String(value) : value, word]) }),
    })),
  };
}

const FIELDS_MAX = 4096;
const SIZE_BYTES_MAX = 65_536;

/** The layout in `json`, which may come from anywhere: undefined unless every field lies within the record and all is of the right type. */
export function layoutFromJson(json: unknown): RecordLayout | undefined {
  if (!isObject(json)) return undefined;
  const { name, hash, sizeBytes, presenceBytes = 0, fields } = json;
  if (typeof name !== "string" || typeof hash !== "string" || !/^[0-9a-f]{16}$/.test(hash) || !isSize(sizeBytes, SIZE_BYTES_MAX) || sizeBytes % 8 !== 0) return undefined;
  if (!isSize(presenceBytes, sizeBytes) || !Array.isArray(fields) || fields.length > FIELDS_MAX) return undefined;
  if (presenceBytes > 0 && presenceBytes * 8 < fields.length) return undefined;
  const read = fields.map((field: unknown) => fieldFromJson(field, sizeBytes));
  if (!read.every((field) => field !== undefined)) return undefined;
  return { name, fields: read, presence: presenceBytes > 0 ? { offsetBytes: 0, sizeBytes: presenceBytes } : undefined, sizeBytes, hash: BigInt(`0x${hash}`) };
}

function fieldFromJson(json: unknown, recordBytes: number): RecordField | undefined {
  if (!isObject(json)) return undefined;
  const { name, type, offsetBytes, unit = "", minimum, maximum, values } = json;
  if (typeof name !== "string" || name === "__proto__" || typeof type !== "string" || !Object.hasOwn(FIELD_SIZE_BYTES, type) || typeof unit !== "string") return undefined;
  const fieldType = type as FieldType;
  if (!isSize(offsetBytes, recordBytes - FIELD_SIZE_BYTES[fieldType]) || !isOptionalNumber(minimum) || !isOptionalNumber(maximum)) return undefined;
  const valueNames = values === undefined ? undefined : valuesFromJson(values);
  if (values !== undefined && valueNames === undefined) return undefined;
  return { name, type: fieldType, offsetBytes, unit, minimum, maximum, valueNames };
}

function valuesFromJson(json: unknown): Map<number | bigint, string> | undefined {
  if (!Array.isArray(json)) return undefined;
  const names = new Map<number | bigint, string>();
  for (const entry of json as unknown[]) {
    if (!Array.isArray(entry)) return undefined;
    const [value, word] = entry as unknown[];
    if (typeof word !== "string") return undefined;
    if (typeof value === "number") names.set(value, word);
    else if (typeof value === "string" && /^-?\d{1,40}$/.test(value)) names.set(BigInt(value), word);
    else return undefined;
  }
  return names;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSize(value: unknown, greatest: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= greatest;
}

function isOptionalNumber(value: unknown): value is number | undefined {
  return value === undefined || typeof value === "number";
}

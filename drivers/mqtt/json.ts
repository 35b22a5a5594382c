/**
 * JSON from strangers: size and nesting are known before `JSON.parse` runs, and what its last-one-wins and its infinities would hide is refused.
 */
import type { PayloadLimits } from "./limits.ts";
import { PAYLOAD_LIMITS } from "./limits.ts";

export type JsonFault = "tooLong" | "tooDeep" | "tooManyItems" | "badText" | "malformed" | "duplicateKey" | "badKey" | "notFinite";
export type JsonResult = { ok: true; value: unknown } | { ok: false; code: JsonFault; text: string };

const strictText = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const refuse = (code: JsonFault, text: string): JsonResult => ({ ok: false, code, text });

/** Decodes one value; never throws. Cost is linear in the bytes. */
export function decodeJson(bytes: Uint8Array, limits: PayloadLimits = PAYLOAD_LIMITS): JsonResult {
  if (bytes.length > limits.bytesMax) return refuse("tooLong", `${bytes.length} bytes, at most ${limits.bytesMax}`);
  const shape = scanShape(bytes, limits);
  if (typeof shape === "string") return refuse(shape, shape === "tooDeep" ? `nested deeper than ${limits.depthMax}` : `more than ${limits.itemsMax} values`);
  let value: unknown;
  try {
    value = JSON.parse(strictText.decode(bytes));
  } catch (error) {
    // SyntaxError from the parser, TypeError from the text decoder: both become a typed rejection.
    return error instanceof SyntaxError ? refuse("malformed", error.message) : refuse("badText", "not UTF-8");
  }
  const census = { members: 0 };
  const fault = walk(value, census);
  if (fault !== undefined) return fault;
  if (census.members !== shape.members) return refuse("duplicateKey", "a key appears twice");
  return { ok: true, value };
}

/** Nesting and members as written, strings skipped. Valid JSON has one colon outside strings for each member. */
function scanShape(bytes: Uint8Array, limits: PayloadLimits): { members: number } | "tooDeep" | "tooManyItems" {
  let depth = 0;
  let members = 0;
  let commas = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (inString) {
      if (byte === 0x5c) i += 1;
      else if (byte === 0x22) inString = false;
      continue;
    }
    if (byte === 0x22) inString = true;
    else if (byte === 0x3a) members += 1;
    else if (byte === 0x2c) commas += 1;
    else if (byte === 0x5b || byte === 0x7b) depth += 1;
    else if (byte === 0x5d || byte === 0x7d) depth -= 1;
    if (depth > limits.depthMax) return "tooDeep";
    if (commas >= limits.itemsMax) return "tooManyItems";
  }
  return { members };
}

/** Depth is bounded by the scan. */
function walk(value: unknown, census: { members: number }): JsonResult | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? undefined : refuse("notFinite", "a number is beyond the range of a double");
  if (typeof value !== "object" || value === null) return undefined;
  if (Array.isArray(value)) {
    for (const item of value) {
      const fault = walk(item, census);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }
  for (const [key, item] of Object.entries(value)) {
    census.members += 1;
    if (key === "__proto__") return refuse("badKey", "no key may be __proto__");
    const fault = walk(item, census);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** JSON as the verbs print it: one object a line, every value a program can read back. */
import { printable } from "../view/text.ts";

/**
 * Integers beyond 2^53 become strings, bytes a hexadecimal string, other typed arrays plain arrays; NaN and the infinities, which JSON
 * does not know, the strings "NaN", "Infinity", "-Infinity".
 */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) => {
    if (typeof member === "bigint") return Number.isSafeInteger(Number(member)) ? Number(member) : member.toString();
    if (typeof member === "number" && !Number.isFinite(member)) return String(member);
    if (isSerializedBuffer(member)) return Buffer.from(member.data).toString("hex");
    if (member instanceof Uint8Array) return Buffer.from(member).toString("hex");
    if (ArrayBuffer.isView(member) && !(member instanceof DataView)) return Array.from(member as unknown as ArrayLike<number>);
    if (member instanceof Map) return Object.fromEntries(member);
    return member;
  }) ?? "null";
}

/** Buffers turn themselves into this before the replacer sees them. */
function isSerializedBuffer(member: unknown): member is { type: "Buffer"; data: number[] } {
  return typeof member === "object" && member !== null && (member as { type?: unknown }).type === "Buffer" && Array.isArray((member as { data?: unknown }).data);
}

/** A value on one line for people: `angle=1.5 state="Hold"` for a record, JSON for the rest. */
export function inWords(value: unknown): string {
  if (typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value)) {
    return Object.entries(value).map(([key, member]) => `${printable(key)}=${word(member)}`).join(" ");
  }
  return printable(toJson(value));
}

function word(member: unknown): string {
  if (typeof member === "bigint" || typeof member === "number") return String(member);
  return printable(typeof member === "string" && /^[\w.+-]+$/.test(member) ? member : toJson(member));
}

/** Seconds since 1970 with microseconds, as candump writes them and `ipcnet decode --json` prints them. */
export function wallSeconds(wallTimeNs: bigint): number {
  return Number(wallTimeNs / 1000n) / 1e6;
}

/** Fields that several families of control messages share. */
import type { Fields } from "./fields.ts";

export const U32_MAX = 0xffff_ffff;

/** A caller's number: 0 is "answers nobody". */
export function seq(f: Fields): number {
  return f.integer("seq", 1, U32_MAX);
}

export function status(f: Fields): number {
  return f.integer("status", 100, U32_MAX);
}

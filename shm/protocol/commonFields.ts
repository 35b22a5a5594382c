/** Fields that several families of control messages share. */
import type { Fields } from "./fields.ts";
import { DESCRIPTORS_PER_MESSAGE_MAX } from "./limits.ts";

export const U32_MAX = 0xffff_ffff;

/** A caller's number: 0 is "answers nobody". */
export function seq(f: Fields): number {
  return f.integer("seq", 1, U32_MAX);
}

export function status(f: Fields): number {
  return f.integer("status", 100, U32_MAX);
}

/** How many descriptors came with the message, by its own word (absent: none); the receiver compares it with what did come. */
export function fds(f: Fields): number | undefined {
  return f.optionalInteger("fds", 1, DESCRIPTORS_PER_MESSAGE_MAX);
}

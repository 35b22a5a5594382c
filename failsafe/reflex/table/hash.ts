/** By which a table is known: SHA-256 of everything after the hash itself. The generation is not in it: the same table, compiled again, is the same table. */
import { createHash } from "node:crypto";
import { headerStruct } from "./layout.ts";

export function tableHash(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes.subarray(headerStruct.offsets.brainTimeoutUs)).digest();
}

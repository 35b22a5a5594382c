/** Finds and reads test vectors and recordings. Tests run from dist; the vectors lie beside the sources, others' data beside the project. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The nearest folder upwards that holds package.json. */
export function projectRoot(): string {
  let at = import.meta.dirname;
  while (!existsSync(join(at, "package.json"))) at = dirname(at);
  return at;
}

/** A file of schemas/vectors/, parsed. */
export function vectors(name: string): unknown {
  return JSON.parse(readFileSync(join(projectRoot(), "schemas/vectors", name), "utf8"));
}

/** Where `../shared/data/<name>` is, or undefined where the machine has no such folder. */
export function sharedData(name: string): string | undefined {
  const path = join(projectRoot(), "../shared/data", name);
  return existsSync(path) ? path : undefined;
}

export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, "hex"));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The folder with package.json, above the compiled file as well as above the source. */
export function projectRoot(): string {
  let at = import.meta.dirname;
  while (!existsSync(join(at, "package.json"))) at = dirname(at);
  return at;
}

export function version(): string {
  return (JSON.parse(readFileSync(join(projectRoot(), "package.json"), "utf8")) as { version: string }).version;
}

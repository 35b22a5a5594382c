/** The libraries of those we are compared with are installed only for the comparison, from their own package.json: `npm ci` in bench/fabric/libraries. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { projectRoot } from "../paths.ts";

const folder = join(projectRoot, "bench/fabric/libraries");
const fromPeers = createRequire(join(folder, "package.json"));

/** A library's module; throws when it is not installed. */
export function library(name: string): unknown {
  return fromPeers(name);
}

export function missingLibrary(name: string): string | undefined {
  return existsSync(join(folder, "node_modules", name)) ? undefined : `${name} is not installed: npm ci --prefix bench/fabric/libraries`;
}

export function missingProgram(name: string, debianPackage: string): string | undefined {
  try {
    execFileSync("sh", ["-c", `command -v ${name} || ls /usr/sbin/${name}`], { stdio: "ignore" });
    return undefined;
  } catch {
    return `${name} is not installed: apt-get install ${debianPackage}`;
  }
}

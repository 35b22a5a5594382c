// What the scripts share: where things are, running a program, and saying in one sentence what is missing.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const dist = join(root, "dist");
export const storeys = ["schemas", "shm", "drivers", "failsafe", "gateway", "hil-tests"];

/** Ends the script with one sentence and the command that mends it. */
export function refuse(sentence, remedy) {
  process.stderr.write(`ipcnet: ${sentence}\n${remedy ? `        remedy: ${remedy}\n` : ""}`);
  process.exit(1);
}

/** Runs a program from the root, its output passed through; ends the script with the program's code if it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
  if (result.error) refuse(`cannot run ${command}: ${result.error.message}`);
  if (result.signal) process.exit(130);
  if (result.status !== 0) process.exit(result.status ?? 1);
}

/** Whether a program can be started at all. */
export function has(command) {
  return spawnSync(command, ["--version"], { stdio: "ignore" }).error === undefined;
}

/** All files below `folder` whose path satisfies `keep`, sorted, node_modules and dist left out. */
export function files(folder, keep) {
  const found = [];
  const walk = (at) => {
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      if (entry.name === "node_modules" || entry.name === "dist" || entry.name === ".git") continue;
      const path = join(at, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (keep(path)) found.push(path);
    }
  };
  if (existsSync(folder)) walk(folder);
  return found.sort((a, b) => (a < b ? -1 : 1));
}

/** A hash over the contents of `paths` and `extra`, to tell whether a build step must run again. */
export function fingerprint(paths, extra = "") {
  const hash = createHash("sha256").update(extra);
  for (const path of paths) hash.update(relative(root, path)).update("\0").update(readFileSync(path));
  return hash.digest("hex");
}

/** Undefined: there is no such file (any more). */
export function readIfThere(path) {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
    return undefined;
  }
}

/** Runs `step` unless `result` exists and `stampFile` holds `print`; writes the stamp only after the step succeeded. */
export function unlessStamped({ stampFile, print, result }, step) {
  if (existsSync(result) && readIfThere(stampFile) === print) return false;
  // A step that is cut short leaves no result that counts.
  rmSync(stampFile, { force: true });
  step();
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, print);
  return true;
}

export { existsSync, join, relative, statSync, readFileSync, mkdirSync };

/** Generated files into a folder: each whole or not at all, those that are the same already untouched (so that make does not build anew), and the comparison for CI. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CliError, ExitCode } from "./command.ts";

export interface TextFile {
  /** Without folders. */
  name: string;
  text: string;
}

export interface FileState {
  name: string;
  state: "written" | "unchanged" | "missing" | "stale";
}

/** What writing would change. */
export function differences(folder: string, files: readonly TextFile[]): FileState[] {
  return files.map(({ name, text }) => {
    const there = read(join(folder, name));
    return { name, state: there === undefined ? "missing" : there === text ? "unchanged" : "stale" };
  });
}

/**
 * All files are written beside their places first and renamed only when every one is whole: a full disk or a killed process leaves the old ones. Makes the folder.
 * Throws CliError for what the user can mend.
 */
export function writeAll(folder: string, files: readonly TextFile[]): FileState[] {
  const states = differences(folder, files);
  const changed = files.filter((_file, index) => states[index]!.state !== "unchanged");
  const beside = (name: string): string => join(folder, `.${name}.${process.pid}.tmp`);
  try {
    if (changed.length > 0) mkdirSync(folder, { recursive: true });
    for (const { name, text } of changed) writeFileSync(beside(name), text, { flush: true });
    for (const { name } of changed) renameSync(beside(name), join(folder, name));
  } catch (error) {
    for (const { name } of changed) rmSync(beside(name), { force: true });
    throw new CliError(ExitCode.usage, `cannot write to ${folder}: ${(error as Error).message}`, "give a folder that can be written: --out DIR");
  }
  return states.map(({ name, state }) => ({ name, state: state === "unchanged" ? state : "written" }));
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new CliError(ExitCode.usage, `cannot read ${path}: ${(error as Error).message}`);
  }
}

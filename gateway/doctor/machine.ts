/** The only file of the doctor that touches the machine. */
import { execFile } from "node:child_process";
import { accessSync, constants, readdirSync, readFileSync } from "node:fs";

export interface CommandResult {
  code: number;
  stdout: string;
  stderr: string;
}

export interface Machine {
  /** The text of a file; undefined when there is none or it may not be read. */
  read(path: string): string | undefined;
  /** The names in a folder; undefined when there is none. */
  list(path: string): readonly string[] | undefined;
  /** Runs a program to its end (at most 5 s); undefined when there is no such program. */
  run(command: readonly string[]): Promise<CommandResult | undefined>;
  /** Whether this user may read and write the path. */
  mayUse(path: string): boolean;
  readonly nodeVersion: string;
  readonly arch: string;
  readonly nodePath: string;
  readonly uid: number;
  readonly gids: readonly number[];
}

export const realMachine: Machine = {
  read(path) {
    return orUndefined(() => readFileSync(path, "utf8"));
  },
  list(path) {
    return orUndefined(() => readdirSync(path).sort());
  },
  run([program, ...words]) {
    return new Promise((resolve) => {
      execFile(program!, words, { timeout: 5000, encoding: "utf8" }, (error, stdout, stderr) => {
        const code: unknown = error?.code;
        if (code === "ENOENT" || code === "EACCES") resolve(undefined);
        else resolve({ code: error ? (typeof code === "number" ? code : 1) : 0, stdout, stderr });
      });
    });
  },
  mayUse(path) {
    return orUndefined(() => accessSync(path, constants.R_OK | constants.W_OK) ?? true) ?? false;
  },
  nodeVersion: process.versions.node,
  arch: process.arch,
  nodePath: process.execPath,
  uid: process.getuid?.() ?? 0,
  gids: process.getgroups?.() ?? [],
};

/** What cannot be read is a fact about the machine, not an error of ours. */
function orUndefined<T>(attempt: () => T): T | undefined {
  try {
    return attempt();
  } catch {
    return undefined;
  }
}

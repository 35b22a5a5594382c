/**
 * What each file of `ipcnet`'s verbs exports: a function that hangs its command into commander's tree.
 * Exit codes: 0 it worked; 1 a problem was found (a file with findings, a frame rejected); 2 wrong usage or unreadable input;
 * 3 the gateway cannot be reached; 4 not permitted; 5 the safe pose failed; 130 and 143 ended by SIGINT and SIGTERM (128 + the signal's number).
 * Data goes to stdout, everything else to stderr. `--json`, `--no-color` and `--socket PATH` are given to every verb by the program.
 */
import type { Command } from "commander";
import type { Readable, Writable } from "node:stream";
import type { CliServices } from "./services.ts";

export const ExitCode = { ok: 0, problem: 1, usage: 2, unreachable: 3, notPermitted: 4, failed: 5 } as const;

export interface CliContext {
  stdin: Readable;
  stdout: Writable & { isTTY?: boolean; columns?: number; rows?: number };
  stderr: Writable & { isTTY?: boolean };
  env: Readonly<Record<string, string | undefined>>;
  /** Set by a command; the process ends with it once everything is written. */
  exitCode: number;
  /** Aborted on SIGINT and SIGTERM: long-running verbs end cleanly. */
  signal: AbortSignal;
  /** What reaches out of the process; what is absent is the real thing. Tests hand in their own. */
  services?: Partial<CliServices>;
}

export type Register = (program: Command, context: CliContext) => void;

/** Thrown by a verb to end with one sentence on stderr (and, with --json, an object on stdout). */
export class CliError extends Error {
  readonly exitCode: number;
  readonly remedy: string | undefined;
  constructor(exitCode: number, message: string, remedy?: string) {
    super(message);
    this.name = "CliError";
    this.exitCode = exitCode;
    this.remedy = remedy;
  }
}

/** A C program (c_program.c) as a test's child. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { LinesOfChild } from "../lines.ts";

export const root = join(import.meta.dirname, "../../../..");
const program = join(root, "dist/native/test/c_program");

export class CProgram extends LinesOfChild {
  /** Starts `command`, whose lines are taken as they are (default: c_program with the socket as its first argument, whose lines are JSON). */
  constructor(t: TestContext, socketPath: string, args: readonly string[], command?: string) {
    const child = spawn(command ?? program, command === undefined ? [socketPath, ...args] : args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, IPCNET_SOCKET: socketPath } });
    super(t, child, command === undefined ? JSON.parse : String);
  }
}

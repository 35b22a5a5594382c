/** A C program (c_program.c) as a test's child: what it prints, line by line, and what it answers. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { eventually } from "../waiting.ts";

export const root = join(import.meta.dirname, "../../../..");
const program = join(root, "dist/native/test/c_program");

export class CProgram {
  readonly child: ChildProcess;
  readonly lines: unknown[] = [];
  #errors = "";

  /** Starts `command` (default: c_program with the socket as its first argument); it is killed when the test ends. */
  constructor(t: TestContext, socketPath: string, args: readonly string[], command?: string) {
    this.child = spawn(command ?? program, command === undefined ? [socketPath, ...args] : args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, IPCNET_SOCKET: socketPath } });
    let text = "";
    this.child.stdout!.setEncoding("utf8").on("data", (chunk: string) => {
      const parts = (text + chunk).split("\n");
      text = parts.pop()!;
      for (const line of parts) this.lines.push(command === undefined ? JSON.parse(line) : line);
    });
    this.child.stderr!.setEncoding("utf8").on("data", (chunk: string) => (this.#errors += chunk));
    this.child.stdin!.on("error", () => {
      // It is gone: whoever waits for its answer is told by `line`.
    });
    t.after(() => this.kill());
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Line `index` (from 0), when it has been printed; rejects when the program ends before. */
  line<T>(index: number): Promise<T> {
    return eventually(`line ${index}`, () => {
      if (this.lines.length <= index && this.hasEnded) throw new Error(`the program ended (${this.child.exitCode ?? this.child.signalCode}): ${this.#errors}`);
      return this.lines.length > index ? { line: this.lines[index] } : undefined;
    }, { timeoutMs: 60_000, last: () => [this.lines.at(-1), this.#errors] }).then(({ line }) => line as T);
  }

  ask<T>(word: string): Promise<T> {
    const next = this.lines.length;
    this.child.stdin!.write(`${word}\n`);
    return this.line<T>(next);
  }

  /** Resolves with its exit code, and what it wrote on stderr. */
  async ended(): Promise<{ code: number | null; errors: string }> {
    if (!this.hasEnded) await once(this.child, "close");
    return { code: this.child.exitCode, errors: this.#errors };
  }

  async kill(): Promise<void> {
    if (this.hasEnded) return;
    const closed = once(this.child, "close");
    this.child.kill("SIGKILL");
    await closed;
  }
}

/** A child process of a test that says one thing a line, and is asked by lines on stdin. */
import type { ChildProcess } from "node:child_process";
import type { TestContext } from "node:test";
import { eventually } from "./waiting.ts";

/** Starting a program with the address sanitizer in it takes long on a busy machine. */
const PATIENCE_MS = 60_000;

export class LinesOfChild {
  readonly child: ChildProcess;
  /** What it has said, in order. */
  readonly lines: unknown[] = [];
  #errors = "";
  readonly #closed: Promise<void>;
  /** It is gone and all that it has said is here: a process can be gone while the last of it is still in a pipe. */
  #isClosed = false;

  /** Of a child with pipes for all three; it is killed when the test ends. `parse`: what a line means. */
  constructor(t: TestContext, child: ChildProcess, parse: (line: string) => unknown = JSON.parse) {
    this.child = child;
    this.#closed = new Promise((resolve) => child.once("close", () => {
      this.#isClosed = true;
      resolve();
    }));
    let text = "";
    child.stdout!.setEncoding("utf8").on("data", (chunk: string) => {
      const parts = (text + chunk).split("\n");
      text = parts.pop()!;
      for (const line of parts) this.lines.push(parse(line));
    });
    child.stderr!.setEncoding("utf8").on("data", (chunk: string) => (this.#errors += chunk));
    child.stdin!.on("error", () => {
      // It is gone: whoever waits for its answer is told by `line`.
    });
    t.after(() => this.kill());
  }

  /** The first line from `from` on that satisfies `test`, when it has been said; rejects when the program ends before. */
  async hears<T = unknown>(what: string, test: (line: never) => boolean, from = 0): Promise<T> {
    const { line } = await eventually(what, () => {
      const found = this.lines.slice(from).find((line) => test(line as never));
      if (found === undefined && this.#isClosed) throw new Error(`${what}: the program has ended (${this.child.exitCode ?? this.child.signalCode}): ${this.#errors}`);
      return found === undefined ? undefined : { line: found };
    }, { timeoutMs: PATIENCE_MS, last: () => [this.lines.at(-1), this.#errors] });
    return line as T;
  }

  /** Line `index` (from 0), when it has been said; rejects when the program ends before. */
  line<T>(index: number): Promise<T> {
    return this.hears<T>(`line ${index}`, () => true, index);
  }

  /** Asks, and resolves with the next thing that it says: a program that is asked says nothing by itself meanwhile. */
  ask<T>(word: string): Promise<T> {
    const next = this.lines.length;
    this.child.stdin!.write(`${word}\n`);
    return this.line<T>(next);
  }

  /** Resolves with its exit code, and what it wrote on stderr. */
  async ended(): Promise<{ code: number | null; errors: string }> {
    await this.#closed;
    return { code: this.child.exitCode, errors: this.#errors };
  }

  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.#closed;
  }
}

/** A program of its own for a test: runs a few lines with a client in scope, prints JSON, one value a line, and is asked by lines on stdin. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { TestContext } from "node:test";

const clientModule = JSON.stringify(join(import.meta.dirname, "../shm/client/index.js"));

export class Program {
  readonly child: ChildProcess;
  readonly lines: unknown[] = [];
  #errors = "";
  #waiting: (() => void)[] = [];

  /**
   * `source` sees `client`, `say(value)` and `onAsk((word) => …)`. It is killed when the test ends.
   * `who`: runs as another user, for which the test must run as root.
   */
  constructor(t: TestContext, socketPath: string, source: string, { who = {}, options = {} }: { who?: { uid?: number; gid?: number }; options?: object } = {}) {
    const script = `import { connect } from ${clientModule};
      const say = (value) => process.stdout.write(JSON.stringify(value) + "\\n");
      const asked = [];
      const onAsk = (listener) => process.stdin.setEncoding("utf8").on("data", (text) => text.trim().split("\\n").forEach(listener));
      const client = await connect({ socketPath: ${JSON.stringify(socketPath)}, timeoutMs: 10_000, ...${JSON.stringify(options)} });
      ${source}`;
    this.child = spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: ["pipe", "pipe", "pipe"], cwd: "/", ...who });
    let text = "";
    this.child.stdout!.setEncoding("utf8").on("data", (chunk: string) => {
      const parts = (text + chunk).split("\n");
      text = parts.pop()!;
      for (const line of parts) this.lines.push(JSON.parse(line));
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
    this.child.stderr!.setEncoding("utf8").on("data", (chunk: string) => (this.#errors += chunk));
    this.child.stdin!.on("error", () => {
      // It is gone: whoever waits for its answer is told by `line`.
    });
    this.child.on("close", () => {
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
    t.after(() => this.kill());
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Line `index` (from 0), when it has been printed; rejects when the program ends before. */
  async line<T>(index: number): Promise<T> {
    while (this.lines.length <= index) {
      if (this.hasEnded) throw new Error(`the program ended (${this.child.exitCode ?? this.child.signalCode}) before line ${index}: ${this.#errors}`);
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
    return this.lines[index] as T;
  }

  /** Asks, and resolves with the next value that it prints. */
  ask<T>(word: string): Promise<T> {
    const next = this.lines.length;
    this.child.stdin!.write(`${word}\n`);
    return this.line<T>(next);
  }

  async kill(): Promise<void> {
    if (this.hasEnded) return;
    const closed = once(this.child, "close");
    this.child.kill("SIGKILL");
    await closed;
  }
}

/** A local program of its own process: a few lines of JavaScript with a connected `client`, which say things by `say(value)`. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { eventually } from "./waiting.ts";

const clientModule = JSON.stringify(join(import.meta.dirname, "../shm/client/index.js"));

export class LocalProgram {
  readonly child: ChildProcess;
  /** What it has said, in order. */
  readonly said: unknown[] = [];
  #text = "";
  #errors = "";

  /** Starts it; it is killed at the end of the test. In `source`: `client`, `connect`, `Descriptor`, `say`. */
  constructor(t: TestContext, { socketPath, name, source }: { socketPath: string; name: string; source: string }) {
    const script = `import { connect, Descriptor } from ${clientModule};
      const say = (value) => process.stdout.write(JSON.stringify(value) + "\\n");
      const client = await connect({ socketPath: ${JSON.stringify(socketPath)}, name: ${JSON.stringify(name)}, timeoutMs: 20_000 });
      ${source}`;
    this.child = spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: ["ignore", "pipe", "pipe"], cwd: "/" });
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.#errors += text));
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      const lines = (this.#text += text).split("\n");
      this.#text = lines.pop()!;
      for (const line of lines) this.said.push(JSON.parse(line));
    });
    t.after(() => this.kill());
  }

  /** Resolves when something it said satisfies `test`. */
  hears<T = unknown>(what: string, test: (value: never) => boolean): Promise<T> {
    return eventually(`${what} (${this.#errors})`, () => this.said.find((value) => test(value as never)) as Exclude<T, undefined | false> | undefined, { last: () => [this.said.at(-1), this.#errors] }) as Promise<T>;
  }

  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exit = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await exit;
  }

  async exited(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "exit");
    return this.child.exitCode;
  }
}

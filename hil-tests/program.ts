/** A local program of its own process: a few lines of JavaScript with a connected `client`, which say things by `say(value)` and are asked by `onAsk`. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { LinesOfChild } from "./lines.ts";

const clientModule = JSON.stringify(join(import.meta.dirname, "../shm/client/index.js"));

export interface ProgramOptions {
  /** As another user, for which the test must run as root. */
  who?: { uid?: number; gid?: number };
  /** Of `connect`. */
  options?: object;
}

export class Program extends LinesOfChild {
  /** `source` sees `client`, `connect`, `Descriptor`, `say(value)` and `onAsk((word) => …)`. */
  constructor(t: TestContext, socketPath: string, source: string, { who = {}, options = {} }: ProgramOptions = {}) {
    const script = `import { connect, Descriptor } from ${clientModule};
      const say = (value) => process.stdout.write(JSON.stringify(value) + "\\n");
      const onAsk = (listener) => process.stdin.setEncoding("utf8").on("data", (text) => text.trim().split("\\n").forEach(listener));
      const client = await connect({ socketPath: ${JSON.stringify(socketPath)}, timeoutMs: 20_000, ...${JSON.stringify(options)} });
      ${source}`;
    super(t, spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: ["pipe", "pipe", "pipe"], cwd: "/", ...who }));
  }
}

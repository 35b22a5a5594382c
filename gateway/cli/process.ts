/** The edge: the process's streams and signals around `runCli`. Called by bin/ipcnet.mjs. */
import { fstatSync } from "node:fs";
import { Readable } from "node:stream";
import { CliError, ExitCode, type CliContext } from "./command.ts";
import { runCli } from "./main.ts";

export async function main(argv: readonly string[]): Promise<void> {
  const controller = new AbortController();
  const context: CliContext = {
    stdin: standardInput(), stdout: process.stdout, stderr: process.stderr, env: process.env, exitCode: 0, signal: controller.signal,
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => {
      // The second time the user means it: do not wait for a clean end.
      if (controller.signal.aborted) process.exit(name === "SIGINT" ? 130 : 143);
      controller.abort(name);
    });
  }
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // `ipcnet … | head`: the reader has seen enough. That is its right and no error.
    if (error.code === "EPIPE") {
      if (!controller.signal.aborted) controller.abort("EPIPE");
      return;
    }
    process.stderr.write(`ipcnet: the output cannot be written: ${error.message}\n`);
    process.exit(1);
  });
  // Nobody listens to what is said beside the data: no reason to stop.
  process.stderr.on("error", () => undefined);
  const exitCode = await runCli(argv, context);
  // Linux writes to files, pipes and terminals at once: nothing is lost by ending here. What went wrong with the last write is told a turn later.
  await new Promise((resolve) => setImmediate(resolve));
  process.exit(exitCode);
}

/** Node reads a directory as an empty file; `ipcnet decode … < folder` is a slip that must not look like an empty recording. */
function standardInput(): NodeJS.ReadableStream & Readable {
  if (!fstatSync(0).isDirectory()) return process.stdin;
  return new Readable({
    read() {
      this.destroy(new CliError(ExitCode.usage, "cannot read the standard input: it is a directory"));
    },
  });
}

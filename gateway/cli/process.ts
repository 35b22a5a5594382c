/** The edge: the process's streams and signals around `runCli`. Called by bin/ipcnet.mjs. */
import { runCli } from "./main.ts";
import type { CliContext } from "./command.ts";

export async function main(argv: readonly string[]): Promise<void> {
  const controller = new AbortController();
  const context: CliContext = {
    stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, env: process.env, exitCode: 0, signal: controller.signal,
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => {
      // The second time the user means it: do not wait for a clean end.
      if (controller.signal.aborted) process.exit(name === "SIGINT" ? 130 : 143);
      controller.abort(name);
    });
  }
  // `ipcnet … | head`: the reader has seen enough. That is its right and no error.
  const onStreamError = (error: NodeJS.ErrnoException): void => {
    if (error.code !== "EPIPE") throw error;
    if (!controller.signal.aborted) controller.abort("EPIPE");
  };
  process.stdout.on("error", onStreamError);
  process.stderr.on("error", onStreamError);
  const exitCode = await runCli(argv, context);
  // Linux writes to files, pipes and terminals at once: nothing is lost by ending here.
  process.exit(exitCode);
}

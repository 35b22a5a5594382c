/**
 * The command `ipcnet`: reads the words, runs one verb, reports trouble as one sentence and the command that mends it.
 * Nothing here touches the process; `process.ts` does, and tests call `runCli` with streams of their own.
 */
import { ExitCode, type CliContext } from "./command.ts";
import { describeTrouble, isParseError } from "./errors.ts";
import { buildProgram } from "./program.ts";

const signalNumbers: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 };

/**
 * Runs one command line (`argv` without node and script) to its end and returns the exit code; never throws for what a user can cause.
 * `context.signal` aborted with the reason "SIGINT" ends a long-running verb with 130; "EPIPE" (the reader went away) ends it quietly.
 */
export async function runCli(argv: readonly string[], context: CliContext): Promise<number> {
  try {
    const program = await buildProgram(argv, context);
    await program.parseAsync([...argv], { from: "user" });
  } catch (error) {
    if (isParseError(error) && error.exitCode === 0) return ExitCode.ok;
    if (isParseError(error) && error.code === "commander.help") return ExitCode.usage;
    if (!context.signal.aborted) return report(error, argv, context);
  }
  const signalNumber = context.signal.aborted ? signalNumbers[String(context.signal.reason)] : undefined;
  return signalNumber === undefined ? context.exitCode : 128 + signalNumber;
}

function report(error: unknown, argv: readonly string[], context: CliContext): number {
  const { exitCode, ...trouble } = describeTrouble(error);
  const end = argv.indexOf("--");
  if (argv.slice(0, end < 0 ? argv.length : end).includes("--json")) {
    context.stdout.write(`${JSON.stringify({ error: trouble })}\n`);
  } else {
    context.stderr.write(`ipcnet: ${trouble.message}\n${trouble.remedy === undefined ? "" : `        remedy: ${trouble.remedy}\n`}`);
  }
  if (trouble.code === "internal" && context.env.IPCNET_DEBUG && error instanceof Error) context.stderr.write(`${error.stack}\n`);
  return exitCode;
}

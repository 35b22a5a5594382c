/** Whatever went wrong, as one sentence for people, a stable code for programs, the command that mends it, and an exit code. */
import type { DriverError } from "../../drivers/driver.ts";
import { Status, type IpcnetError } from "../../schemas/status.ts";
import { CliError, ExitCode } from "./command.ts";

export interface Trouble {
  exitCode: number;
  /** Stable: usage, problem, unreachable, notPermitted, refused, internal. */
  code: string;
  message: string;
  remedy: string | undefined;
  /** The IPCNet status, where the gateway gave one. */
  status: number | undefined;
}

const codeNames: Readonly<Record<number, string>> = { 1: "problem", 2: "usage", 3: "unreachable", 4: "notPermitted" };
const exitCodes: Readonly<Record<number, number>> = {
  [Status.badRequest]: ExitCode.usage,
  [Status.notFound]: ExitCode.usage,
  [Status.unprocessableContent]: ExitCode.usage,
  [Status.payloadTooLarge]: ExitCode.usage,
  [Status.unauthorized]: ExitCode.notPermitted,
  [Status.forbidden]: ExitCode.notPermitted,
  [Status.networkAuthenticationRequired]: ExitCode.notPermitted,
  [Status.requestTimeout]: ExitCode.unreachable,
  [Status.gatewayTimeout]: ExitCode.unreachable,
  [Status.serviceUnavailable]: ExitCode.unreachable,
};
const remedies: Readonly<Record<number, string>> = {
  [Status.notFound]: "ipcnet topics and ipcnet services list what there is",
  [Status.forbidden]: "ipcnet policy explain pid:N VERB NAME says by which rule; ipcnet clients shows how the gateway sees its clients",
  [Status.preconditionFailed]: "ipcnet status says what is missing",
  [Status.upgradeRequired]: "use the ipcnet command of the gateway's own version",
  [Status.gone]: "publish with a longer --ttl-ms, within what the configuration allows",
  [Status.tooManyRequests]: "publish less often: the configuration limits the rate of this command (rateHzMax)",
};

/** Commander's error, told apart by its shape so that commander need not be loaded here. */
interface ParseError extends Error {
  code: string;
  exitCode: number;
}

export function describeTrouble(error: unknown): Trouble {
  if (error instanceof CliError) {
    return { exitCode: error.exitCode, code: codeNames[error.exitCode] ?? "problem", message: error.message, remedy: error.remedy, status: undefined };
  }
  if (isIpcnetError(error)) {
    const exitCode = exitCodes[error.status] ?? ExitCode.problem;
    const code = exitCode === ExitCode.problem ? "refused" : codeNames[exitCode]!;
    return { exitCode, code, message: error.message, remedy: remedies[error.status], status: error.status };
  }
  if (isParseError(error)) {
    const [sentence = "", hint] = error.message.replace(/^error: /, "").split("\n");
    const remedy = hint === undefined ? "ipcnet help lists the verbs, ipcnet help VERB explains one" : hint.replace(/^\((.*)\)$/, "$1").replace("Did you mean", "did you mean");
    return { exitCode: ExitCode.usage, code: "usage", message: sentence, remedy, status: undefined };
  }
  if (isDriverError(error)) return { exitCode: ExitCode.unreachable, code: codeNames[ExitCode.unreachable]!, message: error.message, remedy: error.remedy, status: undefined };
  const errno = error as NodeJS.ErrnoException;
  if (error instanceof Error && typeof errno.code === "string" && errno.syscall !== undefined) {
    const exitCode = errno.code === "EACCES" || errno.code === "EPERM" ? ExitCode.notPermitted : ExitCode.usage;
    return { exitCode, code: codeNames[exitCode]!, message: error.message, remedy: undefined, status: undefined };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { exitCode: ExitCode.problem, code: "internal", message, remedy: undefined, status: undefined };
}

/** By shape: a client may carry its own copy of the class. */
function isIpcnetError(error: unknown): error is IpcnetError {
  return error instanceof Error && error.name === "IpcnetError" && typeof (error as Partial<IpcnetError>).status === "number";
}

function isDriverError(error: unknown): error is DriverError {
  return error instanceof Error && error.name === "DriverError" && typeof (error as Partial<DriverError>).remedy === "string";
}

export function isParseError(error: unknown): error is ParseError {
  return error instanceof Error && typeof (error as Partial<ParseError>).code === "string" && (error as ParseError).code.startsWith("commander.");
}

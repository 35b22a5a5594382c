/** One call of a verb against a gateway: connect, do the work, close; and trouble on the way as sentences with remedies. */
import type { Command } from "commander";
import { CliError, ExitCode, type CliContext } from "./command.ts";
import type { Client } from "./client.ts";
import { services, type CliServices } from "./services.ts";
import { globalOptions, type GlobalOptions } from "./terminal.ts";

/** What a verb works with. */
export interface Session extends GlobalOptions {
  client: Client;
  services: CliServices;
  /** Resolves when the user ends a verb that would go on for ever (Ctrl-C, or the reader of our output went away); rejects when the gateway closes the connection. */
  ended: Promise<void>;
}

/**
 * Connects, runs `use`, closes whatever happens. Throws a `CliError` with exit code 3 or 4 when no connection comes about.
 * When the user interrupts or the gateway closes the connection, `use` is not waited for; with `stayWhenLost` it is, and sees to both itself.
 */
export async function withGateway(command: Command, context: CliContext, use: (session: Session) => Promise<void>, { stayWhenLost = false } = {}): Promise<void> {
  const options = globalOptions(command, context);
  const outside = services(context.services);
  const client = await connect(outside, options.socketPath);
  const interrupted = aborted(context.signal);
  let removeListener = (): void => {};
  const lost = new Promise<never>((_resolve, reject) => {
    removeListener = client.onClose((why) => reject(new CliError(ExitCode.unreachable, `the gateway closed the connection: ${why}`, "ipcnet status shows whether it is back")));
  });
  const ended = Promise.race([interrupted, lost]);
  ended.catch(() => undefined); // a verb that is through before the connection is lost does not look at it
  try {
    const work = use({ ...options, client, services: outside, ended });
    work.catch(() => undefined); // heard through the race; left behind by an interruption, its failure is of no interest any more
    await (stayWhenLost ? work : Promise.race([work, ended]));
  } finally {
    removeListener();
    await client.close();
  }
}

async function connect(outside: CliServices, socketPath: string | undefined): Promise<Client> {
  try {
    return await outside.connect({ name: "ipcnet", timeoutMs: 2000, ...(socketPath === undefined ? {} : { socketPath }) });
  } catch (error) {
    throw connectTrouble(error, socketPath);
  }
}

function connectTrouble(error: unknown, socketPath: string | undefined): unknown {
  const code = /\b(ENOENT|ECONNREFUSED|EACCES|EPERM|ETIMEDOUT)\b/.exec(`${(error as NodeJS.ErrnoException).code ?? ""} ${error instanceof Error ? error.message : ""}`)?.[1];
  const where = socketPath ?? "any of the usual sockets";
  if (code === "EACCES" || code === "EPERM") {
    return new CliError(ExitCode.notPermitted, `this user may not open the gateway's socket${socketPath ? ` ${socketPath}` : ""}`, "sudo usermod -aG ipcnet \"$USER\", then log in again; or name another socket with --socket PATH");
  }
  if (code !== undefined) {
    return new CliError(ExitCode.unreachable, `no gateway answers at ${where} (${code})`, "start one: npm start, or ipcnetd --config FILE; a gateway elsewhere: --socket PATH or IPCNET_SOCKET");
  }
  return error;
}

/** Resolves when the signal is aborted; keeps nothing alive. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

/** Resolves with true after `ms`, or with false as soon as the signal is aborted. */
export function pause(outside: CliServices, ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const onAbort = (): void => {
      cancel();
      resolve(false);
    };
    const cancel = outside.clock.at(outside.clock.nowUs() + ms * 1000, () => {
      signal.removeEventListener("abort", onAbort);
      resolve(true);
    });
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** Opens a connection to the gateway of this machine. */
import { existsSync, lstatSync } from "node:fs";
import { basename } from "node:path";
import { systemClock } from "../../schemas/clock.ts";
import { CLIENT_NAME_LENGTH_MAX } from "../protocol/limits.ts";
import { protectProcess } from "../sockets/index.ts";
import type { Client, ConnectOptions } from "./api.ts";
import { LocalClient, type Reopen } from "./client.ts";
import { Link } from "./link.ts";
import { defaultSocketPath } from "./socketPath.ts";

const TIMEOUT_MS = 2_000;
const RECONNECT_MIN_MS = 50;
const RECONNECT_MAX_MS = 2_000;

/**
 * Resolves with a client when the gateway has welcomed it. Rejects with an `IpcnetError`: 303 nobody listens, 202 this user may not, 206 another protocol version,
 * 210 too many connections of this user, 204 no answer in time.
 */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  if (options.protect === true) protectProcess();
  const path = options.socketPath ?? defaultSocketPath({ env: process.env, uid: process.getuid?.() ?? 0, exists: existsSync, isOwnFolder });
  const name = (options.name ?? basename(process.argv[1] ?? "node")).slice(0, CLIENT_NAME_LENGTH_MAX);
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const open = (): Promise<Link> => Link.open(path, name, timeoutMs);
  return new LocalClient(await open(), { reopen: options.reconnect ? reopener(open, options.reconnect === true ? {} : options.reconnect) : undefined, lanes: options.lanes ?? true });
}

function isOwnFolder(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found !== undefined && found.isDirectory() && found.uid === process.getuid?.();
}

/** Tries again and again, with pauses that double and are shortened by up to half at random, so that a robot's programs do not all return in the same instant. */
function reopener(open: () => Promise<Link>, { delayMinMs = RECONNECT_MIN_MS, delayMaxMs = RECONNECT_MAX_MS }: { delayMinMs?: number; delayMaxMs?: number }): Reopen {
  return async (signal, failed) => {
    for (let delayMs = delayMinMs; ; delayMs = Math.min(delayMs * 2, delayMaxMs)) {
      await pause(delayMs * (1 - Math.random() / 2), signal);
      signal.throwIfAborted();
      try {
        return await open();
      } catch (error) {
        failed(error);
      }
    }
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const cancel = systemClock.at(systemClock.nowUs() + ms * 1e3, () => {
      signal.removeEventListener("abort", abort);
      resolve();
    });
    const abort = (): void => {
      cancel();
      resolve();
    };
    signal.addEventListener("abort", abort, { once: true });
  });
}

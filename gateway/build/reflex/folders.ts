/** Where the reflexes keep what they share: sockets and lock while they run, epoch, table and journal over restarts. */
import { accessSync, constants } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { Config } from "../../../schemas/messages/config.ts";
import { defaultSocketPath } from "../../front/socketPath.ts";

type Folders = Pick<Config, "redundancy" | "socket">;

export function reflexRunFolder({ redundancy, socket }: Folders, configFile: string): string {
  return redundancy.runFolder === undefined ? dirname(resolve(socket.path ?? defaultSocketPath())) : resolve(dirname(configFile), redundancy.runFolder);
}

export function reflexStateFolder({ redundancy }: Folders, configFile: string, env: Readonly<Record<string, string | undefined>> = process.env): string {
  if (redundancy.stateFolder !== undefined) return resolve(dirname(configFile), redundancy.stateFolder);
  // systemd's StateDirectory= is made before the start and is ours.
  if (isWritable("/var/lib/ipcnet")) return "/var/lib/ipcnet";
  return join(env["XDG_STATE_HOME"] ?? join(homedir(), ".local/state"), "ipcnet");
}

/** Where the gateway's epoch is kept: on disk if it has a folder there, else with its twin's, in memory; undefined: nowhere, and the clock has to do. */
export function epochFile(config: Folders, configFile: string, pairFolder?: string, env: Readonly<Record<string, string | undefined>> = process.env): string | undefined {
  const { redundancy } = config;
  const isOnDisk = redundancy.stateFolder !== undefined || redundancy.reflex !== "none" || isWritable("/var/lib/ipcnet");
  const folder = isOnDisk ? reflexStateFolder(config, configFile, env) : pairFolder;
  return folder === undefined ? undefined : join(folder, "brain-epoch");
}

/** Whether we may make files there. */
export function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    // Not there, or not ours.
    return false;
  }
}

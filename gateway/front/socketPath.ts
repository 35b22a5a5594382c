/** Where the client socket is made when the configuration does not say: the first place that fits whoever runs the gateway. Clients look in the same places. */
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { ownRunFolder } from "../../shm/client/socketPath.ts";

export function defaultSocketPath(env: Readonly<Record<string, string | undefined>> = process.env): string {
  // systemd's RuntimeDirectory= is made before the start and is ours.
  const folder = writable("/run/ipcnet") ? "/run/ipcnet" : ownRunFolder({ env, uid: process.getuid?.() ?? 0 });
  return join(folder, "ipcnet.sock");
}

function writable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    // Not there, or not ours: the next place then.
    return false;
  }
}

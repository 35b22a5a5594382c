/** The folder in which a running demonstration keeps its sockets, passwords and log: found by `ipcnet` without being told where. */
import { lstatSync, mkdirSync } from "node:fs";
import { ownRunFolder } from "../../shm/client/socketPath.ts";

/** $IPCNET_RUN_FOLDER, else the place where programs of this user look for a gateway's socket. */
export function runFolder(): string {
  const uid = process.getuid?.() ?? 0;
  const folder = process.env["IPCNET_RUN_FOLDER"] ?? ownRunFolder({ env: process.env, uid });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // In /tmp somebody else may have been there first.
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== uid) throw new Error(`${folder} belongs to somebody else: set XDG_RUNTIME_DIR to a folder of yours`);
  return folder;
}

/** The folder in which a running demonstration keeps its sockets, passwords and log: found by `ipcnet` without being told where. */
import { lstatSync, mkdirSync } from "node:fs";
import { join } from "node:path";

/** $IPCNET_RUN_FOLDER, else the same places, in the same order, in which the client looks for a gateway's socket. */
export function runFolder(): string {
  const uid = process.getuid?.() ?? 0;
  const runtime = process.env["XDG_RUNTIME_DIR"];
  const folder = process.env["IPCNET_RUN_FOLDER"] ?? (uid === 0 ? "/run/ipcnet" : join(runtime ?? `/tmp/ipcnet-${uid}`, runtime === undefined ? "" : "ipcnet"));
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // In /tmp somebody else may have been there first.
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== uid) throw new Error(`${folder} belongs to somebody else: set XDG_RUNTIME_DIR to a folder of yours`);
  return folder;
}

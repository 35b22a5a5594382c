/** Where things are, whether started from the sources or from dist. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

function findRoot(): string {
  let at = import.meta.dirname;
  while (!existsSync(join(at, "package.json"))) at = dirname(at);
  return at;
}

export const projectRoot = findRoot();
/** Recordings and databases made by others; may be absent. */
export const sharedData = join(projectRoot, "../shared/data");
export const gatewayProgram = join(projectRoot, "bin/ipcnetd.mjs");

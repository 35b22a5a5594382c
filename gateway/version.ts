/** The version of this program, from package.json, which lies above both the sources and dist. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

function read(): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    try {
      return (JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string }).version;
    } catch (error) {
      if (dirname(folder) === folder) throw error;
    }
  }
}

export const version = read();

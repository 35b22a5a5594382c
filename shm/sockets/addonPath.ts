/**
 * Where an addon lies: what was compiled here (dist/native) goes before what came with the package (prebuilds/linux-x64, linux-arm64). Looked for in each folder from `from` upwards, the
 * nearest first, so that a package never loads the addon of the project that uses it.
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

/** The path of `name`.node, or undefined: it was never built, and no prebuilt one fits. */
export function addonPath(name: string, from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    for (const place of ["dist/native", `prebuilds/${process.platform}-${process.arch}`]) {
      const candidate = join(folder, place, `${name}.node`);
      if (existsSync(candidate)) return candidate;
    }
    if (dirname(folder) === folder) return undefined;
  }
}

/** Which behaviours there are, which of them are meant, and the list of them. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Behaviour, Found } from "./behaviour.ts";
import { groupsOf, isMeant } from "./grouping.ts";
import type { Words } from "./words.ts";

const folder = join(import.meta.dirname, "../behaviours");

export async function allBehaviours(): Promise<Found[]> {
  const files = readdirSync(folder).filter((name) => name.endsWith(".hil.js")).sort();
  return Promise.all(files.map(async (name) => ({ file: name.replace(/\.hil\.js$/, ""), behaviour: ((await import(join(folder, name))) as { default: Behaviour }).default })));
}

/** By the words; with a configuration and no word those that try one. */
export function chosen(all: readonly Found[], { only, config }: Pick<Words, "only" | "config">): Found[] {
  return all.filter((each) => isMeant(each, only) && (config === undefined || only.length > 0 || each.behaviour.needs.devices.includes("configuration")));
}

/** As `--list` says it, a line each. */
export function listed(found: readonly Found[], machines?: Words["machines"]): string[] {
  return groupsOf(found, machines).flatMap(({ machine, boots }) => [
    `${machine} (${boots.length} ${boots.length === 1 ? "start" : "starts"})`,
    ...boots.flat().map(({ file, behaviour: { name, needs, bench, runsOnBench, onlyWhenNamed } }) =>
      `  ${file}\n    ${name}\n    needs: ${needs.devices.join(", ") || "nothing"}${onlyWhenNamed === undefined ? "" : `; only when it is named: ${onlyWhenNamed}`}; on a bench${runsOnBench ? ", by this file" : " by hand"}: ${bench}`),
  ]);
}

/** The configuration from its file, judged on this machine by the same function as `ipcnet config check`: the verdicts are equal. */
import { resolve } from "node:path";
import { checkConfigFile } from "../../schemas/messages/configFile.ts";
import { startsHere, type CheckedParts, type CheckResult } from "../../schemas/messages/checkConfig.ts";
import type { Config } from "../../schemas/messages/config.ts";
import { renderFault } from "../../schemas/messages/fault.ts";
import type { CompiledTable } from "../../failsafe/reflex/table/compile.ts";
import { judgeReflex } from "./reflex/judge.ts";

export interface AcceptedConfig {
  /** Absolute path. */
  file: string;
  config: Config;
  hash: string;
  parts: CheckedParts;
  /** What the reflex is told, where there is one. */
  reflexTable: CompiledTable | undefined;
}

export type Configuration = { ok: true; accepted: AcceptedConfig; remarks: string } | { ok: false; text: string; result: CheckResult | undefined };

/** `text` and `remarks` are for people: each fault with its line and a caret. */
export function loadConfiguration(path: string): Configuration {
  const file = resolve(path);
  const read = checkConfigFile(file);
  if (!read.readable) return { ok: false, text: `ipcnetd: ${file}: ${read.why}\n        remedy: name a configuration file; examples/config has some to begin with\n`, result: undefined };
  // The generation rises from start to start, so that people can tell two tables apart; equal tables have equal hashes.
  const { result, table } = judgeReflex(read.result, file, Math.floor(Date.now() / 1e3));
  const faults = result.faults.map((fault) => renderFault(fault, (name) => result.texts.get(name))).join("\n");
  if (result.config === undefined || result.hash === undefined || !startsHere(result)) {
    const blocking = result.notes.filter((note) => note.blocksStart).map((note) => `${note.file}:${note.line}:${note.column}: ${note.message}\n`).join("");
    return { ok: false, text: `${faults}${faults ? "\n" : ""}${blocking}ipcnetd: the configuration is refused; nothing was started\n`, result };
  }
  return { ok: true, accepted: { file, config: result.config, hash: result.hash, parts: result.parts, reflexTable: table }, remarks: faults };
}


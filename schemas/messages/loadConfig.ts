/** The text of a configuration in, the configuration or all its faults out. Pure: reads no file, knows no machine. */
import type { Config } from "./config.ts";
import { configSchema } from "./configSchema.ts";
import { loadDocument, type LoadedDocument } from "./loadDocument.ts";

export type { Location } from "./loadDocument.ts";

export interface Loaded extends Omit<LoadedDocument, "value" | "salvage"> {
  config: Config | undefined;
  salvage: Config | undefined;
}

/** `file` is only for the messages. Never throws, whatever the text. */
export function loadConfig(text: string, { file }: { file: string }): Loaded {
  const { value, salvage, ...loaded } = loadDocument(text, { file, schema: configSchema });
  return { ...loaded, config: value as Config | undefined, salvage: saved(salvage) };
}

/** Sections are always there (they have defaults); only the two keys without one may be missing. */
function saved(value: unknown): Config | undefined {
  if (value === undefined) return undefined;
  return { ...(value as Config), version: 1, robot: (value as Partial<Config>).robot ?? "robot" };
}

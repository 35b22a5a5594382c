/** DBC files as the offline verbs take them: opened, judged, refused with a sentence. */
import { readFileSync } from "node:fs";
import { formatFinding, lintDatabase, parseDbc, type Database } from "../../schemas/dbc/index.ts";
import { whyUnreadable } from "../../schemas/messages/configFile.ts";
import { CliError, ExitCode } from "./command.ts";

/** ODrive's way, the most used one. */
export const NODE_TEMPLATE = "node_id << 5 | message_id";

/** The database in `path`. A file that cannot be read or used at all is wrong usage; with `strict` one with errors is refused too. */
export function openDatabase(path: string, { strict = false }: { strict?: boolean } = {}): Database {
  const database = parseDbc(readOperand(path), { file: path });
  if (database.refused) throw new CliError(ExitCode.usage, `${path} cannot be used: ${formatFinding(database.findings.at(-1)!)}`);
  if (strict) {
    const errors = lintDatabase(database).filter(({ severity }) => severity === "error");
    if (errors.length > 0) throw new CliError(ExitCode.problem, `${path} has ${errors.length} errors, the first: ${formatFinding(errors[0]!)}`, `ipcnet dbc lint ${path} lists them; without --strict the file is loaded leniently`);
  }
  return database;
}

export function readOperand(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new CliError(ExitCode.usage, `cannot read ${path}: ${whyUnreadable(error)}`);
  }
}

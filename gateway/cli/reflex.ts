/** `reflex status|table`: the processes that own the CAN buses. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import type { ReflexReport } from "../../schemas/messages/statusReport.ts";
import { epochTrouble } from "../build/reflex/epochWidth.ts";
import { showTable } from "../../failsafe/reflex/table/show.ts";
import { isAlone } from "../view/states.ts";
import { fitLine, paint } from "../view/style.ts";
import { reflexLines } from "../view/sections.ts";
import { columnsOf, printable } from "../view/text.ts";
import { CliError, ExitCode, type CliContext, type Register } from "./command.ts";
import { withGateway, type Session } from "./connection.ts";
import { toJson } from "./json.ts";
import { globalOptions, wantAscii } from "./terminal.ts";

export const register: Register = (program, context) => {
  const reflex = program.command("reflex").description("the processes that own the CAN buses, whatever becomes of the gateway");
  reflex
    .command("status")
    .description("who owns the buses, under which epoch, and whether the other one can take over; exit code 0 only if all is well")
    .addHelpText("after", "\nExamples:\n  ipcnet reflex status\n  ipcnet reflex status --json | jq -r '.[] | select(.role == \"owner\").instance'")
    .action((_options, command: Command) => withGateway(command, context, async (session) => {
      const reports = await askReflexes(session);
      context.stdout.write(session.json ? `${toJson(reports)}\n` : `${reflexText(reports, session, context).join("\n")}\n`);
      context.exitCode = reports.every((each) => each.there && each.healthy && each.tableIsOurs && !isAlone(each, reports)) ? ExitCode.ok : ExitCode.problem;
    }));
  reflex
    .command("table")
    .description("what the bus processes may do: messages with their limits, nodes, plans, triggers; as JSON")
    .argument("[FILE]", "a table as the bus process keeps it (STATE/a/table); absent: the gateway's own")
    .addHelpText("after", "\nExamples:\n  ipcnet reflex table | jq '.triggers[] | [.name, .plan]'\n  ipcnet reflex table /var/lib/ipcnet/a/table")
    .action(async (file: string | undefined, _options, command: Command) => {
      if (file !== undefined) return printTable(readFile(file), context, globalOptions(command, context).json);
      await withGateway(command, context, async ({ client, json }) => {
        const answer = (await client.request("gateway/reflex", { action: "table" }, { timeoutMs: 5000 })) as { table?: string };
        printTable(Buffer.from(answer.table ?? "", "base64"), context, json);
      });
    });
};

/** What the gateway knows of its reflexes; empty where it has none. */
export async function askReflexes({ client }: Session, body: Readonly<Record<string, unknown>> = {}, timeoutMs = 5_000): Promise<readonly ReflexReport[]> {
  const answer = await client.request("gateway/reflex", body, { timeoutMs });
  if (!Array.isArray(answer)) throw new CliError(ExitCode.problem, "the gateway's answer has a shape that this version of ipcnet does not know", "use the ipcnet command of the gateway's own version");
  return answer as ReflexReport[];
}

export function reflexText(reports: readonly ReflexReport[], { color }: Pick<Session, "color">, context: CliContext): string[] {
  const columns = columnsOf(context.stdout, 160);
  return reflexLines(reports).map((line) => paint(fitLine(line, columns), { color, ascii: wantAscii(context) }));
}

function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new CliError(ExitCode.usage, `cannot read ${path}: ${(error as Error).message}`);
  }
}

function printTable(bytes: Uint8Array, context: CliContext, json: boolean): void {
  const shown = showTable(bytes);
  if (!shown.ok) throw new CliError(ExitCode.problem, `this is no table of a reflex: ${shown.text} (${shown.code})`);
  for (const { name, epochBits } of shown.table.messages) {
    const trouble = epochTrouble(epochBits);
    if (trouble !== undefined) context.stderr.write(`${printable(`warning: ${name}: ${trouble}`)}\n`);
  }
  context.stdout.write(json ? `${toJson(shown.table)}\n` : `${JSON.stringify(shown.table, undefined, 2)}\n`);
}

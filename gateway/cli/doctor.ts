import { join } from "node:path";
import { Option, type Command } from "commander";
import { groupNames, type Check, type Group, type Result } from "../doctor/check.ts";
import { examine, tally } from "../doctor/examine.ts";
import type { GatewayAnswer } from "../doctor/gateway.ts";
import { findings } from "../view/states.ts";
import { paint, span, type Line, type Style } from "../view/style.ts";
import { fit, printable } from "../view/text.ts";
import { ExitCode, type CliContext, type Register } from "./command.ts";
import { withGateway } from "./connection.ts";
import { describeTrouble } from "./errors.ts";
import { toJson } from "./json.ts";
import { projectRoot, version } from "./root.ts";
import { services } from "./services.ts";
import { askStatus } from "./statusReport.ts";
import { globalOptions, wantAscii } from "./terminal.ts";

const looks: Readonly<Record<Result, { shape: string; style: Style }>> = {
  ok: { shape: "●", style: "good" }, warning: { shape: "◐", style: "warn" }, problem: { shape: "✖", style: "bad" }, unknown: { shape: "?", style: "dim" },
};

export const register: Register = (program, context) => {
  program
    .command("doctor")
    .description("say what this machine has and lacks, each with evidence and the command that mends it; exit code 1 when there is a problem")
    .addOption(new Option("--only <GROUP>", "only this group of checks").choices([...groupNames]))
    .option("-q, --quiet", "leave out what is well")
    .addHelpText("after", "\nExamples:\n  ipcnet doctor\n  ipcnet doctor --only can\n  ipcnet doctor --json | jq '.checks[] | select(.result != \"ok\")'")
    .action(async (options: { only?: Group; quiet?: boolean }, command: Command) => {
      const { json, color } = globalOptions(command, context);
      const outside = services(context.services);
      const checks = await examine({
        machine: outside.machine(), addonFolder: join(projectRoot(), "dist/native"), version: version(), askGateway: () => askGateway(command, context),
        ...(options.only === undefined ? {} : { only: options.only }),
      });
      const counts = tally(checks);
      context.exitCode = counts.problem > 0 ? ExitCode.problem : ExitCode.ok;
      if (json) {
        const { worst: result, ...rest } = counts;
        context.stdout.write(`${toJson({ result, counts: rest, checks })}\n`);
        return;
      }
      const shown = options.quiet ? checks.filter(({ result }) => result !== "ok") : checks;
      // Nothing is cut to the terminal's width: commands are there to be copied.
      context.stdout.write(`${[headline(counts), ...shown.flatMap(lines)].map((line) => paint(line, { color, ascii: wantAscii(context) })).join("\n")}\n`);
    });
};

function headline(counts: ReturnType<typeof tally>): Line {
  const { shape, style } = looks[counts.worst];
  const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`;
  const parts = [counts.problem > 0 ? plural(counts.problem, "problem") : "no problem", plural(counts.warning, "warning"), `${counts.ok} well`, ...(counts.unknown > 0 ? [`${counts.unknown} unknown`] : [])];
  return [span(`${shape} ${parts.join(", ")}`, style)];
}

function lines({ id, result, evidence, fix }: Check): Line[] {
  const { shape, style } = looks[result];
  const first: Line = [span(`${shape} `, style), span(fit(printable(id), 26)), span(` ${fit(result, 7)} `, style), span(printable(evidence))];
  return result === "ok" || fix === undefined ? [first] : [first, [span(`    mend: ${fix}`, "dim")]];
}

async function askGateway(command: Command, context: CliContext): Promise<GatewayAnswer> {
  let answer: GatewayAnswer | undefined;
  try {
    await withGateway(command, context, async ({ client }) => {
      const status = await askStatus(client);
      answer = { reached: true, version: client.gateway.version, findings: findings(status), reflexes: status.reflexes };
    });
  } catch (error) {
    const trouble = describeTrouble(error);
    return { reached: false, permitted: trouble.exitCode !== ExitCode.notPermitted, reason: trouble.message };
  }
  return answer ?? { reached: false, permitted: true, reason: "interrupted" };
}

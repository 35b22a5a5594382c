import type { Register } from "./command.ts";
import { pause, withGateway } from "./connection.ts";
import { toJson } from "./json.ts";
import { askStatus } from "./statusReport.ts";
import { parseNumber } from "./parse.ts";
import { wantAscii } from "./terminal.ts";
import { findings } from "../view/states.ts";
import { statusText } from "../view/statusText.ts";
import { columnsOf } from "../view/text.ts";

export const register: Register = (program, context) => {
  program
    .command("status")
    .description("say whether everything is well, and if not, why; exit code 1 when something is not")
    .option("-w, --watch", "print it again every second until Ctrl-C")
    .option("--interval-ms <MS>", "how often with --watch", parseNumber({ minimum: 50, maximum: 3_600_000 }), 1000)
    .addHelpText("after", "\nExamples:\n  ipcnet status\n  ipcnet status --json | jq .state\n  ipcnet status -w")
    .action((options: { watch?: boolean; intervalMs: number }, command) =>
      withGateway(command, context, async ({ client, json, color, services }) => {
        do {
          const report = await askStatus(client);
          context.exitCode = findings(report).some(({ severity }) => severity === "bad") ? 1 : 0;
          const lines = json ? [toJson(report)] : statusText(report, { columns: columnsOf(context.stdout, 100), color, ascii: wantAscii(context) });
          // Home and clear below: in a terminal the picture is redrawn in place.
          const before = options.watch && !json ? (context.stdout.isTTY ? "\u001b[H\u001b[J" : "") : "";
          context.stdout.write(`${before}${lines.join("\n")}\n${options.watch && !json && !context.stdout.isTTY ? "\n" : ""}`);
        } while (options.watch && (await pause(services, options.intervalMs, context.signal)));
      }));
};

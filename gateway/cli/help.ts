/** `ipcnet help [VERB…]`, and the pages that belong to no verb. */
import type { Command } from "commander";
import { CliError, ExitCode, type CliContext } from "./command.ts";

export const exitCodesText = `Exit codes:
  0  it worked
  1  a problem was found: a file with findings, a rejected frame, a refused command, a pose that was commanded but not all measured
  2  wrong usage, or input that cannot be read
  3  the gateway cannot be reached
  4  not permitted
  5  the safe pose failed: a step that must not fail did, or the last rung was needed
  130, 143  ended by SIGINT (Ctrl-C), SIGTERM
`;

export const helpPages: Readonly<Record<string, string>> = {
  "exit-codes": exitCodesText,
  environment: `Environment:
  IPCNET_SOCKET    the gateway's socket, when --socket is not given
  XDG_RUNTIME_DIR  where the socket of a gateway started by a user is looked for
  NO_COLOR         set and not empty: no colours
  IPCNET_DEBUG     set and not empty: a stack trace with internal errors
`,
};

export const helpPageNames = Object.keys(helpPages);

export function registerHelp(program: Command, context: CliContext): void {
  program
    .command("help")
    .description("explain a verb, or one of: exit-codes, environment")
    .argument("[VERB...]", "a verb and its sub-verbs, or the name of a page")
    .helpOption(false)
    .action((words: string[]) => {
      const page = helpPages[words[0] ?? ""];
      if (page !== undefined && words.length === 1) {
        context.stdout.write(page);
        return;
      }
      let at = program;
      for (const word of words) {
        const next = at.commands.find((command) => command.name() === word);
        if (!next) throw new CliError(ExitCode.usage, `there is no help about '${words.join(" ")}'`, "ipcnet help lists the verbs");
        at = next;
      }
      at.outputHelp();
    });
  program.commands.at(-1)!.helpGroup("This machine and this command:");
}

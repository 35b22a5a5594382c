import { Argument, type Command } from "commander";
import type { CliContext, Register } from "./command.ts";
import { pause, withGateway } from "./connection.ts";
import { bashScript } from "./completion/bash.ts";
import { fishScript } from "./completion/fish.ts";
import { completionModel } from "./completion/model.ts";
import { zshScript } from "./completion/zsh.ts";
import { services } from "./services.ts";
import { askStatus } from "./statusReport.ts";

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

/** A completion that takes longer than this is felt as a stuck keyboard. Counted from the start of the process. */
const budgetMs = 150;
/** However late the process started: the least that a gateway on the same machine needs. */
const budgetMsMin = 40;
/** Only names that no shell reads anything into. */
const harmless = /^[\w./@+-]+$/;

export const register: Register = (program, context) => {
  program
    .command("completion")
    .description("print the completion script for a shell")
    .addArgument(new Argument("<SHELL>", "which shell").choices(Object.keys(scripts)))
    .addHelpText("after", "\nExamples:\n  source <(ipcnet completion bash)\n  ipcnet completion bash | sudo tee /usr/share/bash-completion/completions/ipcnet >/dev/null\n  ipcnet completion fish > ~/.config/fish/completions/ipcnet.fish")
    .action(async (shell: keyof typeof scripts) => {
      const { buildProgram } = await import("./program.ts");
      context.stdout.write(scripts[shell](completionModel(await buildProgram(undefined, context))));
    });

  program
    .command("__complete", { hidden: true })
    .description("names for the completion scripts")
    .addArgument(new Argument("<KIND>", "what is wanted").choices(["topics", "buses"]))
    .action((kind: "topics" | "buses", _options, command: Command) => complete(kind, command, context));
};

/** Prints what it can find out in time, and nothing else whatever happens: its reader is a shell in the middle of a line. */
async function complete(kind: "topics" | "buses", command: Command, context: CliContext): Promise<void> {
  const leftMs = Math.max(budgetMsMin, budgetMs - process.uptime() * 1000);
  const done = new AbortController();
  const names = withGateway(command, context, async ({ client }) => {
    const found = kind === "topics"
      ? (await client.topics("#")).map(({ name }) => name)
      : (await askStatus(client)).links.filter((link) => link.kind === "can").map(({ name }) => name);
    if (!done.signal.aborted) context.stdout.write(found.filter((name) => harmless.test(name)).sort().map((name) => `${name}\n`).join(""));
  }).catch(() => undefined);
  await Promise.race([names, pause(services(context.services), leftMs, done.signal)]);
  done.abort();
}

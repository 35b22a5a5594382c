import { resolve } from "node:path";
import type { Command } from "commander";
import type { Register } from "./command.ts";
import { withGateway } from "./connection.ts";
import { inWords, toJson } from "./json.ts";

export const register: Register = (program, context) => {
  program
    .command("reload")
    .description("have the running gateway read a configuration; a bad one is refused and the old one goes on")
    .argument("<FILE>", "the configuration file, readable by the gateway")
    .addHelpText("after", "\nExamples:\n  ipcnet config check ipcnet.yaml && ipcnet reload ipcnet.yaml")
    .action((file: string, _options, command: Command) =>
      withGateway(command, context, async ({ client, json }) => {
        const answer = await client.request("gateway/reload", { path: resolve(file) }, { timeoutMs: 30_000 });
        context.stdout.write(json ? `${toJson(answer ?? { reloaded: true })}\n` : `reloaded${answer === undefined || answer === null ? "" : `: ${inWords(answer)}`}\n`);
      }));
};

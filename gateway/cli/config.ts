/** `ipcnet config check|show|diff|schema`: configuration files judged as the gateway judges them, without one running. */
import { stringify } from "yaml";
import { startsHere, type CheckResult } from "../../schemas/messages/checkConfig.ts";
import type { Config } from "../../schemas/messages/config.ts";
import { checkConfigFile, readWhole } from "../../schemas/messages/configFile.ts";
import { configSchema } from "../../schemas/messages/configSchema.ts";
import { applyBy, diffConfig, type ConfigChange } from "../../schemas/messages/diffConfig.ts";
import { renderFault, type Fault } from "../../schemas/messages/fault.ts";
import { loadConfig } from "../../schemas/messages/loadConfig.ts";
import { judgeReflex } from "../build/reflex/judge.ts";
import { printable } from "../view/text.ts";
import { CliError, ExitCode, type CliContext, type Register } from "./command.ts";
import { toJson } from "./json.ts";
import { globalOptions } from "./terminal.ts";

export const register: Register = (program, context) => {
  const config = program.command("config").description("check, show and compare configuration files");

  config
    .command("check")
    .description("say whether the gateway would take a configuration; all faults at once, with line and column")
    .argument("<FILE>", "the configuration file")
    .option("--elsewhere", "for another machine: do not look for interfaces, devices, users and groups here")
    .option("--json", "one object: ok, hash, startsHere, faults, notes")
    .addHelpText("after", `
The gateway's start and ipcnet reload judge by the same check. error: the file is refused · warning: it is taken, but somebody should look ·
note: what the check cannot know, or what is so on this machine only. Exit code 1: there is an error.

Example:
  ipcnet config check ipcnet.yaml --json | jq -r '.faults[] | "\\(.line):\\(.column) \\(.code) \\(.hint)"'`)
    .action((path: string, options: { elsewhere?: boolean }, command) => {
      const { json } = globalOptions(command, context);
      check(path, { json, machine: options.elsewhere !== true }, context);
    });

  config
    .command("show")
    .description("print a configuration with all defaults filled in")
    .argument("<FILE>", "the configuration file")
    .option("--json", "as one JSON object")
    .addHelpText("after", "\nExample:\n  ipcnet config show ipcnet.yaml --json | jq .safePose")
    .action((path: string, _options, command) => {
      const { json } = globalOptions(command, context);
      const shown = load(path, context);
      if (shown) context.stdout.write(json ? `${toJson(shown)}\n` : lines(stringify(shown, { lineWidth: 0, aliasDuplicateObjects: false })));
    });

  config
    .command("diff")
    .description("say how two configurations differ in meaning, and what applying the second one takes; exit code 1 when they differ")
    .argument("<OLD>", "the configuration in force")
    .argument("<NEW>", "the configuration to come")
    .option("--json", "one object a line: kind, path, before, after, applyBy, link")
    .addHelpText("after", `
live: applied at once · reopen: a link is closed and opened, which is refused while armed · restart: the gateway starts anew

Example:
  ipcnet config diff /etc/ipcnet/ipcnet.yaml ipcnet.yaml`)
    .action((before: string, after: string, _options, command) => {
      const { json } = globalOptions(command, context);
      const left = load(before, context);
      const right = load(after, context);
      if (left && right) writeDiff(diffConfig(left, right), json, context);
    });

  config
    .command("schema")
    .description("print the JSON Schema of the configuration, for editors")
    .addHelpText("after", "\nExample:\n  ipcnet config schema > config.schema.json   # then, in the first line of ipcnet.yaml:\n  # yaml-language-server: $schema=config.schema.json")
    .action((_options, command) => {
      const { json } = globalOptions(command, context);
      context.stdout.write(json ? `${toJson(configSchema)}\n` : `${JSON.stringify(configSchema, null, 2)}\n`);
    });
};

function check(path: string, { json, machine }: { json: boolean; machine: boolean }, context: CliContext): void {
  const read = checkConfigFile(path, { machine });
  if (!read.readable) throw new CliError(ExitCode.usage, `cannot read ${path}: ${read.why}`);
  const { result } = judgeReflex(read.result, path);
  const { config, hash, faults, notes } = result;
  if (!config) context.exitCode = ExitCode.problem;
  if (json) {
    context.stdout.write(`${toJson({ ok: config !== undefined, hash: hash ?? null, ...(machine ? { startsHere: startsHere(result) } : {}), faults, notes })}\n`);
    return;
  }
  writeFaults(faults, (file) => result.texts.get(file), context);
  for (const note of notes) context.stdout.write(`${printable(`${note.file}:${note.line}:${note.column}: note ${note.code}: ${note.message}`)}\n`);
  context.stdout.write(`${printable(verdict(path, result, machine))}\n`);
}

function verdict(path: string, result: CheckResult, machine: boolean): string {
  const { config, faults, hash } = result;
  const errors = faults.filter(({ severity }) => severity === "error").length;
  const warnings = faults.length - errors;
  if (!config) return `refused: ${path}: ${plural(errors, "error")}, ${plural(warnings, "warning")}`;
  const parts = [
    plural(config.buses.length, "bus", "buses"), plural(config.serial.length, "serial link"), plural(config.nodes.length, "node"), plural(config.commands.length, "command"),
    plural(config.routes.length, "route"), plural(result.parts.topics.size, "topic"), plural(warnings, "warning"),
  ];
  const here = machine && !startsHere(result) ? "; would not start on this machine, see the notes" : "";
  return `OK: ${parts.join(", ")}${here}; hash ${hash}`;
}

function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** The configuration with its defaults; reports faults of shape and returns undefined when there are any. */
function load(path: string, context: CliContext): Config | undefined {
  const answer = readWhole(path);
  if ("fault" in answer) throw new CliError(ExitCode.usage, `cannot read ${path}: ${answer.fault}`);
  const text = new TextDecoder("utf-8").decode(answer.bytes);
  const { config, faults } = loadConfig(text, { file: path });
  if (config) return config;
  writeFaults(faults, () => text, { ...context, stdout: context.stderr });
  context.exitCode = ExitCode.problem;
  return undefined;
}

function writeFaults(faults: readonly Fault[], sourceOf: (file: string) => string | undefined, { stdout }: Pick<CliContext, "stdout">): void {
  for (const fault of faults) stdout.write(lines(renderFault(fault, sourceOf)));
}

function writeDiff(changes: readonly ConfigChange[], json: boolean, context: CliContext): void {
  if (changes.length > 0) context.exitCode = ExitCode.problem;
  for (const change of changes) {
    if (json) context.stdout.write(`${toJson(change)}\n`);
    else {
      const what = { added: `+ ${change.path}: ${toJson(change.after)}`, removed: `- ${change.path}`, changed: `~ ${change.path}: ${toJson(change.before)} → ${toJson(change.after)}` }[change.kind];
      context.stdout.write(`${printable(`${what} (${change.applyBy}${change.link === undefined ? "" : ` ${change.link}`})`)}\n`);
    }
  }
  if (!json) context.stdout.write(`${changes.length === 0 ? "no difference" : `${plural(changes.length, "difference")}; to apply: ${applyBy(changes)}`}\n`);
}

/** Text from a file without control characters, line by line. */
function lines(text: string): string {
  return `${text.replace(/\n$/, "").split("\n").map(printable).join("\n")}\n`;
}

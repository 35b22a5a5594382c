/** `ipcnet policy check|explain|show|schema`: who may do what, and why; from files without a gateway, or from the one that runs. */
import { dirname, resolve } from "node:path";
import type { Command } from "commander";
import { Argument, Option } from "commander";
import { checkConfigFile, readWhole, thisMachine } from "../../schemas/messages/configFile.ts";
import { checkPolicy, type PolicyResult } from "../../schemas/messages/checkPolicy.ts";
import { renderFault } from "../../schemas/messages/fault.ts";
import { policySchema } from "../../schemas/messages/policySchema.ts";
import { readFacts, thisSystem } from "../identity/process.ts";
import { Engine } from "../policy/engine.ts";
import { explain, placeText, type Explanation } from "../policy/explain.ts";
import { systemNames } from "../policy/names.ts";
import { parseQuestion, questionVerbs, subjectOf } from "../policy/question.ts";
import { ruleSet } from "../policy/ruleSet.ts";
import type { Rule } from "../policy/rules.ts";
import { printable } from "../view/text.ts";
import { CliError, ExitCode, type CliContext, type Register } from "./command.ts";
import { withGateway } from "./connection.ts";
import { toJson } from "./json.ts";
import { askStatus } from "./statusReport.ts";
import { globalOptions } from "./terminal.ts";

interface Sources { file?: string; config?: string }

export const register: Register = (program, context) => {
  const policy = program.command("policy").description("who may read, write, execute and offer what, and why");

  policy
    .command("check")
    .description("say whether the gateway would take a policy; faults and what deserves attention, with line and column")
    .argument("[FILE]", "the policy file; absent: the one that the running gateway follows")
    .addOption(new Option("--config <FILE>", "the configuration that it belongs to: its topics are known then"))
    .option("--elsewhere", "for another machine: do not look for users and groups here")
    .addHelpText("after", `
error: the policy is refused, the old one stays in force · warning: it is taken, but probably says something else than was meant ·
note: who may move the robot or operate the gateway, and what is so on this machine only. Exit code 1: there is an error.

Example:
  ipcnet policy check policy.yaml --json | jq -r '.faults[] | "\\(.line):\\(.column) \\(.code) \\(.message)"'`)
    .action(async (file: string | undefined, options: { config?: string; elsewhere?: boolean }, command: Command) => {
      const { json } = globalOptions(command, context);
      const path = file ?? (options.config === undefined ? await fileOfGateway(command, context) : policyOf(options.config));
      check(path, { json, machine: options.elsewhere !== true, ...(options.config === undefined ? {} : { config: options.config }) }, context);
    });

  const sources = (command: Command): Command => command
    .addOption(new Option("--file <FILE>", "ask this policy file instead of the running gateway; the configuration's lists are not known then").conflicts("config"))
    .addOption(new Option("--config <FILE>", "ask this configuration, with the policy that it names, instead of the running gateway"));

  sources(policy
    .command("explain")
    .description("say whether somebody may do something, by which rule, and which rules nearly decided; exit code 1 when not")
    .argument("<WHO>", "a component, user:NAME, group:NAME, uid:N, gid:N, pid:N or anyone")
    .addArgument(new Argument("<VERB>", "what is to be done").choices(questionVerbs))
    .argument("<WHAT>", "a topic, service or resource, without wildcards")
    .addOption(new Option("--mode <MODE>", "for grant: how the resource is opened").choices(["read", "write", "readWrite"]).default("readWrite")))
    .addHelpText("after", `
Examples:
  ipcnet policy explain planner write cmd/arm/shoulder_Command
  ipcnet policy explain pid:4711 execute gateway/arm
  ipcnet policy explain user:robot read camera/front --config ipcnet.yaml --json | jq .answers[0].rule.at`)
    .action(async (who: string, verb: string, what: string, options: Sources & { mode: string }, command: Command) => {
      const { json } = globalOptions(command, context);
      const question = { who, verb, what, mode: options.mode };
      const asked = options.file === undefined && options.config === undefined ? await askGateway(question, command, context) : askFiles(question, options);
      context.exitCode = asked.answers.every(({ allowed }) => allowed) ? ExitCode.ok : ExitCode.problem;
      if (json) context.stdout.write(`${toJson({ allowed: context.exitCode === ExitCode.ok, ...asked })}\n`);
      else for (const line of explanationLines(asked)) context.stdout.write(`${printable(line)}\n`);
    });

  sources(policy.command("show").description("print all rules that have a say, those of the configuration and of the gateway itself included, with their places"))
    .addHelpText("after", "\nExample:\n  ipcnet policy show --json | jq -r 'select(.who[] == \"anyone\") | .place'")
    .action(async (options: Sources, command: Command) => {
      const { json } = globalOptions(command, context);
      const rules = options.file === undefined && options.config === undefined ? await rulesOfGateway(command, context) : engineOf(options).rules;
      for (const rule of rules) context.stdout.write(`${json ? toJson(rule) : printable(ruleLine(rule))}\n`);
    });

  policy
    .command("schema")
    .description("print the JSON Schema of the policy file, for editors")
    .addHelpText("after", "\nExample:\n  ipcnet policy schema > policy.schema.json   # then, in the first line of policy.yaml:\n  # yaml-language-server: $schema=policy.schema.json")
    .action((_options, command: Command) => {
      const { json } = globalOptions(command, context);
      context.stdout.write(json ? `${toJson(policySchema)}\n` : `${JSON.stringify(policySchema, null, 2)}\n`);
    });
};

interface Asked { who: string; verb: string; name: string; answers: (Explanation & { action: string })[] }

function check(path: string, { json, machine, config }: { json: boolean; machine: boolean; config?: string }, context: CliContext): void {
  const { text, result } = readPolicy(path, { machine, ...(config === undefined ? {} : { config }) });
  const { checked, faults, notes } = result;
  if (!checked) context.exitCode = ExitCode.problem;
  if (json) {
    context.stdout.write(`${toJson({ ok: checked !== undefined, hash: checked?.hash ?? null, faults, notes })}\n`);
    return;
  }
  for (const fault of faults) context.stdout.write(`${renderFault(fault, () => text).split("\n").map(printable).join("\n")}\n`);
  for (const note of notes) context.stdout.write(`${printable(`${note.file}:${note.line}:${note.column}: note ${note.code}: ${note.message}`)}\n`);
  const errors = faults.filter(({ severity }) => severity === "error").length;
  const warnings = plural(faults.length - errors, "warning");
  context.stdout.write(`${printable(checked
    ? `OK: ${plural(Object.keys(checked.policy.components).length, "component")}, ${plural(Object.keys(checked.policy.groups).length, "group")}, ${plural(checked.policy.rules.length, "rule")}, ${warnings}; hash ${checked.hash}`
    : `refused: ${path}: ${plural(errors, "error")}, ${warnings}`)}\n`);
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function readPolicy(path: string, { machine, config }: { machine: boolean; config?: string }): { text: string; result: PolicyResult } {
  const answer = readWhole(path);
  if ("fault" in answer) throw new CliError(ExitCode.usage, `cannot read ${path}: ${answer.fault}`);
  const text = new TextDecoder("utf-8").decode(answer.bytes);
  const surroundings = config === undefined ? undefined : readConfig(config).parts.policySurroundings;
  return { text, result: checkPolicy({ text, file: path, ...(answer.mode === undefined ? {} : { mode: answer.mode }), ...(machine ? { machine: thisMachine() } : {}), ...(surroundings ? { surroundings } : {}) }) };
}

function readConfig(path: string) {
  const read = checkConfigFile(path, { machine: false });
  if (!read.readable) throw new CliError(ExitCode.usage, `cannot read ${path}: ${read.why}`);
  return read.result;
}

/** The policy file that a configuration names. */
function policyOf(config: string): string {
  const { config: accepted } = readConfig(config);
  if (!accepted) throw new CliError(ExitCode.problem, `${config} has errors`, `ipcnet config check ${config}`);
  if (accepted.policy === undefined) throw new CliError(ExitCode.usage, `${config} names no policy file`, "name the file to check, or add policy: FILE to the configuration");
  return resolve(dirname(config), accepted.policy);
}

async function fileOfGateway(command: Command, context: CliContext): Promise<string> {
  let file = "";
  await withGateway(command, context, async ({ client }) => {
    file = (await askStatus(client)).policy.file;
  });
  if (file === "") throw new CliError(ExitCode.usage, "the running gateway has no policy file", "name the file to check");
  return file;
}

/** The rules of files, as a gateway run by this user would have them. */
function engineOf({ file, config }: Sources): Engine {
  const options = { lookup: systemNames(), onUnknown: () => undefined };
  const ownUid = process.getuid?.() ?? 0;
  if (config !== undefined) {
    const { config: accepted, parts } = readConfig(config);
    if (!accepted) throw new CliError(ExitCode.problem, `${config} has errors`, `ipcnet config check ${config}`);
    return new Engine(ruleSet({ ownUid, policy: parts.policy, configuration: { config: accepted, file: config, locate: parts.locate } }), options);
  }
  const { checked } = readPolicy(file!, { machine: false }).result;
  if (!checked) throw new CliError(ExitCode.problem, `${file} has errors`, `ipcnet policy check ${file}`);
  return new Engine(ruleSet({ ownUid, policy: checked }), options);
}

function askFiles({ who, ...asked }: { who: string; verb: string; what: string; mode: string }, sources: Sources): Asked {
  const question = parseQuestion(asked);
  if (typeof question === "string") throw new CliError(ExitCode.usage, question);
  const engine = engineOf(sources);
  const system = thisSystem();
  const subject = subjectOf(who, engine, (pid) => readFacts(pid, system));
  if (typeof subject === "string") throw new CliError(ExitCode.usage, subject);
  return { who: subject.described, verb: question.verb, name: question.name, answers: question.actions.map((action) => ({ action, ...explain(engine, subject.subject, action, question.name) })) };
}

async function askGateway(question: object, command: Command, context: CliContext): Promise<Asked> {
  let answer: unknown;
  await withGateway(command, context, async ({ client }) => {
    answer = await client.request("gateway/policy", question, { timeoutMs: 5000 });
  });
  if (typeof answer !== "object" || answer === null || !Array.isArray((answer as Asked).answers)) throw otherVersion();
  return answer as Asked;
}

async function rulesOfGateway(command: Command, context: CliContext): Promise<readonly Rule[]> {
  let answer: unknown;
  await withGateway(command, context, async ({ client }) => {
    answer = await client.request("gateway/policy", {}, { timeoutMs: 5000 });
  });
  const rules = (answer as { rules?: unknown } | null)?.rules;
  if (!Array.isArray(rules)) throw otherVersion();
  return rules as Rule[];
}

function otherVersion(): CliError {
  return new CliError(ExitCode.problem, "the gateway's answer has a shape that this version of ipcnet does not know", "use the ipcnet command of the gateway's own version");
}

function explanationLines({ who, answers, name, verb }: Asked): string[] {
  return answers.flatMap(({ allowed, reason, rule, nearly, action }) => [
    `${allowed ? "allowed" : "DENIED"}: ${who}: ${action === verb ? verb : action} ${name}`,
    `  ${reason}`,
    ...(rule && rule.place ? [`  ${placeText(rule.place)}:${rule.place.column}: ${rule.effect} ${rule.what} to ${rule.who.join(", ")}`] : []),
    ...(nearly.length > 0 ? ["  nearly:", ...nearly.map((near) => `    ${near.rule.at}: ${near.rule.effect} ${near.rule.what} to ${near.rule.who.join(", ")}: ${near.because}`)] : []),
  ]);
}

function ruleLine({ effect, who, reach, why, place }: Rule): string {
  return `${placeText(place)}: ${effect} ${reach.map(({ action, patterns }) => `${action} ${patterns.join(" ")}`).join(", ")} to ${who.join(", ")}${why === "" ? "" : ` (${why})`}`;
}

/** `ipcnet plan check|show|schema`: plans of the safe pose, judged as the gateway judges them, and drawn; without one running. */
import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { Option } from "commander";
import { judgeReflex } from "../build/reflex/judge.ts";
import { compilePlans } from "../../failsafe/shutdown/compile.ts";
import { drawPlans } from "../../failsafe/shutdown/picture.ts";
import { checkPlan } from "../../schemas/messages/checkPlan.ts";
import { isReflexBus } from "../../schemas/messages/check/redundancy.ts";
import type { CheckResult } from "../../schemas/messages/checkConfig.ts";
import { checkConfigFile, readWhole, whyUnreadable } from "../../schemas/messages/configFile.ts";
import { renderFault, type Fault } from "../../schemas/messages/fault.ts";
import type { PlanFile } from "../../schemas/messages/plan.ts";
import { buildGraph } from "../../schemas/messages/plan/graph.ts";
import { planOfSafePose } from "../../schemas/messages/plan/linear.ts";
import { resolveTriggers } from "../../schemas/messages/plan/triggers.ts";
import { planSchema } from "../../schemas/messages/planSchema.ts";
import { fitLine, paint } from "../view/style.ts";
import { columnsOf, printable } from "../view/text.ts";
import { CliError, ExitCode, type CliContext, type Register } from "./command.ts";
import { toJson } from "./json.ts";
import { planLines } from "./planText.ts";
import { globalOptions, wantAscii } from "./terminal.ts";

const configOption = (): Option => new Option("--config <FILE>", "the configuration that a plan file belongs to: its messages, signals and nodes are known then");

export const register: Register = (program, context) => {
  const plan = program.command("plan").description("check and draw the plans of the safe pose");

  plan
    .command("check")
    .description("say whether the gateway would take a plan, and how long each can take; faults with line and column")
    .argument("<FILE>", "a plan file, or a configuration: its plan file or its safe pose")
    .addOption(configOption())
    .addHelpText("after", `
Exit code 1: there is an error.

Example:
  ipcnet plan check arm.plan.yaml --config ipcnet.yaml --json | jq '.plans[] | {name, worstMs, critical}'`)
    .action((path: string, options: { config?: string }, command: Command) => {
      const { json } = globalOptions(command, context);
      check(readPlan(path, options.config), path, json, context);
    });

  plan
    .command("show")
    .description("print the plans with latest times and triggers, or draw them")
    .argument("<FILE>", "a plan file, or a configuration: its plan file or its safe pose")
    .addOption(configOption())
    .option("--plan <NAME>", "this plan only")
    .option("--svg <FILE>", "draw them into this file; - for stdout")
    .addHelpText("after", `
● stands on the longest way, which has to fit the budget; ↳ runs in place of the step above when that is given up.
--json with a configuration: also the compiled form, with raw limits and encoded frames.

Examples:
  ipcnet plan show ipcnet.yaml
  ipcnet plan show arm.plan.yaml --plan park --svg park.svg`)
    .action((path: string, options: { config?: string; plan?: string; svg?: string }, command: Command) => {
      const { json, color } = globalOptions(command, context);
      const source = readPlan(path, options.config);
      const { file } = source;
      if (!file) throw new CliError(ExitCode.problem, source.faults.length > 0 ? `${path} has errors` : `${path} says nothing about a safe pose`, `ipcnet plan check ${path}`);
      const plans = file.plans.filter(({ name }) => options.plan === undefined || name === options.plan);
      if (plans.length === 0) throw new CliError(ExitCode.usage, `there is no plan ${options.plan}`, `one of ${file.plans.map(({ name }) => name).join(", ")}`);
      if (options.svg !== undefined) return writeDrawing(options.svg, drawPlans(plans), context);
      if (json) context.stdout.write(`${toJson({ plans: plans.map(planSummary), triggers: resolveTriggers(file), ...compiledOf(file, source.config) })}\n`);
      else for (const line of planLines(file, options.plan)) context.stdout.write(`${paint(fitLine(line, columnsOf(context.stdout, 200)), { color, ascii: wantAscii(context) })}\n`);
    });

  plan
    .command("schema")
    .description("print the JSON Schema of the plan file, for editors")
    .addHelpText("after", "\nExample:\n  ipcnet plan schema > plan.schema.json   # then, in the first line of arm.plan.yaml:\n  # yaml-language-server: $schema=plan.schema.json")
    .action((_options, command: Command) => {
      const { json } = globalOptions(command, context);
      context.stdout.write(json ? `${toJson(planSchema)}\n` : `${JSON.stringify(planSchema, null, 2)}\n`);
    });
};

interface PlanSource {
  /** Undefined: refused, or there is no plan. */
  file: PlanFile | undefined;
  faults: readonly Fault[];
  notes: readonly { file: string; line: number; column: number; code: string; message: string }[];
  texts: ReadonlyMap<string, string>;
  /** What the plan was checked against. */
  config: CheckResult | undefined;
}

/** A file with plans is a plan file; anything else is judged as a configuration. */
function readPlan(path: string, configPath: string | undefined): PlanSource {
  const answer = readWhole(path);
  if ("fault" in answer) throw new CliError(ExitCode.usage, `cannot read ${path}: ${answer.fault}`);
  const text = new TextDecoder("utf-8").decode(answer.bytes);
  if (configPath === undefined && !/^["']?plans["']?\s*:/m.test(text) && /^["']?robot["']?\s*:/m.test(text)) return planOfConfig(path);
  const config = configPath === undefined ? undefined : readConfig(configPath);
  if (config && !config.config && config.parts.plan === undefined && config.faults.some(({ file, severity }) => severity === "error" && file === configPath)) throw new CliError(ExitCode.problem, `${configPath} has errors`, `ipcnet config check ${configPath}`);
  const { checked, faults, notes } = checkPlan({ text, file: path, ...(config?.config ? { surroundings: { config: config.config, messages: config.parts.messages, topics: config.parts.topics } } : {}) });
  return { file: checked?.plan, faults, notes, texts: new Map([[path, text]]), config };
}

function planOfConfig(path: string): PlanSource {
  const result = readConfig(path);
  const file = result.config && (result.parts.plan?.plan ?? planOfSafePose(result.config.safePose));
  return { file, faults: result.faults, notes: result.notes, texts: result.texts, config: result };
}

function readConfig(path: string): CheckResult {
  const read = checkConfigFile(path, { machine: false });
  if (!read.readable) throw new CliError(ExitCode.usage, `cannot read ${path}: ${read.why}`);
  return judgeReflex(read.result, path).result;
}

function check({ file, faults, notes, texts }: PlanSource, path: string, json: boolean, context: CliContext): void {
  const errors = faults.filter(({ severity }) => severity === "error").length;
  if (!file) context.exitCode = ExitCode.problem;
  if (json) {
    context.stdout.write(`${toJson({ ok: file !== undefined, plans: file?.plans.map(planSummary) ?? [], faults, notes })}\n`);
    return;
  }
  for (const fault of faults) context.stdout.write(`${renderFault(fault, (name) => texts.get(name)).split("\n").map(printable).join("\n")}\n`);
  for (const note of notes) context.stdout.write(`${printable(`${note.file}:${note.line}:${note.column}: note ${note.code}: ${note.message}`)}\n`);
  for (const plan of file?.plans ?? []) {
    const { worstMs, critical } = buildGraph(plan);
    context.stdout.write(`${printable(`${plan.name}: at most ${worstMs} of ${plan.budgetMs} ms: ${critical.join(" → ")}`)}\n`);
  }
  const warnings = `${faults.length - errors} warning${faults.length - errors === 1 ? "" : "s"}`;
  if (file) context.stdout.write(`OK: ${file.plans.length} plan${file.plans.length === 1 ? "" : "s"}, ${resolveTriggers(file).length} triggers, ${warnings}\n`);
  else context.stdout.write(printable(errors === 0 ? `${path}: there is no safe pose to check` : `refused: ${path}: ${errors} error${errors === 1 ? "" : "s"}, ${warnings}`) + "\n");
}

function planSummary(plan: PlanFile["plans"][number]): object {
  const { worstMs, critical, steps } = buildGraph(plan);
  return { name: plan.name, category: plan.category, budgetMs: plan.budgetMs, worstMs, critical, steps: steps.map(({ step, ...rest }) => ({ ...rest, needs: rest.needs.map((need) => steps[need]!.name), fallback: rest.fallback === undefined ? null : steps[rest.fallback]!.name, tries: step.tries, deadlineMs: step.deadlineMs })) };
}

function compiledOf(file: PlanFile, result: CheckResult | undefined): object {
  if (!result?.config) return {};
  const { config, parts } = result;
  const hearsBus = (bus: string): boolean => config.redundancy.reflex === "none" || config.buses.some((each) => each.name === bus && isReflexBus(each));
  return { compiled: compilePlans(file, { messages: parts.messages, topics: parts.topics, hearsBus }) };
}

function writeDrawing(path: string, svg: string, context: CliContext): void {
  if (path === "-") {
    context.stdout.write(svg);
    return;
  }
  try {
    writeFileSync(path, svg);
  } catch (error) {
    throw new CliError(ExitCode.problem, `cannot write ${path}: ${whyUnreadable(error)}`);
  }
}

/** `arm`, `disarm`, `reset`, `safe-pose`: what an operator does. */
import { Option, type Command } from "commander";
import type { PoseVerdict } from "../../failsafe/safePose/sequence.ts";
import { categoryWords } from "../../schemas/messages/plan/triggers.ts";
import { Status, type IpcnetError } from "../../schemas/status.ts";
import { CliError, ExitCode, type CliContext, type Register } from "./command.ts";
import { withGateway, type Session } from "./connection.ts";
import { toJson } from "./json.ts";
import { parseNumber } from "./parse.ts";
import { askStatus } from "./statusReport.ts";
import { wantAscii } from "./terminal.ts";
import { columnsOf, printable } from "../view/text.ts";
import { isVerdict, verdictText } from "../view/verdict.ts";

export const register: Register = (program, context) => {
  program
    .command("arm")
    .description("let commands through to actuators; refused with the list of what is missing")
    .option("--why <TEXT>", "the reason, for the events")
    .option("--reset", "first leave the state that a safe pose or a fault has latched")
    .addHelpText("after", "\nArming moves nothing by itself. After a safe pose or a fault it needs --reset: somebody has to have looked.\n\nExamples:\n  ipcnet arm && ipcnet pub cmd/arm/shoulder_Command velocity=0.1 --rate 50 --count 100; ipcnet disarm")
    .action((options: ArmOptions, command: Command) => withGateway(command, context, (session) => arm(session, context, options)));

  program
    .command("disarm")
    .description("let no command through to actuators any more")
    .option("--why <TEXT>", "the reason, for the events")
    .addHelpText("after", "\nDisarming sends nothing: actuators stop by their own time-outs. ipcnet safe-pose brings them into a pose.")
    .action((options: { why?: string }, command: Command) =>
      withGateway(command, context, async ({ client, json }) => {
        const answer = await client.request("gateway/disarm", options.why === undefined ? {} : { why: options.why }, { timeoutMs: 5000 });
        context.stdout.write(json ? `${toJson({ disarmed: true, answer })}\n` : "disarmed: no command reaches an actuator\n");
      }));

  program
    .command("reset")
    .description("after a safe pose or a fault: permit arming again; moves nothing and arms nothing")
    .option("--why <TEXT>", "the reason, for the events")
    .addHelpText("after", "\nFor whoever has looked why it happened, and is allowed to call gateway/reset. While the cause still holds it is refused; ipcnet status names the cause.")
    .action((options: { why?: string }, command: Command) => withGateway(command, context, (session) => reset(session, context, options)));

  program
    .command("safe-pose")
    .description("bring the robot into its safe pose, wait for the verdict; exit code 0 posed (measured), 1 cut (not all of it), 5 failed")
    .addOption(new Option("--category <CATEGORY>", "stop category of IEC 60204-1: 0 or offNow, 1 or parkedThenOff, 2 or hold (default: 1, or the only one that there is)").choices(["0", "1", "2", ...categoryWords]))
    .option("--why <TEXT>", "the reason, for the journal; \"compromise\", or \"compromise: TEXT\", says that something of this robot cannot be trusted any more", "asked for on the command line")
    .option("--timeout-ms <N>", "how long to wait for the verdict (the gateway goes on without us)", parseNumber({ minimum: 100, maximum: 3_600_000 }), 60_000)
    .addHelpText("after", "\nA pose that runs already is joined; one of a lower priority is taken over (docs/specs/plan.md). --why compromise starts the severest plan, asks no program, and stays latched until ipcnet reset.\n\nExamples:\n  ipcnet safe-pose --why \"somebody in the cell\"\n  ipcnet safe-pose --category hold\n  ipcnet safe-pose --json | jq .verdict")
    .action(async (options: { why: string; timeoutMs: number; category?: string }, command: Command) => {
      let asked = false;
      await withGateway(command, context, async ({ client, json, color }) => {
        asked = true;
        context.exitCode = ExitCode.problem; // until the verdict says otherwise
        const verdict = await client.request("gateway/safe-pose", { why: options.why, ...(isCompromise(options.why) ? { compromise: true } : {}), ...(options.category === undefined ? {} : { category: categoryNamed(options.category) }) }, { timeoutMs: options.timeoutMs });
        if (!isVerdict(verdict)) throw new CliError(ExitCode.problem, `the gateway's verdict has a shape that this version of ipcnet does not know: ${toJson(verdict)}`, "use the ipcnet command of the gateway's own version");
        const lines = json ? [toJson(verdict)] : verdictText(verdict, { columns: columnsOf(context.stdout, 120), color, ascii: wantAscii(context) });
        context.stdout.write(`${lines.join("\n")}\n`);
        context.exitCode = exitCodes[verdict.verdict];
      });
      if (asked && context.signal.aborted) context.stderr.write("ipcnet: the gateway goes on with the safe pose; ipcnet status shows how far it is\n");
    });
};

const exitCodes: Readonly<Record<PoseVerdict["verdict"], number>> = { posed: ExitCode.ok, cut: ExitCode.problem, failed: ExitCode.failed };

/** Of one of the option's choices. */
function categoryNamed(word: string): number {
  const place = categoryWords.findIndex((each) => each === word);
  return place >= 0 ? place : Number(word);
}

function isCompromise(why: string): boolean {
  return /^compromised?(:|$)/.test(why);
}

/** Then says what is still missing, if anything. */
async function reset({ client, json }: Session, context: CliContext, { why }: { why?: string }): Promise<void> {
  await client.request("gateway/reset", why === undefined ? {} : { why }, { timeoutMs: 5000 });
  const { state, missingForArming: missing } = await askStatus(client);
  const done = state === "disarmed";
  if (!done) context.exitCode = ExitCode.problem;
  if (json) return void context.stdout.write(`${toJson({ reset: done, state, missing })}\n`);
  const list = missing.map((sentence) => `  • ${printable(sentence)}\n`).join("");
  if (done) context.stdout.write(`reset: nothing moves, arming is permitted${list === "" ? "" : ` when this is mended:\n${list.trimEnd()}`}\n`);
  else context.stderr.write(`ipcnet: not reset, the gateway is in ${state}:\n${list}`);
}

interface ArmOptions {
  why?: string;
  reset?: boolean;
}

/** Nodes that are about to say who they are are waited for, up to three seconds (docs/specs/node-care.md). */
const ARM_TIMEOUT_MS = 10_000;

async function arm({ client, json }: Session, context: CliContext, { why, reset }: ArmOptions): Promise<void> {
  try {
    const answer = await client.request("gateway/arm", { ...(why === undefined ? {} : { why }), ...(reset ? { reset } : {}) }, { timeoutMs: ARM_TIMEOUT_MS });
    context.stdout.write(json ? `${toJson({ armed: true, answer })}\n` : "armed: commands move the robot\n");
  } catch (error) {
    if ((error as Partial<IpcnetError>).status !== Status.preconditionFailed) throw error;
    // The refusal may carry the list; if not, the status has it.
    const missing = listIn((error as IpcnetError).details) ?? (await askStatus(client)).missingForArming;
    context.exitCode = ExitCode.problem;
    if (json) context.stdout.write(`${toJson({ armed: false, missing })}\n`);
    else context.stderr.write(`ipcnet: not armed; missing:\n${missing.map((sentence) => `  • ${printable(sentence)}\n`).join("")}`);
  }
}

function listIn(details: unknown): readonly string[] | undefined {
  const list = Array.isArray(details) ? (details as unknown[]) : (details as { missing?: unknown } | undefined)?.missing;
  return Array.isArray(list) && list.length > 0 ? list.map(String) : undefined;
}

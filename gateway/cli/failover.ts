/** `failover`, `kill`, `quarantine`: the two instances of a pair. */
import { Argument, type Command } from "commander";
import { Status, type IpcnetError } from "../../schemas/status.ts";
import { CliError, ExitCode, type Register } from "./command.ts";
import { withGateway, type Session } from "./connection.ts";
import { toJson } from "./json.ts";
import { askReflexes, reflexText } from "./reflex.ts";
import { isAlone } from "../view/states.ts";
import { printable } from "../view/text.ts";
import type { PairReport } from "../front/pairServices.ts";

/** A hand-over takes milliseconds; closing the links to the outside may take longer. */
const SWITCH_MS = 30_000;

interface Kept {
  name: string;
  component: string;
  pid: number;
  why: string;
  wallTime: string;
  lengthBytes: number;
  sample: string;
}

export const register: Register = (program, context) => {
  const failover = program.command("failover").description("the instances of the gateway, and of the bus process, that stand in for each other");
  failover
    .command("status")
    .description("who is active, and whether the others can take over; exit code 0 only if they can")
    .addHelpText("after", "\nExamples:\n  ipcnet failover status\n  ipcnet failover status --json | jq -r .active")
    .action((_options, command: Command) =>
      withGateway(command, context, async (session) => {
        const report = await unlessAlone(ask(session, {}));
        const reflexes = await unlessAlone(askReflexes(session));
        const lines = [report ? words(report) : "the gateway runs alone (redundancy.brains: single)", ...(reflexes ? reflexText(reflexes, session, context) : ["it opens the buses itself (redundancy.reflex: none)"])];
        context.stdout.write(session.json ? `${toJson({ ...report, ...(reflexes ? { reflexes } : {}) })}\n` : `${lines.join("\n")}\n`);
        const ready = (report?.standby?.ready ?? reflexes !== undefined) && (reflexes?.every((each) => each.there && each.healthy && !isAlone(each, reflexes)) ?? true);
        context.exitCode = ready ? ExitCode.ok : ExitCode.problem;
      }));
  failover
    .command("switch")
    .description("have the other instance go on; programs keep their connections, and no answer is lost or doubled")
    .addArgument(new Argument("[WHICH]", "brain: the gateway; reflex: the bus process; host: the other host on the bus").choices(["brain", "reflex", "host"]).default("brain"))
    .option("--force", "also while armed, where no reflex holds the buses: the successor of a gateway begins disarmed then")
    .addHelpText("after", "\nExamples:\n  ipcnet failover switch\n  ipcnet failover switch reflex\n  ipcnet failover switch host")
    .action((which: string, options: { force?: boolean }, command: Command) =>
      withGateway(command, context, async (session) => {
        if (which === "reflex") {
          const reports = await askReflexes(session, { action: "switch" }, SWITCH_MS);
          context.stdout.write(session.json ? `${toJson(reports)}\n` : "the other bus process owns the buses now\n");
          return;
        }
        if (which === "host") {
          const reports = await askReflexes(session, { action: "switch", to: "host" }, SWITCH_MS);
          context.stdout.write(session.json ? `${toJson(reports)}\n` : "the other host commands the buses now; this one stands by\n");
          return;
        }
        const before = await ask(session, {});
        const report = await ask(session, { action: "switch", from: before.active, ...(options.force ? { force: true } : {}) }, SWITCH_MS);
        context.stdout.write(session.json ? `${toJson(report)}\n` : `instance ${printable(report.active)} is active now, after ${printable(before.active)}\n`);
      }));

  program
    .command("kill")
    .description("end an instance with kill -9, as a drill; only where the configuration allows drills (redundancy.drills)")
    .argument("<INSTANCE>", "a or b: of the gateway; reflex-a or reflex-b: of the bus process")
    .requiredOption("--test", "yes, this is a drill")
    .addHelpText("after", "\nExamples:\n  ipcnet kill --test a\n  ipcnet kill --test reflex-a")
    .action((instance: string, _options, command: Command) =>
      withGateway(command, context, async ({ client, json }) => {
        const bus = /^reflex-(.*)$/.exec(instance)?.[1];
        const answer = await client.request(bus === undefined ? "gateway/failover" : "gateway/reflex", { action: "kill", instance: bus ?? instance }, { timeoutMs: 5000 });
        context.stdout.write(json ? `${toJson(answer)}\n` : `instance ${printable(instance)} is being ended\n`);
      }));

  const quarantine = program.command("quarantine").description("what is kept out because the gateway died over it");
  quarantine
    .command("list")
    .description("who is kept out, and why")
    .addHelpText("after", "\nExamples:\n  ipcnet quarantine list --json | jq -r '.[].sample'")
    .action((_options, command: Command) =>
      withGateway(command, context, async ({ client, json }) => {
        const kept = (await client.request("gateway/quarantine", {}, { timeoutMs: 5000 })) as Kept[];
        const lines = kept.map(({ name, component, pid, why, wallTime, lengthBytes }) => `${name}  ${printable(component)}${pid === 0 ? "" : ` (pid ${pid})`}: ${why}; ${lengthBytes} bytes, ${wallTime}`);
        context.stdout.write(json ? `${toJson(kept)}\n` : `${lines.length === 0 ? "nobody is kept out" : lines.join("\n")}\n`);
      }));
  quarantine
    .command("release")
    .description("let somebody in again")
    .argument("<NAME>", "the name of an entry, or of a component")
    .addHelpText("after", "\nExamples:\n  ipcnet quarantine release q1")
    .action((name: string, _options, command: Command) =>
      withGateway(command, context, async ({ client, json }) => {
        const answer = await client.request("gateway/quarantine", { release: name }, { timeoutMs: 5000 });
        context.stdout.write(json ? `${toJson(answer)}\n` : `${printable(name)} may come in again\n`);
      }));
};

/** What is not there for lack of a pair is no fault of whoever asks. */
async function unlessAlone<Answer>(asked: Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await asked;
  } catch (error) {
    if ((error as Partial<IpcnetError>).status !== Status.preconditionFailed) throw error;
    return undefined;
  }
}

async function ask({ client }: Session, body: Readonly<Record<string, unknown>>, timeoutMs = 5_000): Promise<PairReport> {
  const report = (await client.request("gateway/failover", body, { timeoutMs })) as Partial<PairReport> | undefined;
  if (typeof report?.active !== "string") throw new CliError(ExitCode.problem, "the gateway's answer has a shape that this version of ipcnet does not know", "use the ipcnet command of the gateway's own version");
  return report as PairReport;
}

function words({ active, pid, epoch, standby, since, takeover }: PairReport): string {
  const tookUs = takeover?.stepsUs.listening;
  const took = tookUs === undefined ? "" : ` within ${(tookUs / 1e3).toFixed(1)} ms`;
  const how = since.how === "tookOver" ? ` since it took over from ${since.from ?? "?"} (${since.death ?? "?"})${took}` : "";
  const other = !standby ? "there is no standby: nobody can take over" : `instance ${printable(standby.instance)} (pid ${standby.pid}) ${standby.ready ? "can take over" : "is still catching up"}`;
  return `instance ${printable(active)} (pid ${pid}) is active under epoch ${epoch}${how}; ${other}`;
}

/** `failover`, `kill`, `quarantine`: the two instances of a pair. */
import type { Command } from "commander";
import { CliError, ExitCode, type Register } from "./command.ts";
import { withGateway, type Session } from "./connection.ts";
import { toJson } from "./json.ts";
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
  const failover = program.command("failover").description("the two instances of the gateway that stand in for each other");
  failover
    .command("status")
    .description("which instance is active, and whether the other one can take over; exit code 0 only if it can")
    .addHelpText("after", "\nExamples:\n  ipcnet failover status\n  ipcnet failover status --json | jq -r .active")
    .action((_options, command: Command) =>
      withGateway(command, context, async (session) => {
        const report = await ask(session, {});
        context.stdout.write(session.json ? `${toJson(report)}\n` : `${words(report)}\n`);
        context.exitCode = report.standby?.ready ? ExitCode.ok : ExitCode.problem;
      }));
  failover
    .command("switch")
    .description("have the other instance go on; programs keep their connections, and no answer is lost or doubled")
    .option("--force", "also while armed: the successor begins disarmed")
    .addHelpText("after", "\nExamples:\n  ipcnet failover switch")
    .action((options: { force?: boolean }, command: Command) =>
      withGateway(command, context, async (session) => {
        const before = await ask(session, {});
        const report = await ask(session, { action: "switch", from: before.active, ...(options.force ? { force: true } : {}) }, SWITCH_MS);
        context.stdout.write(session.json ? `${toJson(report)}\n` : `instance ${printable(report.active)} is active now, after ${printable(before.active)}\n`);
      }));

  program
    .command("kill")
    .description("end an instance with kill -9, as a drill; only where the configuration allows drills (redundancy.drills)")
    .argument("<INSTANCE>", "a or b")
    .requiredOption("--test", "yes, this is a drill")
    .addHelpText("after", "\nExamples:\n  ipcnet kill --test a")
    .action((instance: string, _options, command: Command) =>
      withGateway(command, context, async ({ client, json }) => {
        const answer = await client.request("gateway/failover", { action: "kill", instance }, { timeoutMs: 5000 });
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
        const lines = kept.map(({ name, component, pid, why, wallTime, lengthBytes }) => `${name}  ${printable(component)} (pid ${pid}): ${why}; ${lengthBytes} bytes, ${wallTime}`);
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

async function ask({ client }: Session, body: Readonly<Record<string, unknown>>, timeoutMs = 5_000): Promise<PairReport> {
  const report = (await client.request("gateway/failover", body, { timeoutMs })) as Partial<PairReport> | undefined;
  if (typeof report?.active !== "string") throw new CliError(ExitCode.problem, "the gateway's answer has a shape that this version of ipcnet does not know", "use the ipcnet command of the gateway's own version");
  return report as PairReport;
}

function words({ active, pid, standby, since }: PairReport): string {
  const how = since.how === "tookOver" ? ` since it took over from ${since.from ?? "?"} (${since.death ?? "?"})` : "";
  const other = !standby ? "there is no standby: nobody can take over" : `instance ${printable(standby.instance)} (pid ${standby.pid}) ${standby.ready ? "can take over" : "is still catching up"}`;
  return `instance ${printable(active)} (pid ${pid}) is active${how}; ${other}`;
}

/** Verbs for services: who offers what, and calling it. */
import { CliError, ExitCode, type Register } from "./command.ts";
import type { FoundEntry } from "./client.ts";
import { withGateway } from "./connection.ts";
import { inWords, toJson } from "./json.ts";
import { parseNumber } from "./parse.ts";
import { displayWidth, fit, printable } from "../view/text.ts";

const kinds = ["components", "topics", "services", "resources"] as const;
type Kind = (typeof kinds)[number];

/** An entry of `find services`, as the gateway makes it. */
interface FoundService {
  service: string;
  waiting: number;
  providers: { name: string; component: string; pid: number; group: string; running: number; capacity?: number; leaving: boolean; description: string }[];
}

interface CallOptions {
  timeoutMs: number;
  group?: string;
  once?: boolean;
}

export const register: Register = (program, context) => {
  program
    .command("services")
    .description("list the services that this user may call: who offers them, how busy they are")
    .argument("[PATTERN]", "service name with + for one level and # for the rest", "#")
    .addHelpText("after", "\nExamples:\n  ipcnet services\n  ipcnet services 'arm/#'\n  ipcnet services --json | jq -r .service")
    .action((pattern: string, _options, command) =>
      withGateway(command, context, async ({ client, json }) => {
        const services = byName(await client.find("services", pattern), "service");
        if (services.length === 0) throw new CliError(ExitCode.problem, `no service matches '${pattern}'`, "ipcnet services lists all that this user may call");
        const lines = json ? services.map(toJson) : table(services.flatMap(serviceRows));
        for (const line of lines) context.stdout.write(`${line}\n`);
      }));

  program
    .command("find")
    .description("find components, topics, services or resources, as far as this user may know of them")
    .argument("<KIND>", `one of ${kinds.join(", ")}`)
    .argument("[PATTERN]", "name with + for one level and # for the rest", "#")
    .addHelpText("after", "\nExamples:\n  ipcnet find components\n  ipcnet find resources\n  ipcnet find services 'arm/+' --json")
    .action((kind: string, pattern: string, _options, command) => {
      if (!isKind(kind)) throw new CliError(ExitCode.usage, `'${kind}' is nothing to find`, `one of ${kinds.join(", ")}`);
      return withGateway(command, context, async ({ client, json }) => {
        for (const entry of byName(await client.find(kind, pattern), kind === "services" ? "service" : "name")) context.stdout.write(`${json ? toJson(entry) : inWords(entry)}\n`);
      });
    });

  program
    .command("call")
    .description("call a service and print its answer, or the items of its stream as they come; Ctrl-C cancels the call")
    .argument("<SERVICE>", "name of the service")
    .argument("[JSON]", "the request's body")
    .option("--timeout-ms <MS>", "how long to wait for the answer, in a stream for each item", parseNumber({ minimum: 1, maximum: 600_000 }), 5000)
    .option("--group <NAME>", "only providers of this group")
    .option("--once", "do not ask another provider if one dies with the call")
    .addHelpText("after", "\nExamples:\n  ipcnet call gateway/status --json | jq .state\n  ipcnet call arm/plan '{\"target\":[0.4,0.1]}' --timeout-ms 20000\n  ipcnet call camera/detections --json > detections.jsonl")
    .action((service: string, text: string | undefined, { timeoutMs, group, once }: CallOptions, command) => {
      const body = text === undefined ? undefined : parseBody(text);
      return withGateway(command, context, async ({ client, json }) => {
        const options = { timeoutMs, signal: context.signal, idempotent: once !== true, ...(group === undefined ? {} : { group }) };
        for await (const item of client.stream(service, body, options)) context.stdout.write(`${json ? toJson(item) : inWords(item)}\n`);
      });
    });
};

function isKind(text: string): text is Kind {
  return kinds.some((kind) => kind === text);
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new CliError(ExitCode.usage, `the body is not JSON: ${(error as Error).message}`, "for example: ipcnet call arm/plan '{\"target\":[0.4,0.1]}'; a text needs its quotes: '\"text\"'");
  }
}

function byName(entries: readonly FoundEntry[], key: string): FoundEntry[] {
  return [...entries].sort((a, b) => (String(a[key]) < String(b[key]) ? -1 : 1));
}

/** One row per provider; the service's name and its queue stand in the first. */
function serviceRows(entry: FoundEntry): string[][] {
  const { service, waiting, providers } = entry as unknown as FoundService;
  return providers.map(({ name, component, pid, group, running, capacity, leaving, description }, index) => {
    const who = name === component ? name : `${name} (${component}, pid ${pid})`;
    const notes = [index === 0 && waiting > 0 ? `${waiting} waiting` : "", leaving ? "leaving" : "", description].filter((part) => part !== "");
    return [index === 0 ? service : "", who, group === "" ? "" : `group ${group}`, `${running}${capacity === undefined ? "" : `/${capacity}`} running`, notes.join("  ")];
  });
}

function table(rows: readonly (readonly string[])[]): string[] {
  const clean = rows.map((row) => row.map(printable));
  const widths = (clean[0] ?? []).map((_, column) => Math.max(...clean.map((row) => displayWidth(row[column]!))));
  return clean.map((row) => row.map((cell, column) => fit(cell, widths[column]!)).filter((_, column) => widths[column]! > 0).join("  ").trimEnd());
}

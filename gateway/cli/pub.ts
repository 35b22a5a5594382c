import { CliError, ExitCode, type CliContext, type Register } from "./command.ts";
import { pause, withGateway, type Session } from "./connection.ts";
import { toJson } from "./json.ts";
import { parseFields, parseNumber } from "./parse.ts";

interface PubOptions {
  jsonValue?: string;
  ttlMs?: number;
  rate?: number;
  count?: number;
}

export const register: Register = (program, context) => {
  program
    .command("pub")
    .description("publish a message and wait for the gateway's verdict; the first refusal ends it")
    .argument("<TOPIC>", "a topic this user may write; commands are cmd/BUS/MESSAGE")
    .argument("[FIELD...]", "key=value of each field; numbers, true, false, null and JSON mean what they look like")
    .option("--json-value <JSON>", "the whole value at once, instead of fields")
    .option("--ttl-ms <N>", "refuse to deliver it later than this", parseNumber({ minimum: 1, maximum: 3_600_000 }))
    .option("--rate <HZ>", "publish again and again until Ctrl-C or --count", parseNumber({ minimum: 0.001, maximum: 10_000 }))
    .option("-n, --count <N>", "how many messages (with --rate; default without it: 1)", parseNumber({ minimum: 1, maximum: 1e9, integer: true }))
    .addHelpText("after", "\nExamples:\n  ipcnet pub app/target x=0.4 y=-0.1\n  ipcnet pub cmd/arm/shoulder_Command mode=Velocity velocity=0.1 --ttl-ms 50 --rate 50 --count 100\n  ipcnet pub app/plan --json-value '{\"points\":[[0,0],[1,2]]}'")
    .action((topic: string, fields: string[], options: PubOptions, command) => {
      const value = valueOf(fields, options);
      return withGateway(command, context, (session) => publish(session, context, topic, value, options));
    });
};

function valueOf(fields: readonly string[], options: PubOptions): unknown {
  if (options.jsonValue === undefined) {
    if (fields.length === 0) throw new CliError(ExitCode.usage, "there is no value to publish", "give fields as key=value, or --json-value '{…}'");
    return parseFields(fields);
  }
  if (fields.length > 0) throw new CliError(ExitCode.usage, "fields and --json-value exclude each other");
  try {
    return JSON.parse(options.jsonValue) as unknown;
  } catch (error) {
    throw new CliError(ExitCode.usage, `--json-value is not JSON: ${(error as Error).message}`);
  }
}

/** With a rate, message n is due at start + n/rate; a turn that comes too late is left out, not made up for: a burst of set-points is no stream of them. */
async function publish({ client, json, services }: Session, context: CliContext, topic: string, value: unknown, options: PubOptions): Promise<void> {
  const { clock } = services;
  const count = options.count ?? (options.rate === undefined ? 1 : Number.POSITIVE_INFINITY);
  const periodMs = 1000 / (options.rate ?? 1000);
  const startUs = clock.nowUs();
  let sent = 0;
  let leftOut = 0;
  for (let turn = 0; sent < count; turn++) {
    const waitMs = turn * periodMs - (clock.nowUs() - startUs) / 1000;
    if (options.rate !== undefined && waitMs < -periodMs) {
      leftOut += 1;
      continue;
    }
    if (waitMs > 0 && !(await pause(services, waitMs, context.signal))) break;
    await client.publish(topic, value, { acknowledge: true, ...(options.ttlMs === undefined ? {} : { ttlMs: options.ttlMs }) });
    sent += 1;
  }
  if (json) context.stdout.write(`${toJson({ topic, sent, leftOut })}\n`);
  else if (count > 1) context.stdout.write(`${sent} sent${leftOut > 0 ? `, ${leftOut} left out because they were late` : ""}\n`);
}

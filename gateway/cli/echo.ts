import type { Register } from "./command.ts";
import { withGateway } from "./connection.ts";
import { toJson } from "./json.ts";
import { messageLine, messageObject } from "./messages.ts";
import { parseNumber } from "./parse.ts";

/** At 6,000 messages/s, the densest bus there is, a third of a second in which the terminal may stand still before messages are lost (and said to be). */
const queueMessages = 2048;

export const register: Register = (program, context) => {
  program
    .command("echo")
    .description("print messages as they come, decoded, until Ctrl-C")
    .argument("<TOPIC...>", "topic names or patterns: + for one level, # for the rest")
    .option("-n, --count <N>", "end after N messages", parseNumber({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, integer: true }))
    .option("--rate-max <HZ>", "at most so many messages a second of each topic, the latest ones", parseNumber({ minimum: 0.001, maximum: 1e6 }))
    .option("--last", "begin with the last value of each topic")
    .addHelpText("after", "\nExamples:\n  ipcnet echo can/arm/shoulder_State --rate-max 5\n  ipcnet echo 'can/#' 'cmd/#' --json > messages.jsonl\n  ipcnet echo mqtt/broker/imu --count 1 --json | jq .value")
    .action((patterns: string[], options: { count?: number; rateMax?: number; last?: boolean }, command) =>
      withGateway(command, context, async ({ client, json, ended }) => {
        let left = options.count ?? Number.POSITIVE_INFINITY;
        let enough = (): void => {};
        const counted = new Promise<void>((resolve) => {
          enough = resolve;
        });
        const listener = (message: Parameters<typeof messageLine>[0]): void => {
          if (left <= 0) return;
          context.stdout.write(`${json ? toJson(messageObject(message)) : messageLine(message)}\n`);
          left -= 1;
          if (left <= 0) enough();
        };
        for (const pattern of patterns) {
          if (!/[+#]/.test(pattern) && (await client.topics(pattern)).length === 0) context.stderr.write(`ipcnet: there is no topic '${pattern}' yet; waiting for it\n`);
          const rate = options.rateMax === undefined ? { policy: { queue: queueMessages } } : { policy: "latest" as const, rateHzMax: options.rateMax };
          await client.subscribe(pattern, { ...rate, lastValue: options.last === true }, listener);
        }
        await Promise.race([counted, ended]);
      }));
};

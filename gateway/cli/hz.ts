import type { Register } from "./command.ts";
import { pause, withGateway } from "./connection.ts";
import { toJson } from "./json.ts";
import { parseNumber } from "./parse.ts";
import { RateMeter } from "./rateMeter.ts";
import { printable } from "../view/text.ts";

export const register: Register = (program, context) => {
  program
    .command("hz")
    .description("measure rate and regularity of topics, once a second until Ctrl-C")
    .argument("<TOPIC>", "topic name or pattern: + for one level, # for the rest")
    .option("--window <N>", "over the last N intervals of each topic", parseNumber({ minimum: 1, maximum: 100_000, integer: true }), 500)
    .option("-n, --count <N>", "end after N reports", parseNumber({ minimum: 1, maximum: 1e9, integer: true }))
    .addHelpText("after", "\nExamples:\n  ipcnet hz can/arm/shoulder_State\n  ipcnet hz 'can/arm/+' --json --count 1")
    .action((pattern: string, options: { window: number; count?: number }, command) =>
      withGateway(command, context, async ({ client, json, services }) => {
        const meters = new Map<string, { meter: RateMeter; seenBefore: number }>();
        await client.subscribe(pattern, { policy: { queue: 4096 } }, (message) => {
          let entry = meters.get(message.topic);
          if (!entry) meters.set(message.topic, (entry = { meter: new RateMeter(options.window), seenBefore: 0 }));
          entry.meter.push(message.timeUs, message.lostBefore);
        });
        for (let report = 0; report < (options.count ?? Number.POSITIVE_INFINITY); report++) {
          if (!(await pause(services, 1000, context.signal))) return;
          if (meters.size === 0) context.stderr.write(`ipcnet: nothing on '${pattern}' so far\n`);
          for (const [topic, entry] of [...meters].sort(([a], [b]) => (a < b ? -1 : 1))) {
            const figures = entry.meter.figures();
            const silent = entry.meter.messages === entry.seenBefore;
            entry.seenBefore = entry.meter.messages;
            if (json) context.stdout.write(`${toJson({ topic, silent, messages: entry.meter.messages, ...figures })}\n`);
            else if (silent || !figures) context.stdout.write(`${printable(topic)}  ${silent ? "silent for a second" : "one message so far"}\n`);
            else {
              const { rateHz, intervalMsMin, intervalMsMax, intervalMsStdDev, lost } = figures;
              context.stdout.write(`${printable(topic)}  ${rateHz.toFixed(2)} Hz  interval ${intervalMsMin.toFixed(3)}…${intervalMsMax.toFixed(3)} ms  σ ${intervalMsStdDev.toFixed(3)} ms${lost > 0 ? `  ${lost} lost` : ""}\n`);
            }
          }
        }
      }));
};

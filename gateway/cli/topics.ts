import { CliError, ExitCode, type Register } from "./command.ts";
import { withGateway } from "./connection.ts";
import { toJson } from "./json.ts";
import { messageLine, messageObject } from "./messages.ts";
import { parseNumber } from "./parse.ts";
import { fit, displayWidth, printable, shortNumber } from "../view/text.ts";

export const register: Register = (program, context) => {
  program
    .command("topics")
    .description("list the topics: name, encoding, rate, quality, whether this user may write it, how many programs do by lanes")
    .argument("[PATTERN]", "topic name with + for one level and # for the rest", "#")
    .addHelpText("after", "\nExamples:\n  ipcnet topics\n  ipcnet topics 'can/arm/+'\n  ipcnet topics --json 'cmd/#' | jq -r .name")
    .action((pattern: string, _options, command) =>
      withGateway(command, context, async ({ client, json }) => {
        const topics = [...(await client.topics(pattern))].sort((a, b) => (a.name < b.name ? -1 : 1));
        if (topics.length === 0) throw new CliError(ExitCode.problem, `no topic matches '${pattern}'`, "ipcnet topics lists all that this user may read");
        const nameColumns = Math.max(...topics.map(({ name }) => displayWidth(name)));
        for (const topic of topics) {
          const rate = topic.rateHz === undefined ? "" : `${shortNumber(topic.rateHz)} Hz`;
          const line = `${fit(printable(topic.name), nameColumns)}  ${fit(topic.encoding, 8)} ${fit(rate, 8, "right")}  ${fit(topic.quality ?? "", 6)}${fit(topic.writable ? "writable" : "", 9)}${topic.writers ? `${topic.writers} writing` : ""}`;
          context.stdout.write(`${json ? toJson(topic) : line.trimEnd()}\n`);
        }
      }));

  program
    .command("get")
    .description("print the last value of a topic; exit code 1 when there is none yet")
    .argument("<TOPIC>", "topic name, without wildcards")
    .option("--last <N>", "the last N messages, oldest first, as far as they are kept", parseNumber({ minimum: 1, maximum: 1000, integer: true }))
    .addHelpText("after", "\nExamples:\n  ipcnet get can/arm/shoulder_State\n  ipcnet get app/plan --last 10\n  ipcnet get --json can/arm/shoulder_State | jq .value.angle")
    .action((topic: string, options: { last?: number }, command) =>
      withGateway(command, context, async ({ client, json }) => {
        const messages = options.last === undefined ? [await client.query(topic)].filter((message) => message !== undefined) : await client.query(topic, { last: options.last });
        if (messages.length === 0) throw new CliError(ExitCode.problem, `nothing has been received on '${topic}' yet`, `ipcnet echo '${topic}' waits for the next message`);
        for (const message of messages) context.stdout.write(`${json ? toJson(messageObject(message)) : messageLine(message)}\n`);
      }));
};

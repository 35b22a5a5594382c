import { CliError, ExitCode, type Register } from "./command.ts";
import { withGateway } from "./connection.ts";
import { toJson } from "./json.ts";
import { messageLine, messageObject } from "./messages.ts";
import { fit, displayWidth, printable, shortNumber } from "../view/text.ts";

export const register: Register = (program, context) => {
  program
    .command("topics")
    .description("list the topics: name, encoding, rate, quality, whether this user may write it")
    .argument("[PATTERN]", "topic name with + for one level and # for the rest", "#")
    .addHelpText("after", "\nExamples:\n  ipcnet topics\n  ipcnet topics 'can/arm/+'\n  ipcnet topics --json 'cmd/#' | jq -r .name")
    .action((pattern: string, _options, command) =>
      withGateway(command, context, async ({ client, json }) => {
        const topics = [...(await client.topics(pattern))].sort((a, b) => (a.name < b.name ? -1 : 1));
        if (topics.length === 0) throw new CliError(ExitCode.problem, `no topic matches '${pattern}'`, "ipcnet topics lists all that this user may read");
        const nameColumns = Math.max(...topics.map(({ name }) => displayWidth(name)));
        for (const topic of topics) {
          const rate = topic.rateHz === undefined ? "" : `${shortNumber(topic.rateHz)} Hz`;
          const line = `${fit(printable(topic.name), nameColumns)}  ${fit(topic.encoding, 8)} ${fit(rate, 8, "right")}  ${fit(topic.quality ?? "", 6)}${topic.writable ? "writable" : ""}`;
          context.stdout.write(`${json ? toJson(topic) : line.trimEnd()}\n`);
        }
      }));

  program
    .command("get")
    .description("print the last value of a topic; exit code 1 when there is none yet")
    .argument("<TOPIC>", "topic name, without wildcards")
    .addHelpText("after", "\nExamples:\n  ipcnet get can/arm/shoulder_State\n  ipcnet get --json can/arm/shoulder_State | jq .value.angle")
    .action((topic: string, _options, command) =>
      withGateway(command, context, async ({ client, json }) => {
        const message = await client.query(topic);
        if (!message) throw new CliError(ExitCode.problem, `nothing has been received on '${topic}' yet`, `ipcnet echo '${topic}' waits for the next message`);
        context.stdout.write(`${json ? toJson(messageObject(message)) : messageLine(message)}\n`);
      }));
};

import { IpcnetError } from "../../schemas/status.ts";
import { nameHash } from "../../schemas/topics/schemaHash.ts";
import type { Client, Message } from "./client.ts";
import { CliError, ExitCode, type CliContext, type Register } from "./command.ts";
import { withGateway } from "./connection.ts";
import { toJson } from "./json.ts";
import { printable } from "../view/text.ts";

/** A message and, as far as they are still kept, the messages that it was made from. */
export interface TraceNode {
  /** Undefined: this user sees no topic with that id. */
  topic: string | undefined;
  sequence: number;
  /** What the lineage says where the message itself is not kept any more: hexadecimal ids. */
  topicId: string;
  originId: string;
  origin: string | undefined;
  /** CLOCK_MONOTONIC. */
  timeUs: number | undefined;
  quality: string | undefined;
  inputs: TraceNode[];
}

/** Steps back at most; and messages in all: 15 inputs of 15 inputs of … are more than anybody reads. */
const DEPTH_MAX = 16;
const NODES_MAX = 200;
/** How many messages of an input's topic are looked through: a lane keeps 256 unless its writer chose otherwise. */
const LOOK_BACK = 256;

export const register: Register = (program, context) => {
  program
    .command("trace")
    .description("show what the last message of a topic was made from, and that in turn, with origins, numbers and ages")
    .argument("<TOPIC>", "topic name, without wildcards")
    .addHelpText("after", "\nInputs that their writers no longer keep are named, but not followed further.\n\nExamples:\n  ipcnet trace display/shown\n  ipcnet trace vision/boxes --json | jq -r '.inputs[].topic'")
    .action((topic: string, _options, command) =>
      withGateway(command, context, async ({ client, json, services }) => {
        // Names first: the inputs are to be asked for as soon as they are known.
        const topics = await client.topics();
        const message = await client.query(topic);
        if (message === undefined) throw new CliError(ExitCode.problem, `nothing has been received on '${topic}' yet`, `ipcnet echo '${topic}' waits for the next message`);
        const askedUs = services.clock.nowUs();
        const node = await traced(client, message, topics.map(({ name }) => name));
        if (json) context.stdout.write(`${toJson({ ...node, ageMs: (askedUs - message.timeUs) / 1e3 })}\n`);
        else print(context, node, askedUs);
      }));
};

/** Follows the lineage, each topic asked once for what it keeps. */
export async function traced(client: Client, message: Message, topics: readonly string[]): Promise<TraceNode> {
  const names = new Map(topics.map((name) => [nameHash(name), name]));
  const kept = new Map<string, Promise<readonly Message[]>>();
  let nodes = 0;
  const keptOf = (topic: string): Promise<readonly Message[]> => {
    let messages = kept.get(topic);
    // Messages that are too large for an answer (208), or that this user may not read, are named only.
    if (!messages) kept.set(topic, (messages = client.query(topic, { last: LOOK_BACK }).catch(nothingForRefusals)));
    return messages;
  };
  const follow = async (found: Message, depth: number): Promise<TraceNode[]> => {
    const inputs: TraceNode[] = [];
    // One by one: what is asked first is what the newest message was made from, and most likely still kept.
    for (const { origin, topic, sequence } of depth < DEPTH_MAX ? (found.lineage ?? []) : []) {
      if ((nodes += 1) > NODES_MAX) break;
      const name = names.get(topic);
      const input = name === undefined ? undefined : (await keptOf(name)).find((one) => BigInt(one.sequence) === sequence && nameHash(one.origin) === origin);
      inputs.push(input ? await nodeOf(input, depth + 1) : { topic: name, sequence: Number(sequence), topicId: hex(topic), originId: hex(origin), origin: undefined, timeUs: undefined, quality: undefined, inputs: [] });
    }
    return inputs;
  };
  const nodeOf = async (found: Message, depth: number): Promise<TraceNode> => ({
    topic: found.topic, sequence: found.sequence, topicId: hex(nameHash(found.topic)), originId: hex(nameHash(found.origin)), origin: found.origin, timeUs: found.timeUs, quality: found.quality, inputs: await follow(found, depth),
  });
  return nodeOf(message, 0);
}

function print({ stdout }: CliContext, { timeUs: lastUs = 0, ...last }: TraceNode, nowUs: number): void {
  const line = ({ topic, topicId, sequence, origin, originId, timeUs, quality, inputs }: TraceNode, depth: number): void => {
    const name = topic === undefined ? `topic ${topicId}` : printable(topic);
    const by = origin === undefined ? `by origin ${originId}, not kept any more` : `by ${printable(origin)}`;
    const age = timeUs === undefined ? "" : depth === 0 ? `, ${milliseconds(nowUs - timeUs)} ago` : `, ${milliseconds(lastUs - timeUs)} earlier`;
    stdout.write(`${depth === 0 ? "" : `${"  ".repeat(depth)}← `}${name} #${sequence} ${by}${age}${quality === undefined || quality === "good" ? "" : ` (${quality})`}\n`);
    for (const input of inputs) line(input, depth + 1);
  };
  line({ ...last, timeUs: lastUs }, 0);
}

function nothingForRefusals(error: unknown): readonly Message[] {
  if (error instanceof IpcnetError) return [];
  throw error;
}

function milliseconds(us: number): string {
  return `${(us / 1e3).toFixed(2)} ms`;
}

function hex(id: bigint): string {
  return id.toString(16).padStart(16, "0");
}

import { createWriteStream, type WriteStream } from "node:fs";
import { once } from "node:events";
import { formatCandumpFrame } from "../../drivers/can/candump.ts";
import { CanFlag, FRAME_STRIDE_BYTES, readFrame, type CanFrame } from "../../drivers/can/frame.ts";
import type { Client, Message } from "./client.ts";
import { CliError, ExitCode, type Register } from "./command.ts";
import { withGateway } from "./connection.ts";
import { toJson, wallSeconds } from "./json.ts";
import { parseNumber } from "./parse.ts";
import { services } from "./services.ts";

/** A second of a full 1 Mbit/s bus (8,700 frames): so long may the terminal or the disk stand still before frames are lost. */
const queueFrames = 8700;
/** A log line has some 45 characters: half a million frames wait for a slow disk, then frames are left out and counted. */
const unwrittenBytesMax = 24 * 1024 * 1024;

interface DumpOptions {
  log?: boolean;
  output?: string;
  count?: number;
}

export const registerDump: Register = (can, context) => {
  can
    .command("dump")
    .description("print frames in candump's log format as they come, until Ctrl-C")
    .argument("[BUS]", "name of the bus; default: all")
    .option("-l, --log", "write them to candump-DATE_TIME.log in this folder instead")
    .option("-o, --output <FILE>", "write them to this file instead (it must not exist)")
    .option("-n, --count <N>", "end after N frames", parseNumber({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, integer: true }))
    .addHelpText("after", "\nExamples:\n  ipcnet can dump arm\n  ipcnet can dump arm -l\n  ipcnet can dump arm | ipcnet decode --dbc arm.dbc\n  ipcnet can dump --json | jq 'select(.id == 291)'")
    .action(async (bus: string | undefined, options: DumpOptions, command) => {
      const path = options.output ?? (options.log ? logName(new Date(Number(services(context.services).clock.wallTimeNs() / 1_000_000n))) : undefined);
      const file = path === undefined ? undefined : await openNew(path);
      const counts = { written: 0, lost: 0 };
      try {
        await withGateway(command, context, async ({ client, json, ended }) => {
          if (bus !== undefined) await mustExist(client, bus);
          await new Promise<void>((resolve, reject) => {
            const print = (message: Message): void => {
              if (counts.written >= (options.count ?? Number.POSITIVE_INFINITY)) return;
              counts.lost += message.lostBefore;
              if (message.lostBefore > 0 && !json) context.stderr.write(`ipcnet: ${message.lostBefore} frames lost\n`);
              const line = `${json ? toJson(frameObject(message)) : frameLine(message)}\n`;
              if (!file) context.stdout.write(line);
              else if (file.writableLength > unwrittenBytesMax) counts.lost += 1;
              else file.write(line);
              counts.written += 1;
              if (counts.written === options.count) resolve();
            };
            const listener = (message: Message): void => {
              try {
                print(message);
              } catch (error) {
                reject(error as Error);
              }
            };
            client.subscribe(`can/${bus ?? "+"}/raw`, { policy: { queue: queueFrames } }, listener).catch(reject);
            ended.then(resolve, reject);
          });
        });
      } finally {
        if (file) {
          file.end();
          await once(file, "close");
          context.stderr.write(`${counts.written} frames in ${path}${counts.lost > 0 ? `, ${counts.lost} lost` : ""}\n`);
        }
      }
      if (counts.lost > 0 && context.exitCode === ExitCode.ok) context.exitCode = ExitCode.problem;
    });
};

/** Buses come with the configuration: one that is not there will not appear, and waiting for it would look like a silent bus. */
async function mustExist(client: Client, bus: string): Promise<void> {
  const buses = (await client.topics("can/+/raw")).map(({ name }) => busOf(name));
  if (!buses.includes(bus)) throw new CliError(ExitCode.usage, `there is no bus ${bus}`, buses.length > 0 ? `the buses are ${buses.join(", ")}` : "this gateway has none");
}

/** candump's own pattern of names. */
function logName(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  return `candump-${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}_${two(date.getHours())}${two(date.getMinutes())}${two(date.getSeconds())}.log`;
}

async function openNew(path: string): Promise<WriteStream> {
  const file = createWriteStream(path, { flags: "wx" });
  try {
    await once(file, "open");
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === "EEXIST";
    throw new CliError(ExitCode.usage, exists ? `${path} exists already` : `${path} cannot be written: ${(error as Error).message}`, exists ? "name another file, or remove that one" : undefined);
  }
  return file;
}

function frameOf(message: Message): CanFrame {
  const { buffer, byteOffset, length } = message.bytes;
  if (length < FRAME_STRIDE_BYTES) throw new CliError(ExitCode.problem, `a frame of ${message.topic} has ${length} bytes instead of ${FRAME_STRIDE_BYTES}`, "use the ipcnet command of the gateway's own version");
  return readFrame(message.bytes, new DataView(buffer, byteOffset, length), 0);
}

function busOf(topic: string): string {
  return topic.split("/")[1] ?? topic;
}

/** `(1700000000.123456) arm 123#DEADBEEF`. */
function frameLine(message: Message): string {
  const micros = message.wallTimeNs / 1000n;
  const time = `${micros / 1_000_000n}.${String(micros % 1_000_000n).padStart(6, "0")}`;
  return `(${time}) ${busOf(message.topic)} ${formatCandumpFrame(frameOf(message))}`;
}

function frameObject(message: Message): Record<string, unknown> {
  const { canId, flags, data, lengthBytes } = frameOf(message);
  const has = (flag: number): boolean => (flags & flag) !== 0;
  return {
    t: wallSeconds(message.wallTimeNs), bus: busOf(message.topic), id: canId, ext: has(CanFlag.extended), fd: has(CanFlag.fd), remote: has(CanFlag.remote), error: has(CanFlag.error),
    echo: has(CanFlag.echo), length: lengthBytes ?? data.length, data: Buffer.from(data).toString("hex"), lostBefore: message.lostBefore,
  };
}

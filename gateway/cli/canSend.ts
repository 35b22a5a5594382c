import { parseCandumpLine } from "../../drivers/can/candump.ts";
import { CanFlag, FRAME_STRIDE_BYTES, writeFrame, type CanFrame } from "../../drivers/can/frame.ts";
import { Status, type IpcnetError } from "../../schemas/status.ts";
import { CliError, ExitCode, type Register } from "./command.ts";
import { withGateway } from "./connection.ts";
import { toJson } from "./json.ts";
import { parseNumber } from "./parse.ts";
import { services } from "./services.ts";

export const registerSend: Register = (can, context) => {
  can
    .command("send")
    .description("have the gateway send frames; what its configuration does not list as a command is refused, with the reason")
    .argument("<BUS>", "name of the bus")
    .argument("<FRAME...>", "ID#DATA as for cansend: 123#DEADBEEF, 12345678#R4, 123##1DEADBEEF")
    .option("--ttl-ms <N>", "not to be sent later than this", parseNumber({ minimum: 1, maximum: 3_600_000 }))
    .addHelpText("after", "\nThe frames pass the same checks as any command: arming, sender, identifier, length, range, rate, time to live.\n\nExamples:\n  ipcnet can send arm 021#0000803F00000000\n  ipcnet arm && ipcnet can send arm 021#0000803F00000000 041#0000803F00000000 --ttl-ms 50")
    .action((bus: string, words: string[], options: { ttlMs?: number }, command) => {
      const frames = words.map((word) => ({ word, frame: parseFrame(word) }));
      const { clock } = services(context.services);
      return withGateway(command, context, async ({ client, json }) => {
        for (const { word, frame } of frames) {
          const bytes = new Uint8Array(FRAME_STRIDE_BYTES);
          writeFrame(bytes, new DataView(bytes.buffer), 0, { ...frame, timeUs: options.ttlMs === undefined ? 0 : clock.nowUs() + options.ttlMs * 1000 });
          try {
            await client.publish(`cmd/${bus}/raw`, bytes, { acknowledge: true, ...(options.ttlMs === undefined ? {} : { ttlMs: options.ttlMs }) });
          } catch (error) {
            throw explained(error, bus, word);
          }
          if (json) context.stdout.write(`${toJson({ bus, frame: word, sent: true })}\n`);
        }
      });
    });
};

function parseFrame(word: string): CanFrame {
  const parsed = parseCandumpLine(`(0) - ${word}`);
  if (!parsed.ok) throw new CliError(ExitCode.usage, `'${word}' is no frame: ${parsed.text}`, "for example: 123#DEADBEEF (11 bits), 12345678#R4 (29 bits, remote request), 123##1DEADBEEF (FD)");
  if ((parsed.frame.flags & CanFlag.error) !== 0) throw new CliError(ExitCode.usage, `'${word}' is an error report, which nobody can send`);
  return parsed.frame;
}

/** Which of the frames was refused, and what to do about it. */
function explained(error: unknown, bus: string, word: string): unknown {
  const { status, message } = error as Partial<IpcnetError>;
  if (status === undefined || message === undefined) return error;
  const reason = `${bus} ${word} was refused: ${message}`;
  switch (status) {
    case Status.preconditionFailed:
      return new CliError(ExitCode.problem, reason, "ipcnet arm");
    case Status.notFound:
    case Status.forbidden:
      return new CliError(ExitCode.notPermitted, reason, "only messages listed under commands: in the configuration may be sent, by the writers named there; ipcnet topics 'cmd/#' lists them");
    default:
      return new CliError(ExitCode.problem, reason);
  }
}

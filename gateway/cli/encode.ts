/** `ipcnet encode`: values of one message to a frame, in the form that cansend and `ipcnet can send` take. */
import { canFlagsOf } from "../../drivers/can/frame.ts";
import { formatCandumpFrame } from "../../drivers/can/candump.ts";
import { applyTemplate, compileMessage, formatFinding, indexMessages, type Database, type Message } from "../../schemas/dbc/index.ts";
import { nearest } from "../../schemas/nearest.ts";
import { CliError, ExitCode, type Register } from "./command.ts";
import { NODE_TEMPLATE, openDatabase } from "./databases.ts";
import { parseFields, parseNumber } from "./parse.ts";
import { globalOptions } from "./terminal.ts";

interface Options {
  dbc: string;
  node?: number;
  template: string;
  raw?: boolean;
  anyRange?: boolean;
  unused: number;
}

export const register: Register = (program, context) => {
  program
    .command("encode")
    .description("encode values as a CAN frame; ID#DATA as cansend takes it")
    .argument("<MESSAGE>", "the message's name")
    .argument("[SIGNAL=VALUE...]", "physical values, or names of the value table")
    .requiredOption("--dbc <FILE>", "DBC file")
    .option("--node <N>", "the device's number, for identifiers that contain it", parseNumber({ minimum: 0, maximum: 0x1fff_ffff, integer: true }))
    .option("--template <EXPRESSION>", "how --node becomes part of the identifier", NODE_TEMPLATE)
    .option("--raw", "values are raw, before scaling")
    .option("--any-range", "allow values out of their declared range, as long as the bits can hold them")
    .option("--unused <BYTE>", "pattern of unused bits", parseNumber({ minimum: 0, maximum: 255, integer: true }), 0)
    .option("--json", "an object: id, ext, fd, msg, data, frame; or reject with the reason")
    .addHelpText("after", `
All signals must be given but those that the multiplexor excludes. Values are rounded to the nearest step, never clamped.
Exit code 1 when a value is refused.

Examples:
  ipcnet encode --dbc arm.dbc shoulder_Command mode=Velocity velocity=0.5
  cansend can0 "$(ipcnet encode --dbc odrive.dbc --node 3 Set_Axis_State Axis_Requested_State=8)"`)
    .action((name: string, fields: string[], options: Options, command) => {
      const { json } = globalOptions(command, context);
      const message = findMessage(openDatabase(options.dbc), name, options);
      const codec = compileMessage(message, { unusedBits: options.unused, ...(options.anyRange === true ? { checkRanges: false } : {}) });
      const result = codec.encode(numbersToo(parseFields(fields)), { raw: options.raw === true });
      if (!result.ok) {
        context.exitCode = ExitCode.problem;
        if (json) context.stdout.write(`${JSON.stringify({ msg: message.name, reject: result.code, signal: result.signal, text: result.text })}\n`);
        else context.stderr.write(`ipcnet: ${result.code}: ${result.text}\n`);
        return;
      }
      const frame = formatCandumpFrame({ timeUs: 0, canId: message.canId, flags: canFlagsOf(message), data: result.data });
      const data = Buffer.from(result.data).toString("hex").toUpperCase();
      context.stdout.write(`${json ? JSON.stringify({ id: message.canId, ext: message.extended, fd: message.fd, msg: message.name, data, frame }) : frame}\n`);
    });
};

function findMessage(database: Database, name: string, { dbc, node, template }: Options): Message {
  const plain = indexMessages(database).byName(name);
  if (plain === undefined) {
    const near = nearest(name, database.messages.map((message) => message.name));
    throw new CliError(ExitCode.usage, `${dbc} has no message ${name}`, near === undefined ? `ipcnet dbc show ${dbc} lists the messages` : `did you mean ${near}?`);
  }
  if (node === undefined) return plain;
  const templated = applyTemplate({ ...database, messages: [plain], findings: [] }, { id: template, nodes: { node }, messages: [name] });
  const made = templated.messages.find(({ templateName }) => templateName === name);
  if (made === undefined) throw new CliError(ExitCode.usage, templated.findings.map(formatFinding).join("; "));
  return { ...made, name };
}

/** "nan" and "inf" are numbers here, to be refused as such and not as unknown names. */
function numbersToo(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, typeof value === "string" && /^[+-]?(?:nan|inf|infinity)$/i.test(value) ? (/nan/i.test(value) ? NaN : Infinity) : value]));
}

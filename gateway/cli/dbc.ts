/** `ipcnet dbc lint|show`: what is wrong with DBC files, and what is in them. */
import { formatFinding, lintDatabase, parseDbc, type Database, type Finding, type Message, type Signal } from "../../schemas/dbc/index.ts";
import { printable } from "../view/text.ts";
import { CliError, ExitCode, type CliContext, type Register } from "./command.ts";
import { openDatabase, readOperand } from "./databases.ts";
import { toJson } from "./json.ts";
import { globalOptions } from "./terminal.ts";

export const register: Register = (program, context) => {
  const dbc = program.command("dbc").description("check and show DBC files");

  dbc
    .command("lint")
    .description("list the quirks of DBC files with file, line and column; exit code 1 when one is an error")
    .argument("<FILE...>", "DBC files")
    .option("--notes", "print notes too (with --json always)")
    .option("--json", "one object a line: code, severity, file, at, message, hint, messageName")
    .addHelpText("after", `
error: a strict reader refuses it, or its meaning had to be guessed; a message with errors cannot be a command
warning: the meaning is clear, but most likely not meant · note: worth knowing

Example:
  ipcnet dbc lint arm.dbc --json | jq -r 'select(.severity == "error") | .code' | sort | uniq -c`)
    .action((paths: string[], options: { notes?: boolean }, command) => {
      const { json } = globalOptions(command, context);
      for (const path of paths) lint(path, { json, notes: options.notes === true }, context);
    });

  dbc
    .command("show")
    .description("print the messages and signals of a DBC file")
    .argument("<FILE>", "DBC file")
    .option("--message <NAME>", "this message only")
    .option("--json", "the database, or the message, as one object")
    .addHelpText("after", "\nExample:\n  ipcnet dbc show arm.dbc --json | jq -r '.messages[] | \"\\(.canId) \\(.name)\"'")
    .action((path: string, options: { message?: string }, command) => {
      const { json } = globalOptions(command, context);
      const database = openDatabase(path);
      const messages = options.message === undefined ? database.messages : database.messages.filter(({ name }) => name === options.message);
      if (options.message !== undefined && messages.length === 0) throw new CliError(ExitCode.usage, `${path} has no message ${options.message}`, `ipcnet dbc show ${path} lists the messages`);
      if (json) context.stdout.write(`${toJson(options.message === undefined ? database : messages[0])}\n`);
      else context.stdout.write(`${[...(options.message === undefined ? databaseLines(database) : []), ...messages.flatMap(messageLines)].map(printable).join("\n")}\n`);
    });
};

function lint(path: string, { json, notes }: { json: boolean; notes: boolean }, context: CliContext): void {
  const database = parseDbc(readOperand(path), { file: path });
  const findings = lintDatabase(database);
  const count = (severity: Finding["severity"]) => findings.filter((finding) => finding.severity === severity).length;
  const errors = count("error");
  if (errors > 0 || database.refused) context.exitCode = ExitCode.problem;
  for (const finding of findings) {
    if (json) context.stdout.write(`${toJson(finding)}\n`);
    else if (notes || finding.severity !== "note") context.stdout.write(`${printable(formatFinding(finding))}\n`);
  }
  const hidden = !json && !notes && count("note") > 0 ? " (--notes shows them)" : "";
  context.stderr.write(`ipcnet: ${path}: ${database.messages.length} messages, ${errors} errors, ${count("warning")} warnings, ${count("note")} notes${hidden}${database.refused ? "; refused" : ""}\n`);
}

function databaseLines({ version, nodes, messages, comment }: Database): string[] {
  return [
    `${messages.length} messages${nodes.length > 0 ? `, nodes: ${nodes.join(" ")}` : ""}${version === "" ? "" : `, version ${version}`}`,
    ...(comment === undefined ? [] : [`  ${oneLine(comment)}`]),
  ];
}

function messageLines(message: Message): string[] {
  const { name, canId, extended, lengthBytes, fd, bitRateSwitch, j1939, sender, cycleTimeMs, comment } = message;
  const facts = [
    `${canId.toString(16).toUpperCase().padStart(extended ? 8 : 3, "0")} ${name}`, `${lengthBytes} bytes`, ...(fd ? [bitRateSwitch ? "FD" : "FD at one bit rate"] : []), ...(j1939 ? ["J1939"] : []),
    ...(sender === undefined ? [] : [`from ${sender}`]), ...(cycleTimeMs === undefined ? [] : [`every ${cycleTimeMs} ms`]),
  ];
  return [facts.join(", "), ...(comment === undefined ? [] : [`  ${oneLine(comment)}`]), ...message.signals.flatMap(signalLines)];
}

function signalLines(signal: Signal): string[] {
  const { name, startBit, lengthBits, byteOrder, kind, factor, offset, minimum, maximum, unit, multiplexing, isMultiplexor, comment, valueNames } = signal;
  const facts = [
    `${startBit}|${lengthBits} ${byteOrder}-endian ${kind}`,
    ...(factor === 1 && offset === 0 ? [] : [`× ${factor} + ${offset}`]), ...(minimum === undefined && maximum === undefined ? [] : [`[${minimum ?? "…"}, ${maximum ?? "…"}]`]), ...(unit === "" ? [] : [unit]),
    ...(isMultiplexor ? ["multiplexor"] : []),
    ...(multiplexing === undefined ? [] : [`when ${multiplexing.multiplexor} = ${multiplexing.ranges.map(([low, high]) => (low === high ? low : `${low}…${high}`)).join(", ")}`]),
  ];
  const names = valueNames === undefined ? [] : [`      ${[...valueNames].map(([value, word]) => `${value} ${oneLine(word)}`).join(" · ")}`];
  return [`    ${name}: ${facts.join(", ")}`, ...(comment === undefined ? [] : [`      ${oneLine(comment)}`]), ...names];
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

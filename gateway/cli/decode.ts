/** `ipcnet decode`: candump's lines in, decoded frames out. A stream: memory stays bounded whatever the recording's length. */
import { once } from "node:events";
import { CanFlag, canKey } from "../../drivers/can/frame.ts";
import { parseCandumpLine, type CandumpRecord } from "../../drivers/can/candump.ts";
import { applyTemplate, compileMessage, formatFinding, indexMessages, type Database, type Message, type MessageCodec, type MessageIndex } from "../../schemas/dbc/index.ts";
import { loadChecks, type CheckSet } from "../../schemas/e2e/checks.ts";
import type { FrameCheck } from "../../schemas/e2e/frameCheck.ts";
import { checkResultName, isAccepted } from "../../schemas/e2e/status.ts";
import { printable } from "../view/text.ts";
import { CliError, ExitCode, type CliContext, type Register } from "./command.ts";
import { NODE_TEMPLATE, openDatabase, readOperand } from "./databases.ts";
import { parseNodes } from "./parse.ts";
import { globalOptions } from "./terminal.ts";

interface Options {
  dbc: readonly string[];
  checks?: string;
  nodes?: Readonly<Record<string, number>>;
  template: string;
  names?: boolean;
  strict?: boolean;
  all?: boolean;
}

export const register: Register = (program, context) => {
  program
    .command("decode")
    .description("decode a recording; candump's lines from the standard input, decoded frames to the standard output")
    .requiredOption("--dbc <FILE...>", "DBC files; of several that know an identifier the last one decodes it")
    .option("--checks <FILE>", "checks file: frames with a wrong checksum, CRC or counter are rejected")
    .option("--nodes <NAME=N,…>", "devices whose number is part of their identifiers; messages are then called <NAME>_<Message>", parseNodes)
    .option("--template <EXPRESSION>", "how a device's number becomes part of the identifier", NODE_TEMPLATE)
    .option("--names", "names of the value table instead of numbers")
    .option("--strict", "reject frames that are longer than declared and values out of their declared range; refuse DBC files with errors")
    .option("--all", "print frames of unknown identifiers too")
    .option("--json", "one object a line: t, bus, id, ext, msg, signals, raw; or reject with the reason")
    .addHelpText("after", `
Reads candump's log format, (time) bus ID#DATA, and its screen format. Integers beyond 2^53, NaN and infinities are printed as strings in JSON.
Exit code 1 when a line was malformed or a frame was rejected.

Examples:
  candump -L can0 | ipcnet decode --dbc arm.dbc
  candump -L can0 | ipcnet decode --dbc odrive.dbc --nodes left=1,right=2
  ipcnet decode --dbc arm.dbc --checks arm.checks.yaml --json < drive.log | jq -c 'select(.msg == "State") | .signals'`)
    .action(async (options: Options, command) => {
      const { json } = globalOptions(command, context);
      const databases = options.dbc.map((path) => forNodes(openDatabase(path, { strict: options.strict === true }), options));
      const checks = options.checks === undefined ? undefined : openChecks(options.checks, databases);
      await new Decoder({ databases, checks, options, json, context }).run();
    });
};

/** Each message once per device; a file whose messages cannot be made so is wrong usage. */
function forNodes(database: Database, { nodes, template }: Options): Database {
  if (nodes === undefined) return database;
  const made = applyTemplate({ ...database, findings: [] }, { id: template, nodes });
  if (made.findings.length > 0) throw new CliError(ExitCode.usage, made.findings.map(formatFinding).join("\n        "));
  return made;
}

function openChecks(path: string, databases: readonly Database[]): CheckSet {
  const loaded = loadChecks(Buffer.from(readOperand(path)).toString("utf8"), { file: path });
  const faults = loaded.ok ? loaded.checks.verify(databases.flatMap(({ messages }) => messages.map((message) => (loaded.checks.covers(message.name) ? checkedMessage(message) : message)))) : loaded.faults;
  if (loaded.ok && faults.length === 0) return loaded.checks;
  throw new CliError(ExitCode.usage, faults.map(({ file, line, column, message, hint }) => `${file}:${line}:${column}: ${message} (${hint})`).join("\n        "));
}

function checkedMessage(message: Message): Message & { layoutHash: bigint } {
  return { ...message, layoutHash: compileMessage(message).layout.hash };
}

/** Longer than any line that holds a frame: what is beyond cannot become one. */
const LINE_CHARS_MAX = 4096;
/** Complaints on stderr beyond this are only counted. */
const COMPLAINTS_MAX = 100;
const OUTPUT_CHARS = 1 << 16;

class Decoder {
  readonly #index: MessageIndex;
  readonly #checks: CheckSet | undefined;
  readonly #options: Options;
  readonly #json: boolean;
  readonly #context: CliContext;
  readonly #codecs = new Map<Message, MessageCodec>();
  /** A receiver's memory for each message of each bus. */
  readonly #receivers = new Map<string, FrameCheck | undefined>();
  readonly #counts = { frames: 0, decoded: 0, unknown: 0, rejected: 0, malformed: 0, other: 0 };
  #output: string[] = [];
  #outputChars = 0;
  #line = 0;
  #complaints = 0;

  constructor({ databases, checks, options, json, context }: { databases: readonly Database[]; checks: CheckSet | undefined; options: Options; json: boolean; context: CliContext }) {
    this.#index = indexMessages(...databases);
    this.#checks = checks;
    this.#options = options;
    this.#json = json;
    this.#context = context;
  }

  async run(): Promise<void> {
    const { stdin, signal } = this.#context;
    const stop = (): void => void stdin.destroy();
    signal.addEventListener("abort", stop);
    try {
      await this.#readLines();
    } catch (error) {
      // Aborted: what was read so far is printed and counted. Anything else is the caller's to report.
      if (!signal.aborted) throw error;
    } finally {
      signal.removeEventListener("abort", stop);
    }
    await this.#flush();
    const { malformed, rejected } = this.#counts;
    if (malformed > 0 || rejected > 0) this.#context.exitCode = ExitCode.problem;
    this.#summary();
  }

  async #readLines(): Promise<void> {
    let rest = "";
    for await (const chunk of this.#context.stdin as AsyncIterable<Buffer | string>) {
      // Frames are ASCII; Latin-1 keeps whatever else is there without ever splitting a character.
      const lines = (rest + (typeof chunk === "string" ? chunk : chunk.toString("latin1"))).split("\n");
      rest = lines.pop()!;
      // The rest of an endless line is thrown away but for so much that it is still too long.
      if (rest.length > LINE_CHARS_MAX) rest = rest.slice(0, LINE_CHARS_MAX + 1);
      for (const line of lines) {
        this.#take(line);
        if (this.#outputChars > OUTPUT_CHARS) await this.#flush();
      }
    }
    if (rest !== "") this.#take(rest);
  }

  #take(text: string): void {
    this.#line += 1;
    const line = text.trim();
    if (line === "") return;
    const parsed = parseCandumpLine(line);
    if (!parsed.ok) {
      this.#counts.malformed += 1;
      this.#complain(`${parsed.code}: ${parsed.text}`);
      return;
    }
    this.#counts.frames += 1;
    const { frame } = parsed;
    if ((frame.flags & (CanFlag.error | CanFlag.remote)) !== 0) {
      this.#counts.other += 1;
      return;
    }
    const extended = (frame.flags & CanFlag.extended) !== 0;
    const message = this.#index.find(frame.canId, extended);
    if (message === undefined) {
      this.#counts.unknown += 1;
      if (this.#options.all === true) this.#printUnknown(parsed, extended);
      return;
    }
    this.#decode(parsed, message);
  }

  #decode(record: CandumpRecord, message: Message): void {
    const { frame } = record;
    const check = this.#receiver(record.bus, message, frame.canId);
    const verdict = check?.check(frame.data, 0, frame.data.length, frame.canId, frame.timeUs) ?? 0;
    if (!isAccepted(verdict)) {
      this.#reject(record, message, checkResultName(verdict), "its check says so");
      return;
    }
    const result = this.#codec(message).decode(frame.data, 0, frame.data.length);
    if (!result.ok) {
      this.#reject(record, message, result.code, result.text);
      return;
    }
    this.#counts.decoded += 1;
    if (this.#json) {
      this.#print(`${this.#head(record, message)},"signals":${jsonValues(result.signals)},"raw":${jsonValues(result.raw)}}`);
      return;
    }
    const units = new Map(message.signals.map(({ name, unit }) => [name, unit]));
    const words = Object.entries(result.signals).map(([name, value]) => `${name}=${value}${units.get(name) ?? ""}`);
    this.#print(printable(`(${record.timeText}) ${record.bus} ${formatId(frame.canId, message.extended)} ${message.name} ${words.join(" ")}`));
  }

  #codec(message: Message): MessageCodec {
    let codec = this.#codecs.get(message);
    if (codec === undefined) {
      const strict = this.#options.strict === true;
      codec = compileMessage(message, { allowLonger: !strict, checkRanges: strict, valueNames: this.#options.names === true });
      this.#codecs.set(message, codec);
    }
    return codec;
  }

  #receiver(bus: string, message: Message, canId: number): FrameCheck | undefined {
    if (this.#checks === undefined) return undefined;
    const key = `${bus} ${canKey(canId, message.extended)}`;
    if (!this.#receivers.has(key)) this.#receivers.set(key, this.#checks.forMessage(checkedMessage(message)));
    return this.#receivers.get(key);
  }

  #reject(record: CandumpRecord, message: Message, reason: string, text: string): void {
    this.#counts.rejected += 1;
    if (this.#json) this.#print(`${this.#head(record, message)},"reject":${JSON.stringify(reason)}}`);
    else this.#complain(`${message.name}: rejected, ${reason}: ${text}`);
  }

  #head({ timeText, timeS, bus, frame }: CandumpRecord, message: Message): string {
    return `{"t":${jsonTime(timeText, timeS)},"bus":${JSON.stringify(bus)},"id":${frame.canId},"ext":${message.extended},"msg":${JSON.stringify(message.name)}`;
  }

  #printUnknown({ timeText, timeS, bus, frame }: CandumpRecord, extended: boolean): void {
    const data = Buffer.from(frame.data).toString("hex").toUpperCase();
    if (this.#json) this.#print(`{"t":${jsonTime(timeText, timeS)},"bus":${JSON.stringify(bus)},"id":${frame.canId},"ext":${extended},"msg":null,"data":"${data}"}`);
    else this.#print(printable(`(${timeText}) ${bus} ${formatId(frame.canId, extended)} ? ${data}`));
  }

  #print(line: string): void {
    this.#output.push(line, "\n");
    this.#outputChars += line.length + 1;
  }

  async #flush(): Promise<void> {
    const text = this.#output.join("");
    this.#output = [];
    this.#outputChars = 0;
    if (text !== "" && !this.#context.stdout.write(text)) await once(this.#context.stdout, "drain", { signal: this.#context.signal });
  }

  #complain(text: string): void {
    this.#complaints += 1;
    if (this.#complaints <= COMPLAINTS_MAX) this.#context.stderr.write(printable(`ipcnet: line ${this.#line}: ${text}`) + "\n");
    else if (this.#complaints === COMPLAINTS_MAX + 1) this.#context.stderr.write("ipcnet: further complaints are only counted\n");
  }

  #summary(): void {
    const { frames, decoded, unknown, rejected, malformed, other } = this.#counts;
    const parts = [`${decoded} decoded`, `${unknown} of unknown identifiers`, `${rejected} rejected`, ...(other > 0 ? [`${other} remote requests or error reports`] : []), `${malformed} malformed lines`];
    this.#context.stderr.write(`ipcnet: ${frames} frames: ${parts.join(", ")}\n`);
  }
}

function formatId(canId: number, extended: boolean): string {
  return canId.toString(16).toUpperCase().padStart(extended ? 8 : 3, "0");
}

/** The time as it was written where JSON can take it so: no digit is lost. */
function jsonTime(timeText: string, timeS: number): string {
  return /^(?:0|[1-9]\d*)(?:\.\d+)?$/.test(timeText) ? timeText : String(timeS);
}

const quoted = new Map<string, string>();

/** `{"name":value,…}`. */
function jsonValues(values: Readonly<Record<string, number | bigint | string>>): string {
  const members: string[] = [];
  for (const name in values) {
    let key = quoted.get(name);
    if (key === undefined) quoted.set(name, (key = `${JSON.stringify(name)}:`));
    members.push(key + jsonValue(values[name]!));
  }
  return `{${members.join(",")}}`;
}

/**
 * Integers beyond 2^53, NaN and infinities as strings. A double that large is written with an exponent, because its plain digits would be read
 * as an exact integer, which it is not.
 */
function jsonValue(value: number | bigint | string): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `"${value}"`;
  if (!Number.isFinite(value)) return `"${value}"`;
  return Math.abs(value) > Number.MAX_SAFE_INTEGER ? value.toExponential() : String(value);
}

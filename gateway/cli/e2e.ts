/** `ipcnet e2e check|protect`: AUTOSAR E2E on frames given by hand, to try a configuration or to judge what a device sends. */
import { createInterface } from "node:readline";
import { Option, type Command } from "commander";
import {
  CheckResult, checkResultName, CounterJudge, E2eStatus, e2eCodec, e2eStatusOf, headerBytesOf, isAccepted, profileNames, validateE2eConfig, Verdict,
  type DataIdMode, type E2eConfig, type FrameCodec, type ProfileName,
} from "../../schemas/e2e/index.ts";
import { CliError, ExitCode, type CliContext, type Register } from "./command.ts";
import { toJson } from "./json.ts";
import { parseNumber } from "./parse.ts";

interface E2eOptions {
  profile: ProfileName;
  dataId?: number;
  dataIdList?: number[];
  dataIdMode?: DataIdMode;
  offsetBytes?: number;
  crcOffsetBits?: number;
  counterOffsetBits?: number;
  dataIdNibbleOffsetBits?: number;
  maxDeltaCounter?: number;
  counter?: number;
  json?: boolean;
}

/** One frame, as printed. */
interface Row {
  profile: ProfileName;
  dataHex: string;
  /** The frame without the bytes of its header. */
  payloadHex: string;
  crcOk: boolean;
  /** Null in a frame too short to have one. */
  counter: number | null;
  /** A check result's name; wrongDataId for a right frame of somebody else. */
  status: string;
  /** The value AUTOSAR has for it. */
  autosarStatus: number;
  /** Frames missed just before this one. */
  lost: number;
}

export const register: Register = (program, context) => {
  const e2e = program.command("e2e").description("AUTOSAR end-to-end protection of single frames");
  withE2eOptions(e2e.command("check"), "the counter that the first frame must have; default: any")
    .description("check protected frames, in order; exit code 1 if one is refused")
    .option("--max-delta-counter <N>", "largest step of the counter still accepted (default 3)", parseNumber({ minimum: 1, maximum: 0xffffffff, integer: true }))
    .addHelpText("after", "\nExamples:\n  ipcnet e2e check --profile P05 --data-id 0x1234 1CCA000000000000 CF8D010000000000\n  ipcnet e2e check --profile P02 --data-id-list 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16 --json < frames.txt")
    .action((words: string[], options: E2eOptions) => check(words, options, context));
  withE2eOptions(e2e.command("protect"), "the first frame's counter; default: 1 for P02 and P22, 0 for the others")
    .description("protect frames; each frame has room for its header, whose bytes are overwritten")
    .addHelpText("after", "\nExamples:\n  ipcnet e2e protect --profile P05 --data-id 0x1234 0000000000000000\n  ipcnet e2e protect --profile P08 --data-id 0x0A0B0C0D --counter 7 --json 0000000000000000000000000000000001020304")
    .action((words: string[], options: E2eOptions) => protect(words, options, context));
};

function withE2eOptions(command: Command, counterMeaning: string): Command {
  const whole = (maximum: number) => parseNumber({ minimum: 0, maximum, integer: true });
  return command
    .argument("[HEX...]", "frames, whole, in hexadecimal; without any, one a line from standard input")
    .addOption(new Option("--profile <NAME>", "the profile").choices(profileNames).makeOptionMandatory())
    .option("--data-id <N>", "the Data ID (all but P02 and P22); numbers are decimal or 0x…", whole(0xffffffff))
    .option("--data-id-list <N,…>", "the 16 Data IDs by counter (P02, P22)", parseList)
    .addOption(new Option("--data-id-mode <MODE>", "which parts of the Data ID count (P01, P11; default both)").choices(["both", "alt", "low", "nibble"]))
    .option("--offset-bytes <N>", "where the header begins (default 0)", whole(0xffffffff))
    .option("--crc-offset-bits <N>", "place of the CRC (P01, P11)", whole(0xffff))
    .option("--counter-offset-bits <N>", "place of the counter (P01, P11)", whole(0xffff))
    .option("--data-id-nibble-offset-bits <N>", "place of the Data ID's nibble (P01, P11)", whole(0xffff))
    .option("--counter <N>", counterMeaning, whole(0xffffffff));
}

function parseList(text: string): number[] {
  return text.split(",").map(parseNumber({ minimum: 0, maximum: 0xff, integer: true }));
}

async function check(words: readonly string[], options: E2eOptions, context: CliContext): Promise<void> {
  const { config, codec } = compile(options);
  const judge = new CounterJudge({ counterCount: codec.counterCount, maxDeltaCounter: options.maxDeltaCounter });
  if (options.counter !== undefined) judge.judge((options.counter + codec.counterCount - 1) % codec.counterCount);
  for await (const frame of frames(words, context)) {
    const row = checked(config, codec, judge, frame);
    if (row.status !== "ok" && row.status !== "okSomeLost") context.exitCode = ExitCode.problem;
    context.stdout.write(`${options.json ? toJson(row) : inWords(row)}\n`);
  }
}

async function protect(words: readonly string[], options: E2eOptions, context: CliContext): Promise<void> {
  const { config, codec } = compile(options);
  let counter = options.counter ?? codec.firstCounter;
  for await (const frame of frames(words, context)) {
    const faults = validateE2eConfig({ ...config, lengthBytes: frame.length });
    if (faults.length > 0) throw new CliError(ExitCode.usage, `a frame of ${frame.length} bytes cannot be protected: its length must be ${faults[0]!.hint}`, "the frame includes the bytes of its header");
    codec.protect(frame, 0, frame.length, 0, counter);
    const row: Row = { profile: config.profile, ...shown(config, frame), crcOk: true, counter, status: "ok", autosarStatus: E2eStatus.ok, lost: 0 };
    context.stdout.write(`${options.json ? toJson(row) : row.dataHex}\n`);
    counter = (counter + 1) % codec.counterCount;
  }
}

function compile({ json: _json, counter, ...config }: E2eOptions): { config: E2eConfig; codec: FrameCodec } {
  const faults = validateE2eConfig(config);
  if (faults.length > 0) throw new CliError(ExitCode.usage, faults.map((fault) => `${flagOf(fault.key)}: ${fault.message}`).join("; "), faults.map((fault) => fault.hint).join("; "));
  const codec = e2eCodec(config);
  if (counter !== undefined && counter >= codec.counterCount) throw new CliError(ExitCode.usage, `--counter: ${config.profile} counts 0…${codec.counterCount - 1}`);
  return { config, codec };
}

function flagOf(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function checked(config: E2eConfig, codec: FrameCodec, judge: CounterJudge, frame: Uint8Array): Row {
  const verdict = codec.inspect(frame, 0, frame.length, 0);
  const readable = validateE2eConfig({ ...config, lengthBytes: frame.length }).length === 0;
  const counter = readable ? codec.counterOf(frame, 0, frame.length, 0) : null;
  const result: CheckResult = verdict === Verdict.ok ? judge.judge(counter ?? 0) : verdict === Verdict.badLength ? CheckResult.badLength : CheckResult.crcMismatch;
  return {
    profile: config.profile,
    ...shown(config, frame),
    crcOk: verdict === Verdict.ok || verdict === Verdict.wrongDataId,
    counter,
    status: verdict === Verdict.wrongDataId ? "wrongDataId" : checkResultName(result),
    autosarStatus: e2eStatusOf(result),
    lost: isAccepted(result) ? judge.lost : 0,
  };
}

function shown(config: E2eConfig, frame: Uint8Array): { dataHex: string; payloadHex: string } {
  const header = new Set(headerBytesOf(config));
  return { dataHex: Buffer.from(frame).toString("hex"), payloadHex: Buffer.from(frame.filter((_byte, index) => !header.has(index))).toString("hex") };
}

function inWords(row: Row): string {
  const lost = row.lost > 0 ? ` (${row.lost} lost before it)` : "";
  return `${row.status.padEnd(13)} counter ${row.counter ?? "-"} ${row.dataHex}${lost}`;
}

/** From the words of the command line, else from the lines of standard input; empty lines and lines beginning with # are passed over. */
async function* frames(words: readonly string[], context: CliContext): AsyncGenerator<Uint8Array> {
  if (words.length > 0) {
    for (const word of words) yield parseHex(word);
    return;
  }
  const lines = createInterface({ input: context.stdin, crlfDelay: Number.POSITIVE_INFINITY });
  for await (const line of lines) {
    const text = line.trim();
    if (text !== "" && !text.startsWith("#")) yield parseHex(text);
  }
}

/** Digits may be set apart by blanks, dots or colons. */
function parseHex(text: string): Uint8Array {
  const digits = text.replace(/^0[xX]/, "").replace(/[\s.:_-]/g, "");
  if (digits.length === 0 || digits.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(digits)) {
    throw new CliError(ExitCode.usage, `'${text.length > 40 ? `${text.slice(0, 40)}…` : text}' is no frame in hexadecimal`, "two digits a byte, for example 1CCA000000000000");
  }
  return Uint8Array.from(Buffer.from(digits, "hex"));
}

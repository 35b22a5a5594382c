/** Words of the command line into values; trouble is commander's InvalidArgumentError, reported as wrong usage. */
import { InvalidArgumentError } from "commander";
import { CliError, ExitCode } from "./command.ts";

/** A parser for an option or argument that is a number within bounds. */
export function parseNumber({ minimum, maximum, integer = false }: { minimum: number; maximum: number; integer?: boolean }): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < minimum || value > maximum || (integer && !Number.isInteger(value))) {
      throw new InvalidArgumentError(`Expected ${integer ? "a whole number" : "a number"} from ${minimum} to ${maximum}.`);
    }
    return value;
  };
}

/** `velocity=0.1 mode=Hold id=0x1F` as an object. Numbers and true/false/null become what they look like; quotes force a string: name='"5"'. */
export function parseFields(words: readonly string[]): Record<string, unknown> {
  const fields = new Map<string, unknown>();
  for (const word of words) {
    const split = word.indexOf("=");
    if (split < 1) throw new CliError(ExitCode.usage, `'${word}' is not of the form key=value`, "for example: velocity=0.1; a whole value at once: --json-value '{…}'");
    const key = word.slice(0, split);
    if (fields.has(key)) throw new CliError(ExitCode.usage, `'${key}' is given twice`);
    fields.set(key, parseScalar(word.slice(split + 1)));
  }
  return Object.fromEntries(fields);
}

/** `left=1,right=0x02`: the names of devices and their numbers. */
export function parseNodes(text: string): Record<string, number> {
  const number = parseNumber({ minimum: 0, maximum: 0x1fff_ffff, integer: true });
  const nodes = new Map<string, number>();
  for (const word of text.split(",")) {
    const [name = "", value = "", ...more] = word.split("=");
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || more.length > 0) throw new InvalidArgumentError("Expected names and numbers such as left=1,right=2.");
    if (nodes.has(name)) throw new InvalidArgumentError(`'${name}' is given twice.`);
    nodes.set(name, number(value));
  }
  return Object.fromEntries(nodes);
}

function parseScalar(text: string): unknown {
  if (/^[-+]?(0|[1-9]\d*)$/.test(text) || /^0[xX][0-9a-fA-F]+$/.test(text)) {
    const whole = BigInt(text.replace(/^\+/, ""));
    return Number.isSafeInteger(Number(whole)) ? Number(whole) : whole;
  }
  if (/^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(text)) return Number(text);
  if (/^(["[{]|true$|false$|null$)/.test(text)) {
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw new CliError(ExitCode.usage, `'${text}' looks like JSON but is none: ${(error as Error).message}`);
    }
  }
  return text;
}

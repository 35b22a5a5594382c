/** What is wrong with a file, so that a person finds it and a program can act on it. */

export interface Fault {
  /** Stable; docs/specs/configuration.md lists them. */
  code: string;
  /** error: the file is refused. warning: it is accepted, but somebody should look. */
  severity: "error" | "warning";
  file: string;
  /** Both count from 1; column in UTF-16 units. */
  line: number;
  column: number;
  /** How many characters the caret underlines, at least 1. */
  lengthChars: number;
  /** Where in the value: buses[0].bitrateBps; empty for the whole file. */
  path: string;
  /** What was found. */
  message: string;
  /** What was expected instead; empty when the message says it all. */
  expected: string;
  /** How to mend it: the nearest valid key or value; empty when nothing is near. */
  hint: string;
}

export type PathStep = string | number;
export type Path = readonly PathStep[];

/** buses[0].databases[1].dbc */
export function pathText(path: Path): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (/^[A-Za-z_][A-Za-z0-9_-]*$/.test(step)) text += text === "" ? step : `.${step}`;
    else text += `[${JSON.stringify(step)}]`;
  }
  return text;
}

/** The main file first, then the others by name; within a file from top to bottom. */
export function sortFaults<F extends Fault>(faults: readonly F[], mainFile: string): F[] {
  const rank = (fault: Fault) => (fault.file === mainFile ? "" : fault.file);
  return faults.toSorted((a, b) => compare(rank(a), rank(b)) || a.line - b.line || a.column - b.column || compare(a.code, b.code));
}

/**
 * For people: the sentence, then the line of the source with a caret under the place.
 * `sourceOf` gives the text of a file, or undefined where it cannot be shown (the excerpt is then left out).
 */
export function renderFault(fault: Fault, sourceOf: (file: string) => string | undefined): string {
  const place = `${fault.file}:${fault.line}:${fault.column}`;
  const lines = [`${place}: ${fault.severity} ${fault.code}: ${fault.path === "" ? "" : `${fault.path}: `}${fault.message}`];
  const source = lineOf(sourceOf(fault.file), fault.line);
  if (source !== undefined) {
    const { shown, caretAt } = window(source, fault.column - 1);
    const gutter = String(fault.line).padStart(5);
    const caret = "^".repeat(Math.max(1, Math.min(fault.lengthChars, shown.length - caretAt)));
    lines.push(`${gutter} | ${shown}`, `${" ".repeat(gutter.length)} | ${shown.slice(0, caretAt).replace(/[^\t]/g, " ")}${caret}`);
  }
  if (fault.expected !== "") lines.push(`      expected: ${fault.expected}`);
  if (fault.hint !== "") lines.push(`      hint: ${fault.hint}`);
  return lines.join("\n");
}

function lineOf(text: string | undefined, line: number): string | undefined {
  if (text === undefined) return undefined;
  let start = 0;
  for (let at = 1; at < line; at++) {
    const end = text.indexOf("\n", start);
    if (end < 0) return undefined;
    start = end + 1;
  }
  const end = text.indexOf("\n", start);
  return text.slice(start, end < 0 ? undefined : end).replace(/\r$/, "");
}

/** A terminal's worth of a long line around the place; control characters would move the caret, so they are shown as a middle dot. */
function window(source: string, at: number): { shown: string; caretAt: number } {
  const from = at > 100 ? at - 60 : 0;
  // oxlint-disable-next-line no-control-regex
  return { shown: source.slice(from, from + 140).replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "·"), caretAt: at - from };
}

export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

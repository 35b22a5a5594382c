/** Lines of styled spans: measured and cut as plain text first, coloured last, so that colours never disturb widths. */
import { displayWidth, toAscii, truncate } from "./text.ts";

/** Meaning, not colour; `paint` knows the colours. Colour is never the only carrier: each meaning also has a word and a shape. */
export type Style = "plain" | "title" | "strong" | "dim" | "good" | "warn" | "bad" | "banner-good" | "banner-warn" | "banner-bad" | "banner-plain";

export interface Span {
  text: string;
  style: Style;
}

export type Line = readonly Span[];

const sgr: Readonly<Record<Style, string>> = {
  plain: "", title: "1;36", strong: "1", dim: "2", good: "32", warn: "33", bad: "1;31",
  "banner-good": "1;30;42", "banner-warn": "1;30;43", "banner-bad": "1;97;41", "banner-plain": "1;7",
};

export function span(text: string, style: Style = "plain"): Span {
  return { text, style };
}

export function lineWidth(line: Line): number {
  return line.reduce((sum, part) => sum + displayWidth(part.text), 0);
}

/** Cuts the line to `columns`; with `fill`, pads it to exactly that with spaces in the style given. */
export function fitLine(line: Line, columns: number, fill?: Style): Span[] {
  const fitted: Span[] = [];
  let left = columns;
  for (const part of line) {
    if (left <= 0) break;
    const text = truncate(part.text, left);
    fitted.push({ text, style: part.style });
    left -= displayWidth(text);
    if (text !== part.text) break;
  }
  if (fill !== undefined && left > 0) fitted.push({ text: " ".repeat(left), style: fill });
  return fitted;
}

/** The line as a string, with escape sequences if `color`. */
export function paint(line: Line, { color, ascii }: { color: boolean; ascii: boolean }): string {
  let text = "";
  for (const part of line) {
    const shown = ascii ? toAscii(part.text) : part.text;
    const code = sgr[part.style];
    text += color && code !== "" ? `\u001b[${code}m${shown}\u001b[0m` : shown;
  }
  return color ? text : text.trimEnd();
}

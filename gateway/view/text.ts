/**
 * Text for terminals: how many columns it takes, cut and padded to a width, rid of control characters.
 * Widths follow Unicode's East Asian Width (UAX #11, wide and fullwidth = 2) and count combining marks as 0; ambiguous characters count as 1, as terminals outside East Asia do.
 */

/** Ranges that take two columns: the wide and fullwidth blocks, emoji included. */
const wideRanges: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f], [0x231a, 0x231b], [0x23e9, 0x23ec], [0x25fd, 0x25fe], [0x2614, 0x2615], [0x2648, 0x2653], [0x26a1, 0x26a1],
  [0x2705, 0x2705], [0x274c, 0x274c], [0x2753, 0x2755], [0x2795, 0x2797], [0x2e80, 0x303e], [0x3041, 0x33ff], [0x3400, 0x4dbf],
  [0x4e00, 0x9fff], [0xa000, 0xa4cf], [0xa960, 0xa97f], [0xac00, 0xd7a3], [0xf900, 0xfaff], [0xfe30, 0xfe6f], [0xff00, 0xff60],
  [0xffe0, 0xffe6], [0x1f300, 0x1f64f], [0x1f680, 0x1f6ff], [0x1f900, 0x1f9ff], [0x20000, 0x3fffd],
];
const zeroWidth = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
// C0, DEL, C1, and the characters that reorder text: a name must not be able to write elsewhere on the screen.
// oxlint-disable-next-line no-control-regex
const unprintable = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u2028\u2029]/gu;

function characterWidth(character: string): number {
  const code = character.codePointAt(0)!;
  if (code < 0x300) return 1;
  if (zeroWidth.test(character)) return 0;
  for (const [first, last] of wideRanges) {
    if (code < first) return 1;
    if (code <= last) return 2;
  }
  return 1;
}

/** Columns that `text` takes. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

/** The width of a terminal; `otherwise` for a pipe, and for a terminal that nobody has told its size (it says 0). */
export function columnsOf({ columns }: { columns?: number }, otherwise: number): number {
  return columns === undefined || columns === 0 ? otherwise : columns;
}

/** `text` cut to at most `columns` columns; what was cut is shown by "…". */
export function truncate(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  if (columns < 1) return "";
  let width = 0;
  let kept = "";
  for (const character of text) {
    const next = width + characterWidth(character);
    if (next > columns - 1) break;
    kept += character;
    width = next;
  }
  return `${kept}…`;
}

/** `text` cut or filled with spaces to exactly `columns` columns. */
export function fit(text: string, columns: number, align: "left" | "right" = "left"): string {
  const cut = truncate(text, columns);
  const space = " ".repeat(Math.max(0, columns - displayWidth(cut)));
  return align === "left" ? cut + space : space + cut;
}

/** Text from elsewhere (names, reasons, payloads), safe to print: each control character becomes "�". */
export function printable(text: string): string {
  return text.replace(unprintable, "\ufffd");
}

/** 0.5, 12.3, 850, 1.2k, 34k, 1.2M: three characters of precision. */
export function shortNumber(value: number): string {
  const size = Math.abs(value);
  if (!Number.isFinite(value)) return "-";
  if (size < 9.95) return trimZero(value.toFixed(1));
  if (size < 999.5) return value.toFixed(0);
  if (size < 9_950) return `${trimZero((value / 1e3).toFixed(1))}k`;
  if (size < 999_500) return `${(value / 1e3).toFixed(0)}k`;
  if (size < 9.95e6) return `${trimZero((value / 1e6).toFixed(1))}M`;
  if (size < 999.5e6) return `${(value / 1e6).toFixed(0)}M`;
  return `${trimZero((value / 1e9).toFixed(1))}G`;
}

function trimZero(text: string): string {
  return text.replace(/\.0$/, "");
}

/** 1234567 as 1,234,567. */
export function grouped(value: number): string {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** "0:00:07", "3:04:05", "2 d 03:04:05". */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (value: number): string => String(value).padStart(2, "0");
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor(seconds / 3600) % 24;
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return days > 0 ? `${days} d ${two(hours)}:${rest}` : `${hours}:${rest}`;
}

/** "12 ms", "3.4 s", "5 min", "2 h". */
export function ago(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 99_500) return `${(ms / 1000).toFixed(ms < 9_950 ? 1 : 0)} s`;
  if (ms < 5_940_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}

const blocks = "▁▂▃▄▅▆▇█";

/** The last `columns` values as a row of blocks, scaled to their own range (or to the one given). */
export function sparkline(values: readonly number[], columns: number, range?: { minimum: number; maximum: number }): string {
  const shown = values.slice(-columns);
  const finite = shown.filter(Number.isFinite);
  const low = range?.minimum ?? Math.min(...finite);
  const high = range?.maximum ?? Math.max(...finite);
  const text = shown.map((value) => {
    if (!Number.isFinite(value)) return " ";
    const share = high > low ? (value - low) / (high - low) : 0.5;
    return blocks[Math.min(blocks.length - 1, Math.max(0, Math.floor(share * blocks.length)))]!;
  });
  return text.join("");
}

/** A bar of `columns` columns filled by `share` (0…1). Anything above nothing shows at least one block. */
export function bar(share: number, columns: number): string {
  const filled = share > 0 ? Math.min(columns, Math.max(1, Math.round(share * columns))) : 0;
  return "█".repeat(filled) + "░".repeat(columns - filled);
}

const asciiTwins: Readonly<Record<string, string>> = {
  "●": "*", "◐": "~", "◌": ".", "○": "o", "■": "#", "▶": ">", "▼": "v", "▲": "^", "✖": "X", "─": "-", "·": "|", "…": ">", "█": "#", "░": ".", "�": "?", "•": "-",
  "▁": "_", "▂": "_", "▃": ".", "▄": "-", "▅": "-", "▆": "=", "▇": "*",
};

/** The same text for a terminal that shows ASCII only; the width stays, other characters become "?". */
export function toAscii(text: string): string {
  let ascii = "";
  for (const character of text) {
    if (character.codePointAt(0)! < 0x7f) ascii += character;
    else ascii += asciiTwins[character] ?? "?".repeat(characterWidth(character));
  }
  return ascii;
}

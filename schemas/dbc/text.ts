/**
 * Bytes of a DBC file to text. The format predates any word on encodings: tools wrote Windows-1252, newer ones UTF-8, some UTF-16.
 * UTF-8 is tried strictly; what is not valid UTF-8 is read as Windows-1252, which gives a character for every byte.
 */
import type { FindingCode } from "./findings.ts";

export interface DecodedText {
  text: string;
  /** Quirks of the encoding: code, offset in the text, words. */
  quirks: { code: FindingCode; offset: number; message: string }[];
}

/** Windows-1252 where it differs from Latin-1 (0x80…0x9F). The five unassigned bytes keep their number. */
const CP1252 = "\u20ac\u0081\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u008d\u017d\u008f\u0090\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u009d\u017e\u0178";

export function decodeText(source: Uint8Array | string): DecodedText {
  if (typeof source === "string") return source.startsWith("\ufeff") ? { text: source.slice(1), quirks: [byteOrderMark] } : { text: source, quirks: [] };
  if (source[0] === 0xff && source[1] === 0xfe) return utf16("utf-16le", source);
  if (source[0] === 0xfe && source[1] === 0xff) return utf16("utf-16be", source);
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(source);
    return decodeText(text);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return cp1252(source);
  }
}

const byteOrderMark = { code: "byteOrderMark", offset: 0, message: "the file begins with a byte order mark" } as const;

function utf16(encoding: "utf-16le" | "utf-16be", source: Uint8Array): DecodedText {
  const text = new TextDecoder(encoding).decode(source);
  return { text, quirks: [{ code: "encodingUtf16", offset: 0, message: `the file is ${encoding.toUpperCase()}` }] };
}

// Node's own "windows-1252" decoder gave Latin-1 in some releases of 22 and 23: hence by hand.
function cp1252(source: Uint8Array): DecodedText {
  const start = source[0] === 0xef && source[1] === 0xbb && source[2] === 0xbf ? 3 : 0;
  const latin1 = Buffer.from(source.buffer, source.byteOffset + start, source.byteLength - start).toString("latin1");
  const offset = latin1.search(/[\u0080-\u00ff]/);
  const text = latin1.replace(/[\u0080-\u009f]/g, (letter) => CP1252[letter.charCodeAt(0) - 0x80]!);
  return { text, quirks: [{ code: "encodingCp1252", offset: Math.max(offset, 0), message: "not UTF-8: read as Windows-1252" }] };
}

/** What every generator of this folder gives back: files as text, and what was worth saying on the way. Nothing here touches a disk. */

export interface GeneratedFile {
  /** A file name without folders. */
  name: string;
  text: string;
}

/**
 * One thing that the user should know. error: nothing was generated · warning: something is left out or not as the file says it · note: a name that could not stay.
 * `code` is stable.
 */
export interface Remark {
  code: RemarkCode;
  severity: "error" | "warning" | "note";
  /** Where it stands in the DBC; undefined when it is about an option. */
  at: { line: number; column: number } | undefined;
  message: string;
  hint: string;
}

export const remarkCatalogue = {
  unknownNode: { severity: "error", hint: "ipcnet dbc show lists the nodes" },
  unknownMessage: { severity: "error", hint: "ipcnet dbc show lists the messages" },
  nothingSelected: { severity: "error", hint: "leave out --messages or --node, or name others" },
  badPrefix: { severity: "error", hint: "a lower-case letter, then lower-case letters, digits and underscores; not a word of C, not ipcnet" },
  faultyDefinition: { severity: "error", hint: "correct the DBC (ipcnet dbc lint), or generate all the same with --lenient" },
  protectionDoesNotFit: { severity: "error", hint: "give the message a length that a frame can have" },
  guessedDefinition: { severity: "warning", hint: "correct the DBC: its meaning had to be guessed here" },
  noCheck: { severity: "warning", hint: "give it an entry in the checks file; integrity: link where the bus's own CRC is enough" },
  vendorChecksum: { severity: "warning", hint: "compute it in the firmware after pack: the generated code leaves its bits as they are given" },
  floatMultiplexor: { severity: "warning", hint: "a multiplexor is an unsigned integer; the message was left out" },
  signalTooLong: { severity: "warning", hint: "signals of more than 64 bits have no C type; it was left out" },
  neverPresent: { severity: "warning", hint: "the multiplexor's bits cannot hold any value that selects it" },
  startValueUnusable: { severity: "warning", hint: "GenSigStartValue is a raw value that the bits can hold" },
  keptRaw: { severity: "note", hint: "the floating-point type cannot tell all its steps apart: the field holds the raw integer" },
  keptDouble: { severity: "note", hint: "a float cannot tell all its steps apart: the field is a double" },
  renamed: { severity: "note", hint: "two names are the same in C" },
} as const satisfies Record<string, { severity: Remark["severity"]; hint: string }>;

export type RemarkCode = keyof typeof remarkCatalogue;

export function remark(code: RemarkCode, message: string, { at, hint }: { at?: { line: number; column: number } | undefined; hint?: string | undefined } = {}): Remark {
  return { code, severity: remarkCatalogue[code].severity, at, message, hint: hint ?? remarkCatalogue[code].hint };
}

/** "file:line:column: severity code: message (hint)", as compilers print, so that editors jump there. */
export function formatRemark({ code, severity, at, message, hint }: Remark, file: string): string {
  return `${file}${at === undefined ? "" : `:${at.line}:${at.column}`}: ${severity} ${code}: ${message} (${hint})`;
}

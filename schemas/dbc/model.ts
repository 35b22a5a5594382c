/**
 * A CAN database as read from a DBC file: plain data, no behaviour. `parse.ts` makes it, `lint.ts` judges it, `codec.ts` compiles it,
 * `templates.ts` multiplies its messages for several nodes.
 */

/** Where something stands in its file; line and column count from 1. */
export interface Position {
  line: number;
  column: number;
}

export type ByteOrder = "little" | "big";

/** How the raw bits of a signal are to be read. */
export type SignalKind = "unsigned" | "signed" | "float32" | "float64";

export interface Multiplexing {
  /** Name of the signal that selects this one. */
  multiplexor: string;
  /** Inclusive ranges of raw values of the multiplexor for which this signal is present. */
  ranges: readonly (readonly [low: number, high: number])[];
}

export interface Signal {
  name: string;
  at: Position;
  /** As in the file: for big-endian signals the position of the most significant bit in DBC's sawtooth numbering. */
  startBit: number;
  lengthBits: number;
  byteOrder: ByteOrder;
  kind: SignalKind;
  factor: number;
  offset: number;
  /** Declared physical limits; [0, 0] in the file means "not declared" and gives undefined. */
  minimum: number | undefined;
  maximum: number | undefined;
  unit: string;
  receivers: readonly string[];
  /** Whether other signals are selected by this one (`M`, `mNM`). */
  isMultiplexor: boolean;
  multiplexing: Multiplexing | undefined;
  /** Value table: raw value → name. */
  valueNames: ReadonlyMap<number | bigint, string> | undefined;
  comment: string | undefined;
  attributes: Readonly<Record<string, string | number>>;
}

export interface Message {
  name: string;
  at: Position;
  /** The identifier alone, without DBC's bit 31. */
  canId: number;
  extended: boolean;
  lengthBytes: number;
  /** CAN FD: by attribute VFrameFormat, or because it is longer than 8 bytes. */
  fd: boolean;
  sender: string | undefined;
  signals: readonly Signal[];
  comment: string | undefined;
  attributes: Readonly<Record<string, string | number>>;
  /** GenMsgCycleTime, ms, when given and not 0. */
  cycleTimeMs: number | undefined;
  /** Set when a template made this message for one node (see templates.ts). */
  nodeId?: number;
}

export interface Database {
  file: string;
  version: string;
  messages: readonly Message[];
  nodes: readonly string[];
  comment: string | undefined;
  attributes: Readonly<Record<string, string | number>>;
  environmentVariables: readonly string[];
  /** Everything the reader noticed, in file order. A file with a finding of severity "error" was loaded leniently, with that part left out or mended as the finding says. */
  findings: readonly Finding[];
}

/** One quirk of a file. `code` is stable (docs/specs/dbc.md lists them); `hint` says how to mend it. */
export interface Finding {
  code: string;
  severity: "error" | "warning" | "note";
  file: string;
  at: Position;
  message: string;
  hint: string;
  /** The message it concerns, so that a command message can be refused for its own faults only. */
  messageName?: string;
}

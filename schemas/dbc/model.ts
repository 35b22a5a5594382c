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

/** Attributes that the file gives explicitly; `attributeValue` adds the declared defaults. Enumerations are resolved to their words. */
export type Attributes = Readonly<Record<string, string | number>>;

/** Raw value → name. Keys are numbers while they are safe integers, bigints beyond. */
export type ValueNames = ReadonlyMap<number | bigint, string>;

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
  valueNames: ValueNames | undefined;
  comment: string | undefined;
  attributes: Attributes;
}

export interface SignalGroup {
  name: string;
  repetitions: number;
  signals: readonly string[];
}

export interface Message {
  name: string;
  at: Position;
  /** The identifier alone, without DBC's bit 31. */
  canId: number;
  extended: boolean;
  lengthBytes: number;
  /** CAN FD: by attribute VFrameFormat, or because it is longer than 8 bytes (J1939 messages that long travel in several frames instead). */
  fd: boolean;
  /** CAN FD with its data phase at the bus's data bit rate: so unless the attribute CANFD_BRS says 0. False for classic messages. */
  bitRateSwitch: boolean;
  /** J1939 by attribute VFrameFormat: matched by parameter group, whatever priority and source address (lookup.ts). */
  j1939: boolean;
  sender: string | undefined;
  /** Further senders (BO_TX_BU_). */
  otherSenders: readonly string[];
  signals: readonly Signal[];
  signalGroups: readonly SignalGroup[];
  comment: string | undefined;
  attributes: Attributes;
  /** GenMsgCycleTime, ms, when given and not 0. */
  cycleTimeMs: number | undefined;
  /** Set when a template made this message for one node (see templates.ts). */
  nodeId?: number;
  /** Set when a template made this message: its name in the file, under which findings are filed. */
  templateName?: string;
}

export type AttributeScope = "database" | "node" | "message" | "signal" | "environmentVariable" | "nodeSignal" | "nodeMessage" | "nodeEnvironmentVariable";

export interface AttributeDefinition {
  name: string;
  scope: AttributeScope;
  type: "INT" | "HEX" | "FLOAT" | "STRING" | "ENUM";
  minimum: number | undefined;
  maximum: number | undefined;
  /** The words of an enumeration, in order; empty for other types. */
  words: readonly string[];
  default: string | number | undefined;
}

/** An attribute of a pair (BA_REL_): node and message, node and signal, node and environment variable. */
export interface RelationAttribute {
  name: string;
  node: string;
  messageName?: string;
  signalName?: string;
  environmentVariable?: string;
  value: string | number;
}

export interface Node {
  name: string;
  comment: string | undefined;
  attributes: Attributes;
}

export interface Database {
  file: string;
  version: string;
  messages: readonly Message[];
  nodes: readonly string[];
  nodeDetails: readonly Node[];
  valueTables: ReadonlyMap<string, ValueNames>;
  comment: string | undefined;
  attributes: Attributes;
  attributeDefinitions: readonly AttributeDefinition[];
  relationAttributes: readonly RelationAttribute[];
  environmentVariables: readonly string[];
  /** True when nothing of the file can be used: no DBC at all, or beyond limits.ts. The last finding says why. */
  refused: boolean;
  /** Everything the reader noticed, in file order, a refusal last. A file with a finding of severity "error" was loaded leniently, with that part left out or mended as the finding says. */
  findings: readonly Finding[];
}

/**
 * One quirk of a file. `code` is stable (docs/specs/dbc.md lists them); `hint` says how to mend it.
 * error: a strict reader refuses it, or its meaning had to be guessed · warning: the meaning is clear but most likely not meant · note: worth knowing.
 */
export interface Finding {
  code: string;
  severity: "error" | "warning" | "note";
  file: string;
  at: Position;
  message: string;
  hint: string;
  /** The message it concerns, so that a command message can be refused for its own faults only. Without it the finding concerns the whole file. */
  messageName?: string;
}

/** The value of an attribute with the default of its definition, or undefined when neither is there. */
export function attributeValue(database: Database, scope: AttributeScope, attributes: Attributes, name: string): string | number | undefined {
  if (Object.hasOwn(attributes, name)) return attributes[name];
  return database.attributeDefinitions.find((definition) => definition.scope === scope && definition.name === name)?.default;
}

/** What the parser has gathered before references are resolved: the model's shapes, still open. */
import type { AttributeDefinition, ByteOrder, Position, RelationAttribute, SignalGroup, SignalKind, ValueNames } from "./model.ts";

export interface MultiplexEntry {
  at: Position;
  multiplexor: string;
  ranges: (readonly [number, number])[];
}

export interface SignalDraft {
  name: string;
  at: Position;
  startBit: number;
  lengthBits: number;
  byteOrder: ByteOrder;
  kind: SignalKind;
  factor: number;
  offset: number;
  minimum: number | undefined;
  maximum: number | undefined;
  unit: string;
  receivers: string[];
  /** `M` or `mNM`. */
  isMultiplexor: boolean;
  /** N of `mN`. */
  multiplexValue: number | undefined;
  /** From SG_MUL_VAL_. */
  multiplexEntry: MultiplexEntry | undefined;
  valueNames: ValueNames | undefined;
  comment: string | undefined;
  attributes: Record<string, string | number>;
}

export interface MessageDraft {
  name: string;
  /** Stands for the message in findings made before it was complete; renamed with it. */
  alias: { name: string };
  at: Position;
  /** As in the file, with bit 31. */
  dbcId: number;
  canId: number;
  extended: boolean;
  lengthBytes: number;
  sender: string | undefined;
  otherSenders: string[];
  signals: SignalDraft[];
  /** By name, the first of each. */
  signalIndex: Map<string, SignalDraft>;
  signalGroups: SignalGroup[];
  comment: string | undefined;
  attributes: Record<string, string | number>;
}

export interface NodeDraft {
  name: string;
  at: Position;
  comment: string | undefined;
  attributes: Record<string, string | number>;
}

export interface DatabaseDraft {
  version: string;
  messages: MessageDraft[];
  nodes: Map<string, NodeDraft>;
  valueTables: Map<string, ValueNames>;
  comment: string | undefined;
  attributes: Record<string, string | number>;
  attributeDefinitions: AttributeDefinition[];
  relationAttributes: RelationAttribute[];
  environmentVariables: Set<string>;
}

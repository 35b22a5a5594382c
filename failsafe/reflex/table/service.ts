/**
 * What the care of nodes may send through the reflex: the rows of frames that pass only while the robot is disarmed. SDO requests to the nodes that are cared for, and of NMT what an update needs.
 *
 * A node that is only asked who it is gets no write: the first byte of a request says what it is, and those of reads differ from all others. A node that takes firmware gets whatever is for its SDO server, because the
 * segments of a block begin with any byte; what holds there is the state (nothing of this leaves while anything could move) and the node itself, which takes no image unless it is pre-operational with its outputs safe.
 */
import { canopenIds, nmtCommands } from "../../../drivers/nodekit/canopen.ts";
import type { ReflexServiceInput } from "./compile.ts";
import { noField } from "./field.ts";
import type { CheckRow, FieldRow } from "./layout.ts";

export interface CaredNode {
  name: string;
  bus: string;
  /** CANopen number, 1…127. */
  number: number;
  /** Whether its firmware may be replaced. */
  update: boolean;
}

const SDO_BYTES = 8;
const NMT_BYTES = 2;
/** First bytes of a read: begin, segment with either toggle, abort. */
const readRequests = [0x40, 0x60, 0x70, 0x80];
/** By an update; whoever wants to stop or reset nodes does it by hand. */
const nmtAllowed: readonly number[] = [nmtCommands.start, nmtCommands.enterPreOperational];

/** `bitsOf`: what a frame of so many bytes costs on the bus at most. */
export function serviceRows(nodes: readonly CaredNode[], bitsOf: (lengthBytes: number) => number): ReflexServiceInput[] {
  const sdo = nodes.map(({ name, bus, number, update }): ReflexServiceInput => ({
    name: `SDO ${name}`, bus, canId: canopenIds.sdoRequest + number, lengthBytes: SDO_BYTES, bits: bitsOf(SDO_BYTES), checks: update ? [] : oneOf(byteAt(0), readRequests),
  }));
  const buses = [...new Set(nodes.filter(({ update }) => update).map(({ bus }) => bus))];
  const nmt = buses.map((bus): ReflexServiceInput => ({
    name: `NMT ${bus}`, bus, canId: canopenIds.nmt, lengthBytes: NMT_BYTES, bits: bitsOf(NMT_BYTES),
    checks: [...oneOf(byteAt(0), nmtAllowed), ...oneOf(byteAt(1), nodes.filter((node) => node.bus === bus && node.update).map(({ number }) => number))],
  }));
  return [...sdo, ...nmt];
}

function byteAt(index: number): FieldRow {
  return { startBit: index * 8, bits: 8, flags: 0 };
}

/** The field has one of these values: a range from the least to the greatest, and a check that cannot hold for each value between. */
export function oneOf(field: FieldRow, values: readonly number[]): CheckRow[] {
  const least = Math.min(...values);
  const greatest = Math.max(...values);
  const gaps = Array.from({ length: greatest - least }, (_, i) => least + i).filter((value) => !values.includes(value));
  const never = (value: number): CheckRow => ({ field, selector: field, selected: BigInt(value), rawMin: BigInt(greatest), rawMax: BigInt(greatest) });
  return [{ field, selector: noField, selected: 0n, rawMin: BigInt(least), rawMax: BigInt(greatest) }, ...gaps.map(never)];
}

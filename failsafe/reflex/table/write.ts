/** Rows → the bytes of a table: sections one after the other, each at a multiple of 8, SHA-256 over everything after the hash, E2E profile 7 over the whole. */
import { e2eCodec } from "../../../schemas/e2e/index.ts";
import { tableHash } from "./hash.ts";
import {
  headerStruct, rowStructs, sectionNames, sectionRowsMax, TABLE_BYTES_MAX, TABLE_DATA_ID, TABLE_MAGIC, TABLE_MAJOR, TABLE_MINOR, type SectionName, type TableRows,
} from "./layout.ts";
import { writeStruct, type Fields, type Struct, type Value } from "./struct.ts";

/** What stands in the header beside the places of the sections. */
export interface TableHead {
  /** Rises with every table that is made; 0…2^32 − 1. Not part of the hash: the same rows are the same table. */
  generation: number;
  flags: number;
  brainTimeoutUs: number;
  beatPeriodUs: number;
  twinDeadlineUs: number;
}

export const tableCodec = e2eCodec({ profile: "P07", dataId: TABLE_DATA_ID, minLengthBytes: headerStruct.sizeBytes, maxLengthBytes: TABLE_BYTES_MAX });

/** Throws a RangeError naming the section that has too many rows, or a number that does not fit its field: a compiler checks before. */
export function writeTable(head: TableHead, rows: TableRows): Uint8Array {
  const places = new Map<SectionName, number>();
  let at = aligned(headerStruct.sizeBytes);
  for (const name of sectionNames) {
    const count = rows[name].length;
    if (count > sectionRowsMax[name]) throw new RangeError(`a table has at most ${sectionRowsMax[name]} ${name}, this one would have ${count}`);
    places.set(name, at);
    at = aligned(at + count * rowBytes(name));
  }
  if (at > TABLE_BYTES_MAX) throw new RangeError(`a table has at most ${TABLE_BYTES_MAX} bytes, this one would have ${at}`);
  const bytes = new Uint8Array(at);
  const view = new DataView(bytes.buffer);
  for (const name of sectionNames) writeSection(name, rows, bytes, view, places.get(name)!);
  const { generation, ...rest } = head;
  writeStruct(headerStruct, view, 0, {
    ...rest, e2e: new Uint8Array(20), magic: TABLE_MAGIC, major: TABLE_MAJOR, minor: TABLE_MINOR, hash: new Uint8Array(32), sections: sectionNames.map((name) => ({ offset: places.get(name)!, count: rows[name].length })),
  });
  bytes.set(tableHash(bytes), headerStruct.offsets.hash);
  tableCodec.protect(bytes, 0, bytes.length, 0, generation);
  return bytes;
}

function writeSection(name: SectionName, rows: TableRows, bytes: Uint8Array, view: DataView, at: number): void {
  if (name === "bytes") bytes.set(rows.bytes, at);
  else if (name === "needs") for (const [index, step] of rows.needs.entries()) view.setUint16(at + 2 * index, step, true);
  else {
    const type = rowStructs[name] as unknown as Struct<Fields>;
    for (const [index, row] of rows[name].entries()) writeStruct(type, view, at + index * type.sizeBytes, row as unknown as Value<Fields>);
  }
}

/** Size of one row of a section. */
export function rowBytes(name: SectionName): number {
  return name === "bytes" ? 1 : name === "needs" ? 2 : rowStructs[name].sizeBytes;
}

function aligned(offset: number): number {
  return Math.ceil(offset / 8) * 8;
}

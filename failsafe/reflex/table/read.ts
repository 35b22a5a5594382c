/**
 * The bytes of a table → rows, for tests and for people (`ipcnet reflex table`). It checks what it needs to read safely: protection, versions, places. Whether the
 * rows make sense is the reflex's own check (reflex_table.c), which no reader here replaces.
 */
import { Verdict } from "../../../schemas/e2e/index.ts";
import { tableHash } from "./hash.ts";
import { headerStruct, rowStructs, sectionNames, sectionRowsMax, TABLE_MAGIC, TABLE_MAJOR, TABLE_MINOR, type SectionName, type TableRows } from "./layout.ts";
import { readStruct, type Fields, type Struct } from "./struct.ts";
import { rowBytes, tableCodec, type TableHead } from "./write.ts";

export interface Table {
  head: TableHead;
  /** SHA-256 of everything after the hash. */
  hash: Uint8Array;
  rows: TableRows;
}

export type TableRead = { ok: true; table: Table } | { ok: false; code: "crc" | "length" | "version" | "offset" | "count" | "hash"; text: string };

export function readTable(bytes: Uint8Array): TableRead {
  if (bytes.length < headerStruct.sizeBytes) return { ok: false, code: "length", text: `a table has at least ${headerStruct.sizeBytes} bytes, not ${bytes.length}` };
  const verdict = tableCodec.inspect(bytes, 0, bytes.length, 0);
  if (verdict !== Verdict.ok) return { ok: false, code: verdict === Verdict.badLength ? "length" : "crc", text: "its protection (E2E profile 7) is not right" };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const { magic, major, minor, hash, sections, flags, brainTimeoutUs, beatPeriodUs, twinDeadlineUs } = readStruct(headerStruct, view, 0);
  if (magic !== TABLE_MAGIC || major !== TABLE_MAJOR || minor > TABLE_MINOR) return { ok: false, code: "version", text: `it is of version ${major}.${minor}; ${TABLE_MAJOR}.${TABLE_MINOR} can be read` };
  if (!tableHash(bytes).equals(hash)) return { ok: false, code: "hash", text: "its hash is not that of its rows" };
  const rows: Record<string, unknown> = {};
  for (const [index, name] of sectionNames.entries()) {
    const { offset, count } = sections[index]!;
    if (count > sectionRowsMax[name]) return { ok: false, code: "count", text: `${count} ${name}` };
    if (offset % 8 !== 0 || offset < headerStruct.sizeBytes || offset + count * rowBytes(name) > bytes.length) return { ok: false, code: "offset", text: `${name} at ${offset}` };
    rows[name] = readSection(name, bytes, view, offset, count);
  }
  return { ok: true, table: { head: { generation: tableCodec.counterOf(bytes, 0, bytes.length, 0), flags, brainTimeoutUs, beatPeriodUs, twinDeadlineUs }, hash, rows: rows as unknown as TableRows } };
}

function readSection(name: SectionName, bytes: Uint8Array, view: DataView, at: number, count: number): unknown {
  if (name === "bytes") return bytes.slice(at, at + count);
  if (name === "needs") return Array.from({ length: count }, (_, index) => view.getUint16(at + 2 * index, true));
  const type = rowStructs[name] as unknown as Struct<Fields>;
  return Array.from({ length: count }, (_, index) => readStruct(type, view, at + index * type.sizeBytes));
}

/** A text of the table's last section; what is no text there is shown as such. */
export function tableText(rows: Pick<TableRows, "bytes">, at: number): string {
  const end = rows.bytes.indexOf(0, at);
  return at < rows.bytes.length && end >= 0 ? new TextDecoder().decode(rows.bytes.subarray(at, end)) : `(no text at ${at})`;
}

/** Collects the rows of a table while it is compiled: texts and payloads once each, rows by number. */
import { sectionRowsMax, type SectionName, type TableRows } from "./layout.ts";

export class TableBuilder {
  readonly rows: TableRows = { buses: [], messages: [], checks: [], watches: [], nodes: [], conditions: [], sends: [], steps: [], needs: [], plans: [], triggers: [], bytes: new Uint8Array(0) };
  readonly #pieces: Uint8Array[] = [];
  readonly #places = new Map<string, number>();
  #length = 0;

  /** Where this text stands; equal texts stand once. */
  text(text: string): number {
    return this.#put(`t${text}`, new TextEncoder().encode(`${text.replaceAll("\0", "")}\0`));
  }

  /** Where these bytes stand; equal ones stand once. */
  bytes(bytes: Uint8Array): number {
    return this.#put(`b${Buffer.from(bytes).toString("latin1")}`, bytes);
  }

  /** Appends a row; returns its number. */
  add<Name extends Exclude<SectionName, "bytes">>(section: Name, row: TableRows[Name][number]): number {
    return (this.rows[section] as unknown[]).push(row) - 1;
  }

  /** Appends rows that belong together; returns where they begin. */
  addAll<Name extends Exclude<SectionName, "bytes">>(section: Name, rows: readonly TableRows[Name][number][]): number {
    const first = this.rows[section].length;
    (this.rows[section] as unknown[]).push(...rows);
    return first;
  }

  /** The rows with all texts and payloads, or the section that has too many. */
  finish(): { ok: true; rows: TableRows } | { ok: false; section: SectionName; count: number; most: number } {
    this.rows.bytes = new Uint8Array(this.#length);
    let at = 0;
    for (const piece of this.#pieces) {
      this.rows.bytes.set(piece, at);
      at += piece.length;
    }
    for (const [section, most] of Object.entries(sectionRowsMax) as [SectionName, number][]) {
      const count = this.rows[section].length;
      if (count > most) return { ok: false, section, count, most };
    }
    return { ok: true, rows: this.rows };
  }

  #put(key: string, bytes: Uint8Array): number {
    const before = this.#places.get(key);
    if (before !== undefined) return before;
    const at = this.#length;
    this.#places.set(key, at);
    this.#pieces.push(bytes);
    this.#length += bytes.length;
    return at;
  }
}

/** A lineage in the answer to a query: the entries as a lane has them (docs/specs/lanes.md), 24 bytes each, little-endian. */
export interface LineageIds {
  origin: bigint;
  topic: bigint;
  sequence: bigint;
}

export const LINEAGE_ENTRY_BYTES = 24;

export function writeLineage(entries: readonly LineageIds[]): Uint8Array {
  const bytes = new Uint8Array(entries.length * LINEAGE_ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, { origin, topic, sequence }] of entries.entries()) {
    for (const [j, word] of [origin, topic, sequence].entries()) view.setBigUint64(i * LINEAGE_ENTRY_BYTES + 8 * j, word, true);
  }
  return bytes;
}

/** Whole entries only; what is behind the last one is left out. */
export function readLineage(bytes: Uint8Array): LineageIds[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: Math.floor(bytes.length / LINEAGE_ENTRY_BYTES) }, (_, i) => {
    const word = (j: number): bigint => view.getBigUint64(i * LINEAGE_ENTRY_BYTES + 8 * j, true);
    return { origin: word(0), topic: word(1), sequence: word(2) };
  });
}

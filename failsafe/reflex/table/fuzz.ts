/** Tables and files that pass for one: no exception, and what is read is what was written. Past the checksum too, because whoever can write the file can compute it. */
import { compileTable } from "./compile.ts";
import { tableHash } from "./hash.ts";
import { headerStruct } from "./layout.ts";
import { readTable } from "./read.ts";
import { showTable } from "./show.ts";
import { testInput } from "./testInput.ts";
import { tableCodec } from "./write.ts";

const compiled = compileTable(testInput);
const seeds = compiled.ok ? [compiled.bytes] : [];

/** Hash and protection as they should be: the rows behind them are still anybody's. */
function made(input: Uint8Array): Uint8Array {
  const bytes = input.slice();
  if (bytes.length < headerStruct.sizeBytes) return bytes;
  bytes.set(tableHash(bytes), headerStruct.offsets.hash);
  tableCodec.protect(bytes, 0, bytes.length, 0, 1);
  return bytes;
}

export const fuzzTargets: { name: string; run(input: Uint8Array): void; seeds: Uint8Array[] }[] = [
  { name: "reflex table", seeds, run: (input) => void readTable(input) },
  {
    name: "reflex table, well protected", seeds,
    run(input) {
      const bytes = made(input);
      const read = readTable(bytes);
      const shown = showTable(bytes);
      if (read.ok !== shown.ok) throw new Error("a table that is read cannot be shown");
    },
  },
];

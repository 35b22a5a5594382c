/** Each bench runs for a moment, so that it cannot rot. Nothing is said about speed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { benches } from "./bench.ts";
import { machineFacts, quantile, renderTable } from "./harness.ts";

for (const bench of benches) {
  test(`bench ${bench.name} runs`, { timeout: 600_000 }, async () => {
    const tables = await bench.run({ scale: 0.01, long: false, progress: () => undefined });
    assert.ok(tables.some(({ rows }) => rows.length > 0));
    for (const table of tables) assert.ok(renderTable(table).startsWith(`### ${table.title}`));
  });
}

test("quantiles are samples, also at the ends", () => {
  const sorted = [1, 2, 3, 4];
  assert.deepEqual([0, 0.5, 0.99, 1].map((q) => quantile(sorted, q)), [1, 3, 4, 4]);
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test("the machine is named", () => {
  const { cores, kernel, node } = machineFacts();
  assert.ok(cores > 0 && kernel !== "" && node === process.version);
});

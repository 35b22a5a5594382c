/** From the YAML of the shipped plans to the table, and the C core's own verdict on it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tableText } from "../../failsafe/reflex/table/read.ts";
import { checkConfigFile } from "../../schemas/messages/configFile.ts";
import { projectRoot } from "../cli/root.ts";
import { compileReflexTable } from "./reflex/table.ts";

const judge = join(projectRoot(), "dist/native/test/reflex_table_check");

test("arm.plan.yaml becomes a table that the reflex takes: its longest way, computed anew there, fits", { skip: existsSync(judge) ? false : "reflex_table_check is not built" }, () => {
  const file = join(projectRoot(), "examples/config/arm-reflex.yaml");
  const read = checkConfigFile(file, { machine: false });
  assert.ok(read.readable && read.result.config);
  const made = compileReflexTable({ config: read.result.config, parts: read.result.parts, file, generation: 1 });
  assert.ok(made?.ok, made && !made.ok ? JSON.stringify(made.faults) : "");
  const { rows, bytes, hash } = made.table;
  assert.deepEqual(rows.plans.map(({ name, stepsCount, worstUs, budgetUs, lastCount }) => [tableText(rows, name), stepsCount, worstUs, budgetUs, lastCount]), [["park", 7, 4_350_000, 6_000_000, 2], ["hold", 1, 800_000, 800_000, 2], ["drop", 1, 100_000, 100_000, 2]]);
  const head = Buffer.alloc(5, "T");
  head.writeUInt32LE(bytes.length, 1);
  const asked = spawnSync(judge, { input: Buffer.concat([head, bytes]), encoding: "utf8" });
  assert.equal(asked.stdout.trim(), `ok ${Buffer.from(hash).toString("hex")}`, asked.stderr);
});

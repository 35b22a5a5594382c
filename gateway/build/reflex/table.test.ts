import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { showTable } from "../../../failsafe/reflex/table/show.ts";
import { checkConfigFile } from "../../../schemas/messages/configFile.ts";
import { judgeReflex } from "./judge.ts";

const examples = join(import.meta.dirname, "../../../../../examples/config");

function judged(file: string) {
  const read = checkConfigFile(file, { machine: false });
  assert.ok(read.readable);
  return judgeReflex(read.result, file);
}

/** A copy of the examples, with one file changed. */
function changed(t: TestContext, name: string, change: (text: string) => string): string {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-config-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const file of readdirSync(examples)) copyFileSync(join(examples, file), join(folder, file));
  const text = readFileSync(join(examples, name), "utf8");
  const after = change(text);
  assert.notEqual(after, text);
  writeFileSync(join(folder, name), after);
  return folder;
}

test("the example with a plan file becomes a table: its commands, nodes, plans and triggers are in it", () => {
  const { result, table } = judged(join(examples, "arm-reflex.yaml"));
  assert.deepEqual(result.faults.filter(({ severity }) => severity === "error"), []);
  assert.ok(table);
  const shown = showTable(table.bytes);
  assert.ok(shown.ok);
  const { messages, nodes, plans, triggers } = shown.table;
  assert.ok(messages.length > 0 && nodes.length > 0 && plans.length > 0);
  assert.ok(messages.every(({ protection }) => protection.startsWith("P05")));
  assert.ok(["onStop", "onBrainLost", "onNodeLost", "onExpired"].every((kind) => triggers.some(({ on }) => on === kind)));
});

test("a configuration without a reflex is judged as before", () => {
  const { result, table } = judged(join(examples, "arm-can0.yaml"));
  assert.ok(result.config);
  assert.equal(table, undefined);
});

test("commands in CAN FD frames of 64 bytes become rows, protected over all of them, on a bus that is told its data bit rate", (t) => {
  const folder = changed(t, "arm.dbc", (text) => text.replaceAll(/^(BO_ \d+ \w*Command): 8 /gm, "$1: 64 "));
  const config = join(folder, "arm-reflex.yaml");
  const plain = readFileSync(config, "utf8");
  const fault = judged(config).result.faults.find(({ code, severity }) => code === "fdNeeded" && severity === "error");
  assert.match(`${fault?.message} ${fault?.expected}`, /is a CAN FD message, and the bus arm is classic fd: true/);
  writeFileSync(config, plain.replace("    bitrateBps: 500000\n", "    bitrateBps: 500000\n    fd: true\n    dataBitrateBps: 2000000\n"));
  const { result, table } = judged(config);
  assert.deepEqual(result.faults.filter(({ severity }) => severity === "error").map(({ code, message }) => [code, message]), []);
  const shown = showTable(table!.bytes);
  assert.ok(shown.ok);
  assert.ok(shown.table.buses[0]!.fd);
  const commands = shown.table.messages.filter(({ name }) => name.endsWith("Command"));
  assert.ok(commands.length > 0);
  for (const { lengthBytes, protection } of commands) assert.deepEqual([lengthBytes, protection.slice(0, 3)], [64, "P05"]);
});

test("what the table cannot express is a fault at the command that needs it", (t) => {
  const folder = changed(t, "arm.checks.yaml", (text) => `${text}\n  shoulder_Command: { checksum: honda }\n`);
  const { result, table } = judged(join(folder, "arm-reflex.yaml"));
  assert.equal(table, undefined);
  const faults = result.faults.filter(({ severity }) => severity === "error");
  assert.ok(faults.length > 0);
  // The DBC has no counter where this checksum wants one, or the table does not know it: either way it is refused, with a place.
  for (const { line, file } of faults) assert.ok(line > 0 && file !== "");
});

test("a node that is silent for longer than the reflex counts is a fault at the node", (t) => {
  const folder = changed(t, "arm-reflex.yaml", (text) => text.replace("shoulder_State }, timeoutMs: 100", "shoulder_State }, timeoutMs: 70000"));
  const { result } = judged(join(folder, "arm-reflex.yaml"));
  assert.equal(result.config, undefined);
  const [fault] = result.faults.filter(({ code }) => code === "notForReflex");
  assert.match(fault!.path, /^nodes\[\d\]$/);
  assert.match(fault!.message, /up to 60000/);
});

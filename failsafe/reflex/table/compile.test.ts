import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { drawFrom } from "../../../schemas/dbc/random.ts";
import { compileTable, type CompiledTable, type ReflexTableInput } from "./compile.ts";
import { checkHolds } from "./judge.ts";
import { NONE, triggerKinds } from "./layout.ts";
import { randomPayload } from "./randomMessage.ts";
import { readTable, tableText } from "./read.ts";
import { showTable } from "./show.ts";
import { claimTimesFaults } from "./claimTimes.ts";
import { randomInput, stopPlan, stopStep, testBus, testCommand, testInput, testState } from "./testInput.ts";

/** Built with the tests: opens tables and judges payloads as the reflex does. */
const judge = join(import.meta.dirname, "../../../../native/test/reflex_table_check");

function compiled(input: ReflexTableInput): CompiledTable {
  const made = compileTable(input);
  assert.ok(made.ok, made.ok ? "" : JSON.stringify(made.faults));
  return made;
}

function faults(input: Partial<ReflexTableInput>): string[] {
  const made = compileTable({ ...testInput, ...input });
  return made.ok ? [] : made.faults.map(({ about, text }) => `${about.kind} ${about.name}: ${text}`);
}

function askedOf(parts: readonly Uint8Array[]): string[] {
  const result = spawnSync(judge, { input: Buffer.concat(parts), encoding: "utf8", maxBuffer: 1 << 26 });
  assert.equal(result.status, 0, result.stderr);
  return result.stdout.trimEnd().split("\n");
}

const tableRequest = (bytes: Uint8Array): Uint8Array => {
  const head = Buffer.alloc(5, "T");
  head.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
};

test("what is compiled is read again, row for row, and the C core takes it with the same hash", () => {
  const { bytes, rows, hash } = compiled(testInput);
  const read = readTable(bytes);
  assert.ok(read.ok);
  assert.deepEqual(read.table.rows, rows);
  assert.deepEqual([read.table.head.generation, Buffer.from(read.table.hash).toString("hex")], [1, Buffer.from(hash).toString("hex")]);
  assert.deepEqual(askedOf([tableRequest(bytes)]), [`ok ${Buffer.from(hash).toString("hex")}`]);
  assert.deepEqual([tableText(rows, rows.buses[0]!.name), tableText(rows, rows.messages[0]!.name)], ["arm", "Move"]);
});

test("the generation is not part of the hash: the same rows are the same table", () => {
  const [one, two] = [compiled(testInput), compiled({ ...testInput, generation: 2 })];
  assert.deepEqual(one.hash, two.hash);
  assert.notDeepEqual(one.bytes, two.bytes);
});

test("random inputs: the C core takes every table, and judges every payload as the table's own judge does", () => {
  const seed = Number(process.env["SEED"] ?? 4_711);
  const draw = drawFrom(seed);
  const parts: Uint8Array[] = [];
  const expected: string[] = [];
  let notMade = 0;
  for (let round = 0; round < 150; round++) {
    const input = randomInput(seed + round);
    const made = compileTable(input);
    if (!made.ok) {
      notMade += 1;
      continue;
    }
    parts.push(tableRequest(made.bytes));
    expected.push(`ok ${Buffer.from(made.hash).toString("hex")}`);
    for (const [row, { message, lengthBytes }] of input.commands.entries()) {
      const { checksFirst, checksCount } = made.rows.messages[row]!;
      for (let trial = 0; trial < 6; trial++) {
        const payload = randomPayload(message, lengthBytes, draw);
        const head = Buffer.alloc(5, "P");
        head.writeUInt16LE(row, 1);
        head.writeUInt16LE(payload.length, 3);
        parts.push(head, payload);
        expected.push(made.rows.checks.slice(checksFirst, checksFirst + checksCount).every((check) => checkHolds(check, payload)) ? "1" : "0");
      }
    }
  }
  assert.ok(notMade < 100, `${notMade} of 150 inputs could not be expressed`);
  assert.deepEqual(askedOf(parts), expected, `seed ${seed}`);
});

test("every single flipped bit of a table is refused by the C core", () => {
  const { bytes } = compiled(testInput);
  const draw = drawFrom(99);
  const parts = Array.from({ length: 2_000 }, () => {
    const flipped = bytes.slice();
    flipped[draw(bytes.length)]! ^= 1 << draw(8);
    return tableRequest(flipped);
  });
  assert.ok(askedOf(parts).every((line) => !line.startsWith("ok")));
});

test("a trigger that stands for all becomes a row for each, in the same order; the one that is named counts for its subject", () => {
  const nodes = ["one", "two", "three"].map((name, index) => ({ name, bus: "arm", heartbeat: { canopen: index + 1 }, timeoutMs: 300, required: index < 2 }));
  const trigger = { plan: 0, latched: true, onlyArmed: true };
  const { rows } = compiled({ ...testInput, nodes, plans: { plans: [stopPlan], triggers: [
    { ...trigger, name: "all", on: "nodeLost", priority: 150 }, { ...trigger, name: "second", on: "nodeLost", priority: 90, subject: { node: "two" } }, { ...trigger, name: "ask", on: "request", priority: 200 },
  ] } });
  assert.deepEqual(rows.triggers.map(({ kind, subject, name }) => [triggerKinds[kind], subject, tableText(rows, name)]), [["onRequest", 0, "ask"], ["onRequest", 1, "ask"], ["onRequest", 2, "ask"], ["onNodeLost", 0, "all"], ["onNodeLost", 3, "all"], ["onNodeLost", 1, "second"]]);
  // The fourth is the frame in which the nodes say whom they follow.
  assert.deepEqual(rows.nodes.map(({ lostTrigger }) => lostTrigger), [3, 5, NONE, 4]);
  assert.ok(rows.triggers.every(({ priority }, index) => index === 0 || priority < rows.triggers[index - 1]!.priority));
});

test("a node that says whom it follows is a required one; without claims on the bus it is not asked", () => {
  assert.deepEqual(compiled(testInput).rows.nodes.map(({ flags, watch }) => [flags, watch]), [[7, 0], [1, 1]]);
  assert.equal(compiled({ ...testInput, buses: [{ ...testBus, claimId: undefined }] }).rows.nodes.length, 1);
});

test("two hosts: a group of actuators is a number in the nodes that say whom they follow", () => {
  const wrist = { ...testState, message: { ...testState.message, name: "Wrist", canId: 35 }, group: "wrist" };
  const { rows } = compiled({ ...testInput, measured: [{ ...testState, group: "arm" }, wrist, { ...wrist, message: { ...wrist.message, name: "Hand", canId: 36 } }] });
  assert.deepEqual(rows.nodes.map(({ name, group }) => [tableText(rows, name), group]), [["joint", 0], ["State", 1], ["Wrist", 2], ["Hand", 2]]);
  assert.deepEqual(faults({ measured: [{ ...testState, epoch: undefined, group: "arm" }] }), ["bus arm: State is in the group arm of claims, and does not say whom its node follows"]);
});

test("two hosts: the lease outlasts a beat and a lost report, and ends before the other host claims; the range that would do is named", () => {
  const reports = (cycleTimeMs: number | undefined) => [{ ...testState, message: { ...testState.message, cycleTimeMs } }];
  const said = (selfFenceMs: number, beatPeriodMs: number, reportMs: number | undefined, host = 0) => claimTimesFaults({ ...testBus, selfFenceMs, host }, beatPeriodMs, reports(reportMs)).map(({ text, hint }) => `${text.slice(0, 41).trim()} | ${hint}`);
  // The least and the longest that are taken, of either host; one less and one more are refused.
  for (const [host, longest] of [[0, 61], [1, 59]] as const) {
    assert.deepEqual([said(22, 20, 10, host), said(longest, 20, 10, host)], [[], []]);
    assert.equal(said(21, 20, 10, host).length, 2);
    assert.deepEqual(said(longest + 1, 20, 10, host), [`with selfFenceMs ${longest + 1} the other host claims | selfFenceMs: 22 to ${longest}`]);
  }
  assert.deepEqual(said(12, 5, 5), []);
  assert.deepEqual(said(6, 5, 1), ["selfFenceMs 6 ends before an echo of a be | selfFenceMs: 7 to 16"]);
  assert.deepEqual(said(41, 20, 20), ["selfFenceMs 41 ends when a single report | selfFenceMs: 42 to 61"]);
  assert.deepEqual(said(12, 5, 10), ["selfFenceMs 12 ends when a single report | beatPeriodMs: 8 or more, or nodes that report more often than every 10 ms"]);
  assert.deepEqual(claimTimesFaults({ ...testBus, selfFenceMs: 22, host: 1 }, 8, reports(10)), []);
  assert.match(said(30, 20, undefined).join(), /^how often State .*GenMsgCycleTime of State/);
  assert.match(claimTimesFaults({ ...testBus, selfFenceMs: 30 }, 20, [])[0]!.text, /no claim could be confirmed/);
  assert.deepEqual(claimTimesFaults(testBus, 20, []), []);
  const made = compileTable({ ...testInput, buses: [{ ...testBus, selfFenceMs: 12 }], measured: reports(10) });
  assert.ok(!made.ok);
  assert.deepEqual(made.faults.map(({ about }) => about), Array.from({ length: 2 }, () => ({ kind: "bus", name: "arm", key: "selfFenceMs" })));
});

test("what cannot be expressed is said with what it concerns, all at once", () => {
  assert.deepEqual(faults({ commands: [{ ...testCommand, unprotected: true, epoch: "nothing" }] }), [
    "command arm/Move: Move is protected by a checksum that the reflex does not know", "command arm/Move: Move has no signal nothing",
  ]);
  assert.deepEqual(faults({ measured: [] }), ["plan step stop of stop: step stop of stop: the reflex cannot measure arm/State: it is not received, or not protected in a way that the reflex can check"]);
  assert.deepEqual(faults({ measured: [{ ...testState, e2e: { profile: "P04", dataId: 1, maxDeltaCounter: 300, lengthBytes: 8 } }], buses: [{ ...testBus, claimId: undefined }] }), ["plan step stop of stop: State: maxDeltaCounter 300 is more than the reflex can count (255)"]);
  const outside = { ...stopStep, sends: [{ bus: "arm", message: "Move", payload: Uint8Array.of(0, 0, 0, 0, 0xff, 0x7f, 0, 0) }] };
  assert.deepEqual(faults({ plans: { plans: [{ ...stopPlan, steps: [outside] }], triggers: [] } }), ["plan step stop of stop: step stop of stop: what it sends as Move breaks that message's own limits"]);
  assert.deepEqual(faults({ nodes: [{ name: "far", bus: "other", heartbeat: { canopen: 1 }, timeoutMs: 70_000, required: true }] }).length, 3);
});

test("the table for people", () => {
  const shown = showTable(compiled(testInput).bytes);
  assert.ok(shown.ok);
  assert.deepEqual(shown.table.messages[0]?.name, "Move");
  assert.deepEqual(shown.table.plans[0]?.steps[0]?.until, ["can/arm/State v"]);
  assert.deepEqual(showTable(new Uint8Array(3)).ok, false);
});

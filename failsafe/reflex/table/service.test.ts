/** What the care of nodes may say through the reflex, by the same judgement that the reflex makes: every first byte, every command of NMT to every node. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compileTable, type CompiledTable } from "./compile.ts";
import { checkHolds } from "./judge.ts";
import { messageFlags, NONE } from "./layout.ts";
import { serviceRows } from "./service.ts";
import { testInput } from "./testInput.ts";

const nodes = [{ name: "base", bus: "arm", number: 3, update: false }, { name: "elbow", bus: "arm", number: 5, update: true }, { name: "wrist", bus: "arm", number: 8, update: true }];

function compiled(time = { id: 0x14, periodMs: 100 }): CompiledTable {
  const table = compileTable({ ...testInput, buses: testInput.buses.map((bus) => ({ ...bus, time })), services: serviceRows(nodes, () => 135) });
  assert.ok(table.ok);
  return table;
}

function passes({ rows }: CompiledTable, canId: number, payload: Uint8Array): boolean {
  const message = rows.messages.find((each) => each.canId === canId && (each.flags & messageFlags.service) !== 0);
  return message !== undefined && message.lengthBytes === payload.length && rows.checks.slice(message.checksFirst, message.checksFirst + message.checksCount).every((check) => checkHolds(check, payload));
}

test("a node that is only asked gets no write, one that takes firmware gets what is for its SDO server", () => {
  const table = compiled();
  for (let first = 0; first < 256; first++) {
    const request = Uint8Array.of(first, 0x18, 0x10, 1, 9, 9, 9, 9);
    assert.equal(passes(table, 0x603, request), [0x40, 0x60, 0x70, 0x80].includes(first), `first byte ${first}`);
    assert.ok(passes(table, 0x605, request));
    assert.ok(!passes(table, 0x604, request), "of nobody who is listed");
  }
});

test("of NMT: start and pre-operational, of the nodes that take firmware", () => {
  const table = compiled();
  for (let command = 0; command < 256; command++) {
    for (let node = 0; node < 256; node++) assert.equal(passes(table, 0x000, Uint8Array.of(command, node)), [1, 128].includes(command) && [5, 8].includes(node), `command ${command} to ${node}`);
  }
});

test("such rows carry no epoch, no protection and no trigger, come after the commands, and are no command's name", () => {
  const { rows, messageRows } = compiled();
  const services = rows.messages.filter(({ flags }) => flags === messageFlags.service);
  assert.deepEqual(services.map(({ canId }) => canId), [0x603, 0x605, 0x608, 0x000]);
  assert.ok(services.every(({ epoch, owner, e2e, expiredTrigger }) => epoch.bits === 0 && owner.bits === 0 && e2e.profile === 0 && expiredTrigger === NONE));
  assert.deepEqual([...messageRows.values()], [0]);
  assert.equal(rows.messages[0]?.flags, 0);
  assert.equal(serviceRows([nodes[0]!], () => 135).length, 1, "without updates there is no NMT");
});

test("the time has its place in the row of the bus; the probe makes room for it", () => {
  const [bus] = compiled().rows.buses;
  assert.deepEqual([bus!.timeId, bus!.timePeriodUs, bus!.probeId], [0x14, 100_000, 0]);
  assert.equal(compiled({ id: 0x7ff, periodMs: 10 }).rows.buses[0]!.probeId, 0x1fffffff);
});

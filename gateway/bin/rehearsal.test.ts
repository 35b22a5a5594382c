import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { HandedConnections, REHEARSAL_SLOTS } from "../../failsafe/failover/connections.ts";
import { Keeper } from "../../failsafe/failover/keeper.ts";
import { systemClock } from "../../schemas/clock.ts";
import { noMoreDescriptorsThan, openDescriptors } from "../../schemas/testing.ts";
import { nativeSeal, OwnPage, TwinPage } from "../../shm/sockets/index.ts";
import { rehearse } from "./rehearsal.ts";

/** How this process looks from outside: what its twin reads of it. */
const page = new OwnPage();
const seen = new TwinPage(page.descriptor);

function looks(): string {
  const hash = createHash("sha256").update(new Uint8Array(seen.words.buffer, seen.words.byteOffset, seen.words.byteLength));
  for (let slot = 0; slot < REHEARSAL_SLOTS[0]!; slot++) hash.update(`${seen.sent(slot)} `);
  return hash.digest("hex");
}

test("a rehearsal leaves nothing: no descriptor, no file, no word of the page, no slot of a client", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-rehearsal-"));
  t.after(() => rmSync(folder, { recursive: true }));
  // The first one loads what stays.
  await rehearse({ folder, instance: "a", clock: systemClock, isOver: () => false });
  const [open, before] = [openDescriptors(), looks()];
  await rehearse({ folder, instance: "a", clock: systemClock, isOver: () => false });
  assert.deepEqual(readdirSync(folder), []);
  assert.equal(looks(), before);
  await noMoreDescriptorsThan(open);
});

test("a rehearsal that is in the way ends early, and as cleanly", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-rehearsal-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const open = openDescriptors();
  await rehearse({ folder, instance: "b", clock: systemClock, isOver: () => true });
  assert.deepEqual(readdirSync(folder), []);
  await noMoreDescriptorsThan(open);
});

test("no client is ever given a slot of the rehearsal's", () => {
  const connections = new HandedConnections({ keeper: new Keeper({ page: { words: new Uint32Array(256) }, seal: nativeSeal() }), page: { words: new Uint32Array(256) }, connection: {} });
  const slots = new Set<number>();
  for (let options = connections.options(); options.handover; options = connections.options()) slots.add(options.handover.slot);
  assert.equal(slots.size, REHEARSAL_SLOTS[0]);
  for (const slot of REHEARSAL_SLOTS) assert.ok(!slots.has(slot));
});

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import fc from "fast-check";
import { BrainEpoch, nextEpoch } from "./epoch.ts";

const NOW_MS = Date.UTC(2026, 5, 1);

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-epoch-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("starts and takeovers in any order, with what is kept lost now and then: no number twice, each higher than the one before", () => {
  const happening = fc.record({ how: fc.constantFrom("takeover", "start", "startWithoutFile"), passedS: fc.integer({ min: 0, max: 100 }) });
  fc.assert(fc.property(fc.array(happening, { maxLength: 50 }), (happenings) => {
    let [used, reserved, wallTimeMs] = [0, 0, NOW_MS];
    for (const { how, passedS } of happenings) {
      // Whoever has lost what was kept has the clock: it has gone on by a second for each number that was used.
      wallTimeMs += (passedS + (how === "startWithoutFile" ? 2 * happenings.length : 0)) * 1e3;
      const next = nextEpoch({ predecessor: how === "takeover" ? used : 0, reserved: how === "start" ? reserved : 0, wallTimeMs });
      assert.ok(next > used, `${how}: ${next} after ${used}`);
      used = next;
      reserved = next + 1;
    }
  }));
});

test("a clock that has gone back does not lower it, and one that was never set is no reason for 0", () => {
  assert.equal(nextEpoch({ predecessor: 0, reserved: 77, wallTimeMs: 0 }), 78);
  assert.equal(nextEpoch({ predecessor: 5, reserved: 0, wallTimeMs: 0 }), 6);
  assert.equal(nextEpoch({ predecessor: 0, reserved: 0, wallTimeMs: 0 }), 1);
});

test("it is kept over starts, in a folder that is made, and nothing else is left there", async (t) => {
  const folder = join(folderOf(t), "state");
  const troubles: string[] = [];
  const make = (): BrainEpoch => new BrainEpoch({ path: join(folder, "brain-epoch"), wallTimeMs: () => 0, trouble: (text) => troubles.push(text) });
  const first = make();
  assert.equal(first.value, 0);
  first.begin(0);
  await first.kept;
  const heir = make();
  heir.begin(first.value);
  assert.equal(heir.value, first.value + 1);
  await heir.kept;
  const later = make();
  later.begin(0);
  await later.kept;
  assert.ok(later.value > heir.value);
  // Both die before the successor can write: its number, the one after this, was reserved.
  const next = make();
  next.begin(0);
  assert.ok(next.value > later.value + 1);
  await next.kept;
  assert.deepEqual([readdirSync(folder), troubles], [["brain-epoch"], []]);
});

test("what was kept is lost and the clock goes back: whoever has obeyed a newer one says so, and it rises above that, for good", async (t) => {
  const path = join(folderOf(t), "brain-epoch");
  const make = (): BrainEpoch => new BrainEpoch({ path, wallTimeMs: () => 0, trouble: assert.fail });
  const epoch = make();
  assert.equal(epoch.raise(900), false, "who is not active has none");
  epoch.begin(0);
  assert.ok(epoch.value < 900);
  assert.deepEqual([epoch.raise(900), epoch.value], [true, 901]);
  assert.deepEqual([epoch.raise(900), epoch.value], [false, 901], "once is enough");
  await epoch.kept;
  const next = make();
  next.begin(0);
  assert.ok(next.value > 901);
  await next.kept;
});

test("what is no number, and a place where nothing can be written, are told; the clock has to do", async (t) => {
  const folder = folderOf(t);
  const troubles: string[] = [];
  const at = (path: string | undefined): BrainEpoch => new BrainEpoch({ path, wallTimeMs: () => NOW_MS, trouble: (text) => troubles.push(text) });
  for (const text of ["", "twelve", "-1", "99999999999", "4294967295"]) {
    writeFileSync(join(folder, "epoch"), text);
    const epoch = at(join(folder, "epoch"));
    epoch.begin(0);
    await epoch.kept;
    assert.equal(epoch.value, (NOW_MS - Date.UTC(2026, 0, 1)) / 1e3, text);
  }
  assert.equal(troubles.length, 5);
  const nowhere = at(join(folder, "epoch", "below-a-file"));
  nowhere.begin(0);
  await nowhere.kept;
  assert.ok(nowhere.value > 0);
  assert.match(troubles.at(-1)!, /cannot be kept/);
  const unkept = at(undefined);
  unkept.begin(0);
  assert.ok(unkept.value > 0 && existsSync(folder));
});

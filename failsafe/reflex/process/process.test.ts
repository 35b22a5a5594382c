/** The bus process as two real processes on an emulated bus; what happens is in rig/scenarios.c, one process for each scenario. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
// From dist/ts/failsafe/reflex/process.
const native = fileURLToPath(new URL("../../../../native/", import.meta.url));
const scenarios = `${native}test/reflex_scenarios`;

const cases: readonly (readonly [string, string])[] = [
  ["coldStart", "one owner and one standby, in whatever order they start"],
  ["storedTable", "without a brain the stored table is enough"],
  ["killedOwner", "a killed owner is followed by its twin, with a newer epoch, armed as it was"],
  ["stoppedOwner", "a stopped owner is killed before its twin takes the bus, and never comes back"],
  ["deathInTakeover", "the twin may die at each step of its takeover"],
  ["handOver", "a planned hand-over, and death of either in the middle of it"],
  ["bothKilled", "both killed and started again: no epoch is used twice"],
  ["fullDisk", "who cannot keep an epoch never owns the bus"],
  ["tornRecords", "a torn record costs the newest alone; a file without a whole one, the right to own"],
  ["unfinishedPose", "an unfinished safe pose is finished by whoever is left, before anybody asks"],
  ["hostilePackets", "hostile packets cost their sender alone"],
  ["orderlyStop", "told to stop, it poses first, then ends the watchdog; killed, it ends nothing"],
];

for (const [name, sentence] of cases) {
  test(sentence, { timeout: 300_000 }, async () => {
    const done = await run(scenarios, [`${native}test/ipcnet-reflex`, name], { timeout: 280_000 }).catch((error: { stderr?: string; message: string }) => ({ failed: error.stderr ?? error.message }));
    assert.ok(!("failed" in done), "failed" in done ? done.failed : "");
  });
}

test("it stays below 5 MB", { skip: existsSync(`${native}ipcnet-reflex`) ? false : "the delivered program is not built", timeout: 300_000 }, async () => {
  await run(scenarios, [`${native}ipcnet-reflex`, "small"], { timeout: 280_000 });
});

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
  ["silentBell", "commands pass although their writer rings no more"],
  ["stoppedOwner", "a stopped owner is killed before its twin takes the bus, and never comes back"],
  ["deathInTakeover", "the twin may die at each step of its takeover"],
  ["lateHeir", "who owned while the heir stood still leaves its epoch in the lock: it is not used again, and nobody goes on armed"],
  ["handOver", "a planned hand-over, and death of either in the middle of it"],
  ["standstill", "after a standstill an order is judged by what has arrived meanwhile"],
  ["bothKilled", "both killed and started again: no epoch is used twice"],
  ["fullDisk", "who cannot keep an epoch never owns the bus"],
  ["tornRecords", "a torn record costs the newest alone; a file without a whole one, the right to own"],
  ["unfinishedPose", "an unfinished safe pose is finished by whoever is left, before anybody asks"],
  ["hostilePackets", "hostile packets cost their sender alone"],
  ["powerLine", "power fails: posed, without a write to the disk, whoever of the two lives"],
  ["latchedStop", "told to stop after power failed, it keeps that somebody has to look: the next start arms nothing before a reset"],
  ["orderlyStop", "told to stop, it poses first, then ends the watchdog; killed, it ends nothing"],
];

for (const [name, sentence] of cases) {
  test(sentence, { timeout: 300_000 }, async () => {
    const done = await run(scenarios, [`${native}test/ipcnet-reflex`, name], { timeout: 280_000 }).catch((error: { stderr?: string; message: string }) => ({ failed: error.stderr ?? error.message }));
    assert.ok(!("failed" in done), "failed" in done ? done.failed : "");
  });
}

// Two hosts, each of them two processes in a group of their own, with folders and a brain of their own: rig/host_scenarios.c.
const hostCases: readonly (readonly [string, string])[] = [
  ["apart", "they are process groups without a piece of memory in common, and where that is allowed with a network each: the bus is all they share"],
  ["killedHost", "a killed one is followed by the other, armed as it was, and takes nothing back when it is there again"],
  ["stoppedHost", "one that stood still and goes on is heard by nobody, and does not fight"],
  ["cutHost", "one whose cable is cut falls silent by itself, and takes nothing back when the cable is whole"],
  ["inheritedCut", "one whose cable is cut and whose owner dies then: the twin that follows falls silent by itself"],
  ["brokenBus", "the wire between them breaks: each half is commanded by the host that reaches it, no joint ever by both, and one host is left when it is whole"],
  ["brokenGroups", "the wire breaks and each half misses a group: who was armed poses, nothing can be armed, and one host is left when it is whole"],
  ["lateTwin", "a twin that follows its owner late, when the other host has the bus already, leaves it alone"],
  ["handOver", "an operator hands the bus over, to and fro; refused by who does not own, and while a plan runs"],
  ["handOverToNobody", "a hand-over that nobody takes changes nothing"],
  ["bothAtOnce", "both claim at once, again and again: one owns, the other falls silent, no joint obeys both"],
];
for (const [name, sentence] of hostCases) {
  test(`two hosts: ${sentence}`, { timeout: 600_000 }, async (t) => {
    const { stdout } = await run(`${native}test/reflex_hosts`, [`${native}test/ipcnet-reflex`, name], { timeout: 580_000 }).catch((error: { stderr?: string; message: string }) => assert.fail(error.stderr || error.message));
    if (stdout !== "") t.diagnostic(stdout.trim());
  });
}

// Every place is in the program; pairs of different places: `npm run bench:failover -- plan`.
for (const [how, sentence] of [["one", "whoever runs a plan may die at any step of it, before and after its frames, its acknowledgement and its journal: the twin ends it, and nothing is left out"],
  ["twice", "… and the twin may die at the same place: whoever is started ends what the disk says, before anything else"]] as const) {
  test(sentence, { timeout: 600_000 }, async (t) => {
    const { stdout } = await run(`${native}test/reflex_plan_kills`, [`${native}test/ipcnet-reflex`, how], { timeout: 580_000 }).catch((error: { stderr?: string; message: string }) => assert.fail(error.stderr || error.message));
    t.diagnostic(stdout.trim());
  });
}

test("it stays below 5 MB", { skip: existsSync(`${native}ipcnet-reflex`) ? false : "the delivered program is not built", timeout: 300_000 }, async () => {
  await run(scenarios, [`${native}ipcnet-reflex`, "small"], { timeout: 280_000 });
});

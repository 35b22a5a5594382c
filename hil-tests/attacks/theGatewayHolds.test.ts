/** Hostile programs against a gateway: while they do their worst, a control group loses nothing, hears nothing wrong and is always served, and nothing stays behind. */
import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Daemon, startDaemon, testFolder } from "../daemon.ts";
import { eventually } from "../waiting.ts";
import { CANARY, configuration, Innocents, policyText, users } from "./control/innocents.ts";
import { controlGroups, openDescriptors, residentMiB, runControlAttacks, sharedFilesOf } from "./control/run.ts";

const notRoot = process.getuid?.() === 0 ? false : "only root can run programs as other users";

/** More than any of the floods needs; a leak of what they sent would be hundreds. */
const GROWTH_MIB_MAX = 160;

async function start(t: TestContext): Promise<Daemon> {
  const folder = testFolder();
  chmodSync(folder.path, 0o755);
  writeFileSync(join(folder.path, "policy.yaml"), policyText);
  const daemon = await startDaemon(folder.path, `${configuration}policy: policy.yaml\n`);
  t.after(async () => {
    await daemon.stop();
    folder.remove();
  });
  chmodSync(daemon.socketPath, 0o666);
  return daemon;
}

test("whatever an attacker says, floods, claims or asks for: nobody else notices, and it gets nothing that is not its own", { skip: notRoot }, async (t) => {
  const daemon = await start(t);
  const pid = daemon.process.pid!;
  const innocents = await Innocents.start(t, daemon.socketPath);
  const before = { descriptors: openDescriptors(pid), memoryMiB: residentMiB(pid) };
  for (const group of controlGroups) {
    const attacks = await runControlAttacks(daemon.socketPath, group, { uid: users.attacker, canary: CANARY });
    for (const { attack, verdict, text, tookMs } of attacks) t.diagnostic(`${attack}: ${verdict}, ${text} (${tookMs} ms)`);
    assert.deepEqual(attacks.filter(({ verdict }) => verdict === "DONE"), [], group);
    await innocents.goOn();
    await eventually(`what ${group} had open is closed`, () => openDescriptors(pid) <= before.descriptors, { timeoutMs: 60_000, last: () => openDescriptors(pid) });
  }
  const traffic = await innocents.compare();
  const memoryMiB = residentMiB(pid);
  t.diagnostic(`${traffic.messages} messages and ${traffic.calls} calls of the control group, slowest ${traffic.slowestMs} ms; the gateway: ${Math.round(before.memoryMiB)} MiB before, ${Math.round(memoryMiB)} MiB after`);
  assert.ok(memoryMiB - before.memoryMiB < GROWTH_MIB_MAX, `${before.memoryMiB} MiB before, ${memoryMiB} MiB after`);
  assert.deepEqual(sharedFilesOf(pid), []);
});

import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import { InstalledPackage, SLOW_MS } from "../rig/package.ts";

/** systemd's default gives up at the sixth start in ten seconds. */
const TIMES = 7;

export default behaviour({
  name: "a bus process and a gateway that die again and again are started every time: no limit of starts leaves a bus without its owner",
  needs: { machine: "systemd", devices: [] },
  bench: "kill -9 of each unit's main process, seven times in a row; systemctl is-failed",
  timeoutMs: 2 * SLOW_MS,
  async run(rig) {
    const installed = await InstalledPackage.in(rig);
    await installed.healthy();
    for (const unit of ["ipcnet-reflex@b.service", "ipcnetd@b.service"] as const) {
      await rig.step(`${unit}, ${TIMES} times`, async () => {
        // As soon as there is a process again, ready or not: nothing may count its deaths.
        for (let time = 0; time < TIMES; time++) {
          const pid = await installed.until("a process", async () => (await installed.mainPid(unit)) || undefined);
          await rig.sh(`kill -9 ${pid}`, { quiet: true });
          await installed.until("that one is gone", async () => (await installed.mainPid(unit)) !== pid);
        }
        await installed.until("READY again", () => installed.isActive(unit));
        assert.ok(Number(await installed.show(unit, "NRestarts")) >= TIMES);
      });
    }
    await installed.paired();
  },
});

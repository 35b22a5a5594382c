import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import { InstalledPackage, SLOW_MS } from "../rig/package.ts";

export default behaviour({
  name: "a gateway and a bus process that stand still are killed, the other one goes on, and systemd's watchdog ends a standby that nobody else would miss",
  needs: { machine: "systemd", devices: [] },
  bench: "kill -STOP of each unit's main process; journalctl -u 'ipcnet*' beside it",
  timeoutMs: 2 * SLOW_MS,
  async run(rig) {
    const installed = await InstalledPackage.in(rig);
    await installed.healthy();
    const active = async (): Promise<"a" | "b"> => (await installed.until("an active gateway", async () => (await installed.ask<{ active: "a" | "b" }>("gateway/failover")).active));
    await rig.step("the standby: WatchdogSec", async () => {
      const unit = `ipcnetd@${(await active()) === "a" ? "b" : "a"}.service` as const;
      const pid = await installed.mainPid(unit);
      await rig.sh(`kill -STOP ${pid}`);
      await installed.startedAgain(unit, pid);
      assert.match(await installed.journal(unit), /[Ww]atchdog timeout/);
      await installed.paired();
    });
    await rig.step("the active: its twin takes over, and it comes back as the standby", async () => {
      const name = await active();
      const unit = `ipcnetd@${name}.service` as const;
      const pid = await installed.mainPid(unit);
      await rig.sh(`kill -STOP ${pid}`);
      await installed.until("the other one is active", async () => (await active()) !== name);
      await installed.startedAgain(unit, pid);
      await installed.paired();
    });
    await rig.step("the owner of the buses: its twin takes over, and it comes back as the standby", async () => {
      const owner = async (): Promise<"a" | "b"> => installed.until("an owner", async () => (await installed.ask<{ reflexes: { instance: "a" | "b"; role: string }[] }>("gateway/failover", "gateway/reflex")).reflexes?.find(({ role }) => role === "owner")?.instance);
      const name = await owner();
      const unit = `ipcnet-reflex@${name}.service` as const;
      const pid = await installed.mainPid(unit);
      await rig.sh(`kill -STOP ${pid}`);
      await installed.startedAgain(unit, pid);
      assert.notEqual(await owner(), name);
      await installed.paired();
    });
  },
});

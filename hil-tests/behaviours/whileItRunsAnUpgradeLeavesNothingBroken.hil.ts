import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import { InstalledPackage, SLOW_MS, units } from "../rig/package.ts";

export default behaviour({
  name: "the package is upgraded while it runs: standby first, then a hand-over, and both pairs stand again; removed, it stops in order; purged, only a person's files are left",
  needs: { machine: "systemd", devices: [] },
  bench: "apt install --reinstall ./ipcnet_*.deb while it runs; apt remove; apt purge; systemctl list-units 'ipcnet*'; ls /etc/ipcnet /var/lib/ipcnet",
  timeoutMs: 3 * SLOW_MS,
  async run(rig) {
    const installed = await InstalledPackage.in(rig);
    await installed.healthy();
    await rig.step("upgraded: each process is another one, and nobody failed", async () => {
      const before = await Promise.all(units.slice(1).map((unit) => installed.mainPid(unit)));
      rig.figure("upgrade while it runs, s of the machine", (await installed.install()).toFixed(1));
      await installed.paired();
      const after = await Promise.all(units.slice(1).map((unit) => installed.mainPid(unit)));
      for (const [at, pid] of after.entries()) assert.notEqual(pid, before[at], units[at + 1]);
      assert.equal((await rig.run("systemctl is-system-running", { quiet: true })).out.trim(), "running");
    });
    await rig.step("removed: everything is stopped, the configuration stays", async () => {
      await rig.sh("echo mine >/etc/ipcnet/arm.dbc; dpkg -r ipcnet", { timeoutMs: SLOW_MS });
      assert.equal(await rig.sh("pgrep -u ipcnet -a || true", { quiet: true }), "");
      assert.equal(await rig.sh("systemctl list-units --no-legend --plain 'ipcnet*' | grep -v ipcnet-rig || true", { quiet: true }), "");
      await rig.sh("test -e /etc/ipcnet/ipcnet.yaml && test ! -e /usr/lib/ipcnet");
    });
    await rig.step("purged: what it made is gone, what a person made is there", async () => {
      await rig.sh("dpkg -P ipcnet", { timeoutMs: SLOW_MS });
      await rig.sh("test ! -e /var/lib/ipcnet && test ! -e /var/cache/ipcnet && test ! -e /run/ipcnet && ! ls -d /etc/systemd/system/ipcnet*.d 2>/dev/null && test ! -e /etc/systemd/system/ipcnet.target.wants && test \"$(cat /etc/ipcnet/arm.dbc)\" = mine");
      await rig.sh("rm -rf /etc/ipcnet", { quiet: true });
    });
  },
});

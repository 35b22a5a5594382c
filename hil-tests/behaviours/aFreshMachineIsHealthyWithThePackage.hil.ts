import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import { InstalledPackage, SLOW_MS, units } from "../rig/package.ts";

export default behaviour({
  name: "the package is installed, set up and healthy on a machine without CAN: both pairs stand, in the order of their units, and nobody was started twice",
  needs: { machine: "systemd", devices: [] },
  bench: "apt install ./ipcnet_*.deb; ipcnet setup --yes; ipcnet failover status; systemctl status 'ipcnet*'",
  timeoutMs: 2 * SLOW_MS,
  async run(rig) {
    const installed = await InstalledPackage.absentFrom(rig);
    await rig.step("installing starts nothing", async () => {
      rig.figure("installed by dpkg, s of the machine", (await installed.install()).toFixed(1));
      for (const unit of units) assert.equal(await installed.isActive(unit), false, unit);
      assert.equal((await rig.run("ls /etc/systemd/system/ipcnet.target.wants 2>/dev/null", { quiet: true })).out, "");
    });
    await rig.step("the end of the system may be delayed for as long as a safe pose takes, without a new start of the machine", async () => {
      const delayUs = await rig.sh("busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager InhibitDelayMaxUSec", { quiet: true });
      assert.equal(delayUs.trim(), "t 30000000");
    });
    await rig.step("ipcnet setup: READY, and each one has its other one", async () => rig.figure("ipcnet setup --yes to healthy, s of the machine", (await installed.healthy()).toFixed(1)));
    await rig.step("nobody was started twice, nothing failed", async () => {
      for (const unit of units) assert.deepEqual([await installed.show(unit, "ActiveState"), await installed.show(unit, "NRestarts")], ["active", "0"], unit);
      assert.equal((await rig.run("systemctl is-system-running", { quiet: true })).out.trim(), "running");
    });
    await rig.step("the emulated bus before the bus processes, these before the gateways", async () => {
      const began = async (unit: string): Promise<number> => Number(await installed.show(unit, "ExecMainStartTimestampMonotonic"));
      const [bus, ...others] = await Promise.all(units.map(began));
      const [a, b, c, d] = others as [number, number, number, number];
      assert.ok(bus! < Math.min(a, b) && Math.max(a, b) < Math.min(c, d), `${bus} ${others.join(" ")}`);
    });
    await rig.step("ipcnet doctor finds no problem with the services", async () => {
      const { out } = await rig.run("ipcnet doctor --json --only units", { timeoutMs: 300_000 });
      const { checks } = JSON.parse(out) as { checks: { id: string; result: string }[] };
      assert.ok(checks.length > 1, out);
      assert.deepEqual(checks.filter(({ result }) => result !== "ok"), []);
    });
    await rig.step("realtime was granted by the units' limits", async () => {
      for (const unit of ["ipcnet-reflex@a.service", "ipcnet-reflex@b.service"] as const) assert.match(await rig.sh(`chrt -p ${await installed.mainPid(unit)}; for t in /proc/${await installed.mainPid(unit)}/task/*; do chrt -p $(basename $t); done`, { quiet: true }), /SCHED_FIFO/);
    });
  },
});

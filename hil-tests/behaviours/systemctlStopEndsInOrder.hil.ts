import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import { InstalledPackage, SLOW_MS, units } from "../rig/package.ts";

export default behaviour({
  name: "systemctl stop ipcnet.target: the gateways end first, by way of the safe pose, then the bus processes, then the bus, and only then does the command return",
  needs: { machine: "systemd", devices: [] },
  bench: "systemctl stop ipcnet.target; systemctl status 'ipcnet*'; journalctl -u 'ipcnet*'",
  timeoutMs: 2 * SLOW_MS,
  async run(rig) {
    const installed = await InstalledPackage.in(rig);
    await installed.healthy();
    await rig.sh("systemctl stop ipcnet.target", { timeoutMs: SLOW_MS });
    // As one look, so that nothing can end between.
    const states = await rig.sh(`systemctl show -P ActiveState ${units.join(" ")}`, { quiet: true });
    assert.deepEqual(states.split("\n").filter((line) => line !== ""), units.map(() => "inactive"));
    const ended = async (unit: string): Promise<number> => Number(await installed.show(unit, "InactiveEnterTimestampMonotonic"));
    const [bus, ra, rb, ga, gb] = (await Promise.all(units.map(ended))) as [number, number, number, number, number];
    assert.ok(Math.max(ga, gb) < Math.min(ra, rb) && Math.max(ra, rb) < bus, `gateways ${ga} ${gb}, bus processes ${ra} ${rb}, bus ${bus}`);
    for (const unit of units) assert.equal(await installed.show(unit, "Result"), "success", unit);
    // Told at once, each of the gateways could leave the pose to the other one.
    assert.match(await installed.journal("ipcnetd@*"), /\{"verdict":"posed"/);
  },
});

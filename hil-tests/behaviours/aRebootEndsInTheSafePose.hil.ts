import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import { InstalledPackage, SLOW_MS, units } from "../rig/package.ts";
import { endsInTheSafePose } from "../rig/theEnd.ts";

export default behaviour({
  name: "systemctl reboot: the robot comes to rest first, the machine starts again, and both pairs stand without anybody's help",
  needs: { machine: "systemd", devices: ["dcan", "udev"], restartsMachine: true },
  bench: "systemctl reboot; journalctl -b -1 -u 'ipcnet*'",
  timeoutMs: 3 * SLOW_MS,
  async run(rig) {
    const { boots } = rig.machine;
    await endsInTheSafePose(rig, async () => {
      rig.start("systemctl reboot");
      await rig.machine.restarted(boots);
    });
    await rig.step("switched on again, both pairs stand by themselves, and nobody was started twice", async () => {
      const installed = await InstalledPackage.in(rig);
      await installed.paired();
      // The bus is not there yet, and no bus is emulated.
      for (const unit of units.slice(1)) {
        rig.figure(`${unit} READY, s of the machine since its kernel started`, (Number(await installed.show(unit, "ActiveEnterTimestampMonotonic")) / 1e6).toFixed(1));
        assert.equal(await installed.show(unit, "NRestarts"), "0", unit);
      }
    });
  },
});

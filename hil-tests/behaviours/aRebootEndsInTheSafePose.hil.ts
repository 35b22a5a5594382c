import { behaviour } from "../rig/behaviour.ts";
import { SLOW_MS } from "../rig/package.ts";
import { endsInTheSafePose } from "../rig/theEnd.ts";

export default behaviour({
  name: "systemctl reboot: the robot comes to rest first, and the machine starts again",
  needs: { machine: "systemd", devices: ["dcan", "udev"], restartsMachine: true },
  bench: "systemctl reboot; journalctl -b -1 -u 'ipcnet*'",
  timeoutMs: 3 * SLOW_MS,
  async run(rig) {
    const { boots } = rig.machine;
    await endsInTheSafePose(rig, async () => {
      rig.start("systemctl reboot");
      await rig.machine.restarted(boots);
    });
  },
});

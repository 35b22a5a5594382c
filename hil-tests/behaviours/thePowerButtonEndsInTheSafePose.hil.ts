import { behaviour } from "../rig/behaviour.ts";
import { SLOW_MS } from "../rig/package.ts";
import { endsInTheSafePose } from "../rig/theEnd.ts";

export default behaviour({
  name: "the power button is pressed: logind waits for the gateways, the robot comes to rest first, and the machine is off",
  needs: { machine: "systemd", devices: ["dcan", "udev"], endsMachine: true },
  bench: "press the button on the case; journalctl -b -1 -u 'ipcnet*' after the next start",
  timeoutMs: 3 * SLOW_MS,
  async run(rig) {
    await endsInTheSafePose(rig, async (installed) => {
      // It is a key to logind, by udev's word.
      await rig.sh("modprobe evdev", { quiet: true });
      await installed.udev("input");
      await rig.machine.qmp.order("system_powerdown");
      await rig.eventually("the machine is off", () => !rig.machine.isOn);
    });
  },
});

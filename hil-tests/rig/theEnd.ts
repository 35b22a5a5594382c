/** The end of a machine with the package on it and a robot that moves, as its console tells it: what was said to the very last. */
import assert from "node:assert/strict";
import type { Rig } from "./rig.ts";
import { MovingRobot } from "./movingRobot.ts";
import { InstalledPackage } from "./package.ts";

/** From now on the journal goes to the machine's console too, which outlives it. */
async function toConsole(rig: Rig): Promise<void> {
  await rig.sh("mkdir -p /run/systemd/journald.conf.d; printf '[Journal]\\nForwardToConsole=yes\\nTTYPath=/dev/ttyS0\\nMaxLevelConsole=info\\n' >/run/systemd/journald.conf.d/console.conf; systemctl restart systemd-journald");
}

/** A robot moves, then `end` is asked for and has come; what the console said meanwhile is judged. */
export async function endsInTheSafePose(rig: Rig, end: (installed: InstalledPackage) => Promise<void>): Promise<void> {
  const installed = await InstalledPackage.in(rig);
  const robot = await MovingRobot.on(rig, installed);
  await rig.step("both gateways delay the end of the system", async () => {
    await installed.until("two locks", async () => ((await rig.sh("systemd-inhibit --list --no-legend --no-pager", { quiet: true })).match(/\bipcnet\b.*\bshutdown\b.*\bdelay\b/g) ?? []).length === 2);
  });
  await toConsole(rig);
  const [from, lines] = [rig.machine.console().length, robot.lines().length];
  await end(installed);
  await rig.step("the arm is stopped and brought home while gateways and bus processes live", () => {
    robot.assertPosed(lines);
    return Promise.resolve();
  });
  await rig.step("the verdict is posed; the gateways end, then the bus processes", () => {
    const text = rig.machine.console().slice(from);
    const at = (what: RegExp): number => {
      const found = what.exec(text);
      assert.ok(found, `${String(what)} is not among: ${text.slice(-6_000)}`);
      return found.index;
    };
    const posed = at(/\{"verdict":"posed"/);
    const gateways = [at(/Stopped ipcnetd@a\.service/), at(/Stopped ipcnetd@b\.service/)];
    const buses = [at(/Stopping ipcnet-reflex@a\.service/), at(/Stopping ipcnet-reflex@b\.service/)];
    assert.ok(posed < Math.max(...gateways), "the verdict on the pose is there before the gateways have ended");
    assert.ok(Math.max(...gateways) < Math.min(...buses), "the bus processes are asked to end when the gateways have");
    return Promise.resolve();
  });
}

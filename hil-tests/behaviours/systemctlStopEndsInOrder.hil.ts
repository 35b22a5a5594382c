import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import { MovingRobot } from "../rig/movingRobot.ts";
import { InstalledPackage, SLOW_MS, units } from "../rig/package.ts";

const ours = units.filter((unit) => unit !== "ipcnet-bus.service");

export default behaviour({
  name: "systemctl stop ipcnet.target while the arm moves: it is stopped and brought home, the gateways end, then the bus processes, and only then does the command return",
  needs: { machine: "systemd", devices: ["dcan", "udev"] },
  bench: "systemctl stop ipcnet.target; systemctl status 'ipcnet*'; journalctl -u 'ipcnet*'",
  timeoutMs: 3 * SLOW_MS,
  async run(rig) {
    const installed = await InstalledPackage.in(rig);
    const robot = await MovingRobot.on(rig, installed);
    const lines = robot.lines().length;
    rig.figure("systemctl stop ipcnet.target, s of the machine", (await installed.timed("systemctl stop ipcnet.target")).toFixed(1));
    await rig.step("nothing of it lives when the command returns", async () => {
      // As one look, so that nothing can end between.
      const states = await rig.sh(`systemctl show -P ActiveState ${ours.join(" ")}`, { quiet: true });
      assert.deepEqual(states.split("\n").filter((line) => line !== ""), ours.map(() => "inactive"));
    });
    await rig.step("the arm was stopped and brought home while gateways and bus processes lived", () => Promise.resolve(robot.assertPosed(lines)));
    await rig.step("the gateways, then the bus processes; each ended well", async () => {
      const ended = async (unit: string): Promise<number> => Number(await installed.show(unit, "InactiveEnterTimestampMonotonic"));
      const [ra, rb, ga, gb] = (await Promise.all(ours.map(ended))) as [number, number, number, number];
      assert.ok(Math.max(ga, gb) < Math.min(ra, rb), `gateways ${ga} ${gb}, bus processes ${ra} ${rb}`);
      for (const unit of ours) assert.equal(await installed.show(unit, "Result"), "success", unit);
      assert.match(await installed.journal("ipcnetd@*"), /\{"verdict":"posed"/);
    });
    await robot.away();
  },
});

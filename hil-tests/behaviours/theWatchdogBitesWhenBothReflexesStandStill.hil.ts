import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import type { Running } from "../rig/agent.ts";
import type { Rig } from "../rig/rig.ts";

/** Of the device. Nobody else feeds it. */
const HEARTBEAT_S = 10;

/** Prints the reflexes that run: what they start beside themselves has other names. */
const LEADERS = "pgrep -x ipcnet-reflex";

export default behaviour({
  name: "one of the pair feeds the hardware watchdog, the other goes on when it dies, an orderly stop ends it, two that stand still are a reset, and the next start knows why",
  needs: { machine: "plain", devices: ["watchdog"], restartsMachine: true },
  bench: "the same on the board's own watchdog: kill -9 of the feeding reflex, systemctl stop, kill -STOP of both; after the restart ipcnet doctor says that the last start came from the watchdog",
  timeoutMs: 30 * 60_000,
  async run(rig) {
    await rig.sh(`modprobe i6300esb heartbeat=${HEARTBEAT_S}`);
    await rig.ownClock();
    const first = await start(rig);
    const dead = await feeder(rig);
    await rig.step("its twin feeds it on when the feeding reflex is killed", async () => {
      await rig.sh(`kill -9 ${dead}`);
      await rig.eventually("the twin with the device open", async () => (await feeder(rig)) !== dead);
      await rig.sh(`sleep ${2.5 * HEARTBEAT_S}`, { timeoutMs: 120_000 });
      assert.equal(rig.machine.told("WATCHDOG").length, 0);
    });
    await rig.step("told to stop at rest it ends the watchdog: no reset", async () => {
      // To each reflex, not to its children: those end with it.
      await rig.sh(`${LEADERS} | xargs kill -TERM`);
      await Promise.all(first.map(({ ended }) => ended));
      await rig.sh(`sleep ${2.5 * HEARTBEAT_S}`, { timeoutMs: 120_000 });
      assert.equal(rig.machine.told("WATCHDOG").length, 0);
    });
    await rig.step("both stand still: the machine is reset", async () => {
      const second = await start(rig);
      await feeder(rig);
      const { boots } = rig.machine;
      const stoppedMs = performance.now();
      for (const running of second) running.signal("SIGSTOP");
      await rig.machine.restarted(boots);
      const bitten = rig.machine.told("WATCHDOG", stoppedMs)[0];
      assert.equal(bitten?.data["action"], "reset");
      rig.figure("from standing still to the reset, s by the host's clock", ((bitten.atMs - stoppedMs) / 1e3).toFixed(1));
    });
    await rig.step("the next start knows it", async () => {
      await rig.sh(`modprobe i6300esb heartbeat=${HEARTBEAT_S}`);
      // WDIOF_CARDRESET
      const status = Number(await rig.sh("cat /sys/class/watchdog/watchdog0/bootstatus"));
      assert.equal(status & 0x20, 0x20, `bootstatus ${status}`);
    });
  },
});

async function start(rig: Rig): Promise<Running[]> {
  await rig.sh("rm -rf /tmp/reflexes; mkdir -p /tmp/reflexes/state");
  const program = rig.file("dist/native/ipcnet-reflex");
  return ["a", "b"].map((instance) => rig.start(`exec ${program} --instance ${instance} --run /tmp/reflexes --state /tmp/reflexes/state --watchdog /dev/watchdog --no-realtime`));
}

/** The process that has the device open. */
function feeder(rig: Rig): Promise<string> {
  return rig.eventually("one of them feeds", async () => {
    const { out } = await rig.run(`for pid in $(${LEADERS}); do ls -l /proc/$pid/fd 2>/dev/null | grep -q /dev/watchdog && echo $pid; done; true`, { quiet: true });
    const pids = out.trim().split("\n").filter((line) => line !== "");
    return pids.length === 1 ? pids[0] : undefined;
  });
}

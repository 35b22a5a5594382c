import assert from "node:assert/strict";
import type { Running } from "../rig/agent.ts";
import { behaviour } from "../rig/behaviour.ts";
import type { Rig } from "../rig/rig.ts";

/** Of the device. */
const HEARTBEAT_S = 10;
const MOUNT = "modprobe virtio_blk; modprobe ext4; mkdir -p /mnt/state; mount /dev/vda /mnt/state";

export default behaviour({
  name: "both reflexes stand still in the middle of a safe pose: the watchdog resets the machine, and the next start finishes the plan from the disk, without a gateway, and stays latched",
  needs: { machine: "plain", devices: ["dcan", "watchdog", "disk"], endsMachine: true },
  bench: "the arm on a bench bus: ipcnet safe-pose with a slow plan, kill -STOP of both reflexes while it moves; after the reset it goes on by itself, ipcnet status shows the resumed plan, ipcnet arm is refused until a reset",
  timeoutMs: 40 * 60_000,
  async run(rig) {
    await rig.sh(`modprobe i6300esb heartbeat=${HEARTBEAT_S}; modprobe virtio_blk; modprobe ext4; mke2fs -q -t ext4 -F /dev/vda; ${MOUNT}`);
    const { boots } = rig.machine;
    let left = Number.NaN;
    await rig.step("the joint is on its way to its safe pose when both reflexes stand still", async () => {
      const told = await interrupted(rig, "begin");
      left = await rig.eventually("on its way", () => told.last.left, () => [told.running.out, told.running.err]);
      assert.ok(left > 0.1, String(left));
    });
    await rig.step("the machine is reset", async () => {
      await rig.machine.restarted(boots);
      assert.equal(rig.machine.told("WATCHDOG").at(-1)?.data["action"], "reset");
    });
    await rig.step("the next start knows it and finishes the plan: parked by the reflexes alone, posed, latched", async () => {
      await rig.sh(`modprobe i6300esb heartbeat=${HEARTBEAT_S}; ${MOUNT}`);
      // WDIOF_CARDRESET
      assert.equal(Number(await rig.sh("cat /sys/class/watchdog/watchdog0/bootstatus")) & 0x20, 0x20);
      const told = await interrupted(rig, "finish", left);
      const ended = await told.running.ended;
      assert.equal(ended.code, 0, ended.err);
      const parked = told.last.parked;
      assert.ok(parked !== undefined && Math.abs(parked) < 0.02, String(parked));
      rig.figure("the joint when the machine was reset, and after the next start, rad", `${left.toFixed(3)}, ${parked.toFixed(3)}`);
      assert.equal(told.last.state, "posed");
      assert.deepEqual(told.last.resumed?.filter((count) => count > 0), [1], "gone on with once, by one of them");
      assert.match((told.last.refusals ?? []).join(), /reset/, "it stays latched");
    });
  },
});

interface Values {
  at: number;
  left: number;
  parked: number;
  state: string;
  /** How often each reflex has gone on with a plan. */
  resumed: number[];
  refusals: string[];
}

interface Told {
  running: Running;
  last: Partial<Values>;
}

/** The program in the machine, and the last that it said of each. */
async function interrupted(rig: Rig, part: "begin" | "finish", positionRad?: number): Promise<Told> {
  const [ours, motors] = await rig.pair("dcan");
  await rig.sh(`ip link set ${motors} down; echo 150 >/sys/module/dcan/parameters/frame_us`);
  await rig.ownClock();
  const running = rig.start(`IPCNET_HIL_OURS=${ours} IPCNET_HIL_PEERS=${motors} exec ${rig.inside("interrupted")} /tmp/interrupted /mnt/state/reflex ${part} ${positionRad ?? ""}`);
  const last: Partial<Values> = {};
  running.onLine = (line) => {
    Object.assign(last, JSON.parse(line) as Partial<Values>);
    rig.note(line);
  };
  return { running, last };
}

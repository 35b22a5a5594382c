import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { behaviour } from "../rig/behaviour.ts";
import { isThere } from "../rig/kernel.ts";

const root = join(import.meta.dirname, "../../../..");
const FIRMWARE = "joint-zcu102";

export default behaviour({
  name: "firmware without an operating system on a modelled CAN controller, and the gateway: it says who it is, obeys who claims and nobody else, and is cut off, damaged, killed, hung and reset",
  needs: { machine: "plain", devices: ["vxcan"] },
  bench: "the joint of examples/firmware on its board, on the bus of the gateway's interface; its supply on a switch, its reset pin on a button, its wires on a switch",
  // Each frame would be recorded four times over.
  isLoad: true,
  onlyWhenNamed: "an emulator within an emulator takes three minutes of a quiet host, and a quarter of an hour of a busy one",
  timeoutMs: 30 * 60_000,
  async run(rig) {
    if (!isThere("qemu-system-aarch64")) rig.skip("qemu-system-aarch64 is not installed (Debian: qemu-system-arm)");
    // Beside whatever other machine is on, and is driven from here.
    const building = spawn(process.execPath, [join(root, "scripts/firmware.mjs"), FIRMWARE], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    const [stdout, stderr, [status]] = await Promise.all([text(building.stdout), text(building.stderr), once(building, "close") as Promise<[number | null]>]);
    assert.equal(status, 0, stderr);
    if (!existsSync(join(root, `dist/firmware/${FIRMWARE}.elf`))) rig.skip(/not built: .*/.exec(stdout)?.[0] ?? "no firmware");
    const [ours, wire] = await rig.pair("vxcan");
    await rig.sh("modprobe can-gw; ip link del nx0 2>/dev/null || true; ip link add nx0 type vxcan peer name nx1; ip link set nx0 up; ip link set nx1 up", { quiet: true });
    // From the host's files before the clock flies, as ownClock does with what is ours.
    await rig.sh("program=$(command -v qemu-system-aarch64); cat $program $(ldd $program | grep -o '/[^ ]*') >/dev/null", { quiet: true, timeoutMs: 300_000 });
    await rig.ownClock();
    // In the folder that is shared with this side: it can be read meanwhile.
    await rig.tests("bareNode", { environment: { IPCNET_HIL_LOG: "/shared/bareNode.log", IPCNET_HIL_OURS: ours, IPCNET_HIL_WIRE: wire, IPCNET_HIL_NODE_WIRE: "nx0", IPCNET_HIL_NODE: "nx1", IPCNET_HIL_FIRMWARE: rig.file(`dist/firmware/${FIRMWARE}.elf`) } });
    for (const [, told] of rig.log.matchAll(/# (\{"figure".*\})/g)) {
      const { figure, value } = JSON.parse(told!) as { figure: string; value: string };
      rig.figure(figure, value);
    }
  },
});

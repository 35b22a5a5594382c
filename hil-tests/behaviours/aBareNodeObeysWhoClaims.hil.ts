import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { behaviour } from "../rig/behaviour.ts";

const root = join(import.meta.dirname, "../../../..");
const FIRMWARE = "joint-zcu102";

export default behaviour({
  name: "firmware without an operating system on a modelled CAN controller: it claims nothing and obeys who does, refuses what is damaged or old, stops by itself, and starts anew without being moved on",
  needs: { machine: "plain", devices: ["vxcan"] },
  bench: "the joint of examples/firmware on its board, on the bus of the gateway's interface; its supply on a switch",
  timeoutMs: 15 * 60_000,
  async run(rig) {
    if (spawnSync("qemu-system-aarch64", ["--version"]).error !== undefined) return rig.note("skipped: no qemu-system-aarch64 (Debian: qemu-system-arm)");
    const built = spawnSync(process.execPath, [join(root, "scripts/firmware.mjs"), FIRMWARE], { cwd: root, encoding: "utf8" });
    assert.equal(built.status, 0, built.stderr);
    if (!existsSync(join(root, `dist/firmware/${FIRMWARE}.elf`))) return rig.note(`skipped: ${/not built: .*/.exec(built.stdout)?.[0] ?? "no firmware"}`);
    const [ours, theirs] = await rig.pair("vxcan");
    await rig.tests("bareNode", { environment: { IPCNET_HIL_OURS: ours, IPCNET_HIL_PEERS: theirs, IPCNET_HIL_FIRMWARE: rig.file(`dist/firmware/${FIRMWARE}.elf`) } });
  },
});

import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";

/** Each costs a start of the machine. */
const CUTS = 4;

export default behaviour({
  name: "the power is cut at random instants while the journal is written again and again: what is read afterwards is whole, and no older than what was confirmed",
  needs: { machine: "plain", devices: ["disk"], restartsMachine: true },
  bench: "a switch in the board's supply, off at random instants; the state folder on its SD card or eMMC, which may itself have a memory that it loses",
  timeoutMs: 30 * 60_000,
  async run(rig) {
    const program = rig.file("dist/native/test/journal_writer");
    const mount = "modprobe virtio_blk; modprobe ext4; mkdir -p /mnt/state; udevadm settle 2>/dev/null || true; mount /dev/vda /mnt/state";
    await rig.sh(`modprobe virtio_blk; modprobe ext4; mke2fs -q -t ext4 -F /dev/vda; ${mount}`);
    let confirmed = 0;
    for (let cut = 1; cut <= CUTS; cut++) {
      await rig.step(`cut ${cut}`, async () => {
        const writer = rig.start(`exec ${program} /mnt/state`, { quiet: true });
        const before = confirmed;
        writer.onLine = (line) => {
          const number = Number(/^kept (\d+)$/.exec(line)?.[1] ?? Number.NaN);
          if (!Number.isNaN(number)) confirmed = number;
        };
        await rig.eventually("some records", () => confirmed >= before + 5, () => `${writer.out.slice(-500)}${writer.err}`);
        const waitMs = Math.random() * 1_000;
        await new Promise((resolve) => setTimeout(resolve, waitMs));
        await rig.machine.cutPower();
        // What was confirmed on its way here at the moment of the cut is not known to us; what is known must be there.
        const known = confirmed;
        rig.note(`power cut after record ${known} was confirmed`, "bad");
        await rig.machine.on();
        await rig.sh(mount);
        const reader = rig.start(`exec ${program} /mnt/state`, { quiet: true });
        const found = await rig.eventually("what is found", () => /^(found \d+.*|empty|BROKEN.*)$/m.exec(reader.out)?.[1], () => reader.err);
        reader.signal("SIGKILL");
        await reader.ended;
        rig.figure(`cut ${cut}, ${waitMs.toFixed(0)} ms later than it could`, `confirmed ${known}, ${found}`);
        const number = Number(/^found (\d+)/.exec(found)?.[1] ?? Number.NaN);
        assert.ok(number >= known, `${found} after ${known} had been confirmed`);
        confirmed = number;
      });
    }
    assert.doesNotMatch(await rig.sh("dmesg"), /EXT4-fs error/);
  },
});

import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import type { Rig } from "../rig/rig.ts";
import { ADDRESSES, TwoHosts } from "../rig/twoHosts.ts";

/** Whether the second host answers the first one on the network. */
const reaches = async (rig: Rig): Promise<boolean> => (await rig.run(`/usr/bin/python3 -c "import socket; socket.create_connection(('${ADDRESSES[1]}', 7777), 2).close()"`, { quiet: true })).code === 0;

export default behaviour({
  name: "the owner's cable to the CAN bus is cut: it falls silent, the other host takes the bus, and what waited in its adapter is refused when the cable is whole; the network's cable changes nothing of it",
  needs: { machine: "two", devices: ["usbSerial", "disk", "network"] },
  bench: "two boards as for a power cut; pull the CAN plug of the owner and put it back, the terminator stays on the bus; pull the network's plug",
  isLoad: true,
  timeoutMs: 30 * 60_000,
  async run(rig) {
    await TwoHosts.during(rig, async (two) => {
      const owner = await two.commanding();
      const other = two.other(owner);
      const { epoch } = two.joint.joint.follows;
      const told = owner.history.length;
      await rig.step("cut off: it gives the bus up by itself, and the other host is obeyed", async () => {
        const cutMs = performance.now();
        owner.cutBus();
        const hasResumed = await two.taken(other);
        await rig.eventually("it has given up", () => owner.alive().history.slice(told).find(({ role }) => role !== "owner"), () => two.said());
        rig.figure("from the cut until the joint follows the other host, ms", `${Math.round(two.takeover(other, cutMs).atMs - cutMs)}${hasResumed ? "" : " (armed by a person)"}`);
      });
      await rig.step("whole again: what waited is refused, and it listens", async () => {
        const [from, back] = [two.joint.judged.length, owner.history.length];
        const waiting = owner.mendBus();
        await rig.eventually("it listens", () => owner.alive().told?.role === "outvoted" || owner.history.slice(back).some(({ role }) => role === "outvoted"), () => two.said());
        // What waited is on the bus before the other host's next commands are: the adapter had the bus to itself no longer than that.
        await rig.eventually("the joint obeys", () => two.accepted(from).length >= 20, () => two.said());
        const silent = two.joint.judged.length;
        await rig.eventually("the joint still obeys", () => two.accepted(silent).length >= 20, () => two.said());
        const late = two.commandsOf(owner, epoch, from);
        rig.figure("frames that waited in its adapter; commands among what then came, obeyed", `${waiting.length}; ${late.length}, ${late.filter(({ accepted }) => accepted).length}`);
        assert.ok(late.length > 0, "a command of its old epoch was among what waited: else nothing was refused");
        assert.deepEqual(late.filter(({ accepted }) => accepted), []);
        assert.deepEqual(two.commandsOf(owner, epoch, silent), []);
      });
      await rig.step("the network's cable is pulled out and put back: the joint obeys as before", async () => {
        rig.other.start("exec /usr/bin/python3 -m http.server 7777", { quiet: true });
        await rig.eventually("they reach each other", () => reaches(rig));
        await rig.machine.setCable(false);
        await rig.eventually("they do not", async () => !(await reaches(rig)));
        const from = two.joint.judged.length;
        await rig.eventually("the joint obeys", () => two.accepted(from).length >= 20, () => two.said());
        await rig.machine.setCable(true);
        await rig.eventually("they do again", () => reaches(rig));
      });
    });
  },
});

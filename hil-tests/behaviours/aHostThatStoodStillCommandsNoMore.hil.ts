import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import { TwoHosts } from "../rig/twoHosts.ts";

const ROUNDS = 3;

export default behaviour({
  name: "the host that owns the bus stands still, clock and all, and comes back after the other one has taken it: what it still sends is refused, it gives up, and never are two obeyed",
  needs: { machine: "two", devices: ["usbSerial", "disk", "network"] },
  bench: "two boards as for a power cut; a debugger that halts the owner's processor and its timers (JTAG); without one kill -STOP of its reflex, whose clock goes on then",
  isLoad: true,
  timeoutMs: 30 * 60_000,
  async run(rig) {
    await TwoHosts.during(rig, async (two) => {
      // 0 or 1 in a round: what lay in the controller when it stood still. With 0 in all of them nothing was there to be refused.
      let sent = 0;
      for (let round = 1; round <= ROUNDS; round++) {
        await rig.step(`round ${round}`, async () => {
          const owner = await two.commanding();
          const other = two.other(owner);
          const { epoch } = two.joint.joint.follows;
          const frozenMs = performance.now();
          await owner.freeze();
          const hasResumed = await two.taken(other);
          const claim = two.takeover(other, frozenMs);
          const [from, told] = [two.joint.judged.length, owner.history.length];
          await owner.thaw();
          await rig.eventually("it has given up", () => owner.alive().history.slice(told).some(({ role }) => role === "outvoted"), () => two.said());
          const late = two.commandsOf(owner, epoch, from);
          sent += late.length;
          const silent = two.joint.judged.length;
          await rig.eventually("the joint obeys", () => two.accepted(silent).length >= 20, () => two.said());
          rig.figure(`round ${round}: host ${owner.number} stands still; until the joint follows host ${other.number}, ms; commands that host ${owner.number} sent afterwards, and how many of them were obeyed; frames it had missed`,
            `${Math.round(claim.atMs - frozenMs)}${hasResumed ? "" : " (armed by a person)"}; ${late.length}, ${late.filter(({ accepted }) => accepted).length}; ${owner.missed}`);
          assert.deepEqual(late.filter(({ accepted }) => accepted), [], "nothing that it sent under its old epoch was obeyed");
          assert.deepEqual(two.commandsOf(owner, epoch, silent), [], "and it sends nothing under that any more");
          two.check();
        });
      }
      rig.figure("commands sent under an old epoch after standing still, in all rounds", sent === 0 ? "0: nothing was there to be refused" : sent);
    });
  },
});

import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import type { Rig } from "../rig/rig.ts";
import { type Host, TwoHosts } from "../rig/twoHosts.ts";

/** A host so busy that a machine gets no processor for a second moves the bus by itself: then nothing is shown about a host that comes back, and it is tried again. */
const TRIES = 3;
/** Of commands, one every 50 ms, that the joint obeys while the first host is back. */
const OBEYED = 100;

export default behaviour({
  name: "the host that owns the bus loses its power while the joint moves: the other one takes the bus and goes on, nothing stale is obeyed, and the first one, back again, leaves it alone until it loses its power as well: then it goes on, although it died armed",
  needs: { machine: "two", devices: ["usbSerial", "disk", "network"], restartsMachine: true },
  bench: "two boards and a node of drivers/nodekit on one terminated bus, both with selfFenceMs and their own host number; a switch in the supply of the one that ipcnet status calls owner; candump -t z on a third adapter",
  isLoad: true,
  timeoutMs: 40 * 60_000,
  async run(rig) {
    await TwoHosts.during(rig, async (two) => {
      const notShown: string[] = [];
      let isShown = false;
      for (let attempt = 1; attempt <= TRIES && !isShown; attempt++) {
        const why = await bothInTurn(rig, two, attempt);
        isShown = why === undefined;
        if (why === undefined) break;
        notShown.push(why);
        rig.note(why, "bad");
      }
      assert.ok(isShown, `not once did the other host go on by itself, the first one come back to a bus that stayed with it, and then go on for it: ${notShown.join("; ")}`);
      rig.figure("commands at the joint: accepted, refused", `${two.joint.joint.counters.commandsAccepted}, ${two.joint.joint.counters.commandsRejected}`);
    });
  },
});

/** Undefined: it is shown; else why it is not, without anything that must hold having been broken. */
async function bothInTurn(rig: Rig, two: TwoHosts, attempt: number): Promise<string | undefined> {
  let cut: PowerCut | undefined;
  await rig.step(`power cut ${attempt}, of the owner`, async () => {
    cut = await powerCut(rig, two, `cut ${attempt}, the owner`);
  });
  const { lost, hasResumed } = cut!;
  let moved: string | undefined;
  await rig.step("back again it leaves the other one alone", async () => {
    moved = await comesBack(rig, two, lost);
  });
  if (moved !== undefined || !hasResumed) return moved ?? "the other host had to be armed by a person";
  // Its disk still says that it died armed. The other one has owned the bus since: that is over (docs/specs/claim.md, "What it finds").
  await rig.step(`power cut ${attempt}, of the other one`, async () => {
    cut = await powerCut(rig, two, `cut ${attempt}, the other one`);
  });
  if (cut!.hasResumed) return undefined;
  return (await comesBack(rig, two, cut!.lost)) ?? "the first host, back again, had to be armed by a person when the other one was gone";
}

interface PowerCut {
  readonly lost: Host;
  /** The other one went on by itself. */
  readonly hasResumed: boolean;
}

/** Of the host that commands. */
async function powerCut(rig: Rig, two: TwoHosts, name: string): Promise<PowerCut> {
  const lost = await two.commanding();
  const heir = two.other(lost);
  const { epoch } = two.joint.joint.follows;
  const [from, cutMs, velocityRadS] = [two.joint.judged.length, performance.now(), two.joint.joint.velocityRadS];
  await lost.cutPower();
  const hasResumed = await two.taken(heir);
  const claim = two.takeover(heir, cutMs);
  const first = two.accepted(from).find(({ owner: by, atMs }) => by >> 1 === heir.number && atMs > claim.atMs)!;
  rig.figure(`${name}: host ${lost.number} at ${velocityRadS.toFixed(2)} rad/s; until the joint follows host ${heir.number}, and obeys it, ms`, `${Math.round(claim.atMs - cutMs)}, ${Math.round(first.atMs - cutMs)}${hasResumed ? "" : " (armed by a person)"}`);
  assert.ok(claim.epoch !== epoch && ((claim.epoch - epoch) & 0xffff) < 0x8000, `epoch ${claim.epoch} after ${epoch}`);
  if (hasResumed) assert.deepEqual(two.accepted(from).filter(({ targetRad }) => targetRad === 0), [], "who goes on does not pose");
  two.check();
  return { lost, hasResumed };
}

/** Undefined, or what has happened to the bus because of it. */
async function comesBack(rig: Rig, two: TwoHosts, lost: Host): Promise<string | undefined> {
  const { follows } = two.joint.joint;
  const changes = two.joint.followed.length;
  await lost.rig.machine.on();
  await lost.join(false);
  lost.start();
  await rig.eventually("it listens, or has the bus", () => ["outvoted", "owner"].includes(lost.alive().told?.role ?? ""), () => two.said());
  const back = two.joint.judged.length;
  await rig.eventually("the joint obeys", () => two.accepted(back).length >= OBEYED || two.joint.joint.follows.epoch !== follows.epoch, () => two.said());
  two.check();
  const moves = two.joint.followed.slice(changes).filter(({ epoch }) => epoch !== follows.epoch);
  return moves.length > 0 ? `the bus has moved without a fault: ${JSON.stringify(moves)}` : undefined;
}

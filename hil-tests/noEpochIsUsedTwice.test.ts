/**
 * Whoever owns the bus after a cold start has an epoch that no owner had before, whichever twin was the last owner and whatever became of the files: nodes that are on refuse it otherwise,
 * and nodes that were off could take what an old owner left behind for news.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { newer } from "../failsafe/reflex/client/client.ts";
import { ArmRig } from "./armRig.ts";
import { CLAIM_ID } from "./reflexProcesses.ts";
import { eventually } from "./waiting.ts";

type Instance = "a" | "b";
/** docs/specs/reflex.md: two slots in `epoch`. */
const SLOT_BYTES = 4096;
const RECORD_BYTES = 16;
const PATIENCE_MS = 120_000;

const other = (instance: Instance): Instance => (instance === "a" ? "b" : "a");

class Epochs {
  readonly rig: ArmRig;
  /** Of the newest owner that everybody agreed on. */
  newest = 0;

  constructor(rig: ArmRig) {
    this.rig = rig;
  }

  file(instance: Instance): string {
    return join(this.rig.folder.path, "state", instance, "epoch");
  }

  /** What a twin has reserved: of its two slots the newer one. */
  reserved(instance: Instance): number {
    if (!existsSync(this.file(instance))) return 0;
    const bytes = readFileSync(this.file(instance));
    const slots = [0, SLOT_BYTES].filter((at) => bytes.length >= at + RECORD_BYTES).map((at) => ({ epoch: bytes.readUInt16LE(at + 4), sequence: bytes.readBigUInt64LE(at + 8) }));
    return slots.sort((x, y) => Number(y.sequence - x.sequence))[0]?.epoch ?? 0;
  }

  /**
   * Everybody says the same: one twin owns, the joint follows it, and the other one stands by (`alone`: or cannot). Only then is it said who owns; a joint that has not heard its owner for a
   * moment says nobody, and while they change over each has a word of its own. `since`: under an epoch that is newer.
   */
  async settled({ alone = false, since = 0 } = {}): Promise<Instance> {
    const { owner, epoch } = await eventually("one owner that everybody agrees on", async () => {
      const { reflexes } = await this.rig.status();
      const [owner, ...more] = reflexes.filter(({ role }) => role === "owner");
      const stands = reflexes.some(({ role, healthy }) => role === "standby" && healthy);
      const { follows } = this.rig.joint("base").joint;
      if (!owner?.healthy || more.length > 0 || (!stands && !alone)) return undefined;
      return follows.epoch === owner.epoch && follows.owner === (owner.instance === "a" ? 0 : 1) && newer(owner.epoch, since) ? { owner: owner.instance as Instance, epoch: owner.epoch } : undefined;
    }, { timeoutMs: PATIENCE_MS, last: () => [since, this.rig.joint("base").joint.follows, this.rig.reflexes!.log, this.rig.daemon.log().slice(-2_000)] });
    this.newest = epoch;
    return owner;
  }

  /** Somebody owns under an epoch that is newer than any before; says who. `quietly`: and nobody has claimed with an old one meanwhile. */
  async nextOwner(from: number, { quietly, alone = false }: { quietly: boolean; alone?: boolean }): Promise<Instance> {
    const before = this.newest;
    const owner = await this.settled({ alone, since: before });
    const claimed = this.rig.seen.slice(from).filter(({ canId }) => canId >= CLAIM_ID && canId < CLAIM_ID + 4).map(({ data }) => data[4]! | (data[5]! << 8));
    if (quietly) assert.deepEqual(claimed.filter((epoch) => !newer(epoch, before)), [], `claimed after a cold start, ${before} was used`);
    return owner;
  }

  /** `wanted` owns the bus, its twin stands by, and both have written down that this epoch is used. */
  async lastOwner(wanted: Instance): Promise<void> {
    while ((await this.settled()) !== wanted) {
      await this.rig.reflexes!.kill(other(wanted));
      await this.settled({ since: this.newest });
    }
    await eventually("both files know of it", () => (["a", "b"] as const).every((instance) => !newer(this.newest, this.reserved(instance))), { timeoutMs: PATIENCE_MS, last: () => [this.newest, this.reserved("a"), this.reserved("b")] });
  }

  /** Everything is switched off; `between` happens to the files; everything is switched on. Returns how many frames were seen before that. */
  async coldStart(between: () => void, { nodesOff }: { nodesOff: boolean }): Promise<number> {
    if (nodesOff) this.rig.setPower(false);
    await this.rig.reflexes!.killAll();
    // The host's own controller loses its power with the host: nothing waits in it.
    for (const { node } of this.rig.host.controllers.values()) for (const on of [false, true]) this.rig.host.setPower(node, on);
    const from = this.rig.seen.length;
    between();
    await this.rig.restartReflexes();
    if (nodesOff) this.rig.setPower(true);
    return from;
  }
}

test("cold starts: after either twin owned last; with the files of one lost; of both, while nodes remember; with a corrupt one", async (t) => {
  const rig = await ArmRig.start({ reflex: "pair", joints: ["base"] });
  t.after(() => rig.stop());
  const epochs = new Epochs(rig);
  await epochs.nextOwner(0, { quietly: true });
  const lose = (...instances: Instance[]) => (): void => instances.forEach((instance) => rmSync(join(rig.folder.path, "state", instance), { recursive: true }));
  for (const last of ["a", "b"] as const) {
    const cases: [string, () => void, { nodesOff: boolean; owner?: Instance; quietly?: boolean }][] = [
      ["all files there", () => undefined, { nodesOff: true }],
      ["the last owner's files lost", lose(last), { nodesOff: true }],
      ["the other's files lost", lose(other(last)), { nodesOff: true }],
      // Nobody has written anything down: what is claimed first may be old, but nobody follows it.
      ["all files lost, the nodes remember", lose("a", "b"), { nodesOff: false, quietly: false }],
      ["the last owner's file corrupt", () => writeFileSync(epochs.file(last), new Uint8Array(2 * SLOT_BYTES).fill(0x5a)), { nodesOff: true, owner: other(last) }],
    ];
    for (const [what, between, { nodesOff, owner, quietly = true }] of cases) {
      await epochs.lastOwner(last);
      const from = await epochs.coldStart(between, { nodesOff });
      const found = await epochs.nextOwner(from, { quietly, alone: owner !== undefined });
      t.diagnostic(`${last} owned last, ${what}: ${found} owns under epoch ${epochs.newest}`);
      if (owner === undefined) continue;
      assert.equal(found, owner, `${what}: who does not know which epochs were used owns nothing`);
      // A person removes the file, and it may own again.
      rmSync(epochs.file(last));
      await rig.reflexes!.kill(last);
    }
  }
});

import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";

/** Each is eight faults and three safe poses; IPCNET_HIL_ROUNDS says how many; a round takes five minutes. */
const ROUNDS = Number(process.env["IPCNET_HIL_ROUNDS"] ?? 1);

interface Told {
  drill?: string;
  gapMs?: number;
  claimMs?: number;
  state?: string;
  plansRun?: number;
  pose?: string;
  tookMs?: number;
  askedMs?: number;
  atRad?: number;
  readyMs?: number;
  wholeMs?: number;
  rejected?: number;
}

export default behaviour({
  name: "each reflex and each gateway is killed and stopped while a program commands over the kernel's CAN: it goes on without a safe pose, and no stale command arrives; then safe poses, timed",
  needs: { machine: "plain", devices: ["dcan"], alsoOn: ["arm64"] },
  bench: "the arm on a bench bus with both pairs running: kill -9 and kill -STOP of each process of ipcnet status in turn, candump -t z beside it",
  isLoad: true,
  timeoutMs: 60 * 60_000,
  async run(rig) {
    const [ours, motors] = await rig.pair("dcan");
    await rig.sh(`ip link set ${motors} down; echo 150 >/sys/module/dcan/parameters/frame_us`);
    await rig.ownClock();
    const running = rig.start(`IPCNET_HIL_OURS=${ours} IPCNET_HIL_PEERS=${motors} IPCNET_HIL_ROUNDS=${ROUNDS} exec ${rig.inside("drills")}`);
    const told: Told[] = [];
    running.onLine = (line) => {
      rig.note(line);
      told.push(JSON.parse(line) as Told);
    };
    const ended = await running.ended;
    const plansBefore = told.filter(({ pose }) => pose !== undefined);
    const values = (key: "readyMs" | "wholeMs"): string => told.flatMap((each) => each[key] ?? []).map((ms) => (ms / 1e3).toFixed(1)).join();
    rig.figure("from starting the first process to a gateway that serves, and to a pair of each that can be armed, s by the machine's clock", `${values("readyMs")}, ${values("wholeMs")}`);
    for (const drill of new Set(told.flatMap(({ drill: name }) => name ?? []))) {
      const those = told.filter((each) => each.drill === drill);
      await rig.step(drill, () => {
        rig.figure(`${drill}: the longest time without a command on the bus (one is sent every 50 ms), ms`, histogram(those.flatMap(({ gapMs }) => gapMs ?? [])));
        const claims = those.flatMap(({ claimMs }) => claimMs ?? []);
        if (claims.length > 0) rig.figure(`${drill}: until the successor's claim is on the bus, ms`, histogram(claims));
        assert.deepEqual(those.filter(({ state }) => state !== "armed"), [], "armed all the time");
        return Promise.resolve();
      });
    }
    if (plansBefore.length > 0) {
      rig.figure("a safe pose, ms in the reflex", histogram(plansBefore.flatMap(({ tookMs }) => tookMs ?? [])));
      rig.figure("a safe pose, ms from the request to its answer", histogram(plansBefore.flatMap(({ askedMs }) => askedMs ?? [])));
    }
    assert.equal(ended.code, 0, ended.err.slice(-6_000));
    assert.deepEqual(plansBefore.filter(({ pose, atRad }) => pose !== "posed" || Math.abs(atRad ?? 1) > 0.03), [], "each was measured to its end");
    assert.equal(told.filter(({ drill }) => drill !== undefined).length, 8 * ROUNDS);
    assert.equal(told.at(-1)?.rejected, 0, "no stale command at the joint");
  },
});

function histogram(valuesMs: readonly number[]): string {
  const sorted = valuesMs.toSorted((a, b) => a - b);
  const at = (share: number): string => (sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN).toFixed(1);
  return `p50 ${at(0.5)}, p99 ${at(0.99)}, max ${at(1)} (${sorted.length})`;
}

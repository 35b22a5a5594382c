/**
 * What the gateway adds to a frame's way at 10,000 frames a second. Two windows take turns: through the gateway (bus → ipcnetd → subscriber)
 * and without it (bus → a node in another process). The first is held against the aim as it is; the second is the machine's own share.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Latencies, Quantiles } from "./children/latencyLog.ts";
import { Child } from "./children/rpc.ts";
import type { Bench, Table } from "./harness.ts";
import { pressureUs, setRealtime } from "./procfs.ts";
import { between, childProgram, read, Rig, sentUsOffset } from "./rig.ts";
import { probeDefinitions } from "./traffic.ts";

const RATE_HZ = 10_000;
const SETTLE_MS = 1_000;
const DIRECT_MS = 2_000;
const MEASURE_MS = 5_000;
/** Half of them, taking turns, with the processes under SCHED_FIFO: as a robot's machine runs them, and unmoved by what others do here. */
const ROUNDS = 6;

export const bench: Bench = {
  name: "latency",
  async run({ scale, progress }) {
    const quick = Math.min(1, scale);
    const latencies: Table["rows"] = [];
    const pauses: Table["rows"] = [];
    const rig = await Rig.start({ definitions: probeDefinitions, pauses: true });
    const listener = new Child(childProgram("listener"));
    try {
      await listener.call("attach", rig.busSocketPath);
      const subscriber = await rig.subscriber();
      const offsetBytes = sentUsOffset();
      const pids = [rig.bus, rig.gateway, subscriber, listener].map(({ pid }) => pid);
      for (let round = 0; round <= (scale < 1 ? 1 : ROUNDS); round++) {
        const scheduling = setRealtime(pids, round % 2 === 1) && round % 2 === 1 ? "real-time" : "ordinary";
        await rig.bus.call("probe", { rateHz: RATE_HZ, bus: "direct" });
        await delay(SETTLE_MS * quick);
        await listener.call("record");
        await delay(DIRECT_MS * quick);
        const direct = await listener.call<Latencies>("latencies");
        await rig.bus.call("stop");

        await rig.bus.call("probe", { rateHz: RATE_HZ, bus: "bench" });
        await delay(SETTLE_MS * quick);
        const before = await read(rig, subscriber);
        const pressureBefore = pressureUs();
        await rig.beginPauses();
        await subscriber.call("record", offsetBytes);
        await delay(MEASURE_MS * quick);
        const through = await subscriber.call<Latencies>("latencies");
        const { loopDelayP99Us, loopDelayMaxUs, collections, collectionMaxUs, collectionSumUs, heapUsedBytes } = await rig.endPauses();
        const result = between(before, await read(rig, subscriber));
        await rig.bus.call("stop");
        if (result.disorder > 0) throw new Error(`${result.disorder} messages out of order`);
        // The first round is the compiler's.
        if (round === 0) continue;
        progress(`${scheduling}: through the gateway p50 ${Math.round(through.sinceSent.p50)}, p99 ${Math.round(through.sinceSent.p99)} µs; without it ${Math.round(direct.sinceSent.p50)}, ${Math.round(direct.sinceSent.p99)} µs`);
        latencies.push(
          { round, scheduling, way: "gateway, from send", ...row(through.sinceSent), "frames/s": result.receivedPerS, lost: result.lost, "gateway cores": result.gatewayCpuS / result.seconds, "core wanted %": 100 * (pressureUs() - pressureBefore) / (result.seconds * 1e6) },
          { round, scheduling, way: "gateway, from reception", ...row(through.sinceReceived) },
          { round, scheduling, way: "no gateway, from send", ...row(direct.sinceSent) },
        );
        pauses.push({ round, scheduling, "loop late p99 µs": loopDelayP99Us, "loop late max µs": loopDelayMaxUs, collections, "longest collection µs": collectionMaxUs, "all collections µs": collectionSumUs, "heap MB": heapUsedBytes / 1e6 });
      }
    } finally {
      await listener.stop();
      await rig.close();
    }
    return [
      {
        title: `Latency at ${RATE_HZ.toLocaleString("en")} frames/s, µs`, rows: latencies,
        notes: ["Aim: the gateway adds less than 200 µs at p99. Reception is the bus's time stamp (end of the frame, as a kernel gives it). Typical p99: the median of the p99 of each 1,000 frames, so that a rare long wait for a core does not count. All clocks are CLOCK_MONOTONIC. Each way ends in a callback of another process; the gateway's has one process and two sockets more. Ordinary: with the default scheduler, which gives other programs on these cores their share; real-time: SCHED_FIFO, where this user may. Core wanted: share of the time in which some runnable program of this machine, ours included, had to wait for a core (/proc/pressure/cpu)."],
      },
      { title: "Pauses of the gateway meanwhile", rows: pauses, notes: [`Loop late: how much later than due a 1 ms timer of the gateway ran, its rounding to whole milliseconds included. ${MEASURE_MS / 1e3} s a round.`] },
    ];
  },
};

function row({ count, p50, typicalP99, p99, p999, max }: Quantiles): Record<string, number> {
  return { frames: count, p50, "typical p99": typicalP99, p99, "p99.9": p999, max };
}

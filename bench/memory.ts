/** Start and memory: from the spawn of ipcnetd to the first sample at a waiting subscriber, and resident memory while frames go by in millions. */
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "../schemas/clock.ts";
import type { Bench, BenchContext, Table } from "./harness.ts";
import { quantile } from "./harness.ts";
import { cpuUsOf, memoryOf, setRealtime } from "./procfs.ts";
import { Rig } from "./rig.ts";
import { defaultTraffic, probeDefinitions, type Traffic } from "./traffic.ts";

/** Every other one with real-time priority, so that other programs on these cores do not count. */
const STARTS = 10;
const FRAMES = 1_000_000;
const FRAMES_LONG = 10_000_000;
const TENTH_TIMEOUT_MS = 60_000;

export const bench: Bench = {
  name: "memory",
  async run(context) {
    return [await starts(context), await growth(defaultTraffic(), context)];
  },
};

async function starts({ scale, progress }: BenchContext): Promise<Table> {
  const times = { ordinary: [] as number[], realTime: [] as number[] };
  const cpu: number[] = [];
  const resident: number[] = [];
  for (let start = 0; start < (scale < 1 ? 1 : STARTS); start++) {
    const rig = await Rig.create({ definitions: probeDefinitions });
    try {
      // Frames are on the bus and the subscriber waits before the gateway is there.
      await rig.bus.call("probe", { rateHz: 1_000, bus: "bench" });
      const subscriber = await rig.subscriber({ wait: false });
      await subscriber.call("counts");
      const spawnedUs = systemClock.nowUs();
      const { pid } = rig.startGateway();
      const realTime = start % 2 === 1 && setRealtime([pid], true);
      const ms = ((await subscriber.call<number>("first")) - spawnedUs) / 1e3;
      cpu.push(cpuUsOf(pid) / 1e3);
      times[realTime ? "realTime" : "ordinary"].push(ms);
      progress(`started in ${Math.round(ms)} ms`);
      await delay(500 * Math.min(1, scale));
      resident.push(memoryOf(rig.gateway.pid).residentBytes / 1e6);
    } finally {
      await rig.close();
    }
  }
  const row = (what: string, values: number[]): Table["rows"][number] => {
    const sorted = values.sort((a, b) => a - b);
    return { what, starts: sorted.length, median: quantile(sorted, 0.5), min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN };
  };
  return {
    title: "Start", rows: [row("spawn of ipcnetd to the first sample at a waiting subscriber, ms", times.ordinary), row("the same, real-time priority, ms", times.realTime), row("CPU time of ipcnetd in it, ms", cpu), row("resident half a second later, MB", resident)],
    notes: ["Aims: 500 ms, 90 MB. The subscriber tries to connect every 2 ms."],
  };
}

/** Resident memory after each tenth of the frames. */
async function growth(traffic: Traffic, { scale, long, progress }: BenchContext): Promise<Table> {
  const total = Math.round((long ? FRAMES_LONG : FRAMES) * Math.min(1, scale));
  const rows: Table["rows"] = [];
  const rig = await Rig.start({ definitions: traffic });
  try {
    const subscriber = await rig.subscriber({ paces: true });
    const note = (frames: number): void => {
      const { residentBytes, anonymousBytes } = memoryOf(rig.gateway.pid);
      rows.push({ "frames so far": frames, "resident MB": residentBytes / 1e6, "of it anonymous MB": anonymousBytes / 1e6 });
    };
    note(0);
    await rig.bus.call("flood", { traffic: traffic.name, frames: total });
    for (let tenth = 1; tenth <= 10; tenth++) {
      const frames = Math.round((total * tenth) / 10);
      await subscriber.call("reach", { count: frames, timeoutMs: TENTH_TIMEOUT_MS });
      note(frames);
      if (long) progress(`${frames.toLocaleString("en")} frames`);
    }
  } finally {
    await rig.close();
  }
  return { title: `Memory of ipcnetd: ${traffic.text}`, rows, notes: ["Aim: flat, below 90 MB. Anonymous: heap, stacks and buffers; the rest is the Node binary and its libraries, which all Node processes share."] };
}

/**
 * What being a pair costs each packet: `node dist/ts/bench/failover/cost.js` prints one line for a gateway alone, for one of a pair whose twin is away, and for a pair. Calls go one after
 * the other from one program through the gateway to another and back (four packets); the gateway's cost is its processor time per call.
 */
import { readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { pathToFileURL } from "node:url";
import type { Client } from "../../shm/client/index.ts";
import { pairConfiguration, PairRig } from "./pairRig.ts";

export const costModes = ["alone", "twinAway", "pair"] as const;
export type CostMode = (typeof costModes)[number];

export interface CostFigures {
  mode: CostMode;
  callUs: { p50: number; p99: number };
  /** Processor time of the active gateway, and of the standby. */
  activeCpuUsPerCall: number;
  standbyCpuUsPerCall: number;
  /** With 32 calls under way at a time. */
  callsPerSecond: number;
  load: number;
}

const CLOCK_TICKS_PER_SECOND = 100;

function cpuUs(pid: number | undefined): number {
  if (pid === undefined) return 0;
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]!.split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1e6) / CLOCK_TICKS_PER_SECOND;
}

async function callMany(client: Client, count: number, depth: number): Promise<number[]> {
  const tookUs: number[] = [];
  const worker = async (): Promise<void> => {
    while (tookUs.length < count) {
      const beganMs = performance.now();
      await client.request("app/echo", { n: tookUs.length, text: "about as long as a small call" });
      tookUs.push((performance.now() - beganMs) * 1e3);
    }
  };
  await Promise.all(Array.from({ length: depth }, worker));
  return tookUs.toSorted((a, b) => a - b);
}

export async function measureCost(mode: CostMode, calls = 20_000): Promise<CostFigures> {
  const rig = new PairRig({ configuration: pairConfiguration, alone: mode === "alone" });
  try {
    rig.start("a");
    const active = await rig.active();
    const standby = mode === "pair" ? rig.start("b") : undefined;
    if (standby) await rig.standby();
    const provider = await rig.connect("provider");
    const caller = await rig.connect("caller");
    await provider.offer("app/echo", { capacity: 64 }, (body) => body);
    await callMany(caller, calls / 4, 1);
    const [activeUs, standbyUs] = [cpuUs(active.child.pid), cpuUs(standby?.child.pid)];
    const tookUs = await callMany(caller, calls, 1);
    const figures = { activeCpuUsPerCall: (cpuUs(active.child.pid) - activeUs) / calls, standbyCpuUsPerCall: (cpuUs(standby?.child.pid) - standbyUs) / calls };
    const beganMs = performance.now();
    await callMany(caller, calls, 32);
    const callsPerSecond = Math.round((1e3 * calls) / (performance.now() - beganMs));
    const at = (share: number): number => Math.round(10 * tookUs[Math.floor(share * (tookUs.length - 1))]!) / 10;
    await Promise.all([provider.close(), caller.close()]);
    return { mode, callUs: { p50: at(0.5), p99: at(0.99) }, ...figures, callsPerSecond, load: loadavg()[0]! };
  } finally {
    await rig.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  for (const mode of costModes) process.stdout.write(`${JSON.stringify(await measureCost(mode))}\n`);
}

/**
 * The fabric beside its peers: Node to Node, 64 B, 4 KiB and 1 MiB, one to one, to four and to sixteen, all in one run in which everybody takes turns.
 * One to one is a round trip with the whole payload; one to many is until the last of them has acknowledged.
 */
import type { Bench, BenchContext, Table } from "./harness.ts";
import { type Durations, type Measured, measure, medianOf, type Situation } from "./fabric/run.ts";
import { peers } from "./fabric/peers.ts";

const ROUNDS = 3;
const SIZES_BYTES = [64, 4096, 1_048_576];
const LEAVES = [1, 4, 16];

export const bench: Bench = {
  name: "fabric",
  async run(context) {
    const only = process.env["IPCNET_BENCH_PEERS"]?.split(",");
    const notes: string[] = [];
    const present = peers.filter((peer) => {
      if (only && !only.includes(peer.name)) return false;
      const missing = peer.missing();
      if (missing) notes.push(`left out: ${peer.name}: ${missing}`);
      return missing === undefined;
    });
    const smoke = context.scale < 0.1;
    const durations: Durations = { hotMs: 600 * context.scale, pacedMs: 600 * context.scale, flowMs: 800 * context.scale };
    const wanted = process.env["IPCNET_BENCH_SITUATIONS"]?.split(",");
    const situations = SIZES_BYTES.flatMap((payloadBytes) => LEAVES.map((leaves): Situation => ({ payloadBytes, leaves })))
      .filter(({ payloadBytes, leaves }) => (wanted?.includes(`${payloadBytes}x${leaves}`) ?? true) && (!smoke || leaves === 1));
    const tables: Table[] = [];
    for (const situation of situations) tables.push(await compare(smoke ? present.filter(({ name }) => ["ipcnet", "Node UDS", "Node child IPC"].includes(name)) : present, situation, durations, { context, notes }));
    return tables;
  },
};

async function compare(present: typeof peers, situation: Situation, durations: Durations, { context, notes }: { context: BenchContext; notes: readonly string[] }): Promise<Table> {
  const results = new Map<string, Measured[]>();
  for (let round = 0; round < (context.scale < 0.1 ? 1 : ROUNDS); round++) {
    for (const peer of present) {
      if (situation.payloadBytes > peer.payloadBytesMax) continue;
      context.progress(`${situation.payloadBytes} B, 1 → ${situation.leaves}, round ${round + 1}: ${peer.name}`);
      try {
        const measured = await measure(peer, situation, durations);
        results.set(peer.name, [...(results.get(peer.name) ?? []), measured]);
      } catch (error) {
        context.progress(`${peer.name}: ${(error as Error).message}`);
      }
    }
  }
  const medians = [...results.values()].map(medianOf);
  const ours = medians.find(({ peer }) => peer === "ipcnet");
  return {
    title: `${sizeName(situation.payloadBytes)}, 1 → ${situation.leaves}, Node to Node`,
    rows: medians.map((each) => ({
      system: each.peer, "round trip p50 µs": each.roundTripUs.p50, "p99 µs": each.roundTripUs.p99, "paced p50 µs": each.pacedRoundTripUs.p50, "paced p99 µs": each.pacedRoundTripUs.p99,
      "messages/s": each.messagesPerSecond, "MB/s": each.bytesPerSecond / 1e6, "CPU µs/message": each.cpuUsPerMessage, lost: each.lost,
      "round trip ÷ ours": ours ? each.roundTripUs.p50 / ours.roundTripUs.p50 : Number.NaN, "ours ÷ rate": ours ? ours.messagesPerSecond / each.messagesPerSecond : Number.NaN,
    })),
    notes: [...notes],
  };
}

function sizeName(bytes: number): string {
  return bytes < 1024 ? `${bytes} B` : bytes < 1_048_576 ? `${bytes / 1024} KiB` : `${bytes / 1_048_576} MiB`;
}

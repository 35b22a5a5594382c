/**
 * The fabric beside its peers: Node to Node and C to C, 64 B, 4 KiB and 1 MiB, one to one, to four and to sixteen, all in one run in which everybody takes turns.
 * One to one is a round trip with the whole payload; one to many is until the last of them has acknowledged.
 */
import type { Bench, BenchContext, Table } from "./harness.ts";
import { quantile } from "./harness.ts";
import { type NativeMeasured, type NativePeer, measureNative, nativePeers, placementNote, placementOf, placementUs } from "./fabric/native.ts";
import { peers } from "./fabric/peers.ts";
import { type Durations, type Measured, measure, medianOf, type Situation } from "./fabric/run.ts";

const ROUNDS = 3;
const SIZES_BYTES = [64, 4096, 1_048_576];
const LEAVES = [1, 4, 16];

export const bench: Bench = {
  name: "fabric",
  async run(context) {
    const smoke = context.scale < 0.1;
    const situations = SIZES_BYTES.flatMap((payloadBytes) => LEAVES.map((leaves): Situation => ({ payloadBytes, leaves })))
      .filter(({ payloadBytes, leaves }) => (listOf("IPCNET_BENCH_SITUATIONS")?.includes(`${payloadBytes}x${leaves}`) ?? true) && (!smoke || leaves === 1));
    const sides = listOf("IPCNET_BENCH_SIDES") ?? ["c", "node"];
    const tables: Table[] = [];
    if (sides.includes("c")) tables.push(...(await nativeTables(situations, context)));
    if (sides.includes("node")) tables.push(...(await nodeTables(situations, context)));
    return tables;
  },
};

/** A variable of the environment that names some of them. */
function listOf(name: string): string[] | undefined {
  return process.env[name]?.split(",");
}

/** Those that were asked for and can be had; `notes` gets a line for each that cannot. */
function presentOf<P extends { name: string; missing(): string | undefined }>(all: readonly P[], smokeNames: readonly string[] | undefined, notes: string[]): P[] {
  const only = listOf("IPCNET_BENCH_PEERS");
  return all.filter((peer) => {
    // "ipcnet" also means its kin, which spin or work in place.
    if ((only && !only.includes(peer.name.split(",")[0]!)) || (smokeNames && !smokeNames.includes(peer.name))) return false;
    const missing = peer.missing();
    if (missing) notes.push(`left out: ${peer.name}: ${missing}`);
    return missing === undefined;
  });
}

/* ---- Node to Node ---- */

async function nodeTables(situations: readonly Situation[], context: BenchContext): Promise<Table[]> {
  const notes: string[] = [];
  const present = presentOf(peers, context.scale < 0.1 ? ["ipcnet", "Node UDS", "Node child IPC"] : undefined, notes);
  const durations: Durations = { hotMs: 600 * context.scale, pacedMs: 600 * context.scale, flowMs: 800 * context.scale };
  const tables: Table[] = [];
  for (const situation of situations) tables.push(await compare(present, situation, durations, { context, notes }));
  return tables;
}

async function compare(present: typeof peers, situation: Situation, durations: Durations, { context, notes }: { context: BenchContext; notes: readonly string[] }): Promise<Table> {
  const results = new Map<string, Measured[]>();
  const placements: number[] = [];
  for (let round = 0; round < roundsOf(context); round++) {
    for (const peer of present) {
      if (situation.payloadBytes > peer.payloadBytesMax) continue;
      context.progress(`Node, ${situation.payloadBytes} B, 1 → ${situation.leaves}, round ${round + 1}: ${peer.name}`);
      try {
        const placement = await placementUs();
        if (placement !== undefined) placements.push(placement);
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
    notes: [...(placements.length > 0 ? [placementNote(placements)] : []), ...notes],
  };
}

/* ---- C to C ---- */

async function nativeTables(situations: readonly Situation[], context: BenchContext): Promise<Table[]> {
  const notes: string[] = [];
  // What takes minutes to build is not for the smoke test.
  const wanted = presentOf(nativePeers, context.scale < 0.1 ? ["bare", "ipcnet, spinning", "ipcnet", "Unix SEQPACKET"] : undefined, notes);
  const present: NativePeer[] = [];
  for (const peer of wanted) {
    context.progress(`building ${peer.name} …`);
    try {
      await peer.build();
      present.push(peer);
    } catch (error) {
      notes.push(`left out: ${peer.name}: ${(error as Error).message.split("\n").slice(-2).join(" ")}`);
    }
  }
  const tables: Table[] = [];
  for (const situation of situations) tables.push(await compareNative(present, situation, { context, notes }));
  return tables;
}

/** What spins is measured more often and for shorter: each time lies between two looks at where the processors are, and what was measured in one place is not mixed with another. */
const SPINNING_TURNS = 4;

async function compareNative(present: readonly NativePeer[], situation: Situation, { context, notes }: { context: BenchContext; notes: readonly string[] }): Promise<Table> {
  const { payloadBytes, leaves } = situation;
  const results = new Map<string, NativeMeasured[]>();
  const placements: number[] = [];
  const look = async (): Promise<number> => {
    const us = await placementUs();
    if (us !== undefined) placements.push(us);
    return us ?? Number.NaN;
  };
  const take = async (peer: NativePeer, durationMs: number): Promise<void> => {
    try {
      const before = peer.spins ? await look() : 0;
      const measured = await measureNative(peer, situation, durationMs);
      const name = peer.spins ? `${peer.name} (${placementOf(before, await look())})` : peer.name;
      results.set(name, [...(results.get(name) ?? []), { ...measured, peer: name }]);
    } catch (error) {
      context.progress(`${peer.name}: ${(error as Error).message}`);
    }
  };
  for (let round = 0; round < roundsOf(context); round++) {
    context.progress(`C, ${payloadBytes} B, 1 → ${leaves}, round ${round + 1}`);
    await look();
    const spinning = leaves === 1 ? present.filter(({ spins }) => spins) : [];
    for (let turn = 0; turn < SPINNING_TURNS; turn++) {
      for (const peer of spinning) await take(peer, 100 * context.scale);
    }
    for (const peer of present.filter(({ spins }) => !spins)) await take(peer, 400 * context.scale);
  }
  const medians = [...results.values()].map(nativeMedianOf).sort((a, b) => rankOf(a.peer) - rankOf(b.peer));
  // Spinning ones are compared with ours in the same place, the others with ours that sleeps.
  const ownOf = (peer: string): NativeMeasured | undefined => medians.find((each) => each.peer === (peer.includes("(") ? `ipcnet, spinning ${peer.slice(peer.indexOf("("))}` : "ipcnet"));
  return {
    title: `${sizeName(payloadBytes)}, 1 → ${leaves}, C to C`,
    rows: medians.map((each) => {
      const own = ownOf(each.peer);
      const rate = each.messagesPerSecond ?? Number.NaN;
      return {
        system: each.peer, "round trip p50 µs": each.p50Us, "p99 µs": each.p99Us, "messages/s": rate, "MB/s": (rate * payloadBytes) / 1e6, "CPU µs/message": each.cpuUsPerMessage ?? Number.NaN,
        times: results.get(each.peer)!.length, "round trip ÷ ours": own ? each.p50Us / own.p50Us : Number.NaN, "ours ÷ rate": own ? (own.messagesPerSecond ?? Number.NaN) / rate : Number.NaN,
      };
    }),
    notes: [...(placements.length > 0 ? [placementNote(placements)] : []), ...notes],
  };
}

/** By place, those that sleep last; within it as they are listed. */
function rankOf(peer: string): number {
  const place = ["(shared", "(no shared", "(moved"].findIndex((each) => peer.includes(each));
  return (place < 0 ? 3 : place) * 100 + nativePeers.findIndex(({ name }) => name === (peer.split(" (")[0] ?? peer));
}

/** Median by each measure. */
function nativeMedianOf(rounds: readonly NativeMeasured[]): NativeMeasured {
  const pick = (of: (round: NativeMeasured) => number): number => quantile(rounds.map(of).sort((a, b) => a - b), 0.5);
  return {
    peer: rounds[0]!.peer, p50Us: pick((r) => r.p50Us), p99Us: pick((r) => r.p99Us), messagesPerSecond: pick((r) => r.messagesPerSecond ?? Number.NaN), cpuUsPerMessage: pick((r) => r.cpuUsPerMessage ?? Number.NaN),
  };
}

function roundsOf({ scale }: BenchContext): number {
  return scale < 0.1 ? 1 : ROUNDS;
}

function sizeName(bytes: number): string {
  return bytes < 1024 ? `${bytes} B` : bytes < 1_048_576 ? `${bytes / 1024} KiB` : `${bytes / 1_048_576} MiB`;
}

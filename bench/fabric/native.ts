/** The comparison between C programs: each peer is a program that measures itself (hub and leaves, made by fork) and prints one line of JSON. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { projectRoot } from "../paths.ts";
import { missingProgram } from "./library.ts";
import type { Situation } from "./run.ts";

const execute = promisify(execFile);
/** A first build of Zenoh takes ten minutes on a small machine. */
const BUILD_DEADLINE_MS = 1_800_000;
const RUN_DEADLINE_MS = 60_000;
const rustFolder = join(projectRoot, "bench/fabric/rust");
/** A cache line there and back in less: the two processors share a cache. */
const SHARED_CACHE_ROUND_TRIP_US_MAX = 0.3;

export interface NativePeer {
  name: string;
  program: string;
  /** Both sides keep a processor each: one to one only. */
  spins: boolean;
  /** Why it cannot be had on this machine, in one line; undefined = it can. */
  missing(): string | undefined;
  /** Builds its program if it is out of date. */
  build(): Promise<void>;
}

/** What a program prints; times of round trips. */
export interface NativeMeasured {
  peer: string;
  p50Us: number;
  p99Us: number;
  /** Delivered to each leaf, per second. Absent: round trips only. */
  messagesPerSecond?: number;
  /** All processes, per message delivered to a leaf. */
  cpuUsPerMessage?: number;
}

const ours = join(projectRoot, "dist/native/bench/fabric_bench");
const missingCompiler = (): string | undefined => missingProgram("gcc", "gcc libc6-dev");
/** Built, and run for a moment. */
const buildOurs = async (): Promise<void> => {
  await execute(process.execPath, [join(projectRoot, "scripts/native.mjs"), "--bench", "fabric_bench", "bare", "64", "1", "1"], { timeout: BUILD_DEADLINE_MS });
};

const missingCargo = (): string | undefined => (existsSync(join(rustFolder, "Cargo.toml")) ? missingProgram("cargo", "cargo (1.89 or later: rustup)") : "bench/fabric/rust is not here");
const buildRust = (name: string) => async (): Promise<void> => {
  await execute("cargo", ["build", "--release", "--quiet", "--package", `fabric-${name}`], { cwd: rustFolder, timeout: BUILD_DEADLINE_MS });
};
const rust = (name: string): string => join(rustFolder, `target/release/fabric-${name}`);

export const nativePeers: readonly NativePeer[] = [
  { name: "bare", program: ours, spins: true, missing: missingCompiler, build: buildOurs },
  { name: "ipcnet, spinning", program: ours, spins: true, missing: missingCompiler, build: buildOurs },
  { name: "iceoryx2, spinning", program: rust("iceoryx2"), spins: true, missing: missingCargo, build: buildRust("iceoryx2") },
  { name: "ipcnet", program: ours, spins: false, missing: missingCompiler, build: buildOurs },
  { name: "ipcnet, in place", program: ours, spins: false, missing: missingCompiler, build: buildOurs },
  { name: "Unix SEQPACKET", program: ours, spins: false, missing: missingCompiler, build: buildOurs },
  { name: "iceoryx2", program: rust("iceoryx2"), spins: false, missing: missingCargo, build: buildRust("iceoryx2") },
  { name: "Zenoh", program: rust("zenoh"), spins: false, missing: missingCargo, build: buildRust("zenoh") },
];

export async function measureNative(peer: NativePeer, { payloadBytes, leaves }: Situation, durationMs: number): Promise<NativeMeasured> {
  const { stdout } = await execute(peer.program, [peer.name, String(payloadBytes), String(leaves), String(Math.max(1, Math.round(durationMs)))], { timeout: RUN_DEADLINE_MS, killSignal: "SIGKILL" });
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as NativeMeasured;
}

/** Where the host has the two processors just now: the round trip of a bare 64 B, µs; undefined without a compiler. */
export async function placementUs(): Promise<number | undefined> {
  const bare = nativePeers[0]!;
  if (bare.missing() !== undefined) return undefined;
  if (!existsSync(bare.program)) await bare.build();
  return (await measureNative(bare, { payloadBytes: 64, leaves: 1 }, 10)).p50Us;
}

export type Placement = "shared cache" | "no shared cache" | "moved meanwhile";

/** Of a measurement between two looks. The host moves processors by itself, within seconds. */
export function placementOf(beforeUs: number, afterUs: number): Placement {
  const shared = [beforeUs, afterUs].filter((us) => us < SHARED_CACHE_ROUND_TRIP_US_MAX).length;
  return shared === 2 ? "shared cache" : shared === 0 ? "no shared cache" : "moved meanwhile";
}

/** One line for a table. */
export function placementNote(roundTripsUs: readonly number[]): string {
  const shared = roundTripsUs.filter((us) => us < SHARED_CACHE_ROUND_TRIP_US_MAX).length;
  const least = Math.round(Math.min(...roundTripsUs) * 500);
  const most = Math.round(Math.max(...roundTripsUs) * 500);
  return `bare 64 B from core to core ${least} – ${most} ns one way; the two processors shared a cache in ${shared} of ${roundTripsUs.length} looks`;
}

/**
 * Load for the benches of failover: processes that compute, walk through memory, fill and free it, and write to the disk. Each of them is this file with a kind as its argument,
 * and ends with whoever started it.
 */
import { type ChildProcess, fork } from "node:child_process";
import { closeSync, fsyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { availableParallelism, freemem, setPriority } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

export const stressKinds = ["compute", "walk", "fill", "write"] as const;
export type StressKind = (typeof stressKinds)[number];

/** For benches that need the processors and the memory busy, and nothing else: one that computes and one that walks for each processor. */
export const burnersDefault = 2 * availableParallelism();

/** The kinds of so many of them: every other one computes. */
export const burners = (count: number): StressKind[] => Array.from({ length: count }, (_, i) => (i % 2 === 0 ? "compute" : "walk"));

/** More than any cache here. */
const WALK_BYTES = 64 << 20;
/** The most that `fill` takes at once, and the share of what is free: so much that the kernel has to find pages, never so much that it has to end somebody. */
const FILL_BYTES_MAX = 4 * 2 ** 30;
const FILL_SHARE = 0.4;
const FILE_BYTES = 64 << 20;
const BLOCK_BYTES = 1 << 20;
const PAGE_BYTES = 4096;

export interface StressOptions {
  /** Where `write` writes; it lies on the disk that is to be busy. */
  folder: string;
  /** Of the processes; 0, as any other program, unless somebody wants to work beside it. */
  niceness?: number;
}

export function startStress(kinds: readonly StressKind[], { folder, niceness = 0 }: StressOptions): { stop(): Promise<void> } {
  const children = kinds.map((kind) => fork(new URL(import.meta.url), [kind, folder], { execArgv: [], stdio: ["ignore", "ignore", "inherit", "ipc"] }));
  if (niceness !== 0) for (const { pid } of children) setPriority(pid!, niceness);
  return {
    stop: async () => {
      await Promise.all(children.map(ended));
    },
  };
}

function ended(child: ChildProcess): Promise<unknown> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  const end = new Promise((resolve) => child.once("close", resolve));
  // They look at nothing while they work.
  child.kill("SIGKILL");
  return end;
}

/** One turn of work, some milliseconds to a second long; between two turns the process looks whether it is still wanted. */
const turns: Readonly<Record<StressKind, (folder: string) => void>> = {
  compute: () => {
    let x = 1;
    for (let i = 0; i < 5e7; i++) x = (Math.imul(x, 1_664_525) + 1_013_904_223) | 0;
    if (x === 0.5) throw new Error("the loop must not be optimised away");
  },
  walk: () => {
    walked ??= new Uint8Array(WALK_BYTES);
    for (let round = 0; round < 4; round++) for (let at = 0; at < WALK_BYTES; at += 64) walked[at]!++;
  },
  fill: () => {
    const bytes = Math.min(FILL_BYTES_MAX, Math.floor(availableBytes() * FILL_SHARE));
    for (const block of Array.from({ length: Math.floor(bytes / WALK_BYTES) }, () => new Uint8Array(WALK_BYTES))) for (let at = 0; at < WALK_BYTES; at += PAGE_BYTES) block[at] = 1;
    globalThis.gc?.();
  },
  write: (folder) => {
    const own = mkdtempSync(join(folder, "stress-"));
    try {
      const file = openSync(join(own, "file"), "w");
      const block = Buffer.alloc(BLOCK_BYTES, 0xa5);
      for (let at = 0; at < FILE_BYTES; at += BLOCK_BYTES) {
        writeSync(file, block);
        // Small flushes among the large ones: a journal's own fsync has to wait behind them.
        if (at % (8 * BLOCK_BYTES) === 0) fsyncSync(file);
      }
      fsyncSync(file);
      closeSync(file);
      readFileSync(join(own, "file"));
    } finally {
      rmSync(own, { recursive: true, force: true });
    }
  },
};

let walked: Uint8Array | undefined;

function availableBytes(): number {
  const kib = /^MemAvailable:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1];
  return kib === undefined ? freemem() : Number(kib) * 1024;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [kind, folder] = process.argv.slice(2);
  process.on("disconnect", () => process.exit(0));
  const turn = turns[kind as StressKind];
  const again = (): void => {
    turn(folder!);
    setImmediate(again);
  };
  again();
}

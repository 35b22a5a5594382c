/**
 * The number under which a gateway commands and speaks: it rises with each start and each takeover, and is never used twice. Who sees two gateways' words (a reflex, a broker) believes
 * the higher one.
 *
 * What is written is *reserved*: no number beyond it was ever used, so that a takeover, whose number is the one after its predecessor's, does not wait for the disk. Nor is the disk waited
 * for otherwise (no fsync: a process that waits for a broken disk cannot be killed). Where nothing was kept, or a power cut has taken it, the wall clock gives the least number: seconds
 * since 2026, and nobody takes over more than once a second for years.
 */
import { readFileSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

const FLOOR_FROM_MS = Date.UTC(2026, 0, 1);
/** On the wire it has 32 bits: enough until 2162. */
const EPOCH_MAX = 0xffff_ffff;

/** `predecessor`: of whoever is taken over; 0: nobody, or nobody knows. `reserved`: the highest number that may have been used; 0: nobody knows. */
export function nextEpoch({ predecessor, reserved, wallTimeMs }: { predecessor: number; reserved: number; wallTimeMs: number }): number {
  const next = predecessor > 0 ? predecessor + 1 : Math.max(reserved + 1, Math.floor((wallTimeMs - FLOOR_FROM_MS) / 1e3), 1);
  return Math.min(next, EPOCH_MAX);
}

export interface BrainEpochOptions {
  /** Where it is kept; undefined: nowhere. */
  path: string | undefined;
  wallTimeMs(): number;
  /** It could not be read or written: the wall clock has to do. */
  trouble(text: string): void;
}

export class BrainEpoch {
  readonly #options: BrainEpochOptions;
  #value = 0;
  /** Settles when what was begun last is written, or could not be. */
  kept: Promise<void> = Promise.resolve();

  constructor(options: BrainEpochOptions) {
    this.#options = options;
  }

  /** 0: not active yet. */
  get value(): number {
    return this.#value;
  }

  /** This gateway is active from now on. Nothing waits for the disk. */
  begin(predecessor: number): void {
    const { wallTimeMs } = this.#options;
    this.#value = nextEpoch({ predecessor, reserved: predecessor > 0 ? 0 : this.#read(), wallTimeMs: wallTimeMs() });
    this.kept = this.#reserve();
  }

  /** Somebody has obeyed a gateway of this epoch, which nobody here knew of: both what was kept and the clock's time were lost. Above it from now on; false: we were. */
  raise(heard: number): boolean {
    if (this.#value === 0 || heard < this.#value) return false;
    this.#value = Math.min(heard + 1, EPOCH_MAX);
    this.kept = this.kept.then(() => this.#reserve());
    return true;
  }

  #read(): number {
    const { path, trouble } = this.#options;
    if (path === undefined) return 0;
    try {
      const text = readFileSync(path, "latin1").trim();
      const reserved = /^\d{1,10}$/.test(text) ? Number(text) : EPOCH_MAX + 1;
      if (reserved < EPOCH_MAX) return reserved;
      trouble(`${path} does not hold an epoch`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") trouble(`the epoch cannot be read: ${String(error)}`);
    }
    return 0;
  }

  /** This one and the next: whoever takes over need not write first. */
  async #reserve(): Promise<void> {
    const { path, trouble } = this.#options;
    if (path === undefined) return;
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      // Each process has its own file until it is whole: two gateways of one user may share the folder.
      const unfinished = `${path}.${process.pid}`;
      await writeFile(unfinished, `${this.#value + 1}\n`, { mode: 0o600 });
      await rename(unfinished, path);
    } catch (error) {
      trouble(`the epoch cannot be kept: ${String(error)}`);
    }
  }
}

/** Processes that keep every processor and the memory busy: every other one calculates, the others walk through memory. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { join } from "node:path";

const program = join(import.meta.dirname, "../children/burner.js");

/** A computing and a memory-walking one for each processor. */
export const burnersDefault = 2 * availableParallelism();

export class Burners {
  readonly #children: ChildProcess[];

  constructor(count: number) {
    this.#children = Array.from({ length: count }, (_, i) => spawn(process.execPath, [program, i % 2 === 0 ? "compute" : "memory"], { stdio: ["pipe", "ignore", "inherit"] }));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#children.map(async (child) => {
      const ended = once(child, "close");
      child.kill("SIGKILL");
      await ended;
    }));
  }
}

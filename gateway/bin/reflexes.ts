/**
 * Keeps the reflexes of a configuration running where systemd does not: starts ipcnet-reflex once or twice and again, with back-off, whenever one ends.
 *   reflexes --config FILE [--until-stdin-closes] [--no-realtime] [--if-any]
 *
 * It is a process of its own and not the gateway's child or parent: a reflex has to survive the gateway, and the gateway this. Whoever starts both (npm start, tests) starts it first and ends it last.
 * A reflex ends with this process, by way of the safe pose: at SIGTERM and SIGINT, when standard input closes, and also when this process is killed (--with-parent).
 * Prints one line when they run. Exit codes: 0 all have ended; 2 wrong usage, a refused configuration, or one without a reflex; 3 the program is not there.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadConfiguration } from "../build/configuration.ts";
import { reflexRunFolder, reflexStateFolder } from "../build/reflex/folders.ts";

/** Beside dist/ts. */
const program = join(import.meta.dirname, "../../../native/ipcnet-reflex");
/** As systemd does it: soon after the first end, ever later while it goes on so. */
const RESTART_MIN_MS = 20;
const RESTART_MAX_MS = 2_000;
/** Who ran so long was not the victim of its own start. */
const SETTLED_MS = 10_000;

class Keeper {
  readonly #args: readonly string[];
  readonly ended: Promise<void>;
  #child: ChildProcess | undefined;
  #backoffMs = RESTART_MIN_MS;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;
  #end: () => void = () => {};

  constructor(args: readonly string[]) {
    this.#args = args;
    this.ended = new Promise((resolve) => (this.#end = resolve));
  }

  start(): void {
    const startedMs = performance.now();
    // A session of its own: a Ctrl-C in the terminal is for whoever decides in which order things end.
    const child = spawn(program, this.#args, { stdio: ["ignore", "inherit", "inherit"], detached: true });
    this.#child = child;
    child.once("error", (error) => process.stderr.write(`reflexes: ${error.message}\n`));
    child.once("close", () => {
      this.#child = undefined;
      if (this.#stopping) return this.#end();
      if (performance.now() - startedMs > SETTLED_MS) this.#backoffMs = RESTART_MIN_MS;
      this.#timer = setTimeout(() => this.start(), this.#backoffMs);
      this.#backoffMs = Math.min(2 * this.#backoffMs, RESTART_MAX_MS);
    });
  }

  /** The safe pose first, if it owns the buses. */
  stop(): void {
    this.#stopping = true;
    clearTimeout(this.#timer);
    if (this.#child) this.#child.kill("SIGTERM");
    else this.#end();
  }
}

async function main(): Promise<number> {
  let values;
  try {
    ({ values } = parseArgs({ options: { config: { type: "string", short: "c" }, "until-stdin-closes": { type: "boolean", default: false }, "no-realtime": { type: "boolean", default: false }, "if-any": { type: "boolean", default: false } } }));
  } catch (error) {
    process.stderr.write(`reflexes: ${(error as Error).message}\n`);
    return 2;
  }
  const loaded = values.config === undefined ? undefined : loadConfiguration(values.config);
  // Whoever asks for them only if there are any is told of a refused configuration by the gateway.
  if (values["if-any"] && !(loaded?.ok && loaded.accepted.config.redundancy.reflex !== "none")) return 0;
  if (!loaded?.ok) {
    process.stderr.write(loaded ? loaded.text : "reflexes: --config FILE is needed\n");
    return 2;
  }
  const { config, file } = loaded.accepted;
  if (config.redundancy.reflex === "none") {
    process.stderr.write(`reflexes: ${file} has no reflex (redundancy.reflex: none)\n`);
    return 2;
  }
  if (!existsSync(program)) {
    process.stderr.write(`reflexes: ${program} is not there\n        remedy: node scripts/prepare.mjs builds it\n`);
    return 3;
  }
  const [run, state] = [reflexRunFolder(config, file), reflexStateFolder(config, file)];
  for (const folder of [run, state]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  const common = ["--run", run, "--state", state, "--with-parent", ...(values["no-realtime"] ? ["--no-realtime"] : [])];
  const keepers = (config.redundancy.reflex === "pair" ? ["a", "b"] : ["a"]).map((instance, _index, all) => new Keeper(["--instance", instance, ...common, ...(all.length === 1 ? ["--alone"] : [])]));
  for (const keeper of keepers) keeper.start();
  process.stdout.write(`${JSON.stringify({ reflexes: keepers.length, run, state })}\n`);
  const stop = (): void => keepers.forEach((keeper) => keeper.stop());
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(signal, stop);
  if (values["until-stdin-closes"]) {
    process.stdin.once("end", stop);
    process.stdin.once("error", stop);
    process.stdin.resume();
  }
  await Promise.all(keepers.map(({ ended }) => ended));
  return 0;
}

// Standard input, still open, must not keep alive what has nothing left to keep.
process.exit(await main());

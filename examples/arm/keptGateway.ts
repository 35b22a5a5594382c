import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** A gateway that dies is started again so soon, and so often: then something is wrong with more than one process. */
const RESTART_MS = 500;
const DEATHS_MAX = 20;

/** One of the two gateways; started again when it dies, as systemd would. */
export class KeptGateway {
  /** The last line of its standard output: the verdict of the one that ran the safe pose. */
  verdictLine = "";
  /** Resolves when it has ended by itself too often: what is wrong is in the log. */
  readonly failed: Promise<void>;
  readonly #start: () => ChildProcess;
  #child: ChildProcess;
  #stopping = false;
  #deaths = 0;
  #giveUp: () => void = () => {};

  constructor(instance: string, configFile: string, log: number) {
    this.failed = new Promise((resolve) => (this.#giveUp = resolve));
    const program = join(import.meta.dirname, "../../gateway/bin/ipcnetd.js");
    this.#start = () => {
      const child = spawn(process.execPath, ["--max-semi-space-size=4", program, "--config", configFile, "--instance", instance, "--until-stdin-closes"], { stdio: ["pipe", "pipe", log], detached: true });
      createInterface({ input: child.stdout! }).on("line", (line) => (this.verdictLine = line));
      child.once("close", () => this.#died());
      return child;
    };
    this.#child = this.#start();
  }

  #died(): void {
    this.#deaths += 1;
    if (this.#stopping || this.#deaths > DEATHS_MAX) return this.#giveUp();
    setTimeout(() => {
      if (!this.#stopping) this.#child = this.#start();
    }, RESTART_MS);
  }

  /** SIGTERM, then waits for the end: one that has a standby hands over, the last one runs the safe pose. */
  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill("SIGTERM");
    await ended;
  }
}

/** The bus processes of a test: started by what keeps them running without systemd, found by their instance, ended with the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Configuration } from "./armRig.ts";
import { eventually, isAlive, killIfThere } from "./waiting.ts";

const entry = join(import.meta.dirname, "../gateway/bin/reflexes.js");
const gatewayEntry = join(import.meta.dirname, "../gateway/bin/ipcnetd.js");
export const CLAIM_ID = 0x10;
/** Two processors and much else to do: a twin that stands still for 10 ms is nothing unusual here. */
const TWIN_DEADLINE_MS = 500;

/** The arm's bus belongs to the reflex; nodes follow claims. Deadlines are those of a loaded machine. */
export function withReflex(configuration: Configuration, reflex: "single" | "pair"): void {
  configuration.buses[0]!["claimId"] = CLAIM_ID;
  configuration["redundancy"] = { reflex, resumeArmed: true, drills: true, twinDeadlineMs: TWIN_DEADLINE_MS, beatPeriodMs: 50, brainTimeoutMs: 5_000, stateFolder: "state" };
}

export class ReflexProcesses {
  readonly keeper: ChildProcess;
  readonly #folder: string;
  readonly #closed: Promise<unknown>;
  #log = "";

  constructor(keeper: ChildProcess, folder: string) {
    this.keeper = keeper;
    this.#folder = folder;
    this.#closed = once(keeper, "close");
    for (const stream of [keeper.stdout!, keeper.stderr!]) stream.setEncoding("utf8").on("data", (text: string) => (this.#log += text));
  }

  get log(): string {
    return this.#log;
  }

  /** The process of an instance; undefined while there is none. */
  pid(instance: "a" | "b"): number | undefined {
    return childrenOf(this.keeper.pid!).find((pid) => argumentsOf(pid).join(" ").includes(`--instance ${instance} --run ${this.#folder}`));
  }

  /** kill -9; resolves when it is gone. */
  async kill(instance: "a" | "b"): Promise<void> {
    const pid = await eventually(`reflex ${instance}`, () => this.pid(instance), { last: () => this.#log });
    killIfThere(pid);
    await eventually(`reflex ${instance} gone`, async () => !(await isAlive(pid)), { timeoutMs: 60_000 });
  }

  /** kill -9 of all of them, and of what would start them again. */
  async killAll(): Promise<void> {
    const pids = (["a", "b"] as const).flatMap((instance) => this.pid(instance) ?? []);
    this.keeper.kill("SIGKILL");
    // Without their keeper they may end by themselves.
    for (const pid of pids) killIfThere(pid);
    await this.#closed;
    for (const pid of pids) await eventually(`process ${pid} gone`, async () => !(await isAlive(pid)), { timeoutMs: 60_000 });
  }

  /** At the end of a test: nobody waits for a safe pose then. */
  async end(): Promise<void> {
    await this.killAll();
  }
}

export async function startReflexes(folder: string, configuration: string): Promise<ReflexProcesses> {
  // The run folder is that of the client socket; ipcnetd's own file comes later, and says the same.
  const configFile = join(folder, "reflexes.yaml");
  writeFileSync(configFile, `socket: { path: "${join(folder, "ipcnet.sock")}", mode: "0600" }\n${configuration}`);
  const keeper = spawn(process.execPath, ["--enable-source-maps", entry, "--config", configFile, "--until-stdin-closes"], { stdio: ["pipe", "pipe", "pipe"] });
  const processes = new ReflexProcesses(keeper, folder);
  await eventually("the reflexes started", () => {
    if (keeper.exitCode !== null) throw new Error(`the reflexes did not start:\n${processes.log}`);
    return processes.log.includes('"reflexes"');
  }, { timeoutMs: 120_000, last: () => processes.log });
  return processes;
}

/** A second gateway with the configuration of the first, ready to take over. */
export interface Standby {
  readonly process: ChildProcess;
  readonly log: () => string;
  /** At the end of a test. */
  end(): Promise<void>;
}

/** `folder`: of the first one's configuration, whose `redundancy.brains` is `pair`. */
export async function startStandby(folder: string): Promise<Standby> {
  const standby = spawn(process.execPath, ["--enable-source-maps", gatewayEntry, "--config", join(folder, "ipcnet.yaml"), "--instance", "b", "--until-stdin-closes"], { stdio: ["pipe", "ignore", "pipe"] });
  let log = "";
  standby.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  const closed = once(standby, "close");
  await eventually("the standby", () => log.includes("standby"), { timeoutMs: 120_000, last: () => log });
  return {
    process: standby,
    log: () => log,
    async end() {
      standby.kill("SIGKILL");
      await closed;
    },
  };
}

/** Everybody who was started with something of this folder. */
export function processesOf(folder: string): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((pid) => argumentsOf(Number(pid)).join(" ")).filter((words) => words.includes(folder));
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(/\s+/).filter((text) => text !== "").map(Number);
  } catch {
    // It has ended: then it has none.
    return [];
  }
}

function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
  } catch {
    // Ended between the two looks.
    return [];
  }
}

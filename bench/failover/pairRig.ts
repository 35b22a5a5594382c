/** Two instances of `ipcnetd` that stand in for each other, for tests and benches: started, killed, started again, and always one that is active. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { connect, type Client } from "../../shm/client/index.ts";
import { eventually } from "../../schemas/testing.ts";

const entry = join(import.meta.dirname, "../../gateway/bin/ipcnetd.js");
/** A loaded machine starts two Node processes in seconds. */
const START_MS = 60_000;

export type InstanceName = "a" | "b";

/** A gateway for programs alone: one topic that they publish through it; all others are theirs. */
export const pairConfiguration = `version: 1\nrobot: pair\ntopics:\n  - { name: app/state, encoding: cbor, writers: [ { user: ${userInfo().username} } ] }\n`;

export class Instance {
  readonly name: InstanceName;
  readonly child: ChildProcess;
  log = "";
  readonly exited: Promise<unknown>;

  constructor(name: InstanceName, child: ChildProcess) {
    this.name = name;
    this.child = child;
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.log += text));
    this.exited = once(child, "close");
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Takes part as an active that clients can connect to. */
  get isActive(): boolean {
    return !this.hasEnded && this.log.includes("[listening]");
  }

  /** Can take over at any moment. */
  get isStandby(): boolean {
    return !this.hasEnded && this.log.includes("[standby]") && !this.isActive;
  }
}

export interface PairRigOptions {
  /** YAML behind `socket` and the like; of the rig's folder where it needs to know that. */
  configuration: string | ((folder: string) => string);
  env?: (name: InstanceName) => Record<string, string>;
  args?: (name: InstanceName) => string[];
  /** One gateway that is no pair. */
  alone?: boolean;
  /** Whoever ends while a standby is waited for is started again, and counted in `unasked`: on a machine that is too busy the two may replace each other. */
  keep?: boolean;
}

export class PairRig {
  /** In memory where there is such a place, as /run is: else what is measured is a disk. */
  readonly folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "ipcnet-pair-"));
  readonly socketPath = join(this.folder, "ipcnet.sock");
  readonly pairFolder = join(this.folder, "pair");
  readonly configFile = join(this.folder, "ipcnet.yaml");
  readonly instances = new Map<InstanceName, Instance>();
  /** Every instance that there was. */
  readonly all: Instance[] = [];
  /** Ends of instances that nobody had asked for, with the last that each wrote. */
  readonly unasked: string[] = [];
  readonly #options: PairRigOptions;

  constructor(options: PairRigOptions) {
    this.#options = options;
    writeFileSync(this.configFile, `socket: { path: "${this.socketPath}", mode: "0600" }\n${typeof options.configuration === "string" ? options.configuration : options.configuration(this.folder)}`);
  }

  start(name: InstanceName): Instance {
    const { env, args, alone = false } = this.#options;
    const child = spawn(process.execPath, ["--enable-source-maps", entry, "--config", this.configFile, "--instance", name, ...(alone ? [] : ["--pair", this.pairFolder]), "--until-stdin-closes", ...(args?.(name) ?? [])],
      { stdio: ["pipe", "ignore", "pipe"], env: { ...process.env, ...env?.(name) } });
    child.stdin!.on("error", () => {
      // It is gone: that is what these tests are about.
    });
    const instance = new Instance(name, child);
    this.instances.set(name, instance);
    this.all.push(instance);
    return instance;
  }

  /** Starts both and resolves when one is active and the other can take over. */
  async startBoth(): Promise<void> {
    this.start("a");
    await this.active();
    this.start("b");
    await this.standby();
  }

  active(): Promise<Instance> {
    return eventually("an active instance", () => {
      const instances = [...this.instances.values()];
      if (instances.every(({ hasEnded }) => hasEnded)) throw new Error(`no instance lives:\n${this.logs()}`);
      return instances.find(({ isActive }) => isActive);
    }, { timeoutMs: START_MS, last: () => this.logs() });
  }

  /** A standby that has done all that it does before it is needed. */
  rehearsed(): Promise<Instance> {
    return eventually("a standby that has rehearsed", async () => {
      const standby = await this.standby();
      return /\[(rehearsed|notRehearsed)\]/.test(standby.log) && standby;
    }, { timeoutMs: START_MS, last: () => this.logs() });
  }

  /** One that can take over from the other, which is active: a log that is behind must not show the one that has just taken over as the standby. */
  standby(): Promise<Instance> {
    return eventually("a standby", () => {
      if (this.#options.keep) for (const { name, hasEnded, log } of this.instances.values()) {
        if (!hasEnded) continue;
        this.unasked.push(`${name}: ${log.trimEnd().split("\n").at(-1)}`);
        this.start(name);
      }
      const instances = [...this.instances.values()];
      return instances.some(({ isActive }) => isActive) && instances.find(({ isStandby }) => isStandby);
    }, { timeoutMs: START_MS, last: () => this.logs() });
  }

  connect(name = "test"): Promise<Client> {
    return connect({ socketPath: this.socketPath, name, timeoutMs: 30_000 });
  }

  logs(): string {
    return this.all.slice(-4).map(({ name, log, child }) => `--- ${name} ${child.exitCode ?? child.signalCode ?? "lives"}\n${log.split("\n").slice(-25).join("\n")}`).join("\n");
  }

  async close(): Promise<void> {
    if (process.env["IPCNET_TEST_LOGS"]) process.stderr.write(this.logs());
    for (const instance of this.all) {
      if (!instance.hasEnded) instance.child.kill("SIGKILL");
      await instance.exited;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A whole gateway for a bench: emulated buses in one process, ipcnetd in another, subscribers in more, everything in a folder that goes away. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { compileMessage } from "../schemas/dbc/index.ts";
import type { Pauses } from "./children/pauses.ts";
import { Child } from "./children/rpc.ts";
import type { Counts } from "./children/subscriber.ts";
import { gatewayProgram } from "./paths.ts";
import { cpuUsOf } from "./procfs.ts";
import { definitionsOf, probeDefinitions } from "./traffic.ts";

export interface RigOptions {
  /** What the frames of bus "bench" mean. */
  definitions: { dbc: string; checksYaml: string };
  /** Also a bus "noisy" with the same definitions. */
  noisy?: boolean;
  /** An embedded MQTT broker on this port that mirrors bus "bench", so often a topic and second. */
  mqtt?: { port: number; rateHzMax: number };
  /** Whether the gateway's pauses are watched from within. */
  pauses?: boolean;
}

const ATTACH_TIMEOUT_MS = 20_000;

export function childProgram(name: "bus" | "subscriber" | "listener" | "mqttSubscriber" | "pauses"): URL {
  return new URL(`children/${name}.js`, import.meta.url);
}

export class Rig {
  readonly folder = mkdtempSync(join(tmpdir(), "ipcnet-bench-"));
  readonly socketPath = join(this.folder, "ipcnet.sock");
  readonly busSocketPath = join(this.folder, "bus.sock");
  readonly #noisyPath = join(this.folder, "noisy.sock");
  readonly #creditPath = join(this.folder, "credit.sock");
  readonly bus = new Child(childProgram("bus"));
  readonly #options: RigOptions;
  #subscribers: Child[] = [];
  #gateway: Child | undefined;

  constructor(options: RigOptions) {
    this.#options = options;
    writeFileSync(join(this.folder, "bench.dbc"), options.definitions.dbc);
    writeFileSync(join(this.folder, "bench.checks.yaml"), options.definitions.checksYaml);
    writeFileSync(join(this.folder, "ipcnet.yaml"), this.#configuration());
  }

  /** Buses only; `startGateway` is the caller's. */
  static async create(options: RigOptions): Promise<Rig> {
    const rig = new Rig(options);
    await rig.bus.call("listen", { socketPath: rig.busSocketPath, noisyPath: rig.#noisyPath });
    await rig.bus.call("credit", rig.#creditPath);
    return rig;
  }

  /** Everything, the gateway attached to its buses. */
  static async start(options: RigOptions): Promise<Rig> {
    const rig = await Rig.create(options);
    rig.startGateway();
    await rig.attached();
    return rig;
  }

  /** $IPCNET_BENCH_NODE_ARGS: more arguments for the gateway's Node, such as `--cpu-prof --cpu-prof-dir=/tmp/profile`. */
  startGateway(): Child {
    const preload = this.#options.pauses ? ["--import", childProgram("pauses").href] : [];
    const more = process.env["IPCNET_BENCH_NODE_ARGS"]?.split(" ") ?? [];
    return (this.#gateway = new Child(gatewayProgram, ["--config", join(this.folder, "ipcnet.yaml")], [...ownArguments(), ...preload, ...more]));
  }

  get gateway(): Child {
    return this.#gateway!;
  }

  async attached(): Promise<void> {
    const buses = this.#options.noisy ? 2 : 1;
    const endMs = Date.now() + ATTACH_TIMEOUT_MS;
    while ((await this.bus.call<number>("attached")) < buses) {
      if (this.gateway.process.exitCode !== null) throw new Error(`ipcnetd ended with ${this.gateway.process.exitCode}`);
      if (Date.now() > endMs) throw new Error("ipcnetd does not attach to its bus");
      await delay(5);
    }
  }

  /** A process with one subscription to all messages of bus "bench". `paces`: a flood waits for it. */
  async subscriber({ queue = 50_000, name = "subscriber", wait = true, paces = false }: { queue?: number; name?: string; wait?: boolean; paces?: boolean } = {}): Promise<Child> {
    const child = new Child(childProgram("subscriber"));
    this.#subscribers.push(child);
    const subscribed = child.call("subscribe", { socketPath: this.socketPath, pattern: "can/bench/#", queue, name, ...(paces ? { creditPath: this.#creditPath } : {}) });
    if (wait) await subscribed;
    return child;
  }

  beginPauses(): Promise<void> {
    return this.gateway.call("begin");
  }

  endPauses(): Promise<Pauses> {
    return this.gateway.call("end");
  }

  async close(): Promise<void> {
    // The gateway ends in order: so it can write a profile.
    await this.#gateway?.stop("SIGTERM");
    for (const child of [...this.#subscribers, this.bus]) await child.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #configuration(): string {
    const { noisy, mqtt } = this.#options;
    const bus = (name: string, path: string): string => `  - { name: ${name}, driver: emulator, interface: ${path}, publishRaw: false, databases: [{ dbc: bench.dbc, checks: bench.checks.yaml }] }\n`;
    return `version: 1
robot: bench
socket: { path: ${this.socketPath} }
buses:
${bus("bench", this.busSocketPath)}${noisy ? bus("noisy", this.#noisyPath) : ""}${mqtt ? `mqtt:
  broker: { name: broker, listen: { host: 127.0.0.1, port: ${mqtt.port} }, allowAnonymous: true }
  publish: [{ topics: ["can/bench/#"], via: broker, rateHzMax: ${mqtt.rateHzMax} }]
` : ""}`;
  }
}

/** What the program's own first line gives to Node. */
function ownArguments(): string[] {
  const [line = ""] = readFileSync(gatewayProgram, "utf8").split("\n", 1);
  return line.split(" ").slice(line.split(" ").indexOf("node") + 1);
}

/** Counts and CPU times of everybody at one moment. */
export interface Reading {
  counts: Counts;
  gatewayCpuUs: number;
  busCpuUs: number;
}

export async function read(rig: Rig, subscriber: Child): Promise<Reading> {
  const counts = await subscriber.call<Counts>("counts");
  return { counts, gatewayCpuUs: cpuUsOf(rig.gateway.pid), busCpuUs: cpuUsOf(rig.bus.pid) };
}

/** What happened between two readings. */
export function between(before: Reading, after: Reading) {
  const seconds = (after.counts.nowUs - before.counts.nowUs) / 1e6;
  const received = after.counts.received - before.counts.received;
  const lost = after.counts.lost - before.counts.lost;
  const gatewayCpuS = (after.gatewayCpuUs - before.gatewayCpuUs) / 1e6;
  return {
    seconds, received, lost, disorder: after.counts.disorder - before.counts.disorder, validatedPerS: (received + lost) / seconds, receivedPerS: received / seconds,
    gatewayCpuS, validatedPerCoreS: (received + lost) / gatewayCpuS, receivedPerCoreS: received / gatewayCpuS,
    subscriberCpuS: (after.counts.cpuUs - before.counts.cpuUs) / 1e6, busCpuS: (after.busCpuUs - before.busCpuUs) / 1e6,
  };
}

/** Where a probe's record has the time of its sending. */
export function sentUsOffset(): number {
  const { layout } = compileMessage(definitionsOf(probeDefinitions).messages[0]!);
  const field = layout.fields.find(({ name }) => name === "sentUs");
  if (field?.type !== "u32") throw new Error("the time of sending is not a u32 in the record");
  return field.offsetBytes;
}

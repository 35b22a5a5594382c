/**
 * In the machine: a pair of reflexes and the gateway's end of them in this process. No gateway, and nothing else that a tenth of a processor could not carry.
 */
import { type ChildProcess, type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { busPhases } from "../../../drivers/can/busHealth.ts";
import { canFlagsOf } from "../../../drivers/can/frame.ts";
import { ReflexBus } from "../../../failsafe/reflex/client/bus.ts";
import { ReflexClient } from "../../../failsafe/reflex/client/client.ts";
import { ReflexSupervisor } from "../../../failsafe/reflex/client/supervisor.ts";
import { loadConfiguration } from "../../../gateway/build/configuration.ts";
import { systemClock } from "../../../schemas/clock.ts";
import { compileMessage, type MessageCodec } from "../../../schemas/dbc/index.ts";
import { FD_BUS } from "../../armFiles.ts";
import { armConfiguration, type Configuration } from "../../armRig.ts";
import { withReflex } from "../../reflexProcesses.ts";
import { eventually } from "../../waiting.ts";

const program = join(import.meta.dirname, "../../../../native/ipcnet-reflex");
export const PATIENCE_MS = 300_000;
/** Of a command: this process may be held up for seconds. */
export const LIFE_MS = 15_000;

export interface PairOptions {
  /** A command that starts the reflexes, with fewer rights for instance. */
  through?: readonly string[];
  /** Where they keep epochs and journal. Default: state, below the folder. */
  state?: string;
  /** More of their arguments. */
  words?: readonly string[];
  /** False: they run already. */
  starts?: boolean;
  /** Default: both. */
  instances?: readonly ("a" | "b")[];
}

/** The arm's base joint on an interface of the kernel, its bus owned by a pair. Programs run at a tenth of their speed in the machine, and the host may be busy: so its deadlines are generous. */
export function pairConfiguration(canInterface: string, { fd = false }: { fd?: boolean } = {}): Configuration {
  const made = armConfiguration(["base"], canInterface);
  Object.assign(made.buses[0]!, { driver: "socketcan", interface: canInterface, deadAfterMs: 3_000, txQueueFrames: 64, ...(fd ? FD_BUS : {}) });
  made.nodes[0]!["timeoutMs"] = 10_000;
  made.commands[0]!["ttlMsMax"] = LIFE_MS;
  withReflex(made, "pair");
  Object.assign(made["redundancy"] as object, { twinDeadlineMs: 1_000, brainTimeoutMs: 60_000 });
  made.safePose["budgetMs"] = 4_000;
  for (const step of made.safePose["steps"] as Record<string, unknown>[]) step["deadlineMs"] = 2_000;
  return made;
}

/** One of the pair, and nothing that would start it again. */
export function spawnReflex(folder: string, instance: "a" | "b", { state = join(folder, "state"), through = [], words = [] }: PairOptions = {}): ChildProcessByStdio<null, Readable, Readable> {
  mkdirSync(state, { recursive: true });
  const [command, ...args] = [...through, program, "--instance", instance, "--run", folder, "--state", state, "--no-realtime", ...words];
  return spawn(command!, args, { stdio: ["ignore", "pipe", "pipe"] });
}

export class Pair {
  readonly supervisor: ReflexSupervisor;
  readonly client: ReflexClient;
  /** Why commands were refused, by reason. */
  readonly refused = new Map<string, number>();
  readonly events: string[] = [];
  readonly #bus: ReflexBus;
  readonly #codec: MessageCodec;
  readonly #children = new Map<"a" | "b", ChildProcess>();
  readonly #folder: string;
  readonly #options: PairOptions;
  #log = "";
  #token = 0;
  #commanding: NodeJS.Timeout | undefined;
  #ended = false;

  /** `folder`: of the configuration and of the reflexes' sockets. */
  static async start(folder: string, configuration: string, options: PairOptions = {}): Promise<Pair> {
    const file = join(folder, "ipcnet.yaml");
    writeFileSync(file, configuration);
    const loaded = loadConfiguration(file);
    if (!loaded.ok || !loaded.accepted.reflexTable) throw new Error(loaded.ok ? "no reflex in it" : loaded.text);
    const { config, parts, reflexTable: table } = loaded.accepted;
    const events: string[] = [];
    const { instances = ["a", "b"] } = options;
    const client = await ReflexClient.create({
      runFolder: folder, instances, clock: systemClock, brainEpoch: () => 1, isActive: () => true, bootId: new Uint8Array(16), table, brainTimeoutMs: config.redundancy.brainTimeoutMs,
      event: ({ severity, code, text }) => void events.push(`${severity} ${code}: ${text}`),
    });
    const pair = new Pair({ client, events, fd: config.buses[0]!.fd, codec: compileMessage(parts.messages.of("arm").get("base_Command")!.message), folder, options });
    await pair.#bus.start();
    if (options.starts !== false) for (const instance of instances) pair.startOne(instance);
    return pair;
  }

  private constructor({ client, events, fd, codec, folder, options }: { client: ReflexClient; events: string[]; fd: boolean; codec: MessageCodec; folder: string; options: PairOptions }) {
    this.client = client;
    this.events = events;
    this.#codec = codec;
    this.#folder = folder;
    this.#options = options;
    this.#bus = new ReflexBus({ client, bus: 0, name: "arm", bitrateBps: 500_000, fd, clock: systemClock, onRefused: (_token, reason) => void this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1) });
    this.supervisor = new ReflexSupervisor({ client, clock: systemClock, missing: () => [], clearCommands: () => {}, stateChanged: (from, to, why) => void events.push(`${from} → ${to}: ${why}`), autoDisarmAfterSilentMs: 0 });
  }

  startOne(instance: "a" | "b"): void {
    const child = spawnReflex(this.#folder, instance, this.#options);
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (this.#log += text));
    this.#children.set(instance, child);
    // As whatever keeps it running does: on this machine a twin may be found standing still although it is only slow.
    child.once("close", () => {
      if (!this.#ended) this.startOne(instance);
    });
  }

  get owner(): "a" | "b" | undefined {
    return this.client.owner?.instance;
  }

  get phase(): (typeof busPhases)[number] | undefined {
    const row = this.client.owner?.buses.get(0)?.phase ?? this.client.owner?.status?.busPhases[0];
    return row === undefined ? undefined : busPhases[row];
  }

  /** For the message of a test that waited in vain. */
  describe(): unknown {
    return { owner: this.owner, phase: this.phase, state: this.supervisor.state, missing: this.supervisor.missing(), refused: [...this.refused], roles: this.client.ends.map(({ instance, role, isReady }) => [instance, role, isReady]), events: this.events.slice(-12), log: this.#log.split("\n").slice(-12) };
  }

  async until<Answer>(what: string, ask: () => Answer | Promise<Answer>): Promise<Exclude<Answer, undefined | false>> {
    return eventually(what, ask, { timeoutMs: PATIENCE_MS, last: () => this.describe() });
  }

  /** As a person does: resets what is latched, and arms as soon as nothing is missing. */
  async arm(): Promise<void> {
    await this.until("armed", async () => {
      if (this.supervisor.state === "armed") return true;
      if (this.supervisor.state === "posed" || this.supervisor.state === "fault") await this.supervisor.reset("test");
      return this.supervisor.state === "disarmed" && (await this.supervisor.arm("test")).length === 0;
    });
  }

  /**
   * Commands the base joint every 50 ms until it is stopped, which disarms: a set-point that ends otherwise is a reason for the safe pose.
   * One program commands at a time: a step that failed would leave its own behind, beside the next step's, and this process without an end.
   */
  commanding(targetPosition: number, velocityLimit = 0.4): { stop(): Promise<void>; silence(): void } {
    clearInterval(this.#commanding);
    const timer = setInterval(() => {
      const encoded = this.#codec.encode({ crc: 0, counter: 0, epoch: 0, owner: 0, mode: "Move", targetPosition, velocityLimit });
      if (!encoded.ok) throw new Error(encoded.text);
      this.#token += 1;
      const verdict = this.#bus.send({ canId: this.#codec.message.canId, flags: canFlagsOf(this.#codec.message), data: encoded.data, timeUs: systemClock.nowUs() + LIFE_MS * 1e3, token: this.#token });
      if (verdict !== "queued") this.refused.set(verdict, (this.refused.get(verdict) ?? 0) + 1);
    }, 50);
    this.#commanding = timer;
    return {
      // Nothing is disarmed: what it moved expires.
      silence: () => clearInterval(timer),
      stop: async () => {
        clearInterval(timer);
        this.supervisor.disarm("test");
        await this.until("not armed", () => this.supervisor.state !== "armed");
      },
    };
  }

  /** kill -9; it is started again. */
  async kill(instance: "a" | "b"): Promise<void> {
    const child = this.#children.get(instance)!;
    const closed = once(child, "close");
    child.kill("SIGKILL");
    await closed;
  }

  /** Both stand still, at once. */
  freeze(): void {
    for (const child of this.#children.values()) child.kill("SIGSTOP");
  }

  async end(): Promise<void> {
    this.#ended = true;
    clearInterval(this.#commanding);
    await this.#bus.stop();
    for (const child of this.#children.values()) {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "close");
    }
  }

  get log(): string {
    return this.#log;
  }
}

/** A broker on a real socket with a real topic table, and programs to talk to it; for tests and benches. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../schemas/clock.ts";
import { Status } from "../../schemas/status.ts";
import { DirectTopicTable } from "../topics/directTopics.ts";
import { TopicTable } from "../topics/table.ts";
import type { Topic } from "../topics/table.ts";
import { type Broker, type BrokerEvent, createBroker, listenForClients } from "./broker.ts";
import type { LaneLimits } from "./lanes/limits.ts";
import type { BrokerLimits } from "./limits.ts";
import type { AccessPolicy, Peer, PublishMeta, ResourceTable, ServiceAnswer } from "./ports.ts";

export const openPolicy: AccessPolicy = { mayConnect: () => true, mayRead: () => true, mayWrite: () => true, mayCall: () => true, mayOffer: () => true, mayGrant: () => true, isOneOf: () => false, isKnown: () => true };

export interface Published { topic: string; value: unknown; meta: PublishMeta }

export interface RigOptions {
  limits?: Partial<BrokerLimits>;
  laneLimits?: Partial<LaneLimits>;
  /** How long requests wait for providers that come back after the start, ms; 0 unless a test is about that. */
  returnMs?: number;
  policy?: AccessPolicy;
  /** Names of the gateway's own services that `call` answers. */
  services?: readonly string[];
  resources?: ResourceTable;
  call?: (service: string, body: unknown, who: Peer) => Promise<ServiceAnswer>;
}

export class BrokerRig {
  readonly folder = mkdtempSync(join(tmpdir(), "ipcnet-broker-"));
  readonly path = join(this.folder, "ipcnet.sock");
  readonly table = new TopicTable();
  readonly events: BrokerEvent[] = [];
  readonly published: Published[] = [];
  readonly #direct = new DirectTopicTable(this.table, systemClock);
  broker: Broker;
  readonly #options: RigOptions;
  #children: ChildProcess[] = [];
  #waiting: { done: () => boolean; resolve: () => void }[] = [];

  constructor(options: RigOptions = {}) {
    this.#options = options;
    this.table.setWallOffset(systemClock.wallTimeNs(), systemClock.nowUs());
    this.broker = this.#createBroker();
  }

  /** The broker goes and another one comes, with the same topics: to clients the same gateway process. */
  async restartBroker(meanwhile?: () => void): Promise<void> {
    await this.broker.close("restart");
    meanwhile?.();
    this.broker = this.#createBroker();
  }

  #createBroker(): Broker {
    const { limits, laneLimits, returnMs = 0, policy = openPolicy, services = ["echo"], call, resources } = this.#options;
    return createBroker({
      server: listenForClients(this.path, { mode: 0o666, ...(limits ? { limits } : {}) }),
      gateway: { robot: "test", version: "0", instance: "a", boot: "b00t" },
      topics: this.table, directTopics: this.#direct, policy, clock: systemClock,
      publisher: { publish: (topic, value, meta) => this.#publish(topic, value, meta) },
      services: { names: services, call: call ?? ((service, body) => Promise.resolve(service === "echo" ? { status: Status.ok, body } : { status: Status.notFound, text: `there is no service ${service}` })) },
      onEvent: (event) => {
        this.events.push(event);
        this.#check();
      },
      serviceLimits: { returnMs }, ...(limits ? { limits } : {}), ...(laneLimits ? { laneLimits } : {}), ...(resources ? { resources } : {}),
    });
  }

  /** Lets other users reach the socket. */
  allowOthers(): void {
    chmodSync(this.folder, 0o755);
  }

  topic(name: string, writable = false): Topic {
    return this.table.get(name) ?? this.table.declare({ name, encoding: "bytes", writable });
  }

  publish(name: string, bytes: Uint8Array): void {
    this.table.publish(this.topic(name), bytes, 0, bytes.length, systemClock.nowUs(), 0, "test", 0);
  }

  /** Runs `source` (the body of an async function with `client` from shm/client in scope) in a process of its own. Its lines on stdout are parsed as JSON. */
  program(source: string, { uid, raw = false }: { uid?: number; raw?: boolean } = {}): Program {
    const url = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
    const imports = raw ? `import { SeqpacketConnection, nativeSeal } from ${url("../../shm/sockets/index.js")};` : `import { connect, IpcnetError } from ${url("../../shm/client/index.js")};`;
    const script = `${imports}
      const path = ${JSON.stringify(this.path)};
      const say = (value) => process.stdout.write(JSON.stringify(value, (_, v) => typeof v === "bigint" ? String(v) : v) + "\\n");
      ${raw ? "" : "const client = await connect({ socketPath: path, name: 'program' });"}
      ${source}`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["pipe", "pipe", "inherit"], ...(uid === undefined ? {} : { uid, gid: uid }) });
    this.#children.push(child);
    return new Program(child);
  }

  /** Resolves when `done` holds; asked again after each broker event, publish and turn. */
  async until(done: () => boolean): Promise<void> {
    while (!done()) {
      const event = new Promise<void>((resolve) => this.#waiting.push({ done, resolve }));
      await Promise.race([event, new Promise((resolve) => void setImmediate(resolve))]);
    }
  }

  async close(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    await this.broker.close("the test is over");
    rmSync(this.folder, { recursive: true, force: true });
  }

  #publish(topic: string, value: unknown, meta: PublishMeta): { status: number; text: string } {
    if (!this.table.get(topic)) return { status: Status.notFound, text: "no such topic" };
    this.published.push({ topic, value: value instanceof Uint8Array ? value.slice() : value, meta });
    this.#check();
    return { status: Status.ok, text: "" };
  }

  #check(): void {
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }
}

/** A child process that prints one JSON value per line. */
export class Program {
  readonly child: ChildProcess;
  #lines: unknown[] = [];
  #text = "";
  #next: ((value: unknown) => void) | undefined;
  readonly exited: Promise<number | null>;

  constructor(child: ChildProcess) {
    this.child = child;
    this.exited = new Promise((resolve) => child.once("exit", resolve));
    child.stdout!.setEncoding("utf8").on("data", (chunk: string) => {
      this.#text += chunk;
      const lines = this.#text.split("\n");
      this.#text = lines.pop()!;
      for (const line of lines) this.#push(JSON.parse(line));
    });
  }

  /** The next value it prints. */
  next<T = unknown>(): Promise<T> {
    const line = this.#lines.shift();
    if (line !== undefined) return Promise.resolve(line as T);
    return new Promise((resolve) => {
      this.#next = resolve as (value: unknown) => void;
    });
  }

  tell(text: string): void {
    this.child.stdin!.write(`${text}\n`);
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  #push(value: unknown): void {
    const next = this.#next;
    this.#next = undefined;
    if (next) next(value);
    else this.#lines.push(value);
  }
}

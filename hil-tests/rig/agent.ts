/** The host's end of the agent: scripts in the machine as promises and streams. The channel is a virtio-serial port's socket, or ssh's pipes. */
import type { Readable, Writable } from "node:stream";
import { type AgentMessage, type AgentOrder, AgentReader, orderLine } from "./agentProtocol.ts";

/** Over the machine's own limit: its clock may run slower than ours. */
const HOST_PATIENCE_FACTOR = 6;
const RUN_TIMEOUT_MS = 60_000;
const END_PATIENCE_MS = 30_000;
/** Of what a program has written; the oldest goes. */
const OUTPUT_CHARS_MAX = 4 << 20;

export interface Ended {
  code: number | null;
  signal: string | null;
  timedOut: boolean;
  out: string;
  err: string;
}

/** A script that runs in the machine. */
export class Running {
  out = "";
  err = "";
  readonly ended: Promise<Ended>;
  /** Called for each whole line that it writes on its standard output. */
  onLine: ((line: string, atS: number) => void) | undefined;
  readonly script: string;
  readonly #order: (order: AgentOrder) => void;
  readonly #id: number;
  #rest = "";
  #resolve!: (ended: Ended) => void;
  #reject!: (error: Error) => void;

  constructor(id: number, script: string, order: (order: AgentOrder) => void) {
    this.#id = id;
    this.script = script;
    this.#order = order;
    this.ended = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever never asks how it ended is told by whatever else fails.
    this.ended.catch(() => undefined);
  }

  write(text: string): void {
    this.#order({ do: "input", id: this.#id, text });
  }
  closeInput(): void {
    this.#order({ do: "close", id: this.#id });
  }
  /** Of its whole session. */
  signal(signal: "SIGTERM" | "SIGKILL" | "SIGINT" | "SIGSTOP" | "SIGCONT"): void {
    this.#order({ do: "signal", id: this.#id, signal });
  }

  /** By the agent's connection. */
  take(message: AgentMessage & { kind: "out" | "err" | "ended" | "trouble" }): void {
    if (message.kind === "out") {
      this.out = (this.out + message.text).slice(-OUTPUT_CHARS_MAX);
      const lines = (this.#rest + message.text).split("\n");
      this.#rest = lines.pop()!;
      for (const line of lines) this.#tell(line, message.atS);
    } else if (message.kind === "err") this.err = (this.err + message.text).slice(-OUTPUT_CHARS_MAX);
    else if (message.kind === "ended") this.#resolve({ code: message.code, signal: message.signal, timedOut: message.timedOut, out: this.out, err: this.err });
    else this.#reject(new Error(`the agent could not: ${message.text}`));
  }
  /** A line that cannot be read is how the program has ended, for whoever waits for it: this is called where nobody would hear of it. */
  #tell(line: string, atS: number): void {
    try {
      this.onLine?.(line, atS);
    } catch (error) {
      this.onLine = undefined;
      this.#reject(new Error(`what it wrote cannot be read (${(error as Error).message}): ${line.slice(0, 200)}`, { cause: error }));
    }
  }
  lost(why: string): void {
    this.#reject(new Error(`${why}, while this ran: ${this.script.slice(0, 200)}`));
  }
}

export interface Hello {
  uptimeS: number;
  kernel: string;
  processor: string;
  bootId: string;
}

export class Agent {
  /** Called with each pair of clocks: the machine's wall clock, and ours, when a message came. */
  onClock: ((machineS: number) => void) | undefined;
  /** Called at each start of the agent after the first: the machine has been reset. */
  onHello: ((hello: Hello) => void) | undefined;
  hello: Hello | undefined;
  readonly ready: Promise<Hello>;
  readonly #running = new Map<number, Running>();
  readonly #output: Writable;
  #number = 0;
  #gone: string | undefined;
  #resolve!: (hello: Hello) => void;
  #reject!: (error: Error) => void;

  constructor(input: Readable, output: Writable) {
    this.#output = output;
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.ready.catch(() => undefined);
    const reader = new AgentReader();
    input.on("data", (bytes: Buffer) => {
      for (const message of reader.push(bytes)) this.#take(message);
    });
    input.on("close", () => this.lost("the machine's agent is gone"));
    for (const stream of [input, output]) stream.on("error", (error: Error) => this.lost(`the machine's agent is gone (${error.message})`));
  }

  #take(message: AgentMessage): void {
    if (message.kind === "garbage") return;
    this.onClock?.(message.atS);
    if (message.kind === "hello") {
      const { uptimeS, kernel, processor, bootId } = message;
      const again = this.hello !== undefined;
      this.hello = { uptimeS, kernel, processor, bootId };
      this.#resolve(this.hello);
      if (!again) return;
      for (const running of this.#running.values()) running.lost("the machine was reset");
      this.#running.clear();
      this.onHello?.(this.hello);
      return;
    }
    if (message.id === undefined) return;
    this.#running.get(message.id)?.take(message);
    if (message.kind === "ended" || message.kind === "trouble") this.#running.delete(message.id);
  }

  /** Nothing more will come. */
  lost(why: string): void {
    this.#gone ??= why;
    this.#reject(new Error(why));
    for (const running of this.#running.values()) running.lost(why);
    this.#running.clear();
  }

  /** Starts bash with `script`; `timeoutMs` by the machine's clock, 0: none. */
  start(script: string, { timeoutMs = 0, input = false }: { timeoutMs?: number; input?: boolean } = {}): Running {
    const id = ++this.#number;
    const running = new Running(id, script, (order) => this.#send(order));
    if (this.#gone !== undefined) {
      running.lost(this.#gone);
      return running;
    }
    this.#running.set(id, running);
    this.#send({ do: "run", id, script, ...(timeoutMs > 0 ? { timeoutMs } : {}), ...(input ? { input } : {}) });
    return running;
  }

  /** Runs it to its end. Fails when it takes longer, or when the machine does not answer at all. `machineFactor`: by its own clock it may take so many times as long. */
  async run(script: string, { timeoutMs = RUN_TIMEOUT_MS, machineFactor = 1 }: { timeoutMs?: number; machineFactor?: number } = {}): Promise<Ended> {
    const running = this.start(script, { timeoutMs: timeoutMs * machineFactor });
    const timer = setTimeout(() => running.lost(`no answer within ${(timeoutMs * HOST_PATIENCE_FACTOR) / 1e3} s`), timeoutMs * HOST_PATIENCE_FACTOR);
    try {
      return await running.ended;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends what still runs, a machine's first process goes with it. */
  quit(): void {
    if (this.#gone === undefined) this.#send({ do: "quit" });
  }

  /** Ends everything that was started through it. */
  async endAll(): Promise<void> {
    const all = [...this.#running.values()];
    for (const running of all) running.signal("SIGKILL");
    const timer = setTimeout(() => all.forEach((running) => running.lost("it did not end when it was killed")), END_PATIENCE_MS);
    await Promise.allSettled(all.map(({ ended }) => ended));
    clearTimeout(timer);
  }

  #send(order: AgentOrder): void {
    this.#output.write(orderLine(order));
  }
}

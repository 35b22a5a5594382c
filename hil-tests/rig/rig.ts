/**
 * What a behaviour is handed: the machine under test, its CAN interfaces in a fresh state, and the record of what happens. The same on a bench, where no machine of QEMU is behind it.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { eventually } from "../waiting.ts";
import type { Agent, Ended, Running } from "./agent.ts";
import { Skipped } from "./behaviour.ts";
import type { Machine } from "./machine.ts";
import { RemoteDriver } from "./remoteDriver.ts";
import type { Step } from "./report/result.ts";
import { stepOf, stepsOf } from "./tap.ts";
import type { Clocks, Timeline } from "./timeline.ts";

/** Which two ends of a bus. On a bench all of them are the bench's own. */
export type PairKind = "sja1000" | "dcan" | "vxcan";

export interface PairOptions {
  bitrateBps?: number;
  /** CAN FD, at this rate in the data phase. Only of controllers that have it: dcan, a bench's. */
  dataBitrateBps?: number;
  restartMs?: number;
  txQueueFrames?: number;
  /** Paced at the bit rate, as a real bus is: emulated controllers pass frames as fast as the processor can. */
  paced?: boolean;
}

/** Where the built repository lies in the machine, and what runs JavaScript there. */
export interface Place {
  repository: string;
  node: string;
  /** Of dcan.ko and faultcan.ko; undefined on a bench. */
  ownModules: string | undefined;
  /** A robot's configuration on the host, if one was given: it lies at /host and this path in the machine. */
  configuration?: string | undefined;
}

export interface RigParts {
  agent: () => Agent;
  machine: Machine | undefined;
  place: Place;
  timeline: Timeline;
  clocks: Clocks;
  /** The bench's interfaces. */
  can: readonly string[];
  /** Of two machines: which one, for the lanes of the timeline. */
  who?: string | undefined;
  /** Of two machines the second. */
  other?: Rig | undefined;
  /** When the behaviour is given up, by performance.now(). */
  deadlineMs: number;
}

/** Whoever waits for something gives up so long before the behaviour is given up, so that it can still say for what it has waited, and what it saw last. */
const MARGIN_MS = 10_000;
/** Of a behaviour whose time is nearly over. */
const PATIENCE_MS_MIN = 1_000;
/** A frame of 8 bytes and an 11-bit identifier on the wire: 111 bits, 3 between frames, 13 stuffed on average of random data. docs/specs/can-core.md reckons with the longest. */
export const FRAME_BITS = 128;

/** How much faster than the host's the machine's clock may go when it waits for nobody. */
const OWN_CLOCK_FACTOR = 100;

export class Rig {
  readonly steps: Step[] = [];
  readonly figures: [string, string][] = [];
  /** What this machine has not got, so that something was skipped. What a test in the machine skips by itself is not among it. */
  readonly lacking: string[] = [];
  log = "";
  #hasOwnClock = false;
  /** Why nothing can be done with it any more. */
  #closed: string | undefined;
  readonly #parts: RigParts;
  readonly #timeline: Timeline;

  constructor(parts: RigParts) {
    this.#parts = parts;
    this.#timeline = parts.timeline;
  }

  /** Nothing more is done for this behaviour: what it still asks for throws, what it still tells is not recorded. */
  close(why: string): void {
    this.#closed = why;
    this.#parts.other?.close(why);
  }
  #open(): void {
    if (this.#closed !== undefined) throw new Error(this.#closed);
  }

  /** How long a wait for something in the machine may last, by the host's clock: nearly all that the behaviour has left. A host with eight other programs for each processor has needed five minutes for ten seconds of the machine's. */
  get patienceMs(): number {
    return Math.max(PATIENCE_MS_MIN, this.#parts.deadlineMs - performance.now() - MARGIN_MS);
  }

  /** For faults from outside: QEMU's monitor, the power. Not on a bench. */
  get machine(): Machine {
    this.#open();
    if (!this.#parts.machine) throw new Error("there is no QEMU behind a bench");
    return this.#parts.machine;
  }
  get isBench(): boolean {
    return this.#parts.machine === undefined;
  }
  get place(): Place {
    return this.#parts.place;
  }

  /** The second of two machines: what happens there, and its steps and figures, are told by the first. */
  get other(): Rig {
    if (!this.#parts.other) throw new Error("there is one machine only: needs.machine is not two");
    return this.#parts.other;
  }

  // ---- The record -----------------------------------------------------------------------------------------------------------------

  /** Into the timeline. */
  note(text: string, tone: "plain" | "good" | "bad" = "plain"): void {
    if (this.#closed === undefined) this.#timeline.note("rig", text, tone);
  }
  #lane(name: string): string {
    return this.#parts.who === undefined ? name : `${this.#parts.who}, ${name}`;
  }
  /** Frames that the host itself has seen, as `candump -L` writes them, with seconds of performance.now(). */
  canLog(text: string): void {
    if (this.#closed === undefined) this.#timeline.addCanLog(text, { hostMs: (atS) => atS * 1e3 });
  }
  /** Into the report's table. */
  figure(name: string, value: string | number): void {
    this.figures.push([name, String(value)]);
    this.note(`${name}: ${value}`, "good");
  }
  /** This cannot be tried here: in a step of it the rest goes on, else the behaviour is over. Something of this machine is lacking. */
  skip(why: string): never {
    this.lacking.push(why);
    throw new Skipped(why);
  }
  /** A part of the behaviour that holds or does not; what comes after it is not tried if it does not. */
  async step(name: string, body: () => Promise<void>): Promise<void> {
    this.#open();
    try {
      await body();
      this.steps.push({ name, verdict: "passed", text: "" });
      this.note(name, "good");
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      if (error instanceof Skipped) {
        this.steps.push({ name, verdict: "skipped", text });
        this.note(`${name}: skipped: ${text}`);
        return;
      }
      this.steps.push({ name, verdict: "failed", text });
      this.note(name, "bad");
      throw error;
    }
  }
  eventually<Answer>(what: string, ask: () => Answer | Promise<Answer>, last?: () => unknown): Promise<Exclude<Answer, undefined | false>> {
    return eventually(what, () => {
      this.#open();
      return ask();
    }, { timeoutMs: this.patienceMs, ...(last ? { last } : {}) });
  }

  // ---- Programs in the machine ----------------------------------------------------------------------------------------------------

  /** Bash, as root; fails with the first of its commands that does (`set -e`: say `|| true` after one that may). Its standard output. */
  async sh(script: string, { timeoutMs = 60_000, quiet = false }: { timeoutMs?: number; quiet?: boolean } = {}): Promise<string> {
    const ended = await this.#run(script, { timeoutMs, quiet, prefix: "set -e\n" });
    assert.equal(ended.code, 0, `${script}\n${ended.timedOut ? `not within ${timeoutMs} ms` : `ended with ${ended.code ?? ended.signal}`}: ${ended.err}${ended.out}`);
    return ended.out;
  }
  /** All of its commands, however they end. */
  async run(script: string, { timeoutMs = 60_000, quiet = false }: { timeoutMs?: number; quiet?: boolean } = {}): Promise<Ended> {
    return this.#run(script, { timeoutMs, quiet, prefix: "" });
  }
  async #run(script: string, { timeoutMs, quiet, prefix }: { timeoutMs: number; quiet: boolean; prefix: string }): Promise<Ended> {
    this.#open();
    if (!quiet) this.#timeline.note(this.#lane("program"), script.length > 200 ? `${script.slice(0, 200)} …` : script);
    const ended = await this.#parts.agent().run(prefix + script, { timeoutMs, machineFactor: this.#hasOwnClock ? OWN_CLOCK_FACTOR : 1 });
    if (!quiet) this.#keep(script, ended);
    return ended;
  }
  /** Starts it and lets it run: lines as they come, a signal, an end. It ends with the behaviour at the latest. */
  start(script: string, { input = false, quiet = false }: { input?: boolean; quiet?: boolean } = {}): Running {
    this.#open();
    if (!quiet) this.#timeline.note(this.#lane("program"), script);
    const running = this.#parts.agent().start(script, { input });
    running.ended.then((ended) => {
      if (!quiet) this.#keep(script, ended);
    }, () => undefined);
    return running;
  }
  #keep(script: string, { code, signal, out, err }: Ended): void {
    const brief = (text: string): string => (text.length > 4_000 ? `${text.slice(0, 2_000)}\n…\n${text.slice(-2_000)}` : text);
    this.log += `$ ${script.trim()}\n${brief(out)}${brief(err)}${code === 0 ? "" : `ended with ${code ?? signal}\n`}`;
  }

  /** The command that runs a compiled file of the repository, of dist/ts/hil-tests/rig/inside. */
  inside(name: string): string {
    return `${this.place.node} ${join(this.place.repository, "dist/ts/hil-tests/rig/inside", `${name}.js`)}`;
  }
  /** A file of the repository as the machine sees it. */
  file(path: string): string {
    return join(this.place.repository, path);
  }

  /** Runs tests in the machine (node:test); each becomes a step. `known`: what the machine's own models cannot do; those may fail. */
  async tests(name: string, { environment = {}, only, known = [] }: { environment?: Record<string, string>; only?: string; known?: { pattern: RegExp; why: string }[] } = {}): Promise<void> {
    const settings = Object.entries(environment).map(([key, value]) => `${key}=${value}`).join(" ");
    const command = this.inside(name).replace(this.place.node, `${this.place.node} --enable-source-maps --test-reporter=tap${only === undefined ? "" : ` --test-name-pattern='${only}'`}`);
    const running = this.start(`${settings} exec ${command}`);
    // As they come, so that they are there if the machine is not any more; how one failed is known only at the end.
    const from = this.steps.length;
    running.onLine = (line) => {
      const step = stepOf(line);
      if (!step) return;
      this.steps.push(step);
      this.note(step.name, step.verdict === "passed" ? "good" : step.verdict === "failed" ? "bad" : "plain");
    };
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      running.signal("SIGKILL");
    }, this.patienceMs);
    const ended = await running.ended.finally(() => clearTimeout(timer));
    // What `only` leaves out is no step of this behaviour (Node 20 tells it as skipped, Node 24 does not tell it).
    const steps = stepsOf(ended.out).filter(({ verdict, text }) => verdict !== "skipped" || !/does not match/.test(text));
    this.steps.splice(from);
    const excused = (step: Step): { why: string } | undefined => known.find(({ pattern }) => pattern.test(step.name));
    for (const step of steps) {
      const excuse = step.verdict === "failed" ? excused(step) : undefined;
      this.steps.push(excuse ? { name: `${step.name} (fails, as known: ${excuse.why})`, verdict: "passed", text: "" } : step);
    }
    const failed = steps.filter((step) => step.verdict === "failed" && !excused(step));
    this.figure("passed in the machine", `${steps.filter(({ verdict }) => verdict === "passed").length} of ${steps.length}`);
    assert.ok(!isLate, `not at its end when the behaviour's time was nearly over; last: ${steps.at(-1)?.name ?? "nothing"}; ${ended.err.slice(-2_000)}`);
    assert.deepEqual(failed.map(({ name: step }) => step), [], `${failed.map(({ name: step, text }) => `${step}\n${text}`).join("\n")}\n${ended.err.slice(-2_000)}`);
    assert.ok(steps.length > 0, `no test ran: ${ended.err}${ended.out}`);
    if (steps.every(({ verdict }) => verdict !== "failed")) assert.equal(ended.code, 0, `${ended.signal ?? ended.code}: ${ended.err}`);
  }

  /**
   * From now on until the behaviour ends the virtual machine's clock is its own alone (inside/keep_busy.c): its timers are never late because the host was busy, and sleeping costs next to nothing.
   * Not for what waits for the host's side of something (a serial line): beside it the machine's time flies. On a bench nothing.
   */
  async ownClock(): Promise<void> {
    if (this.isBench) return;
    assert.ok(this.#parts.who === undefined, "one of two has the host's clock: theirs would run apart");
    await this.#readFiles();
    this.#hasOwnClock = true;
    this.start(`exec ${this.file("dist/native/test/keep_busy")}`, { quiet: true });
  }

  /** Once a boot: what programs are made of, into the machine's memory. Else each start of one waits for the host to hand over its files, while that clock flies and takes QEMU the processor with which it would. */
  async #readFiles(): Promise<void> {
    const folders = ["dist/ts", "dist/native", "node_modules/yaml/dist", "node_modules/cbor-x", "node_modules/@cbor-extract"].map((name) => this.file(name)).join(" ");
    await this.sh(`[ -e /run/files-read ] || { cat ${this.place.node} >/dev/null; find ${folders} -type f '(' -name '*.js' -o -name '*.cjs' -o -name '*.node' -o -name package.json -o -name ipcnet-reflex -o -name ipcnet-purge ')' -not -name '*.test.js' -exec cat '{}' + >/dev/null || true; touch /run/files-read; }`, { quiet: true, timeoutMs: 180_000 });
  }

  // ---- CAN ------------------------------------------------------------------------------------------------------------------------

  /** Two interfaces on one bus, up, with nothing left over from before. */
  async pair(kind: PairKind, options: PairOptions = {}): Promise<readonly [string, string]> {
    const names = this.isBench ? this.#benchPair() : await this.#virtualPair(kind);
    await this.sh(names.map((name) => this.#setUp(name, kind, options)).join("\n"), { quiet: true });
    return names;
  }

  #benchPair(): readonly [string, string] {
    const [first, second] = this.#parts.can;
    assert.ok(first !== undefined && second !== undefined, "this needs two interfaces on one bus: --can can0,can1");
    return [first, second];
  }

  async #virtualPair(kind: PairKind): Promise<readonly [string, string]> {
    if (kind === "vxcan") {
      await this.sh("modprobe can-raw; modprobe vxcan; ip link del vx0 2>/dev/null || true; ip link add vx0 type vxcan peer name vx1; ip link set vx0 mtu 72; ip link set vx1 mtu 72", { quiet: true });
      return ["vx0", "vx1"];
    }
    await this.modules();
    if (kind === "dcan") return ["dcan0", "dcan1"];
    await this.sh("modprobe kvaser_pci", { quiet: true });
    // After a bind anew the kernel may have given other numbers.
    const names = (await this.sh("cd /sys/bus/pci/drivers/kvaser_pci && for d in 0*; do ls $d/net; done", { quiet: true })).split(/\s+/).filter((name) => name !== "");
    assert.equal(names.length, 2, `controllers of kvaser_pci: ${names.join(" ")}`);
    return [names[0]!, names[1]!];
  }

  /** Ours: dcan and faultcan. */
  async modules(): Promise<void> {
    const folder = this.place.ownModules;
    assert.ok(folder !== undefined, "modules of ours are not for a bench");
    await this.sh(`for m in can can-raw can-dev; do modprobe $m; done; for m in dcan faultcan; do [ -d /sys/module/$m ] || insmod ${folder}/$m.ko; done`, { quiet: true });
  }

  #setUp(name: string, kind: PairKind, { bitrateBps = 500_000, dataBitrateBps, restartMs = 0, txQueueFrames = 256, paced = false }: PairOptions): string {
    // A controller stays in FD mode until it is told otherwise.
    const rates = `bitrate ${bitrateBps} ${dataBitrateBps === undefined ? "fd off" : `dbitrate ${dataBitrateBps} fd on`}`;
    const controller = kind === "vxcan" && !this.isBench ? "" : `ip link set ${name} type can ${rates} restart-ms ${restartMs} berr-reporting on 2>/dev/null || ip link set ${name} type can ${rates} restart-ms ${restartMs}`;
    return [
      `ip link set ${name} down`,
      controller,
      `ip link set ${name} txqueuelen ${txQueueFrames}`,
      `tc qdisc del dev ${name} root 2>/dev/null || true`,
      // A classic frame is 16 bytes to the kernel: 128 bits, what it takes on the wire as well.
      paced ? `modprobe -q sch_tbf; tc qdisc replace dev ${name} root tbf rate ${bitrateBps}bit burst 32 limit ${16 * txQueueFrames}` : "",
      `ip link set ${name} up`,
    ].filter((line) => line !== "").join("\n");
  }

  /** An error state or error report of a controller: active, warning, passive, off, overrun, ack, bit, stuff. */
  async fault(name: string, what: "active" | "warning" | "passive" | "off" | "overrun" | "ack" | "bit" | "stuff"): Promise<void> {
    await this.modules();
    this.note(`fault: ${name} ${what}`, "bad");
    await this.sh(`echo "${name} ${what}" >/sys/kernel/debug/faultcan`, { quiet: true });
  }

  /** Our driver, in a process of its own in the machine; not started yet. */
  async driver(): Promise<RemoteDriver> {
    const driver = new RemoteDriver(this.start(`exec ${this.inside("driverShell")}`, { input: true, quiet: true }), ({ code, text, state }, atS) => this.#timeline.note("driver", `${code}${state === undefined ? "" : ` ${state}`} ${text}`, code === "stateChanged" || code === "busRecovered" || code === "linkRestored" ? "plain" : "bad", this.#parts.clocks.hostMs(atS)));
    await driver.ready();
    return driver;
  }

  /** `candump -L` on an interface: its lines as they come, without the time. */
  async candump(name: string, words = ""): Promise<{ frames: string[]; running: Running; end(): Promise<void> }> {
    const frames: string[] = [];
    // It listens when the kernel lists one more receiver.
    const receivers = async (): Promise<number> => Number((await this.run(`grep -c '^ *${name} ' /proc/net/can/rcvlist_all`, { quiet: true })).out);
    const before = await receivers();
    const running = this.start(`exec stdbuf -oL candump -D -L ${words} ${name},0:0,#FFFFFFFF`, { quiet: true });
    running.onLine = (line) => {
      const frame = line.split(" ")[2];
      if (frame !== undefined) frames.push(frame);
    };
    await this.eventually("candump", async () => (await receivers()) > before, () => running.err);
    return {
      frames, running,
      end: async () => {
        running.signal("SIGTERM");
        await running.ended;
      },
    };
  }
}

/**
 * What a behaviour is handed: the machine under test, its CAN interfaces in a fresh state, and the record of what happens. The same on a bench, where no machine of QEMU is behind it.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { eventually } from "../waiting.ts";
import type { Agent, Ended, Running } from "./agent.ts";
import type { Machine } from "./machine.ts";
import { RemoteDriver } from "./remoteDriver.ts";
import type { Step } from "./report/result.ts";
import { stepsOf } from "./tap.ts";
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
}

/** Of a wait for something in the machine, by the host's clock: a host with eight other programs for each processor has needed five minutes for ten seconds of the machine's. */
export const PATIENCE_MS = 900_000;
/** A frame of 8 bytes and an 11-bit identifier on the wire: 111 bits, 3 between frames, 13 stuffed on average of random data. docs/specs/can-core.md reckons with the longest. */
export const FRAME_BITS = 128;

/** How much faster than the host's the machine's clock may go when it waits for nobody. */
const OWN_CLOCK_FACTOR = 100;

export class Rig {
  readonly steps: Step[] = [];
  readonly figures: [string, string][] = [];
  log = "";
  #hasOwnClock = false;
  readonly #parts: RigParts;
  readonly #timeline: Timeline;

  constructor(parts: RigParts) {
    this.#parts = parts;
    this.#timeline = parts.timeline;
  }

  /** For faults from outside: QEMU's monitor, the power. Not on a bench. */
  get machine(): Machine {
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
    this.#timeline.note("rig", text, tone);
  }
  #lane(name: string): string {
    return this.#parts.who === undefined ? name : `${this.#parts.who}, ${name}`;
  }
  /** Frames that the host itself has seen, as `candump -L` writes them, with seconds of performance.now(). */
  canLog(text: string): void {
    this.#timeline.addCanLog(text, { hostMs: (atS) => atS * 1e3 });
  }
  /** Into the report's table. */
  figure(name: string, value: string | number): void {
    this.figures.push([name, String(value)]);
    this.note(`${name}: ${value}`, "good");
  }
  /** A part of the behaviour that holds or does not; what comes after it is not tried if it does not. */
  async step(name: string, body: () => Promise<void>): Promise<void> {
    try {
      await body();
      this.steps.push({ name, passed: true, text: "" });
      this.note(name, "good");
    } catch (error) {
      this.steps.push({ name, passed: false, text: error instanceof Error ? error.message : String(error) });
      this.note(name, "bad");
      throw error;
    }
  }
  eventually<Answer>(what: string, ask: () => Answer | Promise<Answer>, last?: () => unknown): Promise<Exclude<Answer, undefined | false>> {
    return eventually(what, ask, { timeoutMs: PATIENCE_MS, ...(last ? { last } : {}) });
  }

  // ---- Programs in the machine ----------------------------------------------------------------------------------------------------

  /** Bash, as root; fails unless it ends with 0. Its standard output. */
  async sh(script: string, { timeoutMs = 60_000, quiet = false }: { timeoutMs?: number; quiet?: boolean } = {}): Promise<string> {
    const ended = await this.run(script, { timeoutMs, quiet });
    assert.equal(ended.code, 0, `${script}\n${ended.timedOut ? `not within ${timeoutMs} ms` : `ended with ${ended.code ?? ended.signal}`}: ${ended.err}${ended.out}`);
    return ended.out;
  }
  /** The same, however it ends. */
  async run(script: string, { timeoutMs = 60_000, quiet = false }: { timeoutMs?: number; quiet?: boolean } = {}): Promise<Ended> {
    if (!quiet) this.#timeline.note(this.#lane("program"), script.length > 200 ? `${script.slice(0, 200)} …` : script);
    const ended = await this.#parts.agent().run(script, { timeoutMs, machineFactor: this.#hasOwnClock ? OWN_CLOCK_FACTOR : 1 });
    if (!quiet) this.#keep(script, ended);
    return ended;
  }
  /** Starts it and lets it run: lines as they come, a signal, an end. It ends with the behaviour at the latest. */
  start(script: string, { input = false, quiet = false }: { input?: boolean; quiet?: boolean } = {}): Running {
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
  async tests(name: string, { environment = {}, only, known = [], timeoutMs = 40 * 60_000 }: { environment?: Record<string, string>; only?: string; known?: { pattern: RegExp; why: string }[]; timeoutMs?: number } = {}): Promise<void> {
    const settings = Object.entries(environment).map(([key, value]) => `${key}=${value}`).join(" ");
    const command = this.inside(name).replace(this.place.node, `${this.place.node} --enable-source-maps --test-reporter=tap${only === undefined ? "" : ` --test-name-pattern='${only}'`}`);
    const running = this.start(`${settings} exec ${command}`);
    running.onLine = (line) => {
      const match = /^(not ok|ok) \d+ - (.*)$/.exec(line);
      if (match) this.note(match[2]!, match[1] === "ok" ? "good" : "bad");
    };
    const timer = setTimeout(() => running.signal("SIGKILL"), timeoutMs);
    const ended = await running.ended;
    clearTimeout(timer);
    const steps = stepsOf(ended.out);
    const excused = (step: Step): { why: string } | undefined => known.find(({ pattern }) => pattern.test(step.name));
    for (const step of steps) {
      const excuse = step.passed ? undefined : excused(step);
      this.steps.push(excuse ? { name: `${step.name} (fails, as known: ${excuse.why})`, passed: true, text: "" } : step);
    }
    const failed = steps.filter((step) => !step.passed && !excused(step));
    this.figure("passed in the machine", `${steps.filter(({ passed }) => passed).length} of ${steps.length}`);
    assert.deepEqual(failed.map(({ name: step }) => step), [], `${failed.map(({ name: step, text }) => `${step}\n${text}`).join("\n")}\n${ended.err.slice(-2_000)}`);
    assert.ok(steps.length > 0, `no test ran: ${ended.err}${ended.out}`);
    if (steps.every(({ passed }) => passed)) assert.equal(ended.code, 0, `${ended.signal ?? ended.code}: ${ended.err}`);
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
    await this.sh(`[ -e /run/files-read ] || { cat ${this.place.node} >/dev/null; find ${folders} -type f '(' -name '*.js' -o -name '*.cjs' -o -name '*.node' -o -name package.json -o -name ipcnet-reflex -o -name ipcnet-purge ')' -not -name '*.test.js' -exec cat '{}' + >/dev/null; touch /run/files-read; }`, { quiet: true, timeoutMs: 180_000 });
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
      await this.sh("modprobe can-raw; modprobe vxcan; ip link del vx0 2>/dev/null; ip link add vx0 type vxcan peer name vx1 && ip link set vx0 mtu 72 && ip link set vx1 mtu 72", { quiet: true });
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
      `tc qdisc del dev ${name} root 2>/dev/null`,
      // A classic frame is 16 bytes to the kernel: 128 bits, what it takes on the wire as well.
      paced ? `modprobe -q sch_tbf; tc qdisc replace dev ${name} root tbf rate ${bitrateBps}bit burst 32 limit ${16 * txQueueFrames}` : "",
      `ip link set ${name} up`,
      "true",
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

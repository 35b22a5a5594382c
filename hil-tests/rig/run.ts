/**
 * `npm run hil`: boots what the behaviours need, runs them, writes the report. Exit code 0: all passed or were skipped, also where there is nothing to boot: one line says what is missing.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Agent, Hello } from "./agent.ts";
import { type Behaviour, type Found, type MachineKind, machineKinds } from "./behaviour.ts";
import { arm64Node, fetchArm64, findArm64 } from "./arm64.ts";
import { type Bench, openBench } from "./bench.ts";
import { type Group, groupsOf, isMeant } from "./grouping.ts";
import { fetchKernel, fetchUdev, findKernel, findUdev, type Kernel, made, prepare } from "./kernel.ts";
import { type Cable, Machine } from "./machine.ts";
import { junit } from "./report/junit.ts";
import { page } from "./report/page.ts";
import { count, type Report, type Result } from "./report/result.ts";
import { type Place, Rig } from "./rig.ts";
import { Clocks, Timeline } from "./timeline.ts";
import { readWords, usage, type Words } from "./words.ts";

const folderOfBehaviours = join(import.meta.dirname, "../behaviours");
const repository = join(import.meta.dirname, "../../../..");
/** What our services have written since the machine was started; the journal goes with the machine. */
async function journal(rig: Rig): Promise<string> {
  const { out } = await rig.run("journalctl -b -o short-monotonic --no-pager -n 400 -u 'ipcnet*'", { quiet: true }).catch((error: Error) => ({ out: `no journal: ${error.message}` }));
  return `\njournalctl -u 'ipcnet*':\n${out}\n`;
}

const BEHAVIOUR_TIMEOUT_MS = 15 * 60_000;
const CAN_LOG = "/tmp/ipcnet-rig-can.log";
/** Of the kernel's CAN log that is brought back. */
const CAN_LOG_BYTES_MAX = 8 << 20;
/** Of two: by which the timeline tells them apart. */
const NAMES_OF_TWO = ["first", "second"] as const;

/** What behaviours run on: a machine of QEMU, or a bench. */
interface Board {
  agent: () => Agent;
  machine: Machine | undefined;
  clocks: Clocks;
  who: string | undefined;
}
type VirtualBoard = Board & { machine: Machine };

const foldersInUse = new Set<string>();

async function main(): Promise<number> {
  const words = readWords(process.argv.slice(2));
  if (typeof words === "string") {
    process.stderr.write(`${words}\n\n${usage}`);
    return 2;
  }
  const say = (text: string): void => void (words.json ? process.stderr : process.stdout).write(`${text}\n`);
  const found = (await allBehaviours()).filter((each) => isMeant(each, words.only) && (words.config === undefined || words.only.length > 0 || each.behaviour.needs.devices.includes("configuration")));
  if (found.length === 0) {
    say(`no behaviour has ${words.only.join(" or ")} in its name`);
    return 2;
  }
  if (words.list) {
    list(found, say);
    return 0;
  }
  const repeated = Array.from({ length: words.times }, () => found).flat();
  if (words.target) {
    const run = new Run(words, say);
    await run.onBench(repeated);
    return run.finish();
  }
  const groups = groupsOf(repeated, words.machines, words.jobs > 1);
  if (groups.length === 0) {
    say(`nothing of that is for ${words.machines.join(" or ")}`);
    return 2;
  }
  const isArm64Only = groups.every(({ machine }) => machine === "arm64");
  if (words.fetch) {
    try {
      if (!isArm64Only) {
        fetchKernel();
        fetchUdev();
      }
      if (words.machines.includes("arm64")) fetchArm64();
    } catch (error) {
      // What is there is found, what is not is said, below: a machine without a network is no failure of the product.
      say(`not fetched: ${(error as Error).message.trim().split("\n").at(-1)}`);
    }
  }
  const kernel = isArm64Only ? findArm64() : findKernel();
  if (typeof kernel === "string") {
    say(`skipped: ${kernel}`);
    return 0;
  }
  const run = new Run(words, say);
  // Those of the package take longest by far.
  const longestFirst = groups.toSorted((a, b) => Number(b.machine === "systemd") - Number(a.machine === "systemd"));
  await atOnce(longestFirst.flatMap((group) => run.virtual(group, group.machine === "arm64" ? findArm64() : kernel)), words.jobs);
  return run.finish();
}

async function allBehaviours(): Promise<Found[]> {
  const files = readdirSync(folderOfBehaviours).filter((name) => name.endsWith(".hil.js")).sort();
  return Promise.all(files.map(async (name) => ({ file: name.replace(/\.hil\.js$/, ""), behaviour: ((await import(join(folderOfBehaviours, name))) as { default: Behaviour }).default })));
}

function list(found: readonly Found[], say: (text: string) => void): void {
  for (const { machine, boots } of groupsOf(found)) {
    say(`${machine} (${boots.length} ${boots.length === 1 ? "start" : "starts"})`);
    for (const { file, behaviour: { name, needs, bench, runsOnBench } } of boots.flat()) say(`  ${file}\n    ${name}\n    needs: ${needs.devices.join(", ") || "nothing"}; on a bench${runsOnBench ? ", by this file" : " by hand"}: ${bench}`);
  }
}

class Run {
  readonly #words: Words;
  readonly #say: (text: string) => void;
  readonly #report: Report = { startedAt: new Date(), where: "", boots: [], ms: 0, results: [] };
  readonly #beganMs = performance.now();
  readonly #kept: string[] = [];

  constructor(words: Words, say: (text: string) => void) {
    this.#words = words;
    this.#say = say;
  }

  // ---- Where ----------------------------------------------------------------------------------------------------------------------

  /** One job for each boot. `kernel`: or why there is none for this kind of machine. */
  virtual({ machine: kind, boots }: Group, kernel: Kernel | string): (() => Promise<void>)[] {
    const lacking = typeof kernel === "string" ? kernel : kind === "systemd" && !existsSync("/lib/systemd/systemd") ? "systemd is not installed here (Debian: systemd systemd-sysv dbus)" : undefined;
    if (lacking !== undefined || typeof kernel === "string") {
      for (const each of boots.flat()) this.#skip(each, kind, lacking!);
      return [];
    }
    this.#report.where = [...new Set([...this.#report.where.split("; ").filter((text) => text !== ""), `QEMU, Linux ${kernel.version}`])].join("; ");
    const { ownModules } = prepare(kernel);
    // The machine's own /tmp hides the host's: everything of the host is under /host as well.
    const place: Place = { repository: `/host${repository}`, node: `/host${kernel.processor === "aarch64" ? arm64Node : process.execPath}`, ownModules: ownModules && `/host${ownModules}`, configuration: this.#words.config };
    const lacks = ({ file, behaviour: { onlyWhenNamed, needs: { devices } } }: Found): string | undefined => {
      if (onlyWhenNamed !== undefined && this.#words.only.length === 0) return `${onlyWhenNamed}: npm run hil -- ${file}`;
      if (ownModules === undefined && devices.some((device) => device === "dcan" || device === "faults")) return `modules of ours can be built only for the kernel of the headers that are installed, not for ${kernel.version}`;
      if (devices.includes("configuration") && this.#words.config === undefined) return "no configuration of a robot was given: npm run hil -- --config FILE";
      return devices.includes("udev") && findUdev() === undefined ? "udev is neither installed nor fetched: npm run hil -- --fetch" : undefined;
    };
    return boots.map((boot) => {
      for (const each of boot) {
        const why = lacks(each);
        if (why !== undefined) this.#skip(each, kind, why);
      }
      return () => this.#boot(kernel, kind, place, boot.filter((each) => lacks(each) === undefined));
    });
  }

  /** One machine for these, or two; new ones if a failure leaves one unusable. */
  async #boot(kernel: Kernel, kind: MachineKind, place: Place, found: readonly Found[]): Promise<void> {
    const waiting = [...found];
    while (waiting.length > 0) {
      const boards = kind === "two" ? twoBoards(kernel) : [oneBoard(kernel, kind === "systemd" ? "systemd" : "plain")];
      let failed = false;
      try {
        for (const { machine } of boards) {
          if (await this.#switchOn(machine, kind)) continue;
          failed = true;
          for (const each of waiting.splice(0)) this.#fail(each, kind, `the machine did not start; ${machine.console().slice(-2_000)}`);
          break;
        }
        while (waiting.length > 0) {
          const each = waiting.shift()!;
          const passed = await this.#one(each, { kind, place, boards });
          failed ||= !passed;
          if (boards.some(({ machine }) => !machine.isOn) || (!passed && !(await allAnswer(boards)))) break;
        }
      } finally {
        for (const { machine } of boards) {
          await machine.cutPower();
          const { folder } = machine;
          if (this.#words.keep || failed) this.#kept.push(folder);
          else rmSync(folder, { recursive: true });
          foldersInUse.delete(folder);
        }
      }
    }
  }

  async #switchOn(machine: Machine, kind: MachineKind): Promise<Hello | undefined> {
    const beganMs = performance.now();
    try {
      const hello = await machine.on();
      this.#report.boots.push({ machine: kind, hostS: (performance.now() - beganMs) / 1e3, uptimeS: hello.uptimeS });
      this.#say(`${kind} machine: ${hello.kernel} after ${((performance.now() - beganMs) / 1e3).toFixed(1)} s (its own clock: ${hello.uptimeS.toFixed(1)} s)`);
      return hello;
    } catch (error) {
      this.#say(`${kind} machine: ${(error as Error).message}`);
      return undefined;
    }
  }

  async onBench(found: readonly Found[]): Promise<void> {
    const { target, folder, can } = this.#words;
    const bench: Bench = await openBench(target!);
    const { kernel, processor } = bench.agent.hello!;
    this.#report.where = `${target!.host}, Linux ${kernel} on ${processor}`;
    const clocks = new Clocks();
    bench.agent.onClock = (machineS) => clocks.add(machineS, performance.now());
    for (const each of found) {
      const { runsOnBench, bench: byHand } = each.behaviour;
      if (runsOnBench) await this.#one(each, { kind: each.behaviour.needs.machine, boards: [{ agent: () => bench.agent, machine: undefined, clocks, who: undefined }], place: { repository: folder!, node: "node", ownModules: undefined }, can });
      else this.#skip(each, each.behaviour.needs.machine, `by hand on a bench: ${byHand}`);
    }
    await bench.end();
  }

  // ---- One behaviour --------------------------------------------------------------------------------------------------------------

  async #one(found: Found, { kind, boards, place, can = [] }: { kind: MachineKind; boards: readonly Board[]; place: Place; can?: readonly string[] }): Promise<boolean> {
    const { behaviour } = found;
    const timeline = new Timeline(() => performance.now());
    if (this.#words.follow) timeline.onEntry = ({ atMs, lane, text, tone }) => void (tone === "frame" || tone === "errorFrame" || this.#say(`  ${this.#words.jobs > 1 ? `${found.file.slice(0, 24).padEnd(25)} ` : ""}${(atMs / 1e3).toFixed(1).padStart(7)} ${lane.padEnd(8)} ${text}`));
    const atMs = performance.now() - this.#beganMs;
    const [other] = boards.slice(1).map((board) => new Rig({ ...board, place, timeline, can }));
    const rig = new Rig({ ...boards[0]!, place, timeline, can, other });
    const watched: Watched[] = [];
    for (const board of boards) watched.push(await watch(board, timeline, behaviour.isLoad === true));
    let why = "";
    const timeoutMs = behaviour.timeoutMs ?? BEHAVIOUR_TIMEOUT_MS;
    let timer: NodeJS.Timeout | undefined;
    try {
      await Promise.race([behaviour.run(rig), new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`not within ${timeoutMs / 1e3} s`)), timeoutMs);
      })]);
      if (watched.some(({ wasReset }) => wasReset()) && behaviour.needs.endsMachine !== true && behaviour.needs.restartsMachine !== true) throw new Error("the machine was reset meanwhile");
    } catch (error) {
      why = error instanceof Error ? (error.stack ?? error.message) : String(error);
      timeline.note("rig", why.split("\n")[0]!, "bad");
    } finally {
      clearTimeout(timer);
    }
    const ms = timeline.ms;
    if (why !== "" && kind === "systemd" && boards[0]!.machine?.isOn !== false) rig.log += await journal(rig);
    for (const { end } of watched) await end();
    this.#add({
      file: found.file, name: behaviour.name, machine: kind, verdict: why === "" ? "passed" : "failed", why, atMs, ms, bench: behaviour.bench, steps: rig.steps, figures: rig.figures,
      entries: timeline.sorted(), frames: timeline.frames, log: `${rig.log}${other ? `
${boards[1]!.who} machine:
${other.log}` : ""}`,
    });
    return why === "";
  }

  #skip(found: Found, kind: MachineKind, why: string): void {
    this.#notRun(found, kind, "skipped", why);
  }
  #fail(found: Found, kind: MachineKind, why: string): void {
    this.#notRun(found, kind, "failed", why);
  }
  #notRun({ file, behaviour: { name, bench } }: Found, machine: MachineKind, verdict: "skipped" | "failed", why: string): void {
    this.#add({ file, name, machine, verdict, why, atMs: performance.now() - this.#beganMs, ms: 0, bench, steps: [], figures: [], entries: [], frames: { total: 0, shown: 0 }, log: "" });
  }
  #add(result: Result): void {
    this.#report.results.push(result);
    const { verdict, name, ms, figures, why } = result;
    this.#say(`${verdict === "passed" ? "ok    " : verdict === "failed" ? "FAILED" : "skip  "} ${name}${verdict === "skipped" ? "" : ` (${(ms / 1e3).toFixed(1)} s)`}`);
    for (const [key, value] of figures) this.#say(`         ${key}: ${value}`);
    if (verdict === "failed") this.#say(why.split("\n").map((line) => `         ${line}`).join("\n"));
  }

  // ---- The end --------------------------------------------------------------------------------------------------------------------

  finish(): number {
    const report = this.#report;
    report.ms = performance.now() - this.#beganMs;
    report.results.sort((a, b) => machineKinds.indexOf(a.machine as MachineKind) - machineKinds.indexOf(b.machine as MachineKind) || a.atMs - b.atMs);
    const out = this.#words.out ?? join(made, "report");
    mkdirSync(out, { recursive: true });
    writeFileSync(join(out, "report.html"), page(report));
    writeFileSync(join(out, "junit.xml"), junit(report));
    writeFileSync(join(out, "results.json"), `${JSON.stringify(report, null, 1)}\n`);
    if (this.#words.json) process.stdout.write(`${JSON.stringify(report)}\n`);
    this.#say(`${count(report, "passed")} passed, ${count(report, "failed")} failed, ${count(report, "skipped")} skipped in ${Math.round(report.ms / 1e3)} s; ${join(out, "report.html")}`);
    for (const folder of this.#kept) this.#say(`${folder} keeps what a machine left`);
    return count(report, "failed") === 0 ? 0 : 1;
  }
}

/** Runs them in their order, so many at a time. */
async function atOnce(jobs: readonly (() => Promise<void>)[], jobsMax: number): Promise<void> {
  const waiting = [...jobs];
  await Promise.all(Array.from({ length: jobsMax }, async () => {
    for (let job = waiting.shift(); job; job = waiting.shift()) await job();
  }));
}

const newFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-hil-"));
  foldersInUse.add(folder);
  return folder;
};

function oneBoard(kernel: Kernel, boot: "plain" | "systemd", folder = newFolder(), more: { cable?: Cable; who?: string } = {}): VirtualBoard {
  const machine = new Machine({ kernel, boot, folder, ...(more.cable ? { cable: more.cable } : {}) });
  const clocks = new Clocks();
  machine.onClock = (machineS) => clocks.add(machineS, performance.now());
  return { agent: () => machine.agent, machine, clocks, who: more.who };
}

/** Plain ones, with a network cable between them. */
function twoBoards(kernel: Kernel): VirtualBoard[] {
  const folders = NAMES_OF_TWO.map(newFolder);
  const end = (index: number): string => join(folders[index]!, "cable");
  // A locally administered address (IEEE 802), its last byte 1 or 2.
  return NAMES_OF_TWO.map((who, index) => oneBoard(kernel, "plain", folders[index], { who, cable: { here: end(index), there: end(1 - index), mac: `52:54:00:00:00:0${index + 1}` } }));
}

interface Watched {
  wasReset(): boolean;
  /** Brings back what was recorded, and ends whatever still runs there. */
  end(): Promise<void>;
}

async function watch({ agent, machine, clocks, who }: Board, timeline: Timeline, isLoad: boolean): Promise<Watched> {
  const lane = (name: string): string => (who === undefined ? name : `${who}, ${name}`);
  if (machine) machine.onEvent = ({ event, data }) => timeline.note(lane("machine"), `${event} ${JSON.stringify(data)}`, event === "WATCHDOG" || event === "RESET" ? "bad" : "plain");
  const boots = machine?.boots;
  const records = await recordCan(agent(), isLoad);
  const endOfLog = followKernel(agent(), timeline, lane("kernel"));
  return {
    wasReset: () => machine?.boots !== boots,
    async end() {
      endOfLog();
      if (records && machine?.isOn !== false) await bringCanLog(agent(), timeline, clocks).catch((error: Error) => timeline.note("rig", `no CAN log: ${error.message}`));
      await agent().endAll();
      if (machine) machine.onEvent = undefined;
    },
  };
}

async function allAnswer(boards: readonly Board[]): Promise<boolean> {
  return (await Promise.all(boards.map(({ agent }) => answers(agent())))).every((answer) => answer);
}

async function answers(agent: Agent): Promise<boolean> {
  try {
    return (await agent.run("true", { timeoutMs: 10_000 })).code === 0;
  } catch {
    // Then it does not: the next behaviour gets another machine.
    return false;
  }
}

/** The kernel's CAN log of all interfaces, in a file of the machine; false: not recorded. */
async function recordCan(agent: Agent, isLoad: boolean): Promise<boolean> {
  if (isLoad) return false;
  const { code } = await agent.run("modprobe can-raw && command -v candump >/dev/null");
  if (code !== 0) return false;
  agent.start(`exec candump -D -L any,0:0,#FFFFFFFF >${CAN_LOG}`);
  return true;
}

async function bringCanLog(agent: Agent, timeline: Timeline, clocks: Clocks): Promise<void> {
  const { out } = await agent.run(`head -c ${CAN_LOG_BYTES_MAX} ${CAN_LOG}; rm -f ${CAN_LOG}`);
  timeline.addCanLog(out, clocks);
}

/** New lines of the kernel's log, as they come; the answer ends it. */
function followKernel(agent: Agent, timeline: Timeline, lane: string): () => void {
  const running = agent.start("exec dmesg --follow-new --notime");
  running.onLine = (line) => timeline.note(lane, line);
  return () => running.signal("SIGTERM");
}

// Whatever ends this, no machine's folder is left that nobody wants to see.
process.on("exit", () => {
  for (const folder of foldersInUse) rmSync(folder, { recursive: true, force: true });
});
process.exit(await main());

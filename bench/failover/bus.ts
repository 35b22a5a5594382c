/**
 * What the bus notices of a gateway that dies: `npm run bench:failover -- bus [--faults 30] [--kinds kill,stop,switch] [--window-ms 1500] [--ttl-ms N] [--burners N] [--burners-nice N] [--seed N] [--json]`.
 * The demonstration's robot, two bus processes, two gateways, the arm armed, and a program that commands all joints at 50 Hz, while the active gateway is killed, stopped or switched
 * again and again. Watched from a node of its own on the bus (`busWatch.ts` defines what is late). What load alone does is measured in the same run: before each fault comes a window of the same
 * length in which nothing happens, and the time in which the next standby starts is counted apart. A window in which the program itself sent nothing for half the life of a set-point, or in which the
 * simulated robot, whose process has the bus in it, stood still as long, says nothing of the gateways: it is told apart and the fault repeated. Ends with 1 when there was anything in the windows with a fault that must not be.
 */
import { closeSync, openSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { attachNode } from "../../drivers/can/emulator/client.ts";
import type { NodePort } from "../../drivers/can/emulator/port.ts";
import { NODE_NUMBERS } from "../../examples/arm/messages.ts";
import { COMMAND_PERIOD_MS, JOINTS } from "../../examples/arm/teleop.ts";
import { systemClock } from "../../schemas/clock.ts";
import { eventually } from "../../schemas/testing.ts";
import type { Client } from "../../shm/client/index.ts";
import { freePort } from "../frozenMqtt.ts";
import { type FaultKind, faultKinds, randomOf, strike } from "./brains.ts";
import { type BusPhase, BusWatch, targetOf, together } from "./busWatch.ts";
import { armIfPossible, DEMO_CLAIM_ID, DemoRobot } from "./demoRobot.ts";
import { PairLoad } from "./pairLoad.ts";
import { PairRig } from "./pairRig.ts";
import { quantilesOf } from "./quantiles.ts";
import { burners as burnerKinds, burnersDefault, startStress } from "./stress.ts";

/** Default of `beatPeriodMs`; the demonstration's configuration leaves it. */
const BEAT_PERIOD_MS = 20;
const START_MS = 60_000;
/** A set-point lives as long as the joints' own dead-man waits. Where a gateway hangs that is not enough: its deadline alone is half a second (`progressMs`). */
const TTL_MS: Readonly<Record<FaultKind, number>> = { kill: 200, switch: 200, stop: 1_000 };
const PROGRESS_EVERY = 10;
/** When nothing happens, and while the next standby starts. */
const QUIET = "nothing happens";
const STARTING = "a standby starts";
const SET_ASIDE = "others stood still";
/** More than so many windows for one that counts: the machine is too busy to measure anything. */
const WINDOWS_PER_FAULT_MAX = 5;

export interface BusOptions {
  kinds: readonly FaultKind[];
  faults: number;
  windowMs: number;
  ttlMs?: number | undefined;
  burners?: number;
  /** Of the burners. A gateway's unit gives it more than ordinary programs get; started by hand it has no more than they. */
  burnersNice?: number;
  seed?: number;
  progress?: (text: string) => void;
}

/** A turn of the bus process is late when it begins more than half the twins' deadline after the one before. */
export interface OwnTime {
  lateTurns: number;
  turnMsMax: number;
}

export interface BusFigures {
  phases: ReadonlyMap<string, BusPhase>;
  /** The service gaps that the programs saw, by kind. */
  gapsMs: ReadonlyMap<FaultKind, number[]>;
  /** Of the process that owned the bus at the end, over the whole run. */
  owner: OwnTime;
  findings: readonly string[];
  /** Gateways that ended though nothing was done to them, by their last words. */
  unasked: readonly string[];
}

class Bench {
  readonly rig: PairRig;
  readonly load: PairLoad;
  readonly watch = new BusWatch({ joints: JOINTS.map((name) => ({ name, commandId: (NODE_NUMBERS[name] << 5) | 2, stateId: (NODE_NUMBERS[name] << 5) | 1 })), claimId: DEMO_CLAIM_ID, beatPeriodMs: BEAT_PERIOD_MS });
  ttlMs = 1_000;
  readonly #robot: DemoRobot;
  readonly #log: number;
  #tap: NodePort | undefined;
  #program!: Client;
  #commanding: NodeJS.Timeout | undefined;
  #number = 0;
  #unanswered = 0;

  constructor(mqttPort: number) {
    let robot: DemoRobot | undefined;
    let log: number | undefined;
    this.rig = new PairRig({ keep: true, configuration: (folder) => {
      log = openSync(join(folder, "robot.log"), "w", 0o600);
      robot = new DemoRobot({ folder, mqttPort, log });
      return robot.configuration;
    } });
    this.#robot = robot!;
    this.#log = log!;
    this.load = new PairLoad({ connect: (name) => this.rig.connect(name), callers: 2, depth: 2, pauseMs: 5, callsOnly: true });
  }

  async start(): Promise<void> {
    await this.#robot.start(this.rig.configFile);
    await this.rig.startBoth();
    await this.load.start();
    this.watch.begin(undefined, systemClock.nowUs());
    this.#tap = await attachNode(this.#robot.busSocket, { bus: "arm", name: "watch", listenOnly: true });
    this.#tap.onBatch((batch) => {
      for (let i = 0; i < batch.count; i++) this.watch.frame(batch.timeUs(i), batch.canId(i), batch.flags(i), batch.bytes.subarray(batch.dataOffset(i), batch.dataOffset(i) + batch.lengthBytes(i)));
    });
    this.#program = await this.rig.connect("program");
    this.#program.onClose(() => undefined);
    await this.armed();
    this.#commanding = setInterval(() => this.#command(), COMMAND_PERIOD_MS);
  }

  /** Resolves when it is; a safe pose that has ended is reset. */
  armed(): Promise<unknown> {
    return eventually("armed", async () => (await armIfPossible(this.#program, "bench")) === "armed", { timeoutMs: START_MS, last: () => this.rig.logs() });
  }

  /** What is known of a fault that was noticed: how the takeover went, and where commands were last seen. */
  async inquest({ refused, delaysMs, gapMsMax, programGapMsMax, robotGapMsMax }: BusPhase): Promise<unknown> {
    const [{ takeover }, { links, reflexes }] = (await Promise.all(["gateway/failover", "gateway/status"].map((service) => this.#program.request(service, {}, { timeoutMs: START_MS })))) as [{ takeover?: unknown }, { links: unknown; reflexes: unknown }];
    return { longestMs: { delay: Math.max(0, ...delaysMs), betweenFrames: gapMsMax, program: programGapMsMax, robot: robotGapMsMax }, takeover, refused: Object.fromEntries(refused), waiting: this.watch.waiting(systemClock.nowUs()), links, reflexes };
  }

  /** What the owner of the bus says of its own lateness, since it was started. */
  async owner(): Promise<OwnTime> {
    const { reflexes } = (await this.#program.request("gateway/status", {}, { timeoutMs: START_MS })) as { reflexes: (OwnTime & { role: string })[] };
    const { lateTurns, turnMsMax } = reflexes.find(({ role }) => role === "owner")!;
    return { lateTurns, turnMsMax };
  }

  async stop(): Promise<void> {
    clearInterval(this.#commanding);
    const endUs = systemClock.nowUs();
    this.watch.begin(undefined, endUs);
    await eventually("an answer to every command", () => this.#unanswered === 0, { timeoutMs: START_MS, last: () => this.rig.logs() });
    await this.load.stop();
    await this.#program.close();
    // By then what was on the bus at their deadlines has long been told.
    await pause(this.ttlMs);
    this.watch.sweep(endUs + this.ttlMs * 1e3);
  }

  async close(): Promise<void> {
    clearInterval(this.#commanding);
    await this.#tap?.close();
    await this.#robot.stop();
    closeSync(this.#log);
    await this.rig.close();
  }

  #command(): void {
    const number = (this.#number += 1);
    const { ttlMs } = this;
    for (const joint of JOINTS) {
      const sentUs = systemClock.nowUs();
      this.watch.sent(joint, number, sentUs, sentUs + ttlMs * 1e3);
      this.#unanswered += 1;
      const answered = this.#program.publish(`cmd/arm/${joint}_Command`, { mode: "Move", targetPosition: targetOf(number), velocityLimit: 1.5 }, { ttlMs });
      void answered.catch((error: unknown) => this.watch.refused(sentUs, String(error))).finally(() => (this.#unanswered -= 1));
    }
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function measureBus({ kinds, faults, windowMs, ttlMs, burners = 0, burnersNice = 0, seed = 1, progress = () => {} }: BusOptions): Promise<BusFigures> {
  const bench = new Bench(await freePort());
  const { rig, load, watch } = bench;
  const random = randomOf(seed);
  const gapsMs = new Map<FaultKind, number[]>(kinds.map((kind) => [kind, []]));
  const failed: string[] = [];
  const judged = new Map<FaultKind, BusPhase[]>();
  const setAside: BusPhase[] = [];
  let busy: ReturnType<typeof startStress> | undefined;
  try {
    await bench.start();
    busy = startStress(burnerKinds(burners), { folder: rig.folder, niceness: burnersNice });
    for (const kind of kinds) {
      bench.ttlMs = ttlMs ?? TTL_MS[kind];
      const kept: BusPhase[] = [];
      judged.set(kind, kept);
      let noticed = 0;
      for (let tried = 1; kept.length < faults; tried++) {
        if (tried > WINDOWS_PER_FAULT_MAX * faults) {
          failed.push(`${kind}: the machine is too busy: in ${setAside.length} windows the program or the robot itself stood still`);
          break;
        }
        await rig.rehearsed();
        await bench.armed();
        watch.begin(QUIET, systemClock.nowUs());
        await pause(windowMs);
        const struckAt = new Date().toISOString();
        const window = watch.begin(`${kind} ${tried}`, systemClock.nowUs());
        const endMs = performance.now() + windowMs;
        try {
          gapsMs.get(kind)!.push((await strike(rig, load, kind, random())).gapMs);
        } catch (error) {
          failed.push(`${kind} ${tried}: ${String(error)}`);
        }
        await pause(Math.max(bench.ttlMs, endMs - performance.now()));
        watch.begin(STARTING, systemClock.nowUs());
        if (Math.max(window.programGapMsMax, window.robotGapMsMax) > bench.ttlMs / 2) {
          setAside.push(window);
          progress(`${kind} at ${struckAt} is repeated: the program itself sent nothing for ${window.programGapMsMax.toFixed(0)} ms, the robot for ${window.robotGapMsMax.toFixed(0)}\n`);
          continue;
        }
        kept.push(window);
        const before = noticed;
        noticed = kept.reduce((sum, each) => sum + noticedIn(each), 0);
        if (noticed > before) progress(`${kind} ${kept.length} was noticed on the bus; struck at ${struckAt}; ${JSON.stringify(await bench.inquest(window))}; the gateways said:\n${rig.logs()}\n`);
        if (kept.length % PROGRESS_EVERY > 0 && kept.length < faults && faults > PROGRESS_EVERY) continue;
        const { late, lateBeats, poses, disarms, ownerChanges } = together(kept);
        progress(`${kind}: ${kept.length} of ${faults}, late ${late} (${watch.phases.get(QUIET)!.late} without a fault), late beats ${lateBeats}, poses ${poses}, disarms ${disarms}, owners changed ${ownerChanges}, load ${loadavg()[0]!.toFixed(1)}, ${load.findings.length} findings\n`);
      }
    }
    const owner = await bench.owner();
    await bench.stop();
    const phases = new Map([QUIET, STARTING].map((name) => [name, watch.phases.get(name)!]));
    for (const [kind, kept] of judged) phases.set(kind, together(kept));
    if (setAside.length > 0) phases.set(SET_ASIDE, together(setAside));
    return { phases, gapsMs, owner, findings: [...load.findings, ...failed], unasked: rig.unasked };
  } finally {
    await busy?.stop();
    await bench.close();
  }
}

const one = (value: number): string => String(Math.round(value * 10) / 10);
const spread = (values: readonly number[]): string => {
  const { p50, p99, max } = quantilesOf(values);
  return `${p50} / ${p99} / ${max}`;
};

/** What is printed of a phase; `none`: what has to be zero in a window with a fault. */
export const busRows: readonly { name: string; of: (phase: BusPhase) => string; none?: (phase: BusPhase) => number }[] = [
  { name: "seconds", of: ({ ms }) => one(ms / 1e3) },
  { name: "commands sent", of: ({ sent }) => String(sent) },
  { name: "late at their deadline", of: ({ late }) => String(late), none: ({ late }) => late },
  { name: "refused", of: ({ refused }) => String(refusedOf(refused)), none: ({ refused }) => refusedOf(refused) },
  { name: "stale frames", of: ({ stale }) => String(stale), none: ({ stale }) => stale },
  { name: "frames out of order", of: ({ outOfOrder }) => String(outOfOrder), none: ({ outOfOrder }) => outOfOrder },
  { name: "repeated frames", of: ({ repeated }) => String(repeated) },
  { name: "sent until on the bus, ms p50 / p99 / max", of: ({ delaysMs }) => spread(delaysMs) },
  { name: "longest between two frames of a joint, ms", of: ({ gapMsMax }) => one(gapMsMax) },
  { name: "beats, ms apart p50 / p99 / max", of: ({ beatGapsMs }) => spread(beatGapsMs) },
  { name: "late beats", of: ({ lateBeats }) => String(lateBeats), none: ({ lateBeats }) => lateBeats },
  { name: "longest silence of the program itself, ms", of: ({ programGapMsMax }) => one(programGapMsMax) },
  { name: "longest silence of the robot itself, ms", of: ({ robotGapMsMax }) => one(robotGapMsMax) },
  { name: "poses begun", of: ({ poses, poseFrames }) => (poses === 0 ? "0" : `${poses} (${poseFrames} frames)`), none: ({ poses }) => poses },
  { name: "disarms", of: ({ disarms }) => String(disarms), none: ({ disarms }) => disarms },
  { name: "changes of owner", of: ({ ownerChanges }) => String(ownerChanges), none: ({ ownerChanges }) => ownerChanges },
  // A gateway that hangs is noticed after half a second, a joint waits for a fifth.
  { name: "joints that held by themselves", of: ({ deadManStops }) => String(deadManStops) },
];

/** What has happened to commands in windows with a fault and must not. */
function noticedIn({ late, refused, poses, disarms }: BusPhase): number {
  return late + refusedOf(refused) + poses + disarms;
}

function refusedOf(refused: ReadonlyMap<string, number>): number {
  return [...refused.values()].reduce((sum, count) => sum + count, 0);
}

function table(phases: ReadonlyMap<string, BusPhase>): string {
  const names = [...phases.keys()];
  const cells = [["", ...names], ...busRows.map(({ name, of }) => [name, ...names.map((each) => of(phases.get(each)!))])];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  return cells.map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join("  ")).join("\n");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { values } = parseArgs({
    options: {
      faults: { type: "string", default: "30" }, kinds: { type: "string", default: "kill,stop" }, "window-ms": { type: "string", default: "1500" }, "ttl-ms": { type: "string" },
      burners: { type: "string", default: String(burnersDefault) }, "burners-nice": { type: "string", default: "0" }, seed: { type: "string", default: String(Date.now() % 1e6) }, json: { type: "boolean", default: false }
    },
  });
  const kinds = faultKinds.filter((kind) => values.kinds.split(",").includes(kind));
  const [seed, burners] = [Number(values.seed), Number(values.burners)];
  process.stderr.write(`seed ${seed}, ${burners} burners at nice ${values["burners-nice"]}\n`);
  const { phases, gapsMs, owner, findings, unasked } = await measureBus({ kinds, faults: Number(values.faults), windowMs: Number(values["window-ms"]), ttlMs: values["ttl-ms"] === undefined ? undefined : Number(values["ttl-ms"]), burners, burnersNice: Number(values["burners-nice"]), seed, progress: (text) => process.stderr.write(text) });
  const wrong = kinds.flatMap((kind) => busRows.flatMap(({ name, none }) => ((none?.(phases.get(kind)!) ?? 0) > 0 ? [`${kind}: ${name} ${none!(phases.get(kind)!)}`] : [])));
  if (values.json) process.stdout.write(`${JSON.stringify({ seed, burners, phases: Object.fromEntries([...phases].map(([name, phase]) => [name, { ...phase, refused: Object.fromEntries(phase.refused), delaysMs: quantilesOf(phase.delaysMs), beatGapsMs: quantilesOf(phase.beatGapsMs) }])), gapsMs: Object.fromEntries([...gapsMs].map(([kind, gaps]) => [kind, quantilesOf(gaps)])), owner, findings, unasked })}\n`);
  else {
    process.stdout.write(`${table(phases)}\n\n${[...gapsMs].map(([kind, gaps]) => `service gap, ${kind}, ms p50 / p99 / max: ${spread(gaps)}\n`).join("")}`);
    process.stdout.write(`the bus process itself: ${owner.lateTurns} turns came more than 5 ms after the one before, the latest after ${owner.turnMsMax.toFixed(1)} ms\n`);
    for (const [name, { refused }] of phases) for (const [why, count] of refused) process.stdout.write(`${name}: refused ${count} ×: ${why}\n`);
    if (unasked.length > 0) process.stdout.write(`${unasked.length} gateways ended without a fault of ours (the machine's load: see the bench soak): ${unasked.join("; ")}\n`);
    process.stdout.write([...findings, ...wrong].length === 0 ? "the bus has noticed nothing, nor have the programs\n" : `FINDINGS\n${[...findings, ...wrong].join("\n")}\n`);
  }
  process.exit(findings.length + wrong.length === 0 ? 0 : 1);
}

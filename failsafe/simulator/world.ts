/** Everything together: hosts, processes, brains, joints, one bus; faults by schedule; then quiet, in which it must come back and find its safe pose. */
import { seededRandom } from "../../schemas/random.ts";
import { Order, type CoreAddon, LinkEvent, NodeKits } from "../reflex/addon/core.ts";
import { Brain, wrongs } from "./brain.ts";
import { type BusFrame, SimBus, type Station } from "./bus.ts";
import { DriftingClock } from "./clock.ts";
import type { Fault } from "./faults.ts";
import { GatewayPair } from "./gatewayPair.ts";
import { Host } from "./host.ts";
import { Judge, Violation } from "./judge.ts";
import { SimNode } from "./node.ts";
import { POSE_SLACK_US, PoseWatch } from "./poseWatch.ts";
import { ReflexProcess } from "./process.ts";
import { EventQueue } from "./queue.ts";
import { BITRATE_BPS, CLAIM_TIMEOUT_US, COMMAND_DATA_ID, DEAD_MAN_US, EPOCH_BITS, PLAN, robotTable, type Robot } from "./robot.ts";

const RESTART_US: [number, number] = [10_000, 60_000];
const OPERATOR_PERIOD_US = 20_000;
/** Longest time after the last fault until it works again: an outvoted host rests for 1 s, a stranger's frames forbid arming for 1 s, a controller that was bus-off waits up to 5 s. */
const RECOVERY_US = 9_000_000;

export interface WorldOptions {
  addon: CoreAddon;
  seed: number;
  hosts: 1 | 2;
  joints: number;
  resumeArmed: boolean;
  faults: readonly Fault[];
  /** When the quiet time begins. */
  quietFromUs: number;
  trace?: (line: string) => void;
}

export interface Outcome {
  violation: Violation | undefined;
  events: number;
  frames: number;
  acceptedCommands: number;
  faults: number;
  takeovers: number;
  /** Requests of clients that were answered, and how often a gateway began to serve. */
  answers: number;
  gatewayTakeovers: number;
  verdicts: number;
  virtualUs: number;
  /** "state fault" → how often. */
  coverage: Map<string, number>;
}

export class World {
  readonly time = new EventQueue();
  readonly bus: SimBus;
  readonly hosts: Host[] = [];
  readonly nodes: SimNode[] = [];
  readonly brains: Brain[] = [];
  readonly gateways: GatewayPair[] = [];
  readonly judge: Judge;
  readonly coverage = new Map<string, number>();
  readonly #options: WorldOptions;
  readonly #random: () => number;
  readonly #seen: BusFrame[] = [];
  readonly #trace: (line: string) => void;
  #quiet = false;
  #operatorArms = true;
  #takeovers = 0;
  #verdicts = 0;
  readonly #pose: PoseWatch;
  readonly #processes: ReflexProcess[] = [];

  constructor(options: WorldOptions) {
    this.#options = options;
    const { trace } = options;
    this.#trace = trace === undefined ? () => undefined : (line) => trace(`${(this.time.nowUs / 1e3).toFixed(3).padStart(9)} ms  ${line}`);
    this.#random = seededRandom(options.seed);
    const random = this.#random;
    this.bus = new SimBus({ queue: this.time, random, bitrateBps: BITRATE_BPS });
    this.judge = new Judge({ time: this.time, joints: options.joints });
    this.#pose = new PoseWatch({ time: this.time, nodes: this.nodes, judge: this.judge });
    const kits = new NodeKits(options.addon, { count: options.joints, claimTimeoutUs: CLAIM_TIMEOUT_US, deadManUs: DEAD_MAN_US, firstDataId: COMMAND_DATA_ID, epochBits: EPOCH_BITS });
    const clock = (): DriftingClock => new DriftingClock({ ppm: (random() - 0.5) * 200, offsetUs: 1_000_000 + Math.floor(random() * 1e9) });
    for (let n = 0; n < options.joints; n++) {
      const node = new SimNode({ number: n, time: this.time, bus: this.bus, kits, clock: clock(), events: { accepted: (one, frame, data) => this.judge.accepted(one, frame, data), followed: (one) => this.#trace(`${one.name} follows owner ${one.owner} in epoch ${one.epoch}`) } });
      node.half = n % 2;
      this.nodes.push(node);
      this.bus.stations.push(node);
    }
    for (let number = 0; number < options.hosts; number++) this.#addHost(number, clock());
    this.bus.stations.push(this.#listener());
    for (const fault of options.faults) this.time.at(fault.atUs, () => this.#apply(fault));
  }

  #addHost(number: number, clock: DriftingClock): void {
    const { addon, joints, resumeArmed, hosts } = this.#options;
    const host = new Host({ number, clock, time: this.time, bus: this.bus });
    host.half = number;
    const robot: Robot = robotTable({ joints, host: number, shared: hosts === 2, resumeArmed, generation: 1 });
    const pair = new GatewayPair({
      host: number, time: this.time, random: this.#random, nowUs: () => host.nowUs, isPowered: () => host.isPowered, fail: (code, text) => this.judge.fail(code, text), trace: (line) => this.#trace(line), served: () => brain.replace(),
    });
    const brain = new Brain({ host, time: this.time, random: this.#random, robot, issued: this.judge.issued, isServing: () => pair.serving !== undefined });
    for (const instance of [0, 1]) {
      const process = new ReflexProcess({
        addon, host, instance, time: this.time, bus: this.bus, random: this.#random, robot,
        events: {
          armingChanged: (one, from, to, resumed) => this.#armingChanged(one, from, to, resumed),
          roleChanged: (one, from, to) => this.#roleChanged(one, from, to),
          handsOver: (one, frame, decided) => this.judge.handsOver(one, frame, decided),
          epochStored: (one, epoch) => this.#trace(`${one.name}: epoch ${epoch} is on disk`),
          calls: (_one, runId, step) => brain.answer(runId, step),
          verdict: (one, verdict) => {
            this.#verdicts += 1;
            this.#trace(`${one.name}: verdict ${verdict}`);
          },
          died: (one) => this.#died(one),
        },
      });
      host.processes.push(process);
      this.#processes.push(process);
    }
    this.hosts.push(host);
    this.brains.push(brain);
    this.gateways.push(pair);
    this.bus.stations.push(host);
    for (const process of host.processes) this.time.after(Math.floor(this.#random() * 20_000), () => process.start());
  }

  /** Somebody who listens to everything: a stranger that can say again what it heard. */
  #listener(): Station {
    const seen = this.#seen;
    return {
      name: "stranger", queue: [], isOn: false, onlyListens: true, isConnected: true, half: 0, heldUntilUs: 0,
      receive: (frame) => {
        if (frame.truth.life === undefined) return;
        seen.push(frame);
        if (seen.length > 256) seen.shift();
      },
    };
  }

  // ---- What happens ------------------------------------------------------------------------------------------------------------------------

  #roleChanged(process: ReflexProcess, from: number, to: number): void {
    this.#trace(`${process.name}: role ${from} → ${process.role}, epoch ${process.core.epoch}`);
    if (process.role === "owner") this.#takeovers += 1;
    this.judge.roles(process.host);
    if (to === 7 && !this.#quiet) this.#restart(process);
  }

  #armingChanged(process: ReflexProcess, from: number, to: number, resumed: boolean): void {
    this.#trace(`${process.name}: arming ${from} → ${to}${resumed ? " (resumed)" : ""} (role ${process.role}, trigger ${process.core.trigger})`);
    if (to === 1) this.judge.armed(process, this.nodes, resumed);
  }

  #died(process: ReflexProcess): void {
    this.#trace(`${process.name} is dead, bus phase ${new Uint8Array(process.page)[process.core.at["pageBusPhases"]!]}`);
    if (!process.host.isPowered) return;
    const [low, high] = RESTART_US;
    this.time.after(low + Math.floor(this.#random() * (high - low)), () => process.start());
  }

  /** A process that has stopped for good ends; the supervisor starts it again. */
  #restart(process: ReflexProcess): void {
    const { life } = process;
    this.time.after(5_000, () => {
      if (process.life === life) process.kill();
    });
  }

  /** Somebody who wants the robot armed, resets what is latched and trusts buses again. */
  #operator(): void {
    if (!this.#operatorArms) return;
    for (const process of this.#processes) {
      if (!process.isAlive || process.role !== "owner" || process.core.arming === 1 || process.core.arming === 2) continue;
      process.order(Order.rearmBus, 0);
      if (process.core.triggerLatched || process.core.arming >= 3) process.order(Order.reset);
      process.order(Order.arm);
    }
    this.time.after(OPERATOR_PERIOD_US, () => this.#operator());
  }

  #watchNodes(): void {
    for (const node of this.nodes) this.judge.turned(node);
    const nowUs = this.time.nowUs;
    for (const process of this.#processes) {
      if (!process.isAlive || process.role !== "owner" || process.stalledUntilUs > nowUs) continue;
      if (process.core.arming === 1) this.judge.staysArmed(process, this.nodes);
    }
    this.#pose.turn(this.#processes, this.#isUndisturbed);
    this.time.after(10_000, () => this.#watchNodes());
  }

  /** The wire is whole and everybody is on it. */
  get #isUndisturbed(): boolean {
    const { wire, stations } = this.bus;
    const wireIsWhole = wire.lossChance === 0 && wire.corruptionChance === 0 && wire.repetitionChance === 0 && !wire.isSplit;
    return wireIsWhole && stations.every((station) => station.isConnected && station.heldUntilUs <= this.time.nowUs) && this.nodes.every((node) => node.isOn && !node.isMute) && this.hosts.every((host) => host.isOn);
  }

  // ---- Faults ------------------------------------------------------------------------------------------------------------------------------

  #apply(fault: Fault): void {
    const { kind, forUs, much } = fault;
    const process = this.#processes[fault.which % this.#processes.length]!;
    const host = this.hosts[fault.which % this.hosts.length]!;
    const node = this.nodes[fault.which % this.nodes.length]!;
    const brain = this.brains[fault.which % this.brains.length]!;
    const state = `${process.role}${process.role === "owner" ? `/${["disarmed", "armed", "safePose", "posed", "fault"][process.core.arming]}` : ""}`;
    const pair = this.gateways[fault.which % this.gateways.length]!;
    const gateway = (fault.which & 2) === 0 ? (pair.serving ?? pair.processes[0]!) : pair.processes[(fault.which >> 2) % 2]!;
    for (const each of [process.isAlive ? state : "dead", gateway.state]) this.coverage.set(`${each}|${kind}`, (this.coverage.get(`${each}|${kind}`) ?? 0) + 1);
    this.#trace(`FAULT ${kind} which ${fault.which} for ${forUs} µs, ${much}; ${process.name} is ${state}`);
    const during = (begin: () => void, end: () => void): void => {
      begin();
      this.time.after(forUs, end);
    };
    const wire = this.bus.wire;
    switch (kind) {
      case "kill":
        process.kill();
        break;
      case "killInside":
        process.cutStallUs = 0;
        process.cutIn = much;
        process.wakeSoon();
        break;
      case "stall":
        process.stall(forUs);
        break;
      case "stallInside":
      case "sleepInside":
        process.cutStallUs = Math.max(1, forUs);
        process.cutUnkillable = kind === "sleepInside";
        process.cutIn = much;
        break;
      case "unkillable":
        process.unkillableUntilUs = this.time.nowUs + forUs;
        process.stall(forUs);
        break;
      case "late":
        during(() => (process.lateUs = much), () => (process.lateUs = 0));
        break;
      case "overflow":
        process.overflows();
        break;
      case "hostPower":
        this.#cutPower(host, forUs, much === 1);
        break;
      case "storeFails":
        during(() => host.stores.forEach((store) => (store.fails = true)), () => host.stores.forEach((store) => (store.fails = false)));
        break;
      case "storeSlow":
        during(() => host.stores.forEach((store) => (store.slowUs = much)), () => host.stores.forEach((store) => (store.slowUs = 0)));
        break;
      case "clockJump":
        host.clock.jump(much);
        break;
      case "purgeForbidden":
        if (host.mayPurge) host.purgeForbiddenUs = this.time.nowUs;
        host.purgeAllowedUs = Math.max(host.purgeAllowedUs, this.time.nowUs + forUs);
        during(() => (host.mayPurge = false), () => (host.mayPurge = this.time.nowUs >= host.purgeAllowedUs));
        break;
      case "busOff":
        if (host.isBusOff || !host.isPowered) break;
        host.isBusOff = true;
        host.purge();
        for (const one of host.processes) one.link(LinkEvent.busState, 3);
        break;
      case "loss":
        during(() => (wire.lossChance = much / 1e3), () => (wire.lossChance = 0));
        break;
      case "corruption":
        during(() => (wire.corruptionChance = much / 1e3), () => (wire.corruptionChance = 0));
        break;
      case "repetition":
        during(() => (wire.repetitionChance = much / 1e3), () => (wire.repetitionChance = 0));
        break;
      case "hold":
        this.bus.hold(this.bus.stations[fault.which % (this.bus.stations.length - 1)]!, forUs);
        break;
      case "disconnect": {
        const station = this.bus.stations[fault.which % (this.bus.stations.length - 1)]!;
        during(() => (station.isConnected = false), () => {
          station.isConnected = true;
          this.bus.kick();
        });
        break;
      }
      case "split":
        during(() => (wire.isSplit = true), () => {
          wire.isSplit = false;
          this.bus.kick();
        });
        break;
      case "nodePower":
        during(() => node.setPower(false), () => node.setPower(true));
        break;
      case "allNodesPower":
        during(() => this.nodes.forEach((one) => one.setPower(false)), () => this.nodes.forEach((one) => one.setPower(true)));
        break;
      case "nodeMute":
        during(() => (node.isMute = true), () => (node.isMute = false));
        break;
      case "replay":
        this.#replay(much);
        break;
      case "brainStall":
        gateway.stall(forUs);
        break;
      case "brainKill":
        gateway.kill();
        break;
      case "brainKillInside":
      case "brainStallInside":
        gateway.cutStallUs = kind === "brainKillInside" ? 0 : Math.max(1, forUs);
        gateway.cutIn = much;
        break;
      case "pairCut":
        pair.cutLink();
        break;
      case "pairSlow":
        during(() => pair.slowLink(much), () => pair.slowLink(0));
        break;
      case "poison":
        pair.poison(much);
        break;
      case "answersLost":
        brain.answersLostUntilUs = this.time.nowUs + forUs;
        break;
      case "brainReplaced":
        for (const each of pair.processes) each.switchOver();
        break;
      case "brainWrong":
        brain.misbehave(wrongs[much % wrongs.length]!, fault.which % this.nodes.length);
        break;
      case "switch":
        process.askToYield();
        break;
      case "request":
        for (const one of this.#processes) one.order(Order.trigger, 0, much);
        break;
      case "disarm":
        for (const one of this.#processes) one.order(Order.disarm);
        break;
      default:
        kind satisfies never;
    }
  }

  #replay(back: number): void {
    const frame = this.#seen[this.#seen.length - Math.min(back, this.#seen.length)];
    const stranger = this.bus.stations.at(-1)!;
    if (!frame || stranger.queue.length > 8) return;
    this.bus.send({ ...frame, sender: stranger, socket: undefined, token: 0, truth: { epoch: frame.truth.epoch, kind: "replay", order: frame.truth.order, deadlineUs: 0, handedOverUs: this.time.nowUs, sleptUs: 0, stoodStillUs: 0 } });
  }

  #cutPower(host: Host, forUs: number, arrived: boolean): void {
    if (!host.isPowered) return;
    host.isPowered = false;
    for (const store of host.stores) store.cut(arrived);
    host.queue.length = 0;
    host.lane.length = 0;
    host.lockHolder = undefined;
    host.notedEpoch = 0;
    for (const process of host.processes) process.vanish();
    const pair = this.gateways[host.number]!;
    pair.cutPower();
    this.bus.kick();
    this.time.after(forUs, () => {
      host.isPowered = true;
      host.isBusOff = false;
      host.bootId[1] = (host.bootId[1]! + 1) & 0xff;
      pair.powerIsBack();
      this.bus.kick();
      for (const process of host.processes) this.time.after(2_000 + Math.floor(this.#random() * 20_000), () => process.start());
    });
  }

  // ---- The whole run -----------------------------------------------------------------------------------------------------------------------

  run(): Outcome {
    let violation: Violation | undefined;
    try {
      this.time.after(50_000, () => this.#operator());
      this.time.after(10_000, () => this.#watchNodes());
      this.time.runUntil(this.#options.quietFromUs);
      this.#end();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      violation = error;
    }
    return {
      violation, events: this.time.count, frames: this.bus.frames, acceptedCommands: this.judge.acceptedCommands, faults: this.#options.faults.length, takeovers: this.#takeovers, answers: this.gateways.reduce((sum, pair) => sum + pair.clients.reduce((all, client) => all + client.answers, 0), 0), gatewayTakeovers: this.gateways.reduce((sum, pair) => sum + pair.counts.takeovers, 0), verdicts: this.#verdicts,
      virtualUs: this.time.nowUs, coverage: this.coverage,
    };
  }

  /** No more faults: it must work again, and then find its safe pose. */
  #end(): void {
    this.#trace("quiet");
    this.#quiet = true;
    for (const brain of this.brains) brain.isQuiet = true;
    for (const pair of this.gateways) {
      pair.isQuiet = true;
      for (const process of pair.processes) process.cutIn = Infinity;
    }
    for (const process of this.#processes) {
      process.cutIn = Infinity;
      if (process.role === "stopped") process.kill();
    }
    const from = this.time.nowUs;
    // What began just before may still sleep.
    this.time.runUntil(from + 150_000);
    while (!this.#works()) {
      this.time.runUntil(this.time.nowUs + 10_000);
      for (const process of this.#processes) if (process.isAlive && process.role === "stopped") process.kill();
      if (this.time.nowUs - from > RECOVERY_US) this.judge.fail("notLive", `${RECOVERY_US / 1e6} s after the last fault: ${this.#describe()}`);
    }
    this.#trace("works again");
    this.#reachPose();
  }

  /** One owner, armed, and each joint accepts commands of it; and the gateways answer their clients. */
  #works(): boolean {
    if (!this.gateways.every((pair) => pair.isWellSince(this.#options.quietFromUs))) return false;
    const owner = this.#armedOwner();
    if (!owner) return false;
    return this.nodes.every((node) => node.isOn && node.owner === owner.owner && node.epoch === owner.core.epoch && !node.outputsAreSafe && node.velocity !== 0);
  }

  #armedOwner(): ReflexProcess | undefined {
    return this.#processes.find((process) => process.isAlive && process.role === "owner" && process.core.arming === 1);
  }

  #reachPose(): void {
    this.#operatorArms = false;
    const owner = this.#armedOwner()!;
    const verdictsBefore = this.#verdicts;
    owner.order(Order.trigger, 0, 1);
    const from = this.time.nowUs;
    const boundUs = PLAN.worstUs + POSE_SLACK_US;
    while (!(this.#verdicts > verdictsBefore && this.nodes.every((node) => node.isSafe))) {
      this.time.runUntil(this.time.nowUs + 5_000);
      if (this.time.nowUs - from > boundUs) this.judge.fail("poseTooLate", `${boundUs / 1e3} ms after it was asked for: ${this.#describe()}`);
    }
    if (owner.core.arming !== 3) this.judge.fail("notPosed", this.#describe());
    for (const node of this.nodes) if (Math.abs(node.position) > 250) this.judge.fail("posedElsewhere", `${node.name} is at ${node.position}: ${this.#describe()}`);
    this.#trace(`posed within ${this.time.nowUs - from} µs`);
  }

  #describe(): string {
    const processes = this.#processes.map((process) => {
      if (!process.isAlive) return `${process.name} dead`;
      const count = process.core.native.missing(process.host.nowUs);
      const lacks = Array.from({ length: Math.min(count, 6) }, (_, index) => process.core.lack(index)).map(({ reason, subject }) => `${reason}:${subject}`);
      return `${process.name} ${process.role} epoch ${process.core.epoch} arming ${process.core.arming} bus ${new Uint8Array(process.page)[process.core.at["pageBusPhases"]!]} malfunction ${process.core.malfunction} latched ${process.core.triggerLatched} missing ${lacks.join(" ")}`;
    });
    const nodes = this.nodes.map((node) => `${node.name} follows ${node.owner}/${node.epoch} outputs ${node.outputsAreSafe ? "safe" : "on"} mode ${node.mode} at ${node.position} speed ${node.velocity}`);
    const gateways = this.gateways.flatMap((pair) => [...pair.processes.map((process) => `${process.name}: ${process.state}`), ...pair.clients.map((client) => `${client.name} ${client.answers} answers, the last at ${client.answeredUs}`)]);
    return [...processes, ...nodes, ...gateways].join("; ");
  }
}

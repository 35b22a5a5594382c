/**
 * One of two instances of the daemon: performs what the table of roles says (failsafe/failover/roles.ts), and tells it what happens. The configuration is compiled and the gateway built
 * from the first; active is who has the lock or has buried the other.
 */
import { randomInt } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../schemas/clock.ts";
import { HandedConnections } from "../../failsafe/failover/connections.ts";
import { ActiveLink } from "../../failsafe/failover/activeLink.ts";
import { FdStore, storedDescriptors, storedLegacy } from "../../failsafe/failover/fdStore.ts";
import { Keeper } from "../../failsafe/failover/keeper.ts";
import { Fate, Word } from "../../failsafe/failover/page.ts";
import { asksAgain } from "../../failsafe/failover/lockPatience.ts";
import { QuarantineFile } from "../../failsafe/failover/quarantineFile.ts";
import { nextRole, type Role, type RoleEffect, type RoleEvent } from "../../failsafe/failover/roles.ts";
import { type Legacy, Standby } from "../../failsafe/failover/standby.ts";
import { TakeoverTrace } from "../../failsafe/failover/trace.ts";
import { FairClock } from "../../failsafe/watchdog/starvation.ts";
import { brainSupervision, SUPERVISION_CYCLE_MS } from "../../failsafe/watchdog/brain.ts";
import { Supervision } from "../../failsafe/watchdog/supervision.ts";
import type { PairVersion } from "../../failsafe/failover/version.ts";
import { closeAll, type Descriptor, lockFile, nativeSeal, OwnPage, type SeqpacketServer, SocketError } from "../../shm/sockets/index.ts";
import { clientQueue } from "../broker/broker.ts";
import { Guard } from "../broker/guard.ts";
import type { FrontPair } from "../front/localFront.ts";
import type { PairPort, PairReport } from "../front/pairServices.ts";
import type { Gateway } from "../gateway.ts";
import type { EventInput } from "../observe/events.ts";
import { LinkGuard } from "../links/linkGuard.ts";
import { failpointOf, linkFailpointOf } from "./failpoint.ts";

export interface PairOptions {
  folder: string;
  instance: string;
  deadlineMs: number;
  /** Whether `ipcnet kill --test` may end an instance. */
  drills: boolean;
  clock: Clock;
  version?: PairVersion;
  /** Builds the gateway around the pair's front. */
  build(pair: FrontPair): Promise<Gateway>;
  /** Takes over for practice; `isOver` is true when it is in the way (rehearsal.ts). */
  rehearse(folder: string, isOver: () => boolean): Promise<void>;
  /** Before there is a gateway that has events. */
  say(input: EventInput): void;
}

/** Writes the number of whoever is active now where the next one finds it. */
function noteActive(folder: string, number: number): void {
  writeFileSync(join(folder, "last-active"), String(number), { mode: 0o600 });
}

/** 0: nobody has been active since the boot. */
function lastActive(folder: string): number {
  try {
    return Number(readFileSync(join(folder, "last-active"), "utf8"));
  } catch {
    return 0;
  }
}

/** How a pair instance has ended: `stopped` asks for the safe pose, the others for nothing. */
export type PairEnd = "stopped" | "left" | "handedOver" | "expired";

/** Between two looks for the active, ms: it may be starting, or ending. */
const LOOK_AGAIN_MS = 50;
/** Between two attempts to get the lock of a dead twin, ms. */
const LOCK_RETRY_MS = 20;
/** After the first packet of a successor, ms: everybody has waited since the death, and is answered while it still runs before the others. */
const SETTLE_MS = 50;
/** Between the answer to who asked for a drill and the drill, ms. */
const DRILL_MS = 20;

export class PairInstance {
  readonly #options: PairOptions;
  readonly #page = new OwnPage();
  readonly #keeper: Keeper;
  readonly #connections: HandedConnections;
  readonly #seal = nativeSeal();
  readonly ended: Promise<PairEnd>;
  #end: (how: PairEnd) => void = () => {};
  #role: Role = "looking";
  #gateway: Gateway | undefined;
  #lock: Descriptor | undefined;
  #standby: Standby | undefined;
  #link: ActiveLink | undefined;
  #server: SeqpacketServer | undefined;
  readonly #store = process.env["NOTIFY_SOCKET"] === undefined ? undefined : new FdStore(process.env["NOTIFY_SOCKET"]);
  #stored = new Map<string, Descriptor>();
  readonly #supervision = new Supervision(brainSupervision);
  readonly #fairClock: FairClock;
  #trace: TakeoverTrace;
  #legacy: Legacy | undefined;
  #quarantine!: QuarantineFile;
  #linkGuard!: LinkGuard;
  #topics = "";
  #refusal = "";
  #stopWanted = false;
  #isPrepared = false;
  #failed: (error: unknown) => void = () => {};

  constructor(options: PairOptions) {
    this.#options = options;
    this.#trace = this.#newTrace();
    this.#fairClock = new FairClock(() => options.clock.nowUs());
    this.#keeper = new Keeper({ page: this.#page, seal: this.#seal, checkpoint: (point) => this.#supervision.passed("turns", point, this.#fairClock.nowUs()) });
    // A standby has no crank to turn yet.
    this.#supervision.deactivate("crank");
    this.#connections = new HandedConnections({ keeper: this.#keeper, page: this.#page, connection: { queue: clientQueue() }, failpoint: failpointOf((text) => this.#warn(text)) });
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#failed = reject;
    });
  }

  get role(): Role {
    return this.#role;
  }

  get gateway(): Gateway | undefined {
    return this.#gateway;
  }

  async start(): Promise<void> {
    mkdirSync(this.#options.folder, { recursive: true, mode: 0o700 });
    this.#quarantine = new QuarantineFile(join(this.#options.folder, "quarantine.json"), () => {});
    this.#linkGuard = new LinkGuard({
      words: this.#page.words, file: this.#quarantine, wallTime: () => this.#wallTime(), failpoint: linkFailpointOf((text) => this.#warn(text)),
      quarantined: ({ name, component, why, lengthBytes }) => this.#options.say({ severity: "error", code: "quarantined", source: component, text: `${component} is kept out as ${name}: ${why} (${lengthBytes} bytes)` }),
    });
    this.#gateway = await this.#options.build({
      keeper: this.#keeper, connections: this.#connections, port: this.#port(), supervision: this.#supervision, fairNowUs: () => this.#fairClock.nowUs(), folder: this.#options.folder,
      watch: (link, nameOf) => this.#linkGuard.watch(link, nameOf), predecessorEpoch: () => this.#legacy?.epoch ?? 0, epochBegan: (epoch) => (this.#page.words[Word.epoch] = epoch), guard: () => this.#guard(),
      inherited: () => this.#legacy && { listener: this.#legacy.listener, path: this.#legacy.path, inheritance: this.#legacy.inheritance },
      restored: () => this.#trace.mark("restored"),
      listening: (server) => this.#listening(server),
    });
    // What the configuration says, before programs make topics of their own.
    this.#topics = this.#gateway.topicsFingerprint;
    const words = this.#page.words;
    setInterval(() => (words[Word.progress] = (words[Word.progress]! + 1) >>> 0), this.#options.deadlineMs / 10);
    setInterval(() => this.#supervise(), SUPERVISION_CYCLE_MS);
    process.on("uncaughtExceptionMonitor", () => (words[Word.fate] = Fate.fault));
    this.#page.markCrash(Word.fate, Fate.fault);
    this.#stored = storedDescriptors(process.env, (name) => this.#options.say({ severity: "warning", code: "unknownDescriptor", source: "pair", text: `systemd gave back a descriptor "${name}" that nobody knows; it is closed` }));
    this.#perform("look");
  }

  /** Fault: a report. Expired: a loud one. Stopped: this instance has nothing more to say, and the other one goes on. */
  #supervise(): void {
    for (const { entity, to, why } of this.#supervision.cycle(this.#fairClock.nowUs())) {
      this.#options.say({ severity: to === "ok" || to === "deactivated" ? "info" : to === "failed" ? "warning" : "error", code: `supervision${to[0]!.toUpperCase()}${to.slice(1)}`, source: entity ?? "supervision", text: why });
    }
    if (!this.#supervision.mayFeed) this.happened("expired");
  }

  #port(): PairPort {
    const self = (): string => this.#options.instance;
    const disturbs = (): string | undefined => this.#gateway!.handOverDisturbs;
    const { quarantine } = this.#quarantine;
    return {
      report: () => this.#report(), quarantine, saveQuarantine: () => this.#quarantine.save(), switchOver: () => this.happened("switchAsked"),
      get disturbs() {
        return disturbs();
      },
      kill: (instance) => {
        if (instance === this.#link?.standby?.instance) this.#link.killStandby();
        else if (instance !== self()) return false;
        // After the answer has gone.
        else setTimeout(() => process.kill(process.pid, "SIGKILL"), DRILL_MS);
        return true;
      },
    };
  }

  /** Later: the caller may still be constructing us. */
  #warn(text: string): void {
    queueMicrotask(() => this.#options.say({ severity: "error", code: "failpoint", source: "pair", text }));
  }

  #wallTime(): string {
    return new Date(Number(this.#options.clock.wallTimeNs() / 1_000_000n)).toISOString();
  }

  #newTrace(): TakeoverTrace {
    const { clock } = this.#options;
    return new TakeoverTrace(() => clock.nowUs());
  }

  #listening(server: SeqpacketServer): void {
    this.#server = server;
    if (!this.#legacy) return;
    this.#trace.mark("listening");
    this.#keeper.onceGiven(() => {
      this.#trace.mark("firstReply");
      setTimeout(() => this.#standby?.settle(), SETTLE_MS);
    });
  }

  #report(): PairReport {
    const { instance, deadlineMs, drills } = this.#options;
    const standby = this.#link?.standby;
    const { turns, journalBytes } = this.#keeper.counters;
    const takeover = this.#trace.report();
    return {
      active: instance, pid: process.pid, epoch: this.#page.words[Word.epoch]!, ...(standby ? { standby: { instance: standby.instance, pid: standby.pid, ready: standby.isReady } } : {}), progressMs: deadlineMs, drills,
      supervision: this.#supervision.state,
      since: this.#legacy ? { how: "tookOver", from: this.#legacy.instance, death: this.#legacy.death } : { how: "started" }, ...(takeover ? { takeover } : {}), turns, journalBytes,
    };
  }

  /** As it is when this instance becomes active: the other one may have written it since. */
  #guard(): Guard {
    const { say } = this.#options;
    this.#quarantine.reload((text) => say({ severity: "error", code: "quarantineUnreadable", source: "pair", text }));
    if (this.#legacy?.message) this.#linkGuard.judge(this.#legacy.message, this.#legacy.death);
    return new Guard({
      file: this.#quarantine, keeper: this.#keeper, death: this.#legacy?.death ?? "killed", wallTime: () => this.#wallTime(),
      quarantined: ({ name, component, pid, why, lengthBytes }) => say({ severity: "error", code: "quarantined", source: component, text: `${component} (pid ${pid}) is kept out as ${name}: ${why} (${lengthBytes} bytes)` }),
    });
  }

  /** SIGTERM and the like: the other one goes on, if it can. `both`: whoever started the two of them is gone, and nobody shall go on. */
  stop({ both = false } = {}): void {
    this.#stopWanted = true;
    // Not active yet: then it is the other one that poses, if anybody has to. We go when we know who that is.
    if (this.#role === "active" && !this.#lock) return;
    // The active may have been told at the same time, and hand over to us: then we take over first, and bring the robot to rest.
    if (this.#role === "standby") return this.#standby!.leave();
    if (!both && this.#role === "active" && this.#link?.standby?.isReady) this.happened("switchAsked");
    else this.happened("stopAsked");
  }

  happened(event: RoleEvent, text = ""): void {
    const cell = nextRole(this.#role, event);
    if (!cell) return;
    if (cell.to !== this.#role) this.#options.say({ severity: event === "twinLate" || event === "twinDead" || event === "refused" ? "warning" : "info", code: cell.to, source: `instance ${this.#options.instance}`, text: `${this.#role} → ${cell.to}: ${text || event}` });
    if (event === "refused") this.#refusal = text;
    if (event === "inSync") this.#prepare();
    this.#role = cell.to;
    // Before everything is in sync: whoever may have to go on then knows already how the robot is.
    if (cell.to === "following") this.#gateway!.follow();
    for (const effect of cell.do) this.#perform(effect);
  }

  /** What a standby does for a quick takeover, once in its life. */
  #prepare(): void {
    const { say, instance, rehearse, folder } = this.#options;
    if (this.#isPrepared) return;
    this.#isPrepared = true;
    const source = `instance ${instance}`;
    if (this.#standby?.mayRaise === false) say({ severity: "info", code: "ordinaryPriority", source, text: "a takeover has to share the processors with everybody else: this user may not raise priorities (LimitRTPRIO=1 or LimitNICE=-20 of the unit)" });
    rehearse(folder, () => this.#role !== "standby").then(
      () => say({ severity: "info", code: "rehearsed", source, text: "a takeover has been rehearsed" }),
      (error: unknown) => say({ severity: "warning", code: "notRehearsed", source, text: `a takeover takes longer than it needs to, its rehearsal failed: ${String(error)}` }),
    );
  }

  #perform(effect: RoleEffect): void {
    switch (effect) {
      case "look":
        this.#lock = this.#takeLock();
        return this.happened(this.#lock ? "lockTaken" : "lockHeld");
      case "join":
        return this.#join();
      case "lookLater":
        this.#standby?.close();
        this.#standby = undefined;
        return void setTimeout(() => this.#perform("look"), this.#refusal === "" ? LOOK_AGAIN_MS : 20 * LOOK_AGAIN_MS);
      case "startCold":
        // Nobody is active: what an earlier instance of this name left with systemd, if it was the last that was active, is all there is.
        this.#legacy = this.#storedLegacy();
        return void this.#begin(this.#legacy ? this.#gateway!.takeOver() : this.#gateway!.start()).catch(this.#failed);
      case "fence":
        return this.#standby!.fence();
      case "takeOver":
        return this.#takeOver();
      case "handOver":
        return void this.#handOver().catch(this.#failed);
      case "die":
        process.kill(process.pid, "SIGKILL");
        return;
      case "stop":
        this.#link?.close();
        return this.#end("stopped");
      case "leave":
        this.#standby?.close();
        return this.#end("left");
      case "reportRefusal":
        return this.#options.say({ severity: "error", code: "pairRefused", source: `instance ${this.#options.instance}`, text: `there is no pair: ${this.#refusal}` });
      default:
        return effect satisfies never;
    }
  }

  #takeLock(): Descriptor | undefined {
    return lockFile(join(this.#options.folder, "active.lock"));
  }

  #join(): void {
    const { folder, instance, deadlineMs, clock, version } = this.#options;
    // What an active that came to nothing has left in it is nothing.
    this.#trace = this.#newTrace();
    try {
      this.#standby = new Standby({
        path: join(folder, "pair.sock"), instance, topics: this.#topics, seal: this.#seal, deadlineMs, nowUs: () => clock.nowUs(), trace: this.#trace, ...(version ? { version } : {}),
        // Let go as it had asked.
        happened: (event, text) => this.happened(event === "refused" && this.#stopWanted ? "stopAsked" : event, text),
      });
    } catch (error) {
      // Whoever has the lock does not listen yet, or no longer.
      if (!(error instanceof SocketError)) throw error;
      return this.happened("notLinked");
    }
    this.happened("linked");
    // Somebody is active: what an earlier instance of this name has left is stale.
    this.#store?.forgetAll(this.#stored.keys());
    closeAll([...this.#stored.values()]);
    this.#stored.clear();
  }

  #storedLegacy(): Legacy | undefined {
    if (this.#stored.size === 0) return undefined;
    const names = [...this.#stored.keys()];
    const { folder, instance } = this.#options;
    const legacy = storedLegacy(this.#stored, { active: lastActive(folder), seal: this.#seal, instance, path: this.#gateway!.socketPath });
    this.#store?.forgetAll(names);
    this.#stored.clear();
    return legacy;
  }

  #takeOver(sinceUs = this.#options.clock.nowUs()): void {
    this.#legacy ??= this.#standby!.legacy();
    this.#lock = this.#standby?.takeLock() ?? this.#takeLock();
    if (!this.#lock) {
      const waitedMs = (this.#options.clock.nowUs() - sinceUs) / 1e3;
      if (asksAgain({ hasLegacy: this.#legacy !== undefined, waitedMs })) return void setTimeout(() => this.#takeOver(sinceUs), LOCK_RETRY_MS);
      // The clients see an end, and connect to whoever has the lock.
      this.#legacy = undefined;
      this.happened("lockKept", "the twin was started again meanwhile and has the lock: it is joined");
      return this.#stopWanted ? this.happened("stopAsked") : undefined;
    }
    this.#trace.mark("locked");
    void this.#begin(this.#legacy ? this.#gateway!.takeOver(this.#standby?.released) : this.#gateway!.start()).catch(this.#failed);
  }

  /** What begins is an active's work; when clients can connect, a standby can come. */
  async #begin(started: Promise<void>): Promise<void> {
    const { folder, instance, version } = this.#options;
    const number = randomInt(1, 2 ** 32);
    this.#page.words[Word.instance] = number;
    await started;
    this.#supervision.activate("crank");
    if (this.#store) {
      // What is left with systemd is known by this number. A file may have to wait for a disk: never while clients wait.
      noteActive(folder, number);
      this.#store.keep("page", this.#page.descriptor);
      const listener = this.#server!.descriptor();
      this.#store.keep("listener", listener);
      listener.close();
      this.#keeper.setHeir(this.#store);
    }
    // The dead one's end of the pair's socket is open until then.
    await this.#standby?.released;
    this.#link = new ActiveLink({
      path: join(folder, "pair.sock"), instance, topics: this.#topics, page: this.#page, keeper: this.#keeper, store: this.#store, seal: this.#seal, ...(version ? { version } : {}),
      listener: () => ({ descriptor: this.#server!.descriptor(), path: this.#server!.path }), lock: this.#lock!, mayLeave: () => this.#role === "active",
      event: (code, text) => this.#gateway!.event({ severity: code === "standbyGone" ? "warning" : code === "standbyRefused" ? "error" : "info", code, source: "pair", text }),
    });
    if (this.#stopWanted) this.happened("stopAsked");
  }

  async #handOver(): Promise<void> {
    // First what takes time, while the clients are still served.
    await this.#gateway!.handOver();
    // From here on no turn begins: what clients say waits in their sockets for the successor.
    this.#connections.freeze();
    this.#keeper.commit();
    this.#page.words[Word.fate] = Fate.handover;
    this.#end("handedOver");
  }
}

/**
 * One process `ipcnet-reflex`: the real core, and around it in TypeScript what failsafe/reflex/process does with system calls: it drains its socket and the lane, learns of the other twin from
 * kernel facts, performs effects, turns once a millisecond. It can be killed before any effect, stand still in the middle of one, wake up late.
 */
import { BusEffect, Core, type CoreAddon, Effect, LinkEvent, NEVER_CUT, Order, QUEUED, REPORT_FLAG, Report, type Role, roles, TwinDo, TwinEvent, FRAME_BYTES } from "../reflex/addon/core.ts";
import { type BusFrame, type FrameTruth, Life, type SimBus } from "./bus.ts";
import { type EpochStore, type Host, INTERFACE_FRAMES, isNewer, nextEpoch } from "./host.ts";
import type { EventQueue } from "./queue.ts";
import { BITRATE_BPS, CLAIM_ID, Mode, readCommand, type Robot, TWIN_DEADLINE_US, TX_QUEUE_FRAMES } from "./robot.ts";

const TURN_US = 1_000;
const FENCE_US = 20_000;
const YIELD_US = 50_000;
const LOCK_RETRY_US = 5_000;
const RESERVE_AHEAD = 4;
const SOCKET_FRAMES = 256;
const PURGE_US = 1_000;
const LINK_DOWN = 4;
/** Of a turn. */
const STEPS = 6;
const FRAME_FLAG_ECHO = 0x40;

/** An effect; true: the process stood still within it, and what is asked before it was asked before. */
type Action = (sleptInside: boolean) => void;

/** How things stood when the core decided to send. */
export interface Decided {
  deadlineLocalUs: number;
  wasArmed: boolean;
}

/** What a process tells those who judge and steer the simulation. */
export interface ProcessEvents {
  /** `resumed`: together with the bus, as the owner before left it. */
  armingChanged(process: ReflexProcess, from: number, to: number, resumed: boolean): void;
  roleChanged(process: ReflexProcess, from: number, to: number): void;
  handsOver(process: ReflexProcess, frame: BusFrame, decided: Decided): void;
  epochStored(process: ReflexProcess, epoch: number): void;
  calls(process: ReflexProcess, runId: bigint, step: number): void;
  verdict(process: ReflexProcess, verdict: number): void;
  died(process: ReflexProcess): void;
}

export class ReflexProcess {
  readonly name: string;
  readonly instance: number;
  readonly host: Host;
  readonly core: Core;
  /** Changes with every start. */
  life = new Life(0);
  isAlive = false;
  /** Since when this life runs, true time. */
  startedUs = 0;
  stalledUntilUs = 0;
  /** A kill waits until then: it sleeps where signals do not reach. */
  unkillableUntilUs = 0;
  /** Each wake is late by up to so much. */
  lateUs = 0;
  /** Dies before the effect with this number, counted from now; or stands still before it, for `cutStallUs`. */
  cutIn = Infinity;
  cutStallUs = 0;
  /** Signals do not reach it while it stands still there. */
  cutUnkillable = false;
  /** The newest brain it has heard of, and since when. */
  brainEpoch = 0;
  brainSinceUs = 0;
  /** The newest command in the lane with which nothing was wrong that this life has read before the one that is looked at. */
  readBefore = { brainEpoch: 0, sequence: 0n };
  /** When each node's heartbeat that was read last was received, and since when the owner before is believed instead; by its host's clock. */
  readonly heardUs: number[] = [];
  resumedUs = -Infinity;
  /** When its brain beat last, as far as it knows; by its host's clock. */
  brainHeardUs = -Infinity;
  /** The last echo of one of our own frames. */
  echoedUs = -Infinity;
  /** What the clock showed when the process looked last: that is what its core knows. */
  lookedUs = 0;
  /** The same for its last whole turn. */
  judgedUs = 0;
  page = new ArrayBuffer(32_768);
  pageView = new DataView(this.page);
  /** Known of the other twin, from its hello. */
  other: { process: ReflexProcess; life: Life; page: ArrayBuffer; view: DataView; isDead: boolean } | undefined;
  #spare: ArrayBuffer[] = [];
  readonly #time: EventQueue;
  readonly #bus: SimBus;
  readonly #random: () => number;
  readonly #events: ProcessEvents;
  readonly #robot: Robot;
  readonly #received: { frame: BusFrame; data: Uint8Array; own: boolean; receivedUs: number }[] = [];
  readonly #links: [number, number, number][] = [];
  readonly #news: number[] = [];
  readonly #orders: [number, number, number, bigint][] = [];
  #lostFrames = 0;
  #lane = 0;
  #wakeUs = Infinity;
  #inFlight = 0;
  #role = 0;
  #arming = 0;
  #armingNow = 0;
  #fenceEndsUs = Infinity;
  #yieldEndsUs = Infinity;
  #lockRetryUs = -Infinity;
  #storedEpoch = 0;
  #awaitedEpoch = 0;
  #reserveUs = 0;
  /** The other's page with an epoch that its file told. */
  #borrowed: ArrayBuffer | undefined;
  #held: Action[] | undefined;
  /** The step of its turn in which it stands still. */
  #step = 0;
  /** Killed, and not dead yet. */
  #dies = false;

  constructor({ addon, host, instance, time, bus, random, events, robot }: { addon: CoreAddon; host: Host; instance: number; time: EventQueue; bus: SimBus; random: () => number; events: ProcessEvents; robot: Robot }) {
    this.name = `${host.number}${"ab"[instance]}`;
    this.instance = instance;
    this.host = host;
    this.core = new Core(addon);
    this.#time = time;
    this.#bus = bus;
    this.#random = random;
    this.#events = events;
    this.#robot = robot;
  }

  get role(): Role {
    return this.isAlive ? roles[this.core.role]! : "stopped";
  }
  /** As of the effect that is being looked at: what the core has said of itself before it. */
  get armingNow(): number {
    return this.#armingNow;
  }
  get owner(): number {
    return this.host.number * 2 + this.instance;
  }

  // ---- Life -------------------------------------------------------------------------------------------------------------------------------

  start(): void {
    if (this.isAlive || !this.host.isPowered) return;
    const nowUs = this.host.nowUs;
    this.life = new Life(this.#time.nowUs);
    this.isAlive = true;
    this.startedUs = this.#time.nowUs;
    this.stalledUntilUs = this.unkillableUntilUs = 0;
    this.cutIn = Infinity;
    this.#received.length = this.#links.length = this.#news.length = this.#orders.length = 0;
    this.#lostFrames = this.#inFlight = 0;
    this.#lane = this.host.laneFirst + this.host.lane.length;
    this.#role = this.#arming = this.#armingNow = this.#step = 0;
    this.lookedUs = nowUs;
    this.resumedUs = this.brainHeardUs = -Infinity;
    this.#fenceEndsUs = this.#yieldEndsUs = Infinity;
    this.#lockRetryUs = -Infinity;
    this.#awaitedEpoch = this.#reserveUs = 0;
    this.#borrowed = undefined;
    this.#storedEpoch = this.host.storedEpoch;
    this.#held = undefined;
    this.#dies = false;
    this.echoedUs = -Infinity;
    this.heardUs.length = 0;
    this.brainEpoch = 0;
    this.readBefore = { brainEpoch: 0, sequence: 0n };
    this.other = undefined;
    // The twin may still look at the page of the life before.
    this.#spare.push(this.page);
    this.page = this.#spare.length > 2 ? this.#spare.shift()! : new ArrayBuffer(32_768);
    this.pageView = new DataView(this.page);
    new Uint8Array(this.page).fill(0);
    this.#signPage(this.page);
    this.pageView.setUint32(this.core.at["pagePid"]!, 1_000 + Math.floor(this.startedUs / 100), true);

    const { core } = this;
    core.bytes.set(this.host.bootId, core.at["bootId"]!);
    core.view.setUint32(core.at["link"]!, TX_QUEUE_FRAMES, true);
    core.view.setUint32(core.at["link"]! + 4, BITRATE_BPS, true);
    core.cutAt = NEVER_CUT;
    core.native.init(this.page, this.instance, 0, this.#storedEpoch, nowUs);
    this.#perform();
    this.#load(nowUs);
    if (this.host.image) {
      core.bytes.set(this.host.image, core.at["image"]!);
      core.native.restore(nowUs);
      this.#perform();
    }
    this.#links.push([LinkEvent.up, this.host.queue.length, 0]);
    if (this.host.isBusOff) this.#links.push([LinkEvent.busState, 3, 0]);
    const { life } = this;
    // It says hello; the other may be there or not.
    this.#time.after(1_000 + Math.floor(this.#random() * 2_000), () => {
      const twin = this.host.processes[1 - this.instance];
      if (!twin || this.life !== life || !this.isAlive || !twin.isAlive) return;
      this.#meets(twin);
      twin.#meets(this);
    });
    this.#tryLock(true);
    this.wakeSoon();
  }

  #signPage(page: ArrayBuffer): void {
    const view = new DataView(page);
    view.setUint32(this.core.at["pageMagic"]!, 0x5052_4349, true);
    view.setUint16(this.core.at["pageMagic"]! + 4, 1, true);
    new Uint8Array(page).set(this.host.bootId, this.core.at["pageMagic"]! + 8);
  }

  #load(nowUs: number): void {
    const { table } = this.#robot;
    if (!this.core.native.loadTable(table.buffer as ArrayBuffer, table.length, nowUs)) {
      const { code, section, row } = this.core.fault;
      throw new Error(`the table was refused: ${code}, section ${section}, row ${row}`);
    }
    this.#perform();
  }

  #meets(twin: ReflexProcess): void {
    this.other = { process: twin, life: twin.life, page: twin.page, view: twin.pageView, isDead: false };
    this.core.native.watch(TWIN_DEADLINE_US, this.host.nowUs);
  }

  /** SIGKILL, or a crash. */
  kill(): void {
    if (!this.isAlive) return;
    if (this.#time.nowUs < this.unkillableUntilUs) {
      const { life } = this;
      if (this.#dies) return;
      this.#dies = true;
      this.#time.at(this.unkillableUntilUs, () => {
        if (this.life !== life) return;
        // The system call in which it slept is finished; then it dies, without another instruction of its own.
        this.#held?.[0]?.(true);
        this.#held = undefined;
        this.#dies = false;
        this.kill();
      });
      return;
    }
    this.isAlive = false;
    this.#held = undefined;
    const { life } = this;
    life.diedUs = this.#time.nowUs;
    this.#received.length = 0;
    this.#events.died(this);
    // The kernel gives the lock back when files are closed, wakes the twin by the robust word before, shows the pidfd after.
    const teardownUs = 50 + Math.floor(this.#random() * 250);
    this.#time.after(teardownUs, () => {
      if (this.host.lockHolder === this && this.life === life) this.host.lockHolder = undefined;
    });
    const twin = this.host.processes[1 - this.instance];
    if (!twin) return;
    this.#time.after(Math.floor(teardownUs / 2), () => twin.#told(life, TwinEvent.ownerSuspect));
    this.#time.after(teardownUs + 20, () => twin.#told(life, TwinEvent.ownerDead));
  }

  /** The host has lost its power: nothing is given back, all is gone. */
  vanish(): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    this.#held = undefined;
    this.life.diedUs = this.#time.nowUs;
    this.#events.died(this);
  }

  stall(forUs: number): void {
    this.stalledUntilUs = Math.max(this.stalledUntilUs, this.#time.nowUs + forUs);
    this.#wakeAt(this.stalledUntilUs);
  }

  #told(life: Life, event: number): void {
    if (!this.isAlive || this.other?.life !== life || this.other.isDead) return;
    if (event === TwinEvent.ownerDead) this.other.isDead = true;
    this.#news.push(event);
    this.wakeSoon();
  }

  // ---- What it hears ----------------------------------------------------------------------------------------------------------------------

  hears(frame: BusFrame, data: Uint8Array, own: boolean): void {
    if (!this.isAlive) return;
    if (this.#received.length >= SOCKET_FRAMES) {
      this.#lostFrames += 1;
      return;
    }
    this.#received.push({ frame, data, own, receivedUs: this.host.nowUs });
    this.wakeSoon();
  }

  /** The socket lost what waits in it. */
  overflows(): void {
    this.#lostFrames += this.#received.length;
    this.#received.length = 0;
  }

  link(kind: number, a = 0, b = 0): void {
    if (!this.isAlive) return;
    this.#links.push([kind, a, b]);
    this.wakeSoon();
  }

  order(order: number, a = 0, b = 0, c = 0n): void {
    if (!this.isAlive) return;
    this.#orders.push([order, a, b, c]);
    this.wakeSoon();
  }

  /** An operator or an update wants the other to take over. */
  askToYield(): void {
    if (!this.isAlive || !this.other || !this.other.process.isAlive) return;
    this.#news.push(TwinEvent.yieldAsked);
    this.wakeSoon();
  }

  // ---- Its loop ---------------------------------------------------------------------------------------------------------------------------

  wakeSoon(): void {
    this.#wakeAt(this.#time.nowUs + 30 + Math.floor(this.#random() * (60 + this.lateUs)));
  }

  #wakeAt(trueUs: number): void {
    if (!this.isAlive || this.#wakeUs <= trueUs) return;
    this.#wakeUs = trueUs;
    this.#time.at(trueUs, () => {
      if (this.#wakeUs !== trueUs) return;
      this.#wakeUs = Infinity;
      this.#run();
    });
  }

  #run(): void {
    if (!this.isAlive) return;
    if (this.#time.nowUs < this.stalledUntilUs) {
      this.#wakeAt(this.stalledUntilUs);
      return;
    }
    if (this.#dies) return;
    const held = this.#held;
    this.#held = undefined;
    held?.forEach((action, index) => action(index === 0));
    const { life } = this;
    // Whoever was stopped in the middle of a turn goes on with what the clock showed when it began.
    if (!held) {
      this.#step = 0;
      this.lookedUs = this.host.nowUs;
    }
    for (; this.#step < STEPS; this.#step++) {
      this.#turnStep(this.#step, this.lookedUs);
      if (!this.isAlive || this.life !== life || this.#held) return;
    }
    life.turned(this.#time.nowUs);
    this.judgedUs = this.lookedUs;
    const nextUs = Math.max(this.#time.nowUs + 20, Math.min(this.#time.nowUs + TURN_US, this.host.clock.trueOf(this.core.nextDeadlineUs)));
    this.#wakeAt(nextUs + Math.floor(this.#random() * (10 + this.lateUs)));
  }

  /** In the order of a turn of the real loop. */
  #turnStep(step: number, nowUs: number): void {
    switch (step) {
      case 0:
        return this.#drain(nowUs);
      case 1:
        return this.#linkNews(nowUs);
      case 2:
        return this.#facts(nowUs);
      case 3:
        return this.#commands(nowUs);
      case 4:
        return this.#ordersOf(nowUs);
      default:
        return this.#tick(nowUs);
    }
  }

  #before(): void {
    const { core, host } = this;
    const room = host.isBusOff ? 0 : Math.max(0, Math.min(TX_QUEUE_FRAMES - this.#inFlight, INTERFACE_FRAMES - host.queue.length));
    core.u32[core.at["room"]! / 4] = room;
    core.u32[core.at["verdict"]! / 4] = host.isBusOff ? LINK_DOWN : QUEUED;
    core.u32[core.at["mayPurge"]! / 4] = host.mayPurge ? 1 : 0;
    core.cutAt = this.cutIn === Infinity || this.cutStallUs > 0 ? NEVER_CUT : this.cutIn;
  }

  #drain(nowUs: number): void {
    const { core } = this;
    if (this.#lostFrames > 0) {
      this.#before();
      core.native.link(0, LinkEvent.overflow, this.#lostFrames, 0, 0, nowUs);
      this.#lostFrames = 0;
      this.#perform();
    }
    while (this.#received.length > 0 && this.isAlive && !this.#held) {
      const batch = this.#received.splice(0, 64);
      for (const [index, one] of batch.entries()) this.#put(core.inputFrameAt(index), one);
      this.#before();
      core.native.frames(0, batch.length, nowUs);
      this.#perform();
    }
  }

  #put(at: number, { frame: { canId, length, token, sender }, data, own, receivedUs }: { frame: BusFrame; data: Uint8Array; own: boolean; receivedUs: number }): void {
    const { core } = this;
    // The kernel's own stamp: it may have waited for long.
    core.view.setFloat64(at, receivedUs, true);
    core.view.setUint32(at + 8, canId, true);
    core.bytes[at + 12] = own ? FRAME_FLAG_ECHO : 0;
    core.bytes[at + 13] = length;
    core.view.setUint16(at + 14, 0, true);
    core.view.setUint32(at + 16, own ? token : 0, true);
    core.view.setUint32(at + 20, 0, true);
    core.bytes.fill(0, at + 24, at + FRAME_BYTES);
    core.bytes.set(data.subarray(0, length), at + 24);
    if (own) {
      this.#inFlight = Math.max(0, this.#inFlight - 1);
      this.echoedUs = this.#time.nowUs;
    }
    if (canId >= 0x700 && canId < 0x740 && sender !== this.host) this.heardUs[canId - 0x700] = receivedUs;
  }

  #linkNews(nowUs: number): void {
    while (this.#links.length > 0 && this.isAlive && !this.#held) {
      const [kind, a, b] = this.#links.shift()!;
      if (kind === LinkEvent.purged || kind === LinkEvent.down || kind === LinkEvent.gone) this.#inFlight = 0;
      this.#before();
      this.core.view.setUint32(this.core.at["link"]! + 12, this.host.isBusOff ? 3 : 0, true);
      this.core.native.link(0, kind, a, b, 0, nowUs);
      this.#perform();
    }
  }

  #commands(nowUs: number): void {
    const { core, host } = this;
    this.#lane = Math.max(this.#lane, host.laneFirst);
    while (this.#lane < host.laneFirst + host.lane.length && this.isAlive && !this.#held) {
      const { bytes, isRight } = host.lane[this.#lane - host.laneFirst]!;
      this.#lane += 1;
      core.bytes.set(bytes, core.at["command"]!);
      this.#before();
      const couldSend = core.arming === 1;
      core.native.command(bytes.length, nowUs);
      this.#perform();
      const view = new DataView(bytes.buffer);
      // One that was refused was not the last that counted.
      const counts = isRight && Number(view.getBigUint64(0, true)) > nowUs && (this.role !== "owner" || couldSend);
      if (counts) this.readBefore = { brainEpoch: view.getUint32(16, true), sequence: view.getBigUint64(8, true) };
    }
  }

  #ordersOf(nowUs: number): void {
    while (this.#orders.length > 0 && this.isAlive && !this.#held) {
      const [order, a, b, c] = this.#orders.shift()!;
      if (order === Order.brainBeat && a > this.brainEpoch) {
        this.brainEpoch = a;
        this.brainSinceUs = this.#time.nowUs;
      }
      if (order === Order.brainBeat && a === this.brainEpoch) this.brainHeardUs = nowUs;
      this.#before();
      this.core.native.order(order, a, b, Number(c >> 32n), Number(c & 0xffff_ffffn), nowUs);
      this.#perform();
    }
  }

  #tick(nowUs: number): void {
    this.#before();
    this.core.native.tick(nowUs);
    this.#perform();
  }

  // ---- Kernel facts about the other twin ---------------------------------------------------------------------------------------------------

  #facts(nowUs: number): void {
    while (this.#news.length > 0 && this.isAlive && !this.#held) this.#twinEvent(this.#news.shift()!, nowUs);
    if (!this.isAlive || this.#held) return;
    this.#lookAtTheOther(nowUs);
    if (this.isAlive && !this.#held) this.#lookAtTheClock(nowUs);
    if (this.isAlive && !this.#held) this.#reserveAhead();
    if (this.role !== "fencing" && this.role !== "claiming" && this.#news.length === 0) this.#borrowed = undefined;
  }

  get #othersRole(): Role {
    return this.#otherLives ? roles[this.other!.view.getUint32(this.core.at["pageRole"]!, true)]! : "stopped";
  }

  /** Whether the other holds, or may hold, what we would wait for. */
  get #isInTheWay(): boolean {
    const role = this.#othersRole;
    return role !== "standby" && role !== "outvoted" && role !== "stopped";
  }

  #lookAtTheOther(nowUs: number): void {
    if (!this.#otherLives) return;
    const { role } = this;
    const stands = this.core.native.look(this.other!.page, nowUs);
    const tell = (event: number): void => {
      if (this.isAlive && !this.#held) this.#twinEvent(event, nowUs);
    };
    if ((role === "standby" || role === "yielding") && stands && this.#isInTheWay) tell(TwinEvent.ownerSuspect);
    if (role === "standby" && this.other!.view.getUint32(this.core.at["pageGoodbye"]!, true) !== 0) tell(TwinEvent.yieldedToUs);
    if (role === "outvoted" && this.#othersRole === "owner") tell(TwinEvent.lockHeld);
    if (role === "yielding" && (this.#othersRole === "owner" || this.#othersRole === "claiming")) tell(TwinEvent.yieldDone);
  }

  #lookAtTheClock(nowUs: number): void {
    const { role } = this;
    if (role === "fencing" && nowUs >= this.#fenceEndsUs && this.#otherLives) this.#twinEvent(TwinEvent.fenceExpired, nowUs);
    if (role === "yielding" && nowUs >= this.#yieldEndsUs) {
      this.#yieldEndsUs = nowUs + YIELD_US;
      this.#twinEvent(TwinEvent.yieldExpired, nowUs);
    }
    if (!this.isAlive || this.#held) return;
    const unowned = role === "standby" && !this.#isInTheWay;
    const leftAlone = role === "fencing" && !this.#otherLives;
    if ((unowned || leftAlone) && nowUs >= this.#lockRetryUs) {
      this.#lockRetryUs = nowUs + LOCK_RETRY_US;
      this.#tryLock(false);
    }
  }

  /** The next epochs are kept before they are needed, so that a takeover waits for no disk. */
  #reserveAhead(): void {
    const next = nextEpoch([this.#storedEpoch, this.other ? this.other.view.getUint32(this.core.at["pageEpoch"]!, true) : 0, this.pageView.getUint32(this.core.at["pageEpoch"]!, true)]);
    if (this.#awaitedEpoch !== 0 || this.#store.has(next) || this.#store.isWriting || this.host.nowUs < this.#reserveUs) return;
    this.#reserveUs = this.host.nowUs + 100_000;
    let last = next;
    for (let i = 1; i < RESERVE_AHEAD; i++) last = nextEpoch([last]);
    this.#reserve(last);
  }

  #twinEvent(event: number, nowUs: number): void {
    this.#before();
    this.core.native.twinEvent(event, this.#borrowed ?? this.other?.page ?? null, nowUs);
    this.#perform();
  }

  /** The other is known, and not known to be dead. */
  get #otherLives(): boolean {
    return this.other !== undefined && !this.other.isDead;
  }

  #tryLock(tellIfHeld: boolean): void {
    const { host } = this;
    if (host.lockHolder === undefined || host.lockHolder === this) {
      host.lockHolder = this;
      this.#askWhoWasBefore();
      this.pageView.setUint32(this.core.at["pageGoodbye"]!, 0, true);
      this.#news.push(TwinEvent.lockGranted);
    } else if (tellIfHeld) this.#news.push(TwinEvent.lockHeld);
    this.wakeSoon();
  }

  /** One that was never met may have owned the bus: the lock knows which epoch its last holder has used, its file which it may have used (`ask_who_was_before` of process/twins.c). */
  #askWhoWasBefore(): void {
    this.#borrowed = undefined;
    const met = this.#otherLives || this.role === "fencing";
    const seen = this.other ? this.other.view.getUint32(this.core.at["pageEpoch"]!, true) : 0;
    const own = this.pageView.getUint32(this.core.at["pageEpoch"]!, true);
    const [kept, noted] = [met ? 0 : this.host.stores[1 - this.instance]!.epoch, this.host.notedEpoch];
    const stranger = isNewer(noted, seen) && isNewer(noted, own);
    if (!stranger && (!isNewer(kept, seen) || !isNewer(kept, this.#storedEpoch))) return;
    const borrowed = this.other ? this.other.page.slice(0) : new ArrayBuffer(32_768);
    this.#signPage(borrowed);
    const view = new DataView(borrowed);
    view.setUint32(this.core.at["pageEpoch"]!, isNewer(kept, noted) ? kept : noted, true);
    if (stranger) {
      view.setUint32(this.core.at["pageRole"]!, 0, true);
      view.setUint32(this.core.at["pageGoodbye"]!, 0, true);
    }
    this.#borrowed = borrowed;
  }

  #stored(epoch: number): void {
    if (this.role === "claiming") this.host.notedEpoch = epoch;
    this.#news.push(TwinEvent.epochStored);
    this.wakeSoon();
  }

  get #store(): EpochStore {
    return this.host.stores[this.instance]!;
  }

  // ---- Effects ----------------------------------------------------------------------------------------------------------------------------

  /** Performs what the last call asked for; dies or stands still in the middle if it was told so. */
  #perform(): void {
    const { core } = this;
    this.#armingNow = this.#arming;
    const count = core.effectCount;
    const wasCut = core.wasCut;
    const pauseAt = this.cutStallUs > 0 ? this.cutIn : Infinity;
    if (core.u32[core.at["lostEffects"]! / 4]! > 0) throw new Error("more effects in one call than the list holds");
    for (let index = 0; index < count; index++) {
      const action = this.#effect(index);
      if (!action) continue;
      if (index >= pauseAt) {
        (this.#held ??= []).push(action);
        continue;
      }
      action(false);
    }
    if (wasCut) {
      new Uint8Array(this.page).set(new Uint8Array(core.native.pageAtCut));
      this.cutIn = Infinity;
      // It has died in the middle: no sleep puts that off.
      this.unkillableUntilUs = 0;
      this.kill();
      return;
    }
    if (this.#held) {
      this.stall(this.cutStallUs);
      if (this.cutUnkillable) this.unkillableUntilUs = this.stalledUntilUs + 1;
      this.cutIn = Infinity;
      this.cutStallUs = 0;
    } else if (this.cutIn !== Infinity) this.cutIn -= count;
    this.#tellChanges();
  }

  #tellChanges(): void {
    const { role, arming } = this.core;
    const tookOver = role !== this.#role && roles[role] === "owner";
    if (role !== this.#role) {
      const before = this.#role;
      this.#role = role;
      if (roles[role] === "fencing") this.#fenceEndsUs = this.host.nowUs + FENCE_US;
      if (roles[role] === "yielding") this.#yieldEndsUs = this.host.nowUs + YIELD_US;
      if (roles[role] === "standby" && this.other) this.core.native.watch(TWIN_DEADLINE_US, this.host.nowUs);
      this.#events.roleChanged(this, before, role);
    }
    if (arming !== this.#arming) {
      const before = this.#arming;
      this.#arming = arming;
      this.resumedUs = tookOver ? this.lookedUs : -Infinity;
      this.#events.armingChanged(this, before, arming, tookOver);
    }
  }

  /** One effect of the last call as something that can be done now or, if the process stands still in between, later. */
  #effect(index: number): Action | undefined {
    const { core } = this;
    switch (core.effectKind(index)) {
      case Effect.send:
        return core.effectA(index) === QUEUED ? this.#handOver(core.effectFrameAt(index)) : undefined;
      case Effect.bus: {
        const kind = core.effectA(index);
        return () => this.#busEffect(kind);
      }
      case Effect.twin: {
        const [effects, epoch] = [core.effectA(index), core.effectB(index)];
        return () => this.#twinEffects(effects, epoch);
      }
      case Effect.journal: {
        const image = core.bytes.slice(core.at["image"], core.at["image"]! + core.at["imageBytes"]!);
        return () => this.#journal(image);
      }
      default:
        this.#record(core.effectFrameAt(index));
        return undefined;
    }
  }

  #handOver(at: number): Action {
    const { core, host } = this;
    const decidedUs = this.#time.nowUs;
    const wasArmed = this.#armingNow === 1;
    const deadlineLocalUs = core.view.getFloat64(at, true);
    const canId = core.view.getUint32(at + 8, true);
    const length = core.bytes[at + 13]!;
    const data = core.bytes.slice(at + 24, at + 32);
    const isClaim = canId >= CLAIM_ID && canId < CLAIM_ID + 4;
    const kind: FrameTruth["kind"] = isClaim ? "claim" : canId === 0x7ff ? "probe" : readCommand(data).mode === Mode.move ? "command" : "pose";
    const frame: BusFrame = {
      canId, data, length, token: core.view.getUint32(at + 16, true), sender: host, socket: this.life,
      truth: { life: this.life, epoch: core.epoch, kind, order: ++this.#bus.order, deadlineUs: host.clock.trueOf(deadlineLocalUs), handedOverUs: decidedUs, sleptUs: 0, stoodStillUs: 0 },
    };
    this.#inFlight += 1;
    return (sleptInside) => {
      // The CAN core asks the clock before each system call; whoever sleeps within it is past that.
      if (!sleptInside && !(deadlineLocalUs > host.nowUs)) {
        this.#inFlight = Math.max(0, this.#inFlight - 1);
        this.link(LinkEvent.overflow, 1);
        return;
      }
      const { truth } = frame;
      if (sleptInside) truth.sleptUs = this.#time.nowUs - decidedUs;
      truth.handedOverUs = this.#time.nowUs;
      truth.stoodStillUs = this.life.stoodStillUs(this.#time.nowUs);
      if (host.queue.length >= INTERFACE_FRAMES || host.isBusOff) return;
      this.#events.handsOver(this, frame, { deadlineLocalUs, wasArmed });
      this.#bus.send(frame);
    };
  }

  #busEffect(kind: number): void {
    const { host, life } = this;
    const later = (delayUs: number, action: () => void): void => this.#time.after(delayUs, () => {
      if (this.isAlive && this.life === life) action();
    });
    switch (kind) {
      case BusEffect.purge:
        later(PURGE_US, () => {
          if (!host.mayPurge) {
            this.link(LinkEvent.purgeFailed, 1);
            return;
          }
          // The interface goes down and up again: a controller that was bus-off begins anew, the twin's socket sees it.
          host.isBusOff = false;
          host.purge();
          this.link(LinkEvent.purged);
          const twin = host.processes[1 - this.instance];
          twin?.link(LinkEvent.down);
          twin?.link(LinkEvent.up);
        });
        break;
      case BusEffect.restartBus:
        later(PURGE_US, () => {
          host.isBusOff = false;
          host.purge();
          for (const process of host.processes) process.link(LinkEvent.busState, 0);
        });
        break;
      case BusEffect.reopen:
        later(PURGE_US, () => this.link(LinkEvent.up, host.queue.length));
        break;
    }
  }

  #twinEffects(effects: number, epoch: number): void {
    if (effects & TwinDo.kill) this.#killOther();
    if (effects & TwinDo.storeEpoch) this.#storeEpoch(epoch);
    if (effects & TwinDo.release) {
      this.pageView.setUint32(this.core.at["pageGoodbye"]!, this.role === "yielding" ? 2 : 0, true);
      if (this.host.lockHolder === this) this.host.lockHolder = undefined;
      this.#lockRetryUs = this.host.nowUs + LOCK_RETRY_US;
    }
    if (effects & TwinDo.tryLock) this.#tryLock(true);
  }

  #killOther(): void {
    this.#fenceEndsUs = this.host.nowUs + FENCE_US;
    const { other } = this;
    if (!other) return;
    this.#time.after(20 + Math.floor(this.#random() * 200), () => {
      if (other.process.life === other.life) other.process.kill();
    });
  }

  #storeEpoch(epoch: number): void {
    if (this.#store.has(epoch)) {
      this.#awaitedEpoch = 0;
      this.#stored(epoch);
      return;
    }
    this.#awaitedEpoch = epoch;
    this.#reserve(epoch);
  }

  /** The disk's own thread. */
  #reserve(epoch: number): void {
    const { host, life } = this;
    const store = this.#store;
    store.begin(epoch);
    this.#time.after(100 + Math.floor(this.#random() * 900) + store.slowUs, () => {
      if (!host.isPowered || this.life !== life) return;
      const failed = store.fails;
      if (!failed) {
        store.end();
        this.#events.epochStored(this, epoch);
      }
      const { isAlive } = this;
      if (!isAlive || this.#awaitedEpoch === 0) return;
      if (!failed && !store.has(this.#awaitedEpoch)) {
        this.#reserve(this.#awaitedEpoch);
        return;
      }
      const awaited = this.#awaitedEpoch;
      this.#awaitedEpoch = 0;
      if (!failed) {
        this.#stored(awaited);
        return;
      }
      this.#news.push(TwinEvent.storeFailed);
      this.wakeSoon();
    });
  }

  #journal(image: Uint8Array): void {
    const { host, life } = this;
    this.#time.after(1_000 + Math.floor(this.#random() * 4_000), () => {
      if (host.isPowered && this.life === life) host.image = image;
    });
  }

  #record(at: number): void {
    const { core } = this;
    if ((core.bytes[at + 12]! & REPORT_FLAG) === 0) return;
    switch (core.view.getUint32(at + 8, true)) {
      case Report.state:
        this.#armingNow = core.bytes[at + 24]!;
        break;
      case Report.call:
        this.#events.calls(this, core.view.getBigUint64(at + 24, true), core.view.getUint16(at + 32, true));
        break;
      case Report.verdict:
        this.#events.verdict(this, core.bytes[at + 32]!);
        break;
    }
  }
}

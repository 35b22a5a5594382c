/**
 * CAN through the C core: SocketCAN interfaces, and emulated buses by the same path.
 *
 * A thread of the core reads the socket into a ring, so that a garbage-collection pause loses nothing; this class drains it once per burst, feeds the health
 * machine and performs its effects. One owner steps the machine: the JavaScript thread. Before it accuses the bus of silence it asks the
 * thread for a barrier: everything that had arrived by the deadline was read.
 */
import { isSameRate } from "../../schemas/bitrate.ts";
import type { Clock } from "../../schemas/clock.ts";
import { systemClock } from "../../schemas/clock.ts";
import type { DriverEvent, DriverHealth, DriverState, SendVerdict } from "../driver.ts";
import { DriverError } from "../driver.ts";
import { Listeners } from "../listeners.ts";
import type { BusControllerState, BusHealthEffect, BusHealthEvent } from "./busHealth.ts";
import { BusHealth, busReasonText } from "./busHealth.ts";
import type { CanDriver, PurgeVerdict } from "./driver.ts";
import type { CanFrame, CanFrameBatch } from "./frame.ts";
import { CanFlag, FRAME_STRIDE_BYTES } from "./frame.ts";
import type { LinkEvent } from "./nativeBus.ts";
import { NativeBus } from "./nativeBus.ts";

export interface NativeCanOptions {
  /** The configured name of the bus. */
  name: string;
  kind: "socketcan" | "emulator";
  /** The interface (can0), or the path of the emulator's socket. */
  interface: string;
  /** The bus's name at the emulator. Default: `name`. */
  busName?: string | undefined;
  /** Compared with the interface's; used where that does not tell. */
  bitrateBps?: number | undefined;
  dataBitrateBps?: number | undefined;
  fd?: boolean | undefined;
  listenOnly?: boolean | undefined;
  /** Starts although the interface is missing or down, and goes on searching. */
  optional?: boolean | undefined;
  /** Frames of ours that may wait in front of the wire, 1…1024, however long the kernel's queue is. Default 16. */
  txQueueFrames?: number | undefined;
  deadAfterMs?: number | undefined;
  probeIntervalMs?: number | undefined;
  busOff?: { restartMinMs?: number | undefined; restartMaxMs?: number | undefined; restartBudget?: number | undefined } | undefined;
  /** Identifier of the probe that asks whether anybody acknowledges: one that nobody uses. Default 0x7FF, the least important. */
  probeCanId?: number | undefined;
  /** Back-off between attempts to open a missing interface; a sign of life from the kernel shortens it. Default 100…5000. */
  reopen?: { minMs: number; maxMs: number } | undefined;
  /** Received frames that may wait for this thread. Default 8192: over a second of a full 1 Mbit/s bus. */
  ringFrames?: number | undefined;
  /** Wish for the socket's receive buffer. Default 1 MiB: about 1,300 frames. */
  receiveBufferBytes?: number | undefined;
  clock?: Clock | undefined;
  /** For the jitter of the back-off; 0 ≤ x < 1. */
  random?: (() => number) | undefined;
}

export function createNativeCan(options: NativeCanOptions): NativeCanDriver {
  return new NativeCanDriver(options);
}

const FD_FLAGS = CanFlag.fd | CanFlag.bitRateSwitch;
/** The token of probes; no other frame may carry it. */
const PROBE_TOKEN = 0xffff_ffff;
const BATCH_FRAMES = 1024;
/** Then other work of this thread has its turn. */
const BATCHES_PER_TURN = 16;
const FIRST_LINK_TIMEOUT_MS = 5000;
/** Of a command for people who have said none. */
const DEFAULT_BITRATE_BPS = 500_000;
const PROBE_LIFE_US = 1e6;
const REPORT_INTERVAL_US = 1e6;
const EPERM = 1;
const EACCES = 13;
const ENETDOWN = 100;
const controllerStates: readonly BusControllerState[] = ["active", "warning", "passive", "busOff"];
const refusal: Record<DriverState, SendVerdict> = { stopped: "notStarted", starting: "linkDown", up: "busDead", degraded: "busDead", dead: "busDead", busOff: "busOff", down: "linkDown" };

type Life = "stopped" | "starting" | "running";

export class NativeCanDriver implements CanDriver {
  /** Of frames sent. A probe is of the kind that it answers for: one that cannot read FD frames, or not at this bit rate, acknowledges classic ones all the same. */
  #fdFlags = 0;
  readonly kind: string;
  readonly name: string;
  readonly fd: boolean;

  readonly #options: NativeCanOptions;
  readonly #clock: Clock;
  readonly #frameListeners = new Listeners<CanFrameBatch>();
  readonly #eventListeners = new Listeners<DriverEvent>();
  readonly #counters = { sentFrames: 0, echoedFrames: 0, droppedFrames: 0, receivedFrames: 0, errorFrames: 0, refusedFrames: 0, expiredFrames: 0, openFailures: 0 };
  /** Counters of machines and buses of earlier starts. */
  readonly #past: Record<string, number> = {};

  #life: Life = "stopped";
  #sinceUs: number;
  #health: BusHealth;
  #bus: NativeBus | undefined;
  #bitrateBps: number | undefined;
  /** The socket is open; not yet that the link is up. */
  #open = false;
  #everUp = false;
  #confirms = true;
  #whyDown = "";
  #attempts = 0;
  #firstLink: { resolve: () => void; reject: (error: DriverError) => void } | undefined;
  readonly #purges: ((verdict: PurgeVerdict) => void)[] = [];
  /** Frames that left the queue unsent since the latest purge was asked for. */
  #droppedByPurge = 0;
  #cancelReopen: (() => void) | undefined;
  #cancelFirst: (() => void) | undefined;
  #cancelTick: (() => void) | undefined;
  #tickAtUs = Number.POSITIVE_INFINITY;
  #syncNumber = 0;
  /** When the deadline that awaits its barrier was reached. */
  #syncAtUs: number | undefined;
  #eventsDue = 0;
  #continuing = false;
  #lastErrorReportUs = Number.NEGATIVE_INFINITY;
  #lastLossReportUs = Number.NEGATIVE_INFINITY;
  #unreportedLosses = 0;

  constructor(options: NativeCanOptions) {
    this.kind = options.kind;
    this.name = options.name;
    this.fd = options.fd ?? false;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#sinceUs = this.#clock.nowUs();
    this.#bitrateBps = options.bitrateBps;
    this.#health = this.#newHealth();
  }

  get bitrateBps(): number | undefined {
    return this.#bitrateBps;
  }

  get confirmsTransmission(): boolean {
    return this.#confirms;
  }

  /** What the kernel granted and knows, for `ipcnet doctor` and status; undefined when stopped. */
  link(): (ReturnType<NativeBus["query"]> & { receiveBufferBytes: number; inFlightFrames: number }) | undefined {
    return this.#bus && { ...this.#bus.query(), receiveBufferBytes: this.#bus.receiveBufferBytes, inFlightFrames: this.#bus.inFlightFrames };
  }

  // ---- Life -----------------------------------------------------------------------------------------------------------------------

  start(): Promise<void> {
    if (this.#life !== "stopped") return Promise.reject(new DriverError("alreadyStarted", `${this.name} is started already`, "stop it first"));
    this.#setLife("starting");
    let searching: boolean;
    try {
      searching = this.#begin();
    } catch (error) {
      this.#end(new DriverError("interrupted", `${this.name} could not be opened`, ""));
      return Promise.reject(error);
    }
    if (searching) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#firstLink = { resolve, reject };
      this.#cancelFirst = this.#clock.at(this.#clock.nowUs() + FIRST_LINK_TIMEOUT_MS * 1e3, () => this.#firstLinkIsMissing("noAnswer", "nothing was heard of the link"));
    });
  }

  stop(): Promise<void> {
    this.#end(new DriverError("interrupted", `${this.name} was stopped while it started`, "start it again"));
    return Promise.resolve();
  }

  /** Whether the search has begun; false: the socket is open, its first link event is awaited. Throws a DriverError when the interface cannot be opened and is not optional. */
  #begin(): boolean {
    this.#remember(this.#health.counters());
    this.#health = this.#newHealth();
    this.#attempts = 0;
    this.#everUp = false;
    const options = this.#options;
    this.#bus = new NativeBus(
      { kind: options.kind, interface: options.interface, busName: options.busName ?? options.name, nodeName: options.name, fd: this.fd, listenOnly: options.listenOnly ?? false,
        txQueueFrames: options.txQueueFrames ?? 16, ringFrames: options.ringFrames ?? 8192, batchFrames: BATCH_FRAMES, receiveBufferBytes: options.receiveBufferBytes ?? 1 << 20 },
      () => this.#woken(),
    );
    const failure = this.#tryOpen();
    if (failure && !options.optional) throw failure;
    if (failure) this.#search(failure.message);
    if (!this.#confirms) this.#health = this.#newHealth();
    return failure !== undefined;
  }

  #newHealth(): BusHealth {
    const { deadAfterMs, probeIntervalMs, busOff, txQueueFrames, listenOnly, bitrateBps, dataBitrateBps } = this.#options;
    return new BusHealth({ bitrateBps, dataBitrateBps, fd: this.fd, txQueueFrames, deadAfterMs, probeIntervalMs, busOff, listenOnly, confirms: this.#confirms, nowUs: this.#clock.nowUs() });
  }

  #tryOpen(): DriverError | undefined {
    const { code, message, remedy } = this.#bus!.open();
    this.#open = code === "ok";
    if (this.#open) {
      this.#confirms = this.#bus!.givesEchoes;
      return undefined;
    }
    this.#counters.openFailures += 1;
    this.#whyDown = message;
    return new DriverError(code, message, remedy);
  }

  /** Goes on without the link: closes what is open and tries again, later or when the kernel tells of a change. */
  #search(why: string): void {
    this.#whyDown = why;
    if (this.#open) this.#bus!.closeSocket();
    this.#open = false;
    if (this.#life === "starting") this.#started();
    this.#scheduleReopen();
  }

  #scheduleReopen(): void {
    if (this.#cancelReopen || this.#life === "stopped") return;
    const { minMs, maxMs } = this.#options.reopen ?? { minMs: 100, maxMs: 5000 };
    const backOffMs = Math.min(maxMs, minMs * 2 ** Math.min(20, this.#attempts));
    this.#attempts += 1;
    this.#cancelReopen = this.#clock.at(this.#clock.nowUs() + backOffMs * 1e3 * (0.5 + 0.5 * (this.#options.random ?? Math.random)()), () => this.#reopen());
  }

  #reopen(): void {
    this.#cancelReopen?.();
    this.#cancelReopen = undefined;
    if (!this.#bus || this.#open) return;
    if (this.#tryOpen()) this.#scheduleReopen();
  }

  #started(): void {
    this.#setLife("running");
    this.#cancelFirst?.();
    this.#cancelFirst = undefined;
    this.#firstLink?.resolve();
    this.#firstLink = undefined;
  }

  #firstLinkIsMissing(code: string, why: string): void {
    const { interface: name, kind, optional } = this.#options;
    const message = `${name}: ${why}`;
    if (optional) {
      if (code === "linkDown") this.#started(); // The interface is there: its socket will tell when it comes up.
      else this.#search(message);
      return;
    }
    const remedy = kind === "emulator" ? "start the bus emulator, or correct the path or the bus's name in the configuration"
      : code === "bitrateMismatch" || code === "noFdSupport" ? `sudo ip link set ${name} down && sudo ip link set ${name} up ${rateWords(this.#options)}`
      : upCommand(name, this.#bus?.query(), this.#options);
    this.#end(new DriverError(code, message, remedy));
  }

  /** Everything ends at once: the thread is joined before this returns, so nothing is delivered afterwards. */
  #end(error: DriverError): void {
    if (this.#life === "stopped") return;
    const bus = this.#bus;
    const firstLink = this.#firstLink;
    for (const cancel of [this.#cancelReopen, this.#cancelFirst, this.#cancelTick]) cancel?.();
    this.#cancelReopen = this.#cancelFirst = this.#cancelTick = this.#firstLink = this.#bus = this.#syncAtUs = undefined;
    this.#tickAtUs = Number.POSITIVE_INFINITY;
    this.#open = false;
    this.#eventsDue = 0;
    if (bus) {
      this.#remember(bus.counters());
      bus.dispose();
    }
    this.#setLife("stopped");
    this.#settlePurges({ purged: false, code: "linkDown", text: "the driver was stopped" });
    firstLink?.reject(error);
    this.#emit("stateChanged", "", {}, "stopped");
  }

  #remember(counters: Record<string, number>): void {
    for (const [name, count] of Object.entries(counters)) this.#past[name] = (this.#past[name] ?? 0) + count;
  }

  #setLife(life: Life): void {
    this.#life = life;
    this.#sinceUs = this.#clock.nowUs();
  }

  // ---- Sending --------------------------------------------------------------------------------------------------------------------

  send(frame: CanFrame): SendVerdict {
    const verdict = this.#send(frame);
    if (verdict === "queued") this.#counters.sentFrames += 1;
    else if (verdict === "expired") this.#counters.expiredFrames += 1;
    else this.#counters.refusedFrames += 1;
    return verdict;
  }

  #send(frame: CanFrame): SendVerdict {
    const bus = this.#bus;
    if (!bus || this.#life !== "running") return "notStarted";
    if (this.#options.listenOnly) return "listenOnly";
    // What a record cannot hold would be cut by writing it; all else is judged by the core.
    if (frame.canId >>> 0 !== frame.canId || frame.token === PROBE_TOKEN) return "unsupported";
    if (frame.data.length > 64 || (frame.lengthBytes !== undefined && frame.lengthBytes !== frame.data.length && (frame.flags & CanFlag.remote) === 0)) return "badLength";
    if ((frame.lengthBytes ?? 0) > 64) return "badLength";
    if (!this.#health.acceptsCommands) return refusal[this.#health.state];
    const verdict = bus.send(frame);
    if (verdict === "queued") {
      this.#fdFlags |= frame.flags & FD_FLAGS;
      this.#step(txQueued);
    } else if (verdict === "queueFull") this.#step(txNoBuffer);
    else if (verdict === "notStarted") return "linkDown"; // the socket is closed, the search is on
    return verdict;
  }

  #probe(): void {
    const canId = this.#options.probeCanId ?? 0x7ff;
    const frame = { timeUs: this.#clock.nowUs() + PROBE_LIFE_US, canId, flags: this.#fdFlags | (canId > 0x7ff ? CanFlag.extended : 0), data: new Uint8Array(0), token: PROBE_TOKEN };
    if (this.#bus?.send(frame) !== "queued") this.#step({ type: "probeFailed" });
  }

  canPurge(): boolean {
    return this.#open && (this.#bus?.mayPurge() ?? false);
  }

  purge(): Promise<PurgeVerdict> {
    const bus = this.#bus;
    if (!bus || !this.#open) return Promise.resolve({ purged: false, code: "linkDown", text: "the link is down; nothing waits in front of it" });
    return new Promise((resolve) => {
      this.#purges.push(resolve);
      this.#askForPurge(bus);
    });
  }

  #askForPurge(bus: NativeBus): void {
    this.#droppedByPurge = 0;
    bus.requestPurge();
  }

  #settlePurges(verdict: PurgeVerdict): void {
    for (const resolve of this.#purges.splice(0)) resolve(verdict);
  }

  rearm(): boolean {
    if (this.#life !== "running") return false;
    this.#step({ type: "rearm" });
    return this.#health.acceptsCommands;
  }

  // ---- What arrives ---------------------------------------------------------------------------------------------------------------

  /** Frames first, then as many events as waited when we began: those happened no earlier than the frames read. */
  #woken(): void {
    const bus = this.#bus;
    if (!bus) return;
    bus.woken();
    if (!this.#continuing) this.#readOn(bus);
  }

  #readOn(bus: NativeBus): void {
    if (this.#eventsDue === 0) this.#eventsDue = bus.eventsWaiting();
    for (let batches = 0; batches < BATCHES_PER_TURN; batches++) {
      if (bus.drain() === 0) {
        this.#readEvents(bus);
        return;
      }
      this.#deliver(bus);
      if (this.#bus !== bus) return; // a listener stopped us
    }
    this.#continuing = true;
    setImmediate(() => {
      this.#continuing = false;
      if (this.#bus === bus) this.#readOn(bus);
    });
  }

  #readEvents(bus: NativeBus): void {
    for (; this.#eventsDue > 0; this.#eventsDue--) {
      const event = bus.nextEvent();
      if (event) this.#linkEvent(event);
      if (this.#bus !== bus) return;
    }
    this.#armTick();
  }

  #deliver(bus: NativeBus): void {
    const { batch, summary } = bus;
    this.#counters.receivedFrames += summary.receivedFrames;
    this.#counters.echoedFrames += summary.echoes;
    this.#counters.errorFrames += summary.errors;
    if (summary.lostFrames > 0) this.#lost(summary.lostFrames);
    if (summary.receivedFrames > 0) this.#step(rxFrame, summary.lastReceivedUs);
    if (summary.errors > 0) this.#stepInOrder(batch);
    else if (summary.echoes > 0) this.#step({ type: "txEcho", frames: summary.echoes }, summary.lastEchoUs);
    if (summary.probeEchoes > 0) {
      this.#step({ type: "probeEcho" }, summary.lastProbeEchoUs);
      takeOutProbes(batch);
    }
    if (batch.count > 0 && this.#bus === bus) this.#frameListeners.call(batch, () => this.#bus === bus);
  }

  /** Error reports are judged between the echoes that surround them: an acknowledge error before an echo is over. */
  #stepInOrder(batch: CanFrameBatch): void {
    let echoes = 0;
    let lastEchoUs = 0;
    const flush = () => {
      if (echoes > 0) this.#step({ type: "txEcho", frames: echoes }, lastEchoUs);
      echoes = 0;
    };
    for (let index = 0; index < batch.count; index++) {
      const flags = batch.flags(index);
      if ((flags & CanFlag.error) !== 0) {
        flush();
        this.#errorReport(batch.canId(index), batch.bytes[batch.dataOffset(index) + 1]!, batch.timeUs(index));
      } else if ((flags & CanFlag.echo) !== 0 && batch.token(index) !== PROBE_TOKEN) {
        echoes += 1;
        lastEchoUs = batch.timeUs(index);
      }
    }
    flush();
  }

  #errorReport(classes: number, controller: number, timeUs: number): void {
    const nowUs = this.#clock.nowUs();
    if (nowUs - this.#lastErrorReportUs >= REPORT_INTERVAL_US) {
      this.#lastErrorReportUs = nowUs;
      this.#emit("errorFrames", `error reports: ${this.#counters.errorFrames} so far`, { errorFrames: this.#counters.errorFrames, classes });
    }
    this.#step({ type: "errorFrame", classes, controller }, timeUs);
  }

  #lost(frames: number): void {
    const nowUs = this.#clock.nowUs();
    this.#unreportedLosses += frames;
    if (nowUs - this.#lastLossReportUs >= REPORT_INTERVAL_US) {
      this.#lastLossReportUs = nowUs;
      this.#emit("receiveOverflow", `${this.#unreportedLosses} received frames were lost`, { lostFrames: this.#unreportedLosses });
      this.#unreportedLosses = 0;
    }
    this.#step({ type: "overflow", lostFrames: frames });
  }

  #linkEvent({ kind, a, leftFrames }: LinkEvent): void {
    switch (kind) {
      case "changed":
        if (!this.#open) this.#reopen();
        break;
      case "up":
        this.#linkUp(a);
        break;
      case "down":
        this.#linkDown("the interface is down", leftFrames);
        break;
      case "gone":
        this.#linkGone(leftFrames);
        break;
      case "busState":
        this.#step({ type: "busState", state: controllerStates[a] ?? "active" });
        break;
      case "dropped":
        this.#counters.droppedFrames += leftFrames;
        this.#droppedByPurge += leftFrames;
        this.#step({ type: "txDropped", frames: leftFrames });
        break;
      case "purged":
        this.#purged(leftFrames);
        break;
      case "purgeFailed":
        this.#purgeFailed(a);
        break;
      case "restartFailed":
        this.#emit("refused", "the restart after bus-off was refused", { errno: a });
        this.#step({ type: "restartFailed" });
        break;
      case "overflow":
        if (a > 0) this.#lost(a);
        else this.#step({ type: "overflow", lostFrames: 0 });
        break;
      case "synced":
        if (a === this.#syncNumber) this.#tick();
        break;
      default:
        kind satisfies never;
    }
  }

  #linkUp(staleFrames: number): void {
    const { bitrateBps, dataBitrateBps, txQueueFrames } = this.#options;
    const link = this.#bus!.query();
    if (!isSameRate(link.bitrateBps, bitrateBps)) {
      this.#unfit("bitrateMismatch", `runs at ${link.bitrateBps} bit/s, the configuration says ${bitrateBps}`, { bitrateBps: link.bitrateBps });
      return;
    }
    if (this.fd && !link.fd) {
      this.#unfit("noFdSupport", "carries no CAN FD frames", {});
      return;
    }
    if (this.fd && !isSameRate(link.dataBitrateBps, dataBitrateBps)) {
      this.#unfit("bitrateMismatch", `runs at ${link.dataBitrateBps} bit/s in the data phase, the configuration says ${dataBitrateBps}`, { dataBitrateBps: link.dataBitrateBps });
      return;
    }
    this.#bitrateBps = link.bitrateBps || bitrateBps;
    this.#health.setLink({ bitrateBps: this.#bitrateBps, dataBitrateBps: link.dataBitrateBps || dataBitrateBps, fd: this.fd, txQueueFrames: txQueueFrames ?? 16 });
    if (this.#life === "starting") this.#started();
    if (this.#everUp || this.#attempts > 0) this.#emit("linkRestored", "the link is up", { attempts: this.#attempts });
    this.#everUp = true;
    this.#attempts = 0;
    this.#step({ type: "linkUp", staleFrames });
    if (link.busState > 0) this.#step({ type: "busState", state: controllerStates[link.busState] ?? "active" });
  }

  /** The link is there but not the one that was configured. */
  #unfit(code: string, why: string, details: Record<string, number>): void {
    this.#emit("refused", why, details);
    if (this.#life === "starting") this.#firstLinkIsMissing(code, why);
    else if (this.#bus) this.#search(why);
  }

  #linkDown(why: string, leftFrames: number): void {
    this.#whyDown = why;
    this.#counters.droppedFrames += leftFrames;
    if (this.#life === "starting") {
      this.#firstLinkIsMissing("linkDown", why);
      return;
    }
    if (this.#everUp && this.#health.phase !== "down") this.#emit("linkLost", why, { droppedFrames: leftFrames });
    this.#step({ type: "linkDown" });
    this.#settlePurges({ purged: false, code: "linkDown", text: why });
  }

  #linkGone(leftFrames: number): void {
    const why = this.#bus!.query().refusal || (this.kind === "emulator" ? "the bus emulator closed the connection" : "the interface is gone");
    if (this.#life === "starting") {
      this.#firstLinkIsMissing("refused", why);
      return;
    }
    this.#linkDown(why, leftFrames);
    if (this.#bus) this.#search(why);
  }

  #purged(leftFrames: number): void {
    this.#counters.droppedFrames += leftFrames;
    const droppedFrames = this.#droppedByPurge + leftFrames;
    this.#emit("purged", `${droppedFrames} waiting frames dropped`, { droppedFrames });
    this.#settlePurges({ purged: true, droppedFrames });
    this.#step({ type: "purged" });
  }

  #purgeFailed(errno: number): void {
    const forbidden = errno === EPERM || errno === EACCES;
    const down = errno === ENETDOWN || !this.#open;
    const name = this.#options.interface;
    const text = forbidden ? `emptying ${name}'s queue needs CAP_NET_ADMIN, which this process lacks` : down ? `${name} is down; nothing waits in front of it` : `${name}'s queue could not be emptied (errno ${errno})`;
    // Asked again every few seconds: said once.
    if (!down && this.#health.phase !== "unpurgeable") this.#emit("purgeImpossible", text, { errno });
    this.#settlePurges({ purged: false, code: forbidden ? "notPermitted" : down ? "linkDown" : "unsupported", text });
    this.#step({ type: "purgeFailed", forbidden });
  }

  // ---- The health machine ---------------------------------------------------------------------------------------------------------

  #step(event: BusHealthEvent, atUs = this.#clock.nowUs()): void {
    for (const effect of this.#health.step(event, atUs)) this.#perform(effect);
    this.#armTick();
  }

  #perform(effect: BusHealthEffect): void {
    switch (effect.type) {
      case "stateChanged": {
        const text = busReasonText(effect.reason, effect.cause);
        this.#emit("stateChanged", text, { phase: effect.phase, reason: effect.reason, cause: effect.cause }, effect.state);
        if (effect.phase === "purging") this.#emit("busDead", text, { reason: effect.reason });
        if (effect.phase === "offPurging") this.#emit("busOff", text);
        break;
      }
      case "purge":
        if (this.#bus) this.#askForPurge(this.#bus);
        break;
      case "probe":
        this.#probe();
        break;
      case "restartBus":
        this.#bus?.requestRestart();
        break;
      case "emergency":
        if (effect.code === 0x8140) this.#emit("busRecovered", "left bus-off", { emergencyCode: effect.code });
        break;
      case "reportDrops":
        this.#emit("transmitDropped", `${effect.frames} frames dropped: the transmit queue is full`, { frames: effect.frames });
        break;
      case "reopen": // An interface that is down tells when it comes up; one that is gone is searched for by #linkGone.
      case "refuseCommands": // `send` asks the machine each time.
      case "acceptCommands":
        break;
      default:
        effect satisfies never;
    }
  }

  /** The deadline moves on with every echo; the timer is set anew only when it would come too late. */
  #armTick(): void {
    const atUs = this.#health.nextDeadlineUs();
    if (atUs === undefined || this.#life === "stopped" || this.#syncAtUs !== undefined || (this.#cancelTick && this.#tickAtUs <= atUs)) return;
    this.#cancelTick?.();
    this.#tickAtUs = atUs;
    this.#cancelTick = this.#clock.at(atUs, () => {
      this.#cancelTick = undefined;
      const nowUs = this.#clock.nowUs();
      if (!this.#bus || nowUs < (this.#health.nextDeadlineUs() ?? Number.POSITIVE_INFINITY)) {
        this.#armTick();
        return;
      }
      this.#syncAtUs = nowUs;
      this.#syncNumber = (this.#syncNumber + 1) >>> 0;
      this.#bus.requestSync(this.#syncNumber);
    });
  }

  #tick(): void {
    const atUs = this.#syncAtUs;
    this.#syncAtUs = undefined;
    if (atUs !== undefined && atUs >= (this.#health.nextDeadlineUs() ?? Number.POSITIVE_INFINITY)) this.#step({ type: "tick" }, atUs);
    else this.#armTick();
  }

  // ---- Telling --------------------------------------------------------------------------------------------------------------------

  onFrames(listener: (batch: CanFrameBatch) => void): () => void {
    return this.#frameListeners.add(listener);
  }

  onEvent(listener: (event: DriverEvent) => void): () => void {
    return this.#eventListeners.add(listener);
  }

  health(): DriverHealth {
    const running = this.#life === "running";
    const counters: Record<string, number> = { ...this.#counters, listenerErrors: this.#frameListeners.errors + this.#eventListeners.errors };
    const live = [this.#past, this.#health.counters(), this.#bus?.counters() ?? {}];
    for (const some of live) for (const [name, count] of Object.entries(some)) counters[name] = (counters[name] ?? 0) + count;
    const state = running ? this.#health.state : this.#life === "starting" ? "starting" : "stopped";
    const missing = state === "starting" || state === "down" ? this.#whyDown : "";
    return { state, sinceUs: running ? Math.max(this.#health.sinceUs, this.#sinceUs) : this.#sinceUs, reason: running ? missing || busReasonText(this.#health.reason, this.#health.cause) : "", counters };
  }

  #emit(code: DriverEvent["code"], text: string, details: Record<string, number | string> = {}, state?: DriverState): void {
    const bus = this.#bus;
    this.#eventListeners.call({ atUs: this.#clock.nowUs(), code, text, details, ...(state ? { state } : {}) }, () => this.#bus === bus); // a listener may stop us
  }
}

const txQueued: BusHealthEvent = { type: "txQueued" };
const txNoBuffer: BusHealthEvent = { type: "txNoBuffer" };
const rxFrame: BusHealthEvent = { type: "rxFrame" };

/** Of what is wanted of a bus: what a controller has to be set to. */
export type WantedRates = Pick<NativeCanOptions, "bitrateBps" | "dataBitrateBps" | "fd">;

function isTimed(link: { bitrateBps: number; dataBitrateBps: number; fd: boolean }, { bitrateBps, dataBitrateBps, fd }: WantedRates): boolean {
  return link.bitrateBps > 0 && isSameRate(link.bitrateBps, bitrateBps) && (fd !== true || (link.fd && link.dataBitrateBps > 0 && isSameRate(link.dataBitrateBps, dataBitrateBps)));
}

/** The kernel refuses FD mode without both bit rates, and keeps what it is not told. */
function rateWords({ bitrateBps = DEFAULT_BITRATE_BPS, dataBitrateBps = bitrateBps, fd }: WantedRates): string {
  return `type can bitrate ${bitrateBps}${fd === true ? ` dbitrate ${dataBitrateBps} fd on` : ""}`;
}

/** The command that puts an interface up: with bit rates where it has a controller that lacks the wanted ones. */
export function upCommand(name: string, link: { there: boolean; controller: boolean; bitrateBps: number; dataBitrateBps: number; fd: boolean } | undefined, wanted: WantedRates): string {
  const settled = link?.there === true && (!link.controller || isTimed(link, wanted));
  return `sudo ip link set ${name} up${settled ? "" : ` ${rateWords(wanted)}`}`;
}

/** Probes are nobody else's business. */
function takeOutProbes(batch: CanFrameBatch): void {
  let kept = 0;
  for (let index = 0; index < batch.count; index++) {
    if ((batch.flags(index) & CanFlag.echo) !== 0 && batch.token(index) === PROBE_TOKEN) continue;
    if (kept !== index) batch.bytes.copyWithin(kept * FRAME_STRIDE_BYTES, index * FRAME_STRIDE_BYTES, (index + 1) * FRAME_STRIDE_BYTES);
    kept += 1;
  }
  batch.count = kept;
}

/**
 * What all CAN drivers written in TypeScript have in common: life cycle, verdicts, deadlines, bus health, re-opening, listeners, counters.
 * A driver adds a `CanLinkKind`: how to open its link, and how to put one frame on it.
 *
 * Nothing is queued here: a frame is handed to the link at once or refused, so no stale command can wait in this process.
 */
import type { Clock } from "../../schemas/clock.ts";
import { systemClock } from "../../schemas/clock.ts";
import type { DriverEvent, DriverHealth, DriverState, SendVerdict } from "../driver.ts";
import { DriverError } from "../driver.ts";
import { Listeners } from "../listeners.ts";
import type { BusControllerState, BusHealthEffect, BusHealthEvent, BusHealthOptions } from "./busHealth.ts";
import { BusHealth, busReasonText } from "./busHealth.ts";
import type { CanDriver, PurgeVerdict } from "./driver.ts";
import type { CanFrame } from "./frame.ts";
import { CanFlag, CanFrameBatch, FD_LENGTHS_BYTES, FRAME_STRIDE_BYTES } from "./frame.ts";

/** One opened link. */
export interface CanLink {
  /** Nominal bit rate where the link tells it. */
  readonly bitrateBps: number | undefined;
  /** Frames that may be in flight. */
  readonly txQueueFrames: number;
  readonly canPurge: boolean;
  /** Puts one frame on the link now, or says why not. Length, identifier and deadline have been checked. Never blocks, never keeps the frame's memory. */
  transmit(frame: CanFrame): "queued" | "queueFull" | "unsupported" | "linkDown" | "busOff";
  purge(): Promise<PurgeVerdict>;
  /** Asks the controller to leave bus-off; false when the link cannot. Success shows as a `busState` or an error report. */
  restart(): Promise<boolean>;
  /** Closes the link; the sink is not called afterwards. */
  close(): Promise<void>;
}

/** Where a link puts what comes in; never from within `transmit`. Calls after `lost`, or after `close` was called, are ignored. */
export interface LinkSink {
  /** A received frame, an echo of an own one (`CanFlag.echo`, with its token) or an error report (`CanFlag.error`). Delivered with `flush`. */
  push(frame: CanFrame): void;
  /** The same from an 88-byte record. */
  pushRecord(bytes: Uint8Array, at: number): void;
  /** End of a run of frames: hands them to the listeners. */
  flush(): void;
  /** Own frames that the link gave up unsent. */
  dropped(frames: number): void;
  busState(state: BusControllerState): void;
  /** Received frames were lost on the way. */
  overflow(lostFrames: number): void;
  /** Bytes that were no frame were skipped. */
  resynchronised(skippedBytes: number): void;
  /** The interface behind the link went down or came up; the link itself stays open. */
  interfaceUp(up: boolean): void;
  /** The link is gone; it will be closed and opened anew. */
  lost(why: string): void;
}

export interface CanLinkKind {
  readonly kind: string;
  /** Whether own frames come back as echoes. */
  readonly confirms: boolean;
  readonly fd: boolean;
  /** Opens the link; rejects with a `DriverError`. `signal` is aborted when the driver is stopped meanwhile. */
  open(sink: LinkSink, signal: AbortSignal): Promise<CanLink>;
}

export interface LinkDriverOptions {
  /** The configured name of the bus. */
  name: string;
  /** Starts although the link cannot be opened yet, and goes on trying. */
  optional?: boolean | undefined;
  listenOnly?: boolean | undefined;
  /** For the health machine; what the opened link tells has precedence. */
  health?: Omit<BusHealthOptions, "confirms" | "listenOnly" | "nowUs" | "fd"> | undefined;
  /** Back-off between attempts to open the link anew; doubles from the one to the other, half of it random. */
  reopen?: { minMs: number; maxMs: number } | undefined;
  /** Identifier of the probe that asks whether anybody acknowledges: one that nobody on the bus uses. Default 0x7FF, the least important. */
  probeCanId?: number | undefined;
  clock?: Clock | undefined;
  /** For the jitter; 0 ≤ x < 1. */
  random?: (() => number) | undefined;
}

/** The token of probes; no other frame may carry it. */
export const PROBE_TOKEN = 0xffff_ffff;
const BATCH_FRAMES = 256;
const ERROR_EVENT_INTERVAL_US = 1e6;
/** A timer that fires so late says that the event loop stood still; timers are on time to about 2 ms. */
const LATE_US = 5_000;
const LATE_GRACE_US = 10_000;
const FD_LENGTH_OK = new Set<number>(FD_LENGTHS_BYTES);

type Life = "stopped" | "starting" | "running" | "stopping";

export class LinkDriver implements CanDriver {
  /** Of frames sent, for probes: see nativeDriver.ts. */
  #fdFlags = 0;
  readonly kind: string;
  readonly name: string;
  readonly fd: boolean;
  readonly confirmsTransmission: boolean;

  readonly #link: CanLinkKind;
  readonly #options: LinkDriverOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #frameListeners = new Listeners<CanFrameBatch>();
  readonly #eventListeners = new Listeners<DriverEvent>();
  readonly #counters = { sentFrames: 0, echoedFrames: 0, droppedFrames: 0, receivedFrames: 0, errorFrames: 0, refusedFrames: 0, expiredFrames: 0, skippedBytes: 0, openFailures: 0 };
  readonly #past: Record<string, number> = {};
  readonly #batch = new CanFrameBatch(BATCH_FRAMES);

  #life: Life = "stopped";
  #sinceUs: number;
  #health: BusHealth;
  #open: CanLink | undefined;
  #opening: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #abort = new AbortController();
  /** Rises with each link, so that a late call from an old one is recognised. */
  #generation = 0;
  #attempt = 0;
  #openedAtUs = 0;
  #tickAtUs = Number.POSITIVE_INFINITY;
  #cancelTick: (() => void) | undefined;
  #cancelReopen: (() => void) | undefined;
  #lastErrorEventUs = Number.NEGATIVE_INFINITY;

  constructor(link: CanLinkKind, options: LinkDriverOptions) {
    this.kind = link.kind;
    this.name = options.name;
    this.fd = link.fd;
    this.confirmsTransmission = link.confirms;
    this.#link = link;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#sinceUs = this.#clock.nowUs();
    this.#health = this.#newHealth();
  }

  get bitrateBps(): number | undefined {
    return this.#open?.bitrateBps ?? this.#options.health?.bitrateBps;
  }

  async start(): Promise<void> {
    if (this.#life !== "stopped") throw new DriverError("alreadyStarted", `${this.name} is ${this.#life} already`, "stop it first");
    const abort = new AbortController();
    this.#setLife("starting");
    this.#remember();
    this.#health = this.#newHealth();
    this.#abort = abort;
    this.#attempt = 0;
    try {
      this.#opening = this.#openLink();
      await this.#opening;
    } catch (error) {
      if (abort.signal.aborted) throw error;
      if (!this.#options.optional) {
        this.#setLife("stopped");
        throw error;
      }
      this.#setLife("running");
      this.#scheduleReopen();
    }
  }

  stop(): Promise<void> {
    if (this.#life === "stopped") return Promise.resolve();
    this.#stopping ??= this.#shutDown().finally(() => {
      this.#stopping = undefined;
    });
    return this.#stopping;
  }

  send(frame: CanFrame): SendVerdict {
    const verdict = this.#send(frame);
    if (verdict === "queued") this.#counters.sentFrames += 1;
    else if (verdict === "expired") this.#counters.expiredFrames += 1;
    else this.#counters.refusedFrames += 1;
    return verdict;
  }

  onFrames(listener: (batch: CanFrameBatch) => void): () => void {
    return this.#frameListeners.add(listener);
  }

  onEvent(listener: (event: DriverEvent) => void): () => void {
    return this.#eventListeners.add(listener);
  }

  health(): DriverHealth {
    const live = this.#life === "running";
    const counters: Record<string, number> = { ...this.#counters, listenerErrors: this.#frameListeners.errors + this.#eventListeners.errors };
    for (const [name, count] of Object.entries(this.#health.counters())) counters[name] = count + (this.#past[name] ?? 0);
    return {
      state: live ? this.#health.state : this.#life === "starting" ? "starting" : "stopped",
      sinceUs: live ? Math.max(this.#health.sinceUs, this.#sinceUs) : this.#sinceUs,
      reason: live ? busReasonText(this.#health.reason, this.#health.cause) : "",
      counters,
    };
  }

  canPurge(): boolean {
    return this.#open?.canPurge ?? false;
  }

  async purge(): Promise<PurgeVerdict> {
    const link = this.#open;
    if (!link) return { purged: false, code: "linkDown", text: "the link is down; nothing waits in front of it" };
    const generation = this.#generation;
    const verdict = await link.purge();
    if (generation !== this.#generation) return verdict;
    if (verdict.purged) {
      this.#emit("purged", `${verdict.droppedFrames} waiting frames dropped`, { droppedFrames: verdict.droppedFrames });
      this.#step({ type: "purged" });
    } else this.#emit("purgeImpossible", verdict.text);
    return verdict;
  }

  rearm(): boolean {
    if (this.#life !== "running") return false;
    this.#step({ type: "rearm" });
    return this.#health.acceptsCommands;
  }

  #send(frame: CanFrame): SendVerdict {
    if (this.#life !== "running") return "notStarted";
    if (this.#options.listenOnly) return "listenOnly";
    const invalid = this.#judge(frame);
    if (invalid) return invalid;
    if (!(frame.timeUs > this.#clock.nowUs())) return "expired";
    if (!this.#open) return "linkDown";
    if (!this.#health.acceptsCommands) return REFUSAL[this.#health.state];
    const verdict = this.#open.transmit(frame);
    if (verdict === "queued") {
      this.#fdFlags |= frame.flags & (CanFlag.fd | CanFlag.bitRateSwitch);
      this.#step({ type: "txQueued" });
    } else if (verdict === "queueFull") this.#step({ type: "txNoBuffer" });
    return verdict;
  }

  #judge(frame: CanFrame): "badLength" | "unsupported" | undefined {
    const fd = (frame.flags & CanFlag.fd) !== 0;
    const remote = (frame.flags & CanFlag.remote) !== 0;
    const lengthBytes = frame.lengthBytes ?? frame.data.length;
    if (fd && (!this.fd || remote)) return "unsupported";
    if ((frame.flags & (CanFlag.error | CanFlag.echo)) !== 0 || (frame.token ?? 0) === PROBE_TOKEN) return "unsupported";
    if (frame.canId < 0 || frame.canId > ((frame.flags & CanFlag.extended) === 0 ? 0x7ff : 0x1fff_ffff)) return "unsupported";
    if (!remote && lengthBytes !== frame.data.length) return "badLength";
    return (fd ? FD_LENGTH_OK.has(lengthBytes) : lengthBytes <= 8) ? undefined : "badLength";
  }

  #newHealth(): BusHealth {
    return new BusHealth({ ...this.#options.health, fd: this.fd, confirms: this.#link.confirms, listenOnly: this.#options.listenOnly ?? false, nowUs: this.#clock.nowUs() });
  }

  /** The counters of a health machine that is about to be replaced go on from where they were. */
  #remember(): void {
    for (const [name, count] of Object.entries(this.#health.counters())) this.#past[name] = (this.#past[name] ?? 0) + count;
  }

  async #openLink(): Promise<void> {
    const generation = ++this.#generation;
    let link: CanLink;
    try {
      link = await this.#link.open(this.#sink(generation), this.#abort.signal);
    } catch (error) {
      this.#counters.openFailures += 1;
      throw error;
    }
    if (this.#abort.signal.aborted || generation !== this.#generation) {
      await link.close();
      throw new DriverError("interrupted", `${this.name} was stopped or lost while it opened`, "start it again");
    }
    this.#open = link;
    this.#openedAtUs = this.#clock.nowUs();
    if (this.#life === "starting") this.#setLife("running");
    this.#health.setLink({ bitrateBps: this.bitrateBps, dataBitrateBps: this.#options.health?.dataBitrateBps, fd: this.fd, txQueueFrames: link.txQueueFrames });
    if (this.#attempt > 0) this.#emit("linkRestored", `open again after ${this.#attempt} attempts`, { attempts: this.#attempt });
    this.#step({ type: "linkUp" });
  }

  async #shutDown(): Promise<void> {
    this.#setLife("stopping");
    this.#abort.abort();
    this.#generation += 1;
    this.#cancelTick?.();
    this.#cancelReopen?.();
    this.#cancelTick = undefined;
    this.#cancelReopen = undefined;
    this.#batch.clear();
    const link = this.#open;
    this.#open = undefined;
    await link?.close();
    // An attempt under way fails now; whoever called `start` is told.
    await Promise.allSettled([this.#opening]);
    this.#setLife("stopped");
  }

  #sink(generation: number): LinkSink {
    const live = (act: () => void) => {
      if (generation === this.#generation) act();
    };
    return {
      push: (frame) => live(() => {
        if (this.#batch.count === BATCH_FRAMES) this.#flush();
        this.#batch.push(frame);
      }),
      pushRecord: (bytes, at) => live(() => {
        if (this.#batch.count === BATCH_FRAMES) this.#flush();
        this.#batch.bytes.set(bytes.subarray(at, at + FRAME_STRIDE_BYTES), this.#batch.count * FRAME_STRIDE_BYTES);
        this.#batch.count += 1;
      }),
      flush: () => live(() => this.#flush()),
      dropped: (frames) => live(() => {
        this.#counters.droppedFrames += frames;
        this.#step({ type: "txDropped", frames });
      }),
      busState: (state) => live(() => this.#step({ type: "busState", state })),
      overflow: (lostFrames) => live(() => {
        this.#emit("receiveOverflow", `${lostFrames} received frames were lost`, { lostFrames });
        this.#step({ type: "overflow", lostFrames });
      }),
      resynchronised: (skippedBytes) => live(() => {
        this.#counters.skippedBytes += skippedBytes;
        this.#emit("resynchronised", `${skippedBytes} bytes were no frame`, { skippedBytes });
      }),
      interfaceUp: (up) => live(() => {
        this.#emit(up ? "linkRestored" : "linkLost", up ? "the interface is up again" : "the interface went down");
        this.#step({ type: up ? "linkUp" : "linkDown" });
      }),
      lost: (why) => live(() => this.#lost(why)),
    };
  }

  /** Tells the health machine what the batch holds, takes probe echoes out, hands the rest to the listeners. */
  #flush(): void {
    const batch = this.#batch;
    if (batch.count === 0) return;
    const generation = this.#generation;
    let echoes = 0;
    let received = 0;
    let kept = 0;
    for (let index = 0; index < batch.count; index++) {
      const flags = batch.flags(index);
      if ((flags & CanFlag.echo) !== 0 && batch.token(index) === PROBE_TOKEN) {
        this.#step({ type: "probeEcho" });
        continue;
      }
      if ((flags & CanFlag.echo) !== 0) echoes += 1;
      else if ((flags & CanFlag.error) !== 0) this.#errorReport(batch.canId(index), batch.bytes[batch.dataOffset(index) + 1]!);
      else received += 1;
      if (kept !== index) batch.bytes.copyWithin(kept * FRAME_STRIDE_BYTES, index * FRAME_STRIDE_BYTES, (index + 1) * FRAME_STRIDE_BYTES);
      kept += 1;
    }
    batch.count = kept;
    this.#counters.echoedFrames += echoes;
    this.#counters.receivedFrames += received;
    if (received > 0) this.#step({ type: "rxFrame" });
    if (echoes > 0) this.#step({ type: "txEcho", frames: echoes });
    if (generation === this.#generation && kept > 0) this.#frameListeners.call(batch, () => generation === this.#generation);
    batch.clear();
  }

  #errorReport(classes: number, controller: number): void {
    this.#counters.errorFrames += 1;
    const nowUs = this.#clock.nowUs();
    if (nowUs - this.#lastErrorEventUs >= ERROR_EVENT_INTERVAL_US) {
      this.#lastErrorEventUs = nowUs;
      this.#emit("errorFrames", `error reports: ${this.#counters.errorFrames} so far`, { errorFrames: this.#counters.errorFrames, classes });
    }
    this.#step({ type: "errorFrame", classes, controller });
  }

  #lost(why: string): void {
    this.#generation += 1;
    this.#batch.clear();
    const link = this.#open;
    if (!link) return; // Still opening: that attempt fails, and whoever made it goes on.
    this.#open = undefined;
    this.#opening = link.close();
    this.#emit("linkLost", why);
    if (this.#clock.nowUs() - this.#openedAtUs > this.#reopenMs.maxMs * 1e3) this.#attempt = 0;
    this.#step({ type: "linkDown" });
    this.#scheduleReopen();
  }

  get #reopenMs(): { minMs: number; maxMs: number } {
    return this.#options.reopen ?? { minMs: 100, maxMs: 5000 };
  }

  #scheduleReopen(): void {
    if (this.#cancelReopen || this.#abort.signal.aborted) return;
    const { minMs, maxMs } = this.#reopenMs;
    const backOffMs = Math.min(maxMs, minMs * 2 ** Math.min(20, this.#attempt));
    this.#attempt += 1;
    this.#cancelReopen = this.#clock.at(this.#clock.nowUs() + backOffMs * 1e3 * (0.5 + 0.5 * this.#random()), () => {
      this.#cancelReopen = undefined;
      const before = this.#opening;
      const attempt = async () => {
        await before;
        await this.#openLink();
      };
      this.#opening = attempt().catch((error: unknown) => {
        if (!(error instanceof DriverError)) throw error;
        this.#scheduleReopen();
      });
    });
  }

  #step(event: BusHealthEvent): void {
    for (const effect of this.#health.step(event, this.#clock.nowUs())) this.#perform(effect);
    this.#armTick();
  }

  #perform(effect: BusHealthEffect): void {
    switch (effect.type) {
      case "stateChanged":
        this.#emit("stateChanged", busReasonText(effect.reason, effect.cause), { phase: effect.phase, reason: effect.reason, cause: effect.cause }, effect.state);
        if (effect.state === "dead" && effect.phase === "purging") this.#emit("busDead", busReasonText(effect.reason, effect.cause));
        if (effect.phase === "offPurging") this.#emit("busOff", busReasonText(effect.reason, effect.cause));
        break;
      case "purge":
        void this.#purgeForHealth();
        break;
      case "probe":
        this.#probe();
        break;
      case "restartBus":
        void this.#restartForHealth();
        break;
      case "emergency":
        if (effect.code === 0x8140) this.#emit("busRecovered", "left bus-off", { emergencyCode: effect.code });
        break;
      case "reportDrops":
        this.#emit("transmitDropped", `${effect.frames} frames dropped: the transmit queue is full`, { frames: effect.frames });
        break;
      case "reopen": // `#lost` closes and schedules, and an interface that is down comes up by itself.
      case "refuseCommands": // `send` asks the machine each time.
      case "acceptCommands":
        break;
      default:
        effect satisfies never;
    }
  }

  async #purgeForHealth(): Promise<void> {
    const generation = this.#generation;
    const verdict = await this.purge();
    if (generation === this.#generation && !verdict.purged) this.#step({ type: "purgeFailed", forbidden: verdict.code === "notPermitted" });
  }

  async #restartForHealth(): Promise<void> {
    const generation = this.#generation;
    const asked = (await this.#open?.restart()) ?? false;
    if (generation === this.#generation && !asked) this.#step({ type: "restartFailed" });
  }

  #probe(): void {
    const canId = this.#options.probeCanId ?? 0x7ff;
    const frame = { timeUs: 0, canId, flags: this.#fdFlags | (canId > 0x7ff ? CanFlag.extended : 0), data: new Uint8Array(0), token: PROBE_TOKEN };
    if (this.#open?.transmit(frame) !== "queued") this.#step({ type: "probeFailed" });
  }

  /** The deadline moves with every frame; the timer is only set anew when it would come too late. */
  #armTick(): void {
    const atUs = this.#health.nextDeadlineUs();
    if (atUs === undefined || this.#abort.signal.aborted || (this.#cancelTick && this.#tickAtUs <= atUs)) return;
    this.#cancelTick?.();
    this.#tickAtUs = atUs;
    this.#cancelTick = this.#clock.at(atUs, () => this.#tickDue());
  }

  /**
   * What has arrived is read first: an echo that waits unread is not a missing echo. Where this process itself was late, the links
   * get some turns of the event loop to bring what piled up meanwhile before anybody is accused.
   */
  #tickDue(): void {
    const nowUs = this.#clock.nowUs();
    if (nowUs - this.#tickAtUs > LATE_US) {
      this.#tickAtUs = nowUs + LATE_GRACE_US;
      this.#cancelTick = this.#clock.at(this.#tickAtUs, () => this.#tickDue());
      return;
    }
    this.#cancelTick = undefined;
    const generation = this.#generation;
    setImmediate(() => {
      if (this.#abort.signal.aborted) return;
      if (generation === this.#generation && this.#clock.nowUs() >= (this.#health.nextDeadlineUs() ?? Number.POSITIVE_INFINITY)) this.#step({ type: "tick" });
      else this.#armTick();
    });
  }

  #setLife(life: Life): void {
    if (this.#life === life) return;
    this.#life = life;
    this.#sinceUs = this.#clock.nowUs();
    if (life === "stopped") this.#emit("stateChanged", "", {}, "stopped");
  }

  #emit(code: DriverEvent["code"], text: string, details: Record<string, number | string> = {}, state?: DriverState): void {
    this.#eventListeners.call({ atUs: this.#clock.nowUs(), code, text, details, ...(state ? { state } : {}) });
  }
}

const REFUSAL: Record<DriverState, SendVerdict> = { stopped: "notStarted", starting: "linkDown", up: "busDead", degraded: "busDead", dead: "busDead", busOff: "busOff", down: "linkDown" };

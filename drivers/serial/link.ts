/**
 * One end of a serial link, without a port: bytes and times in, effects out. Which end it is makes no difference but for the Data IDs,
 * so that the gateway and a simulated device run the same code.
 *
 * Each opening begins a session with a number of its own. The link is up once the peer said that it has heard this very session: then both
 * directions work, and nothing that a tty's buffers kept from earlier can have said so. A peer that started anew says another session; its
 * counter is then followed from there.
 *
 * Bytes are handed to the port only as fast as the line takes them (`baudBps`, 10 bits a byte), at most `aheadMs` before their time: a
 * command must not sit in the kernel's buffer until it is stale.
 */
import { CheckResult, FrameCheck, checkResultName } from "../../schemas/e2e/index.ts";
import type { FrameCodec } from "../../schemas/e2e/index.ts";
import type { DriverEvent, DriverState, SendVerdict } from "../driver.ts";
import type { CobsSink } from "./cobs.ts";
import { CobsDecoder } from "./cobs.ts";
import type { Hello, SerialRole } from "./frame.ts";
import { FRAME_BYTES_MAX, HELLO_ID, SerialFrameWriter, bodyOf, decodeHello, encodeHello, frameFault, idOf, serialCodec } from "./frame.ts";
import { SERIAL_LIMITS } from "./limits.ts";
import { CIRCUIT_ID } from "./repetition.ts";
import type { LinkAction, LinkEvent, LinkState } from "./linkTable.ts";
import { LINK_TABLE } from "./linkTable.ts";
import type { SerialOutgoing } from "./sendQueue.ts";
import { SendQueue } from "./sendQueue.ts";

export interface SerialLinkOptions {
  role: SerialRole;
  /** Who we are, for the peer's logs. */
  name: string;
  /** Both ends must have the same. */
  dataId: number;
  baudBps: number;
  silenceTimeoutMs: number;
  /** What may be received; absent: every id and length. */
  receive?: readonly { id: number; bodyBytes: number }[];
  /** A whole number 1 … 2^32−1, new at each call. */
  newSession: () => number;
  /** In [0, 1), for the jitter of retries. */
  random: () => number;
  limits?: Partial<{ [Name in keyof typeof SERIAL_LIMITS]: number }>;
  /** Circuits beside the messages: what fills the line when no message waits. Without it message 0xFFFE is one like any other. */
  circuits?: CircuitSource;
}

/** Where the link takes the bodies of message 0xFFFE from. */
export interface CircuitSource {
  /** When it has one, if nothing happens before; in the past: now. */
  readonly dueUs: number;
  take(nowUs: number): Uint8Array | undefined;
}

export interface SerialMessage {
  id: number;
  /** Borrowed until the listener returns. */
  body: Uint8Array;
  /** Time of reception, CLOCK_MONOTONIC µs. */
  timeUs: number;
  counter: number;
  /** Frames missed just before this one, as far as the counter tells; hellos count too. */
  lostBefore: number;
}

export type SerialRejectReason = "truncated" | "tooLong" | "badLength" | "crcMismatch" | "wrongDataId" | "repeated" | "wrongSequence" | "unknownId" | "badHello" | "otherVersion";

export interface SerialReject {
  reason: SerialRejectReason;
  timeUs: number;
  /** The decoded frame as far as there is one; borrowed. */
  bytes: Uint8Array;
}

export type LinkEffect =
  | { do: "open" }
  | { do: "close" }
  | { do: "write"; bytes: Uint8Array }
  | { do: "deliver"; message: SerialMessage }
  /** A body of message 0xFFFE; the listener's. */
  | { do: "circuits"; body: Uint8Array }
  | { do: "reject"; reject: SerialReject }
  | { do: "report"; code: DriverEvent["code"]; text: string; details?: DriverEvent["details"] };

/** A jump of the counter that is still "some frames were lost": 10 s of a 1 kHz link. A step back never is. */
const MAX_DELTA_COUNTER = 10_000;

/** A peer that starts anew says so by its session; a run of old counters is a replay. A tty's buffer (4 KiB) holds fewer frames than this. */
const RESYNC_FRAMES = 255;

/** Between an answer to a hello and what was sent before it: two ends that do not hear each other must not fill the line. */
const HELLO_GAP_US = 10_000;

const DRIVER_STATE: Record<LinkState, DriverState> = { stopped: "stopped", searching: "down", opening: "down", handshake: "starting", up: "up", silent: "dead" };

export class SerialLink {
  readonly #options: SerialLinkOptions;
  readonly #limits: { readonly [Name in keyof typeof SERIAL_LIMITS]: number };
  readonly #receiveCodec: FrameCodec;
  readonly #check: FrameCheck;
  readonly #decoder = new CobsDecoder({ maxFrameBytes: FRAME_BYTES_MAX });
  readonly #writer: SerialFrameWriter;
  readonly #queue: SendQueue;
  readonly #receive: Map<number, number> | undefined;
  #state: LinkState = "stopped";
  #sinceUs = 0;
  #reason = "";
  #session = 0;
  /** The peer's session that our last hello named. */
  #toldSession = 0;
  #peer: Hello | undefined;
  #heardAtUs = 0;
  /** Not silent before this: we were late ourselves, and what came meanwhile is still to be read. */
  #excusedUntilUs = 0;
  #sentAtUs = 0;
  #helloDueUs = Infinity;
  /** The peer waits for it: whatever else is sent, it stays due. */
  #helloOwed = false;
  #lineFreeUs = 0;
  #unwrittenBytes = 0;
  #takenAtUs = 0;
  /** As `excusedUntilUs`, of what the port has taken. */
  #writeExcusedUntilUs = 0;
  #attempts = 0;
  #retryAtUs = Infinity;
  #effects: LinkEffect[] = [];
  readonly counters = {
    framesIn: 0, framesOut: 0, circuitsIn: 0, circuitsOut: 0, bytesIn: 0, bytesOut: 0, hellosIn: 0, hellosOut: 0, early: 0, lost: 0, replaced: 0, expired: 0, queueFull: 0, dropped: 0, opens: 0, openFailures: 0, losses: 0, silences: 0, peerRestarts: 0, budgetExhausted: 0,
    rejectTruncated: 0, rejectTooLong: 0, rejectBadLength: 0, rejectCrcMismatch: 0, rejectWrongDataId: 0, rejectRepeated: 0, rejectWrongSequence: 0, rejectUnknownId: 0, rejectBadHello: 0, rejectOtherVersion: 0,
  };

  constructor(options: SerialLinkOptions) {
    const { role, dataId, receive } = options;
    this.#options = options;
    this.#limits = { ...SERIAL_LIMITS, ...options.limits };
    this.#receiveCodec = serialCodec(dataId, role === "gateway" ? "device" : "gateway");
    this.#check = new FrameCheck(this.#receiveCodec, { maxDeltaCounter: MAX_DELTA_COUNTER, resyncFrames: RESYNC_FRAMES });
    this.#writer = new SerialFrameWriter(serialCodec(dataId, role));
    this.#queue = new SendQueue(this.#limits);
    this.#receive = receive && new Map(receive.map(({ id, bodyBytes }) => [id, bodyBytes]));
  }

  get state(): LinkState {
    return this.#state;
  }
  get driverState(): DriverState {
    return DRIVER_STATE[this.#state];
  }
  get sinceUs(): number {
    return this.#sinceUs;
  }
  /** Why it is not up. */
  get reason(): string {
    return this.#reason;
  }
  /** Who the peer said it is, in this session. */
  get peer(): Hello | undefined {
    return this.#peer;
  }

  start(nowUs: number): LinkEffect[] {
    this.#attempts = 0;
    this.#takenAtUs = nowUs;
    return this.#then("start", nowUs, "");
  }
  stop(nowUs: number): LinkEffect[] {
    return this.#then("stop", nowUs, "");
  }
  opened(nowUs: number): LinkEffect[] {
    return this.#then("opened", nowUs, "the peer has not answered yet");
  }
  openFailed(why: string, nowUs: number): LinkEffect[] {
    this.counters.openFailures += 1;
    return this.#then("openFailed", nowUs, why);
  }
  lost(why: string, nowUs: number): LinkEffect[] {
    return this.#then("lost", nowUs, why);
  }

  /** Bytes from the port, in chunks of any size. */
  received(bytes: Uint8Array, nowUs: number): LinkEffect[] {
    if (this.#state !== "handshake" && this.#state !== "up" && this.#state !== "silent") return [];
    this.counters.bytesIn += bytes.length;
    this.#nowUs = nowUs;
    this.#decoder.push(bytes, this.#sink);
    return this.#pump(nowUs);
  }

  /** The port took bytes of an earlier "write". */
  wrote(bytes: number, nowUs: number): LinkEffect[] {
    this.#unwrittenBytes = Math.max(0, this.#unwrittenBytes - bytes);
    this.#takenAtUs = nowUs;
    return this.#pump(nowUs);
  }

  /** Only the verdict; call `poll` afterwards for the effects. */
  send(outgoing: SerialOutgoing, nowUs: number): SendVerdict {
    if (this.#state === "stopped") return "notStarted";
    if (!(outgoing.deadlineUs > nowUs)) return "expired";
    const longest = Math.min(this.#limits.bodyBytes, SERIAL_LIMITS.bodyBytes, this.#peer?.bodyBytesMax ?? Infinity);
    if (!Number.isInteger(outgoing.id) || outgoing.id < 0 || outgoing.id >= (this.#options.circuits ? CIRCUIT_ID : HELLO_ID)) return "unsupported";
    if (outgoing.body.length > longest) return "badLength";
    if (this.#state !== "up") return "linkDown";
    const result = this.#queue.put(outgoing);
    if (result === "full") {
      this.counters.queueFull += 1;
      return "queueFull";
    }
    if (result === "replaced") this.counters.replaced += 1;
    return "queued";
  }

  /** When `poll` is due at the latest; undefined: not before something happens. */
  nextDeadlineUs(): number | undefined {
    const limits = this.#limits;
    let at = this.#retryAtUs;
    const isOpen = this.#state === "handshake" || this.#state === "up" || this.#state === "silent";
    if (this.#state === "opening") at = Math.min(at, this.#sinceUs + limits.openTimeoutMs * 1e3);
    if (isOpen) at = Math.min(at, this.#helloDueUs, this.#quietAtUs(), this.#stuckAtUs());
    if (this.#state === "up") at = Math.min(at, Math.max(this.#lineFreeUs - limits.aheadMs * 1e3, this.#queue.frames > 0 ? -Infinity : this.#options.circuits?.dueUs ?? Infinity));
    return at === Infinity ? undefined : at;
  }

  poll(nowUs: number): LinkEffect[] {
    const limits = this.#limits;
    const isOpen = this.#state === "handshake" || this.#state === "up" || this.#state === "silent";
    if (nowUs >= this.#retryAtUs) {
      this.#retryAtUs = Infinity;
      return this.#then("retry", nowUs, "");
    }
    if (this.#state === "opening" && nowUs >= this.#sinceUs + limits.openTimeoutMs * 1e3) return this.#then("deaf", nowUs, `opening took longer than ${limits.openTimeoutMs} ms`);
    if (isOpen && nowUs >= this.#stuckAtUs() && !this.#excusesWriting(nowUs)) return this.#then("lost", nowUs, `the port took nothing for ${limits.writeTimeoutMs} ms`);
    if (isOpen && nowUs >= this.#quietAtUs() && !this.#excuses(nowUs)) {
      if (this.#state === "up") this.#step("silence", nowUs, `nothing valid received for ${this.#options.silenceTimeoutMs} ms`);
      else return this.#then("deaf", nowUs, `no answer for ${limits.reopenAfterMs} ms: opened anew`);
    }
    return this.#pump(nowUs);
  }

  /** Silence timeout while up; afterwards, or without an answer, the time to open anew. */
  #quietAtUs(): number {
    return Math.max(this.#excusedUntilUs, this.#heardAtUs + (this.#state === "up" ? this.#options.silenceTimeoutMs : this.#limits.reopenAfterMs) * 1e3);
  }

  /** When a port that takes nothing counts as stuck. */
  #stuckAtUs(): number {
    return this.#unwrittenBytes === 0 ? Infinity : Math.max(this.#writeExcusedUntilUs, this.#takenAtUs + this.#limits.writeTimeoutMs * 1e3);
  }

  /** Who has stood still has not been told yet what the port took meanwhile: opened anew for nothing, a board that starts with the line would start anew. Once for each time that it took something; either role. */
  #excusesWriting(nowUs: number): boolean {
    if (this.#writeExcusedUntilUs > this.#takenAtUs || nowUs - this.#stuckAtUs() < this.#limits.lateMs * 1e3) return false;
    this.#writeExcusedUntilUs = nowUs + this.#limits.catchUpMs * 1e3;
    return true;
  }

  /** Who comes late to judge has stood still, and does not accuse: the peer may have spoken all the time. Once for each time that it was heard. (A device accuses all the same: it obeys nobody whom it has not heard.) */
  #excuses(nowUs: number): boolean {
    if (this.#options.role !== "gateway" || this.#state !== "up" || this.#excusedUntilUs > this.#heardAtUs || nowUs - this.#quietAtUs() < this.#limits.lateMs * 1e3) return false;
    this.#excusedUntilUs = nowUs + this.#limits.catchUpMs * 1e3;
    return true;
  }

  #then(event: LinkEvent, nowUs: number, why: string): LinkEffect[] {
    this.#step(event, nowUs, why);
    return this.#pump(nowUs);
  }

  #step(event: LinkEvent, nowUs: number, why: string): void {
    const cell = LINK_TABLE[this.#state][event];
    const before = this.#state;
    if (cell.to !== before) {
      const wasUpUs = before === "up" ? nowUs - this.#sinceUs : 0;
      if (wasUpUs >= this.#limits.stableMs * 1e3) this.#attempts = 0;
      this.#state = cell.to;
      this.#sinceUs = nowUs;
      this.#reason = cell.to === "up" ? "" : why || this.#reason;
    }
    for (const action of cell.do) this.#perform(action, nowUs, why);
  }

  #perform(action: LinkAction, nowUs: number, why: string): void {
    const { counters } = this;
    switch (action) {
      case "openPort":
        counters.opens += 1;
        this.#effects.push({ do: "open" });
        return;
      case "closePort":
        this.#unwrittenBytes = 0;
        this.#helloDueUs = Infinity;
        this.#helloOwed = false;
        this.#effects.push({ do: "close" });
        return;
      case "newSession":
        this.#session = this.#options.newSession();
        this.#toldSession = 0;
        this.#peer = undefined;
        this.#decoder.reset();
        this.#check.reset();
        this.#heardAtUs = nowUs;
        this.#helloDueUs = nowUs;
        this.#lineFreeUs = nowUs;
        this.#takenAtUs = nowUs;
        this.#unwrittenBytes = 0;
        return;
      case "waitForRetry":
        this.#waitForRetry(nowUs);
        return;
      case "dropQueue": {
        const frames = this.#queue.clear();
        counters.dropped += frames;
        if (frames > 0) this.#report("transmitDropped", `${frames} waiting message${frames === 1 ? "" : "s"} dropped`, { frames });
        return;
      }
      case "reportUp":
        this.#report("linkRestored", `${this.#peer?.name ?? "the peer"} answers`);
        return;
      case "reportLost":
        counters.losses += 1;
        this.#report("linkLost", why);
        return;
      case "reportSilence":
        counters.silences += 1;
        this.#report("silence", why);
        return;
      case "reportDeaf":
        this.#report("linkLost", why);
        return;
    }
  }

  /** Doubling from 100 ms to 2 s with jitter; after `reopenBudget` attempts in a row one every `restMs`, so that a device plugged in an hour later is still found. */
  #waitForRetry(nowUs: number): void {
    const { reopenBudget, restMs } = this.#limits;
    const attempt = this.#attempts++;
    const delayMs = attempt >= reopenBudget ? restMs : Math.min(2000, 100 * 2 ** Math.min(attempt, 8)) * (0.5 + this.#options.random() / 2);
    if (attempt === reopenBudget) {
      this.counters.budgetExhausted += 1;
      this.#report("refused", `${reopenBudget} attempts in a row failed; from now on one every ${restMs} ms`, { attempts: attempt });
    }
    this.#retryAtUs = nowUs + delayMs * 1e3;
  }

  #report(code: DriverEvent["code"], text: string, details?: DriverEvent["details"]): void {
    this.#effects.push({ do: "report", code, text, ...(details ? { details } : {}) });
  }

  #nowUs = 0;
  readonly #sink: CobsSink = {
    frame: (payload) => this.#frame(payload, this.#nowUs),
    bad: (fault, _skippedBytes, seen) => this.#reject(fault, seen, this.#nowUs),
  };

  #frame(frame: Uint8Array, nowUs: number): void {
    const fault = frameFault(this.#receiveCodec, frame);
    if (fault !== undefined) {
      this.#reject(fault, frame, nowUs);
      return;
    }
    const id = idOf(frame);
    const hello = id === HELLO_ID ? decodeHello(bodyOf(frame)) : undefined;
    if (hello && !hello.ok) {
      this.#reject(hello.code, frame, nowUs);
      return;
    }
    if (hello && hello.hello.session !== this.#peer?.session) {
      if (this.#peer) {
        this.counters.peerRestarts += 1;
        this.#report("resynchronised", `${hello.hello.name} has begun a new session: it started anew, or had lost us`);
        // What waits was meant for the one before.
        this.#perform("dropQueue", nowUs, "");
      }
      this.#check.reset();
    }
    const result = this.#check.check(frame, 0, frame.length, 0, nowUs);
    if (result !== CheckResult.ok && result !== CheckResult.okSomeLost) {
      this.#reject(checkResultName(result) as SerialRejectReason, frame, nowUs);
      return;
    }
    this.counters.lost += this.#check.lost;
    this.#heardAtUs = nowUs;
    if (hello) this.#hello(hello.hello, nowUs);
    // Silent, not lost: the peer knows our session already.
    else if (this.#peer?.heardSession === this.#session) this.#step("peerReady", nowUs, "");
    if (!hello) this.#data(id, frame, nowUs);
  }

  #hello(hello: Hello, nowUs: number): void {
    this.counters.hellosIn += 1;
    this.#peer = hello;
    if (hello.heardSession === this.#session) this.#step("peerReady", nowUs, "");
    // It does not know us, or not that we know it: do not let it wait.
    if (hello.heardSession !== this.#session || hello.session !== this.#toldSession) {
      this.#helloDueUs = Math.min(this.#helloDueUs, Math.max(nowUs, this.#sentAtUs + HELLO_GAP_US));
      this.#helloOwed = true;
    }
  }

  #data(id: number, frame: Uint8Array, nowUs: number): void {
    // Before the handshake it may have lain in a tty's buffer since yesterday.
    if (this.#state !== "up") {
      this.counters.early += 1;
      return;
    }
    const body = bodyOf(frame);
    if (id === CIRCUIT_ID && this.#options.circuits) {
      this.counters.circuitsIn += 1;
      this.#effects.push({ do: "circuits", body: body.slice() });
      return;
    }
    const expectedBytes = this.#receive?.get(id);
    if (this.#receive && expectedBytes === undefined) {
      this.#reject("unknownId", frame, nowUs);
      return;
    }
    if (expectedBytes !== undefined && expectedBytes !== body.length) {
      this.#reject("badLength", frame, nowUs);
      return;
    }
    this.counters.framesIn += 1;
    // The decoder's memory is used again for the next frame of the same chunk: the listener gets its own.
    this.#effects.push({ do: "deliver", message: { id, body: body.slice(), timeUs: nowUs, counter: this.#check.counter, lostBefore: this.#check.lost } });
  }

  #reject(reason: SerialRejectReason, bytes: Uint8Array, nowUs: number): void {
    const counter = `reject${reason[0]!.toUpperCase()}${reason.slice(1)}` as keyof SerialLink["counters"];
    this.counters[counter] += 1;
    this.#effects.push({ do: "reject", reject: { reason, timeUs: nowUs, bytes: bytes.slice(0, 64) } });
  }

  /** Sends what is due and returns all effects gathered since the last call. */
  #pump(nowUs: number): LinkEffect[] {
    const isOpen = this.#state === "handshake" || this.#state === "up" || this.#state === "silent";
    // The peer takes nothing from us before it knows that we know it: that goes in front.
    const untold = this.#state === "up" && this.#queue.frames > 0 && this.#toldSession !== this.#peer?.session;
    if (isOpen && (untold || nowUs >= this.#helloDueUs)) this.#sendHello(nowUs);
    if (this.#state === "up") this.#drain(nowUs);
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #sendHello(nowUs: number): void {
    const { role, name } = this.#options;
    this.counters.hellosOut += 1;
    this.#toldSession = this.#peer?.session ?? 0;
    this.#helloOwed = false;
    this.#write(this.#writer.write(HELLO_ID, encodeHello({ role, name, session: this.#session, heardSession: this.#toldSession, bodyBytesMax: SERIAL_LIMITS.bodyBytes })), nowUs);
  }

  #drain(nowUs: number): void {
    const aheadUs = this.#limits.aheadMs * 1e3;
    while (this.#lineFreeUs - aheadUs <= nowUs) {
      const outgoing = this.#queue.take();
      // Messages first: one that comes now waits for one frame of circuits at most.
      if (!outgoing) {
        if (!this.#sendCircuits(nowUs)) return;
        continue;
      }
      if (outgoing.deadlineUs <= nowUs) {
        this.counters.expired += 1;
        this.#report("transmitDropped", `message ${outgoing.id} was too late`, { id: outgoing.id });
        continue;
      }
      this.counters.framesOut += 1;
      this.#write(this.#writer.write(outgoing.id, outgoing.body), nowUs);
    }
  }

  #sendCircuits(nowUs: number): boolean {
    const body = this.#options.circuits?.take(nowUs);
    if (!body) return false;
    // As with messages: the peer takes nothing of us before it knows that we know it.
    if (this.#toldSession !== this.#peer?.session) this.#sendHello(nowUs);
    this.counters.circuitsOut += 1;
    this.#write(this.#writer.write(CIRCUIT_ID, body), nowUs);
    return true;
  }

  #write(bytes: Uint8Array, nowUs: number): void {
    const { baudBps, silenceTimeoutMs } = this.#options;
    this.counters.bytesOut += bytes.length;
    if (this.#unwrittenBytes === 0) this.#takenAtUs = nowUs;
    this.#unwrittenBytes += bytes.length;
    this.#lineFreeUs = Math.max(this.#lineFreeUs, nowUs) + (bytes.length * 10e6) / baudBps;
    this.#sentAtUs = nowUs;
    // A sign of life three times per silence timeout: two may be lost.
    if (!this.#helloOwed) this.#helloDueUs = nowUs + (this.#state === "up" ? Math.min(this.#limits.helloIntervalMs * 5, silenceTimeoutMs / 3) : this.#limits.helloIntervalMs) * 1e3;
    this.#effects.push({ do: "write", bytes });
  }
}

/**
 * A CAN driver over an slcan adapter.
 *
 * What `z` means decides what this link is worth. For most adapters it says that the frame was put into the adapter's queue: then nothing is
 * confirmed, a dead bus shows only in the status flags, and `confirmsTransmission` is false. Adapters that answer after the bus has
 * taken the frame (`repliesMean: "transmitted"`) give real echoes.
 *
 * Frames wait nowhere but in the adapter: no more than `txQueueFrames` are under way without a reply, and none is written behind a backlog.
 */
import type { Clock } from "../../../schemas/clock.ts";
import { systemClock } from "../../../schemas/clock.ts";
import { DriverError } from "../../driver.ts";
import type { CanFrame } from "../frame.ts";
import { CanFlag } from "../frame.ts";
import type { CanLink, LinkDriverOptions, LinkSink } from "../linkDriver.ts";
import { LinkDriver } from "../linkDriver.ts";
import type { SlcanEvent } from "./frame.ts";
import { AdapterClock, BITRATES_BPS, encodeFrame, SlcanDecoder, StatusFlag } from "./frame.ts";
import type { LinkEffect, LinkEvent } from "./link.ts";
import { LinkMachine, waits } from "./link.ts";
import type { OpenSlcanPort, SlcanPort } from "./ports.ts";

export interface SlcanOptions extends LinkDriverOptions {
  open: OpenSlcanPort;
  /** One of the nine rates of `S0` … `S8`. */
  bitrateBps: number;
  /** The CANable extension (d, D, b, B). The data rate is the adapter's setting. */
  fd?: boolean;
  /** What the adapter's reply to a frame says. Default "queued". */
  repliesMean?: "queued" | "transmitted";
  /** Frames that may wait in the adapter. Default 16. */
  txQueueFrames?: number;
  /** Asks the adapter to stamp received frames. Default false: the time of arrival is taken. */
  timestamps?: boolean;
  /** How often the status flags are asked for, which also shows whether the adapter lives. Default 100; 0 for adapters that know no `F` and say nothing. */
  statusIntervalMs?: number;
  /** How long an answer may take. Default 500. */
  answerTimeoutMs?: number;
}

/** Status answers missing for so many intervals, and for no less than an answer's timeout: the adapter hangs. */
const STATUS_MISSES_MAX = 5;
/** USB serial chips hold bytes back for up to 16 ms in each direction, and the line itself takes its time. */
const DEAD_AFTER_MS = 100;
const ANSWER_TIMEOUT_MS = 500;
/** Not more than this may wait in front of the serial line: 11 full frames, 22 ms at 115,200 baud. */
const BACKLOG_BYTES_MAX = 256;

/** Throws a `DriverError` for a rate that slcan does not know. */
export function createSlcan(options: SlcanOptions): LinkDriver {
  const rate = (BITRATES_BPS as readonly number[]).indexOf(options.bitrateBps);
  if (rate < 0) throw new DriverError("badBitrate", `slcan knows no ${options.bitrateBps} bit/s`, `set bitrateBps to one of ${BITRATES_BPS.join(", ")}`);
  const fd = options.fd ?? false;
  return new LinkDriver(
    {
      kind: "slcan",
      confirms: options.repliesMean === "transmitted",
      fd,
      async open(sink, signal) {
        const port = await options.open();
        const session = new Session(port, sink, { ...options, rate });
        try {
          await session.start(signal);
        } catch (error) {
          await session.close();
          throw error;
        }
        return session;
      },
    },
    { ...options, health: { deadAfterMs: DEAD_AFTER_MS, ...options.health, bitrateBps: options.bitrateBps } },
  );
}

interface WaitingCommand {
  letter: string;
  /** Position among all lines sent. */
  order: number;
}

interface WaitingFrame {
  frame: CanFrame;
  order: number;
}

/** The longest that a classic frame can be on the wire, intermission and worst stuffing included; FD frames are shorter at their higher rate, or few. */
function wireBitsMax(frame: CanFrame): number {
  const stuffable = ((frame.flags & CanFlag.extended) === 0 ? 34 : 54) + 8 * frame.data.length;
  return stuffable + Math.floor(stuffable / 4) + 13;
}

class Session implements CanLink {
  readonly bitrateBps: number;
  readonly txQueueFrames: number;
  readonly canPurge = true;

  readonly #port: SlcanPort;
  readonly #sink: LinkSink;
  readonly #options: SlcanOptions & { rate: number };
  readonly #clock: Clock;
  readonly #decoder: SlcanDecoder;
  readonly #machine = new LinkMachine();
  readonly #adapterClock = new AdapterClock();
  /** Lines without a reply yet, oldest first. Commands are answered at once; frames too, or later when the bus has taken them. */
  #commands: WaitingCommand[] = [];
  #frames: WaitingFrame[] = [];
  #order = 0;
  /** When the adapter's queue will have run empty if nobody else sends: where a reply comes before the transmission, this alone keeps the queue from overflowing. */
  #emptyAtUs = 0;
  /** False once an adapter answered a later command but not a frame: then there is nothing to count. */
  #answersFrames = true;
  #aliveAtUs = 0;
  #cancelStatus: (() => void) | undefined;
  #cancelAnswer: (() => void) | undefined;
  #settled: ((error: DriverError | undefined) => void) | undefined;
  #closed = false;

  constructor(port: SlcanPort, sink: LinkSink, options: SlcanOptions & { rate: number }) {
    this.#port = port;
    this.#sink = sink;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#decoder = new SlcanDecoder({ fd: options.fd ?? false });
    this.bitrateBps = options.bitrateBps;
    this.txQueueFrames = options.txQueueFrames ?? 16;
    port.onData((bytes) => this.#heard(bytes));
    port.onLost((why) => this.#fail("lost", why));
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#settled?.(new DriverError("stopped", "stopped while it opened", "start it again")));
    await this.#until("start");
    this.#askStatus();
  }

  transmit(frame: CanFrame): "queued" | "queueFull" | "unsupported" | "linkDown" {
    if (this.#closed || this.#machine.state !== "open") return "linkDown";
    if (this.#answersFrames && this.#frames.length >= this.txQueueFrames) return "queueFull";
    if (this.#port.backlogBytes > BACKLOG_BYTES_MAX) return "queueFull";
    if (!this.#confirms && this.#queuedUs() + (this.#frames.length + 1) * this.#frameUs(frame) > this.txQueueFrames * this.#frameUs(frame)) return "queueFull";
    const line = encodeFrame(frame);
    if (line === undefined) return "unsupported";
    this.#port.write(Buffer.from(line, "latin1"));
    if (!this.#answersFrames) this.#queuedInAdapter(frame);
    else this.#frames.push({ frame: { ...frame, data: Uint8Array.from(frame.data) }, order: ++this.#order });
    return "queued";
  }

  #frameUs(frame: CanFrame): number {
    return (wireBitsMax(frame) * 1e6) / this.bitrateBps;
  }

  /** How long the frames that are in the adapter's queue will still take, as far as we know. */
  #queuedUs(): number {
    return Math.max(0, this.#emptyAtUs - this.#clock.nowUs());
  }

  #queuedInAdapter(frame: CanFrame): void {
    this.#emptyAtUs = this.#clock.nowUs() + this.#queuedUs() + this.#frameUs(frame);
  }

  get #confirms(): boolean {
    return this.#options.repliesMean === "transmitted";
  }

  /** `C` drops what the adapter has queued, `O` begins anew. Whoever asks while it runs gets the same answer. */
  purge(): ReturnType<CanLink["purge"]> {
    this.#purging ??= this.#closeAndOpen().finally(() => {
      this.#purging = undefined;
    });
    return this.#purging;
  }
  #purging: ReturnType<CanLink["purge"]> | undefined;

  async #closeAndOpen(): ReturnType<CanLink["purge"]> {
    const droppedFrames = this.#frames.length;
    try {
      await this.#until("recover");
    } catch (error) {
      return { purged: false, code: "linkDown", text: (error as Error).message };
    }
    return { purged: true, droppedFrames };
  }

  async restart(): Promise<boolean> {
    const verdict = await this.purge();
    if (verdict.purged) this.#sink.busState("active");
    return verdict.purged;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#machine.state === "open") this.#port.write(Buffer.from("C\r"));
    this.#closed = true;
    this.#cancelStatus?.();
    this.#cancelAnswer?.();
    this.#settled?.(new DriverError("stopped", "closed meanwhile", "start it again"));
    await this.#port.close();
  }

  /** Steps the machine and resolves when it is open, or rejects when it has failed. */
  #until(event: "start" | "recover"): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed || (event === "recover" && this.#machine.state !== "open")) {
        reject(new DriverError("notOpen", "the adapter is not open", "wait until the link is up"));
        return;
      }
      this.#settled = (error) => {
        this.#settled = undefined;
        if (error) reject(error);
        else resolve();
      };
      this.#step(event);
    });
  }

  #step(event: LinkEvent): void {
    const before = this.#machine.state;
    for (const effect of this.#machine.step(event)) this.#perform(effect, event);
    if (this.#machine.state === before) return;
    this.#cancelAnswer?.();
    this.#cancelAnswer = undefined;
    if (waits[this.#machine.state]) this.#cancelAnswer = this.#clock.at(this.#clock.nowUs() + (this.#options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS) * 1e3, () => this.#step("timeout"));
  }

  #perform(effect: LinkEffect, why: LinkEvent): void {
    switch (effect) {
      case "sendSync":
        // The replies to all but the last are not counted: nobody knows how many come.
        this.#port.write(Buffer.from("\r\r\rC\r"));
        this.#command("V");
        break;
      case "sendRate":
        this.#forget();
        this.#command(`S${this.#options.rate}`);
        break;
      case "sendStamps":
        this.#command(this.#options.timestamps ? "Z1" : "Z0");
        break;
      case "sendOpen":
        this.#command(this.#options.listenOnly ? "L" : "O");
        break;
      case "sendClose": {
        const dropped = this.#frames.length;
        this.#forget();
        this.#command("C");
        if (dropped > 0) this.#sink.dropped(dropped);
        break;
      }
      case "opened":
        this.#forget();
        this.#aliveAtUs = this.#clock.nowUs();
        this.#settled?.(undefined);
        break;
      case "failed":
        this.#fail(why === "refused" ? "refused" : "noAnswer", why === "refused" ? "the adapter refuses to open its channel" : "the adapter does not answer");
        break;
      default:
        effect satisfies never;
    }
  }

  #command(text: string): void {
    this.#commands.push({ letter: text[0]!, order: ++this.#order });
    this.#port.write(Buffer.from(`${text}\r`));
  }

  #forget(): void {
    this.#commands = [];
    this.#frames = [];
    this.#emptyAtUs = 0;
  }

  #heard(bytes: Uint8Array): void {
    if (this.#closed) return;
    for (const event of this.#decoder.push(bytes)) this.#take(event);
    this.#sink.flush();
  }

  #take(event: SlcanEvent): void {
    switch (event.type) {
      case "frame": {
        if (this.#machine.state !== "open") return;
        const nowUs = this.#clock.nowUs();
        event.frame.timeUs = event.timestampMs === undefined ? nowUs : this.#adapterClock.toHostUs(event.timestampMs, nowUs);
        this.#sink.push(event.frame);
        break;
      }
      case "ok":
      case "error":
        // While synchronising, replies to earlier lines come in unknown number; only the version counts.
        if (this.#machine.state !== "syncing") this.#answered(event.type === "ok");
        break;
      case "taken":
        this.#frameAnswered(true);
        break;
      case "status":
        if (this.#commandAnswered("F")) this.#status(event.flags);
        break;
      case "identity":
        if (this.#commandAnswered(event.text[0]!)) this.#step("version");
        break;
      case "bad":
        this.#sink.resynchronised(event.skippedBytes);
        break;
      case "pollEnd": // Never asked for.
        break;
      default:
        event satisfies never;
    }
  }

  /** CR or BEL, which do not say what they answer: the oldest line; but a reply that waits for the bus is not passed over by those that do not. */
  #answered(ok: boolean): void {
    const frameFirst = this.#frames.length > 0 && (this.#commands.length === 0 || this.#confirms || this.#frames[0]!.order < this.#commands[0]!.order);
    if (frameFirst) {
      this.#frameAnswered(ok);
      return;
    }
    // A refused F: this adapter does not know it, but it is alive.
    if (this.#commands.shift()?.letter === "F") this.#aliveAtUs = this.#clock.nowUs();
    else this.#step(ok ? "ok" : "refused");
  }

  #frameAnswered(ok: boolean): void {
    const answered = this.#frames.shift();
    if (!answered) return;
    if (!ok) this.#sink.dropped(1);
    else if (!this.#confirms) this.#queuedInAdapter(answered.frame);
    else this.#sink.push({ ...answered.frame, flags: answered.frame.flags | CanFlag.echo, timeUs: this.#clock.nowUs() });
  }

  /** The reply to the oldest `letter` has come; false if none was sent. Frames sent before it that have no reply will get none: this adapter does not answer them. */
  #commandAnswered(letter: string): boolean {
    const index = this.#commands.findIndex((command) => command.letter === letter);
    if (index < 0) return false;
    const { order } = this.#commands.splice(0, index + 1).at(-1)!;
    if (!this.#confirms && this.#frames.length > 0 && this.#frames[0]!.order < order) {
      this.#answersFrames = false;
      this.#frames = [];
    }
    return true;
  }

  #askStatus(): void {
    const intervalMs = this.#options.statusIntervalMs ?? 100;
    if (this.#closed || intervalMs === 0) return;
    const patienceMs = Math.max(STATUS_MISSES_MAX * intervalMs, this.#options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS);
    this.#cancelStatus = this.#clock.at(this.#clock.nowUs() + intervalMs * 1e3, () => {
      if (this.#machine.state === "open" && this.#clock.nowUs() - this.#aliveAtUs > patienceMs * 1e3) {
        this.#fail("noAnswer", "the adapter has stopped answering");
        return;
      }
      // One at a time: what is not answered is not asked for again.
      if (this.#machine.state === "open" && this.#commands.length === 0) this.#command("F");
      this.#askStatus();
    });
  }

  /** The flags as the error reports that a kernel would give. */
  #status(flags: number): void {
    this.#aliveAtUs = this.#clock.nowUs();
    if ((flags & StatusFlag.overrun) !== 0) this.#sink.overflow(1);
    const passive = (flags & StatusFlag.passive) !== 0;
    const warning = (flags & StatusFlag.warning) !== 0;
    // Error-passive with a queue that stays full: what we send does not leave, nobody acknowledges.
    const stuck = passive && (flags & StatusFlag.txFifoFull) !== 0;
    const busError = (flags & StatusFlag.busError) !== 0;
    if (!passive && !warning && !busError) {
      if (this.#troubled) this.#sink.busState("active");
      this.#troubled = false;
      return;
    }
    this.#troubled = true;
    const data = new Uint8Array(8);
    data[1] = passive ? 0x30 : warning ? 0x0c : 0;
    this.#sink.push({ timeUs: this.#clock.nowUs(), canId: (data[1] === 0 ? 0 : 0x04) | (stuck ? 0x20 : 0) | (busError ? 0x80 : 0), flags: CanFlag.error, data });
  }
  #troubled = false;

  #fail(code: string, why: string): void {
    if (this.#closed) return;
    if (this.#settled) this.#settled(new DriverError(code, why, "check the adapter, its bit rate and that no other program has its port open"));
    this.#sink.lost(why);
  }
}

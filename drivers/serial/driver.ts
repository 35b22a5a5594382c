/** The serial link as a driver: joins the machine in `link.ts` with a port and a clock. Both ends of a link use it. */
import { randomInt } from "node:crypto";
import type { Clock } from "../../schemas/clock.ts";
import { systemClock } from "../../schemas/clock.ts";
import type { Driver, DriverEvent, DriverHealth, DriverState } from "../driver.ts";
import { DriverError } from "../driver.ts";
import { Listeners } from "../listeners.ts";
import type { FrameTransport } from "../../shm/circuits/index.ts";
import type { Hello } from "./frame.ts";
import type { LinkEffect, SerialLinkOptions, SerialMessage, SerialReject } from "./link.ts";
import { SerialLink } from "./link.ts";
import { LinkCircuits } from "./linkCircuits.ts";
import type { BytePort, OpenPort } from "./port.ts";
import { ttyPort } from "./port.ts";
import type { SerialOutgoing } from "./sendQueue.ts";

export interface SerialDriverOptions extends Pick<SerialLinkOptions, "dataId" | "receive" | "limits"> {
  name: string;
  /** A path, best one of /dev/serial/by-id; or a port of another kind. */
  port: string | BytePort;
  /** Default 115200. */
  baudBps?: number;
  /** Which end this is. Default "gateway". */
  role?: SerialLinkOptions["role"];
  /** Default 500. */
  silenceTimeoutMs?: number;
  /** `start` succeeds although the device is missing; it is opened when it appears. Default false. */
  optional?: boolean;
  /** `start` of a link that is not optional waits so long for the peer's answer; it resolves without one, the state says so. Default 2000. */
  startTimeoutMs?: number;
  newSession?: () => number;
  random?: () => number;
  clock?: Clock;
  /** Circuits beside the messages (docs/specs/circuits.md): the longest frame of theirs, 72 to 507. 224 fills one COBS block; a message waits for one of them at most. */
  circuits?: { frameBytesMax?: number };
}

/** With its headers one COBS block of 254. */
const CIRCUIT_FRAME_BYTES = 224;

export interface SerialDriver extends Driver<SerialMessage, SerialOutgoing> {
  readonly kind: "serial";
  /** Who the peer said it is; undefined before its first hello. */
  readonly peer: Hello | undefined;
  /** What was received and refused; `bytes` are borrowed until the listener returns. */
  onReject(listener: (reject: SerialReject) => void): () => void;
  /** A line for circuits begins, with each session of the link and when the one before was broken. Register before `start`. */
  onCircuits(listener: (transport: FrameTransport) => void): () => void;
}

export function createSerialDriver(options: SerialDriverOptions): SerialDriver {
  return new PortDriver(options);
}

class PortDriver implements SerialDriver {
  readonly kind = "serial";
  readonly name: string;
  readonly #port: BytePort;
  readonly #optional: boolean;
  readonly #clock: Clock;
  readonly #link: SerialLink;
  readonly #frames = new Listeners<SerialMessage>();
  readonly #events = new Listeners<DriverEvent>();
  readonly #rejects = new Listeners<SerialReject>();
  readonly #lines = new Listeners<FrameTransport>();
  readonly #circuits: LinkCircuits | undefined;
  /** The peer's session that circuits are with. */
  #circuitsPeer: number | undefined;
  #opened: OpenPort | undefined;
  readonly #pending: LinkEffect[] = [];
  #performing = false;
  /** Counts attempts to open, so that one given up can be told from the current one. */
  #attempt = 0;
  #closing: Promise<void> = Promise.resolve();
  #cancelTimer: (() => void) | undefined;
  #reported: DriverState = "stopped";
  readonly #startTimeoutMs: number;
  #starting: { resolve: () => void; reject: (error: Error) => void } | undefined;
  #cancelStartTimeout: (() => void) | undefined;

  constructor({ name, port, baudBps = 115_200, role = "gateway", silenceTimeoutMs = 500, optional = false, startTimeoutMs = 2000, clock = systemClock, newSession = () => randomInt(1, 0xffff_ffff), random = Math.random, dataId, receive, limits, circuits }: SerialDriverOptions) {
    this.name = name;
    this.#port = typeof port === "string" ? ttyPort({ path: port, baudBps }) : port;
    this.#optional = optional;
    this.#startTimeoutMs = startTimeoutMs;
    this.#clock = clock;
    this.#circuits = circuits && new LinkCircuits({
      baudBps, frameBytesMax: circuits.frameBytesMax ?? CIRCUIT_FRAME_BYTES, clock, newSession,
      begun: (transport) => this.#lines.call(transport),
      wake: () => this.#run(this.#link.poll(clock.nowUs())),
    });
    this.#link = new SerialLink({ role, name, dataId, baudBps, silenceTimeoutMs, newSession, random, ...(receive ? { receive } : {}), ...(limits ? { limits } : {}), ...(this.#circuits ? { circuits: this.#circuits } : {}) });
  }

  get peer(): Hello | undefined {
    return this.#link.peer;
  }

  async start(): Promise<void> {
    if (this.#link.state !== "stopped") throw new DriverError("alreadyStarted", `serial link ${this.name} runs already`, "stop it first");
    const started = new Promise<void>((resolve, reject) => {
      this.#starting = { resolve, reject };
    });
    this.#run(this.#link.start(this.#clock.nowUs()));
    await started;
  }

  async stop(): Promise<void> {
    this.#run(this.#link.stop(this.#clock.nowUs()));
    this.#endStart(new DriverError("stopped", `serial link ${this.name} was stopped while it started`, "start it again"));
    // Called by a listener, the port is closed only when the effects before are performed.
    await Promise.resolve();
    await this.#closing;
  }

  /** Settles the promise that `start` returned, once. */
  #endStart(error?: Error): void {
    const starting = this.#starting;
    this.#starting = undefined;
    this.#cancelStartTimeout?.();
    this.#cancelStartTimeout = undefined;
    if (error) starting?.reject(error);
    else starting?.resolve();
  }

  send(outgoing: SerialOutgoing): ReturnType<SerialLink["send"]> {
    const nowUs = this.#clock.nowUs();
    const verdict = this.#link.send(outgoing, nowUs);
    if (verdict === "queued") this.#run(this.#link.poll(nowUs));
    return verdict;
  }

  onFrames(listener: (message: SerialMessage) => void): () => void {
    return this.#frames.add(listener);
  }
  onEvent(listener: (event: DriverEvent) => void): () => void {
    return this.#events.add(listener);
  }
  onReject(listener: (reject: SerialReject) => void): () => void {
    return this.#rejects.add(listener);
  }
  onCircuits(listener: (transport: FrameTransport) => void): () => void {
    return this.#lines.add(listener);
  }

  health(): DriverHealth {
    const { driverState, sinceUs, reason, counters } = this.#link;
    return { state: driverState, sinceUs, reason, counters: { ...counters, ...this.#circuitCounters(), listenerErrors: this.#frames.errors + this.#events.errors + this.#rejects.errors + this.#lines.errors } };
  }

  #circuitCounters(): Record<string, number> {
    if (!this.#circuits) return {};
    const { lines, delivered, repeated, gaps, refused } = this.#circuits.count();
    return { circuitLines: lines, circuitFrames: delivered, circuitRepeats: repeated, circuitGaps: gaps, circuitRefused: refused };
  }

  /** Performs effects in the order in which the link made them, also when a listener sends in the middle: a frame with a later counter must not be written in front of one with an earlier. */
  #run(effects: readonly LinkEffect[]): void {
    this.#pending.push(...effects);
    if (this.#performing) return;
    this.#performing = true;
    for (let next = this.#pending.shift(); next; next = this.#pending.shift()) this.#perform(next);
    this.#performing = false;
    this.#follow();
  }

  #perform(effect: LinkEffect): void {
    switch (effect.do) {
      case "open":
        void this.#open();
        return;
      case "close":
        this.#close();
        return;
      case "write":
        this.#write(effect.bytes);
        return;
      case "deliver":
        this.#frames.call(effect.message, () => this.#link.state !== "stopped");
        return;
      case "circuits":
        // What came in a session that is over since: its line is gone too, or refuses it.
        this.#followSession();
        this.#circuits?.received(effect.body);
        return;
      case "reject":
        this.#rejects.call(effect.reject);
        return;
      case "report":
        this.#emit({ code: effect.code, text: effect.text, ...(effect.details ? { details: effect.details } : {}) });
        return;
    }
  }

  /** Tells the link's state where it has changed, and sets the timer. */
  #follow(): void {
    this.#followSession();
    const { driverState, reason } = this.#link;
    if (driverState === "up") this.#endStart();
    if (driverState !== this.#reported) {
      this.#reported = driverState;
      this.#emit({ code: "stateChanged", state: driverState, text: reason === "" ? driverState : `${driverState}: ${reason}` });
    }
    this.#cancelTimer?.();
    const deadlineUs = this.#link.nextDeadlineUs();
    this.#cancelTimer = deadlineUs === undefined ? undefined : this.#clock.at(deadlineUs, () => this.#run(this.#link.poll(this.#clock.nowUs())));
  }

  /** Circuits live as long as the link is up with the same peer. */
  #followSession(): void {
    const { driverState, peer, reason } = this.#link;
    const session = driverState === "up" ? peer?.session : undefined;
    if (!this.#circuits || session === this.#circuitsPeer) return;
    this.#circuitsPeer = session;
    if (session === undefined) this.#circuits.end(reason === "" ? driverState : reason);
    else this.#circuits.begin();
  }

  #emit(event: Omit<DriverEvent, "atUs">): void {
    this.#events.call({ atUs: this.#clock.nowUs(), ...event });
  }

  async #open(): Promise<void> {
    const attempt = ++this.#attempt;
    // The last opening must be gone first: the port is locked until then.
    await this.#closing;
    const current = (): boolean => attempt === this.#attempt;
    if (!current()) return;
    try {
      const opened = await this.#port.open({
        data: (bytes) => {
          if (current()) this.#run(this.#link.received(bytes, this.#clock.nowUs()));
        },
        closed: (why) => {
          if (current()) this.#run(this.#link.lost(why, this.#clock.nowUs()));
        },
      });
      if (!current()) {
        await opened.close();
        return;
      }
      this.#opened = opened;
      if (this.#optional) this.#endStart();
      else if (this.#starting) this.#cancelStartTimeout ??= this.#clock.at(this.#clock.nowUs() + this.#startTimeoutMs * 1e3, () => this.#endStart());
      this.#run(this.#link.opened(this.#clock.nowUs()));
    } catch (error) {
      if (current()) this.#openFailed(error as Error);
    }
  }

  #openFailed(error: Error): void {
    if (this.#starting && !this.#optional) {
      this.#run(this.#link.stop(this.#clock.nowUs()));
      this.#endStart(error);
      return;
    }
    this.#endStart();
    this.#run(this.#link.openFailed(error.message, this.#clock.nowUs()));
  }

  #close(): void {
    this.#attempt += 1;
    const opened = this.#opened;
    this.#opened = undefined;
    if (opened) this.#closing = this.#closing.then(() => opened.close());
  }

  #write(bytes: Uint8Array): void {
    const attempt = this.#attempt;
    const written = (fault?: string): void => {
      if (attempt !== this.#attempt) return;
      const nowUs = this.#clock.nowUs();
      this.#run(fault === undefined ? this.#link.wrote(bytes.length, nowUs) : this.#link.lost(fault, nowUs));
    };
    try {
      this.#opened?.write(bytes, written);
    } catch (error) {
      // Whatever an adapter does, it is the line that is lost, not the gateway.
      written(String(error));
    }
  }
}

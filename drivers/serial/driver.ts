/** The serial link as a driver: joins the machine in `link.ts` with a port and a clock. Both ends of a link use it. */
import { randomInt } from "node:crypto";
import type { Clock } from "../../schemas/clock.ts";
import { systemClock } from "../../schemas/clock.ts";
import type { Driver, DriverEvent, DriverHealth, DriverState } from "../driver.ts";
import { DriverError } from "../driver.ts";
import type { Hello } from "./frame.ts";
import type { LinkEffect, SerialLinkOptions, SerialMessage, SerialReject } from "./link.ts";
import { SerialLink } from "./link.ts";
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
  newSession?: () => number;
  random?: () => number;
  clock?: Clock;
}

export interface SerialDriver extends Driver<SerialMessage, SerialOutgoing> {
  readonly kind: "serial";
  /** Who the peer said it is; undefined before its first hello. */
  readonly peer: Hello | undefined;
  /** What was received and refused; `bytes` are borrowed until the listener returns. */
  onReject(listener: (reject: SerialReject) => void): () => void;
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
  readonly #frameListeners = new Set<(message: SerialMessage) => void>();
  readonly #eventListeners = new Set<(event: DriverEvent) => void>();
  readonly #rejectListeners = new Set<(reject: SerialReject) => void>();
  #opened: OpenPort | undefined;
  /** Counts attempts to open, so that one given up can be told from the current one. */
  #attempt = 0;
  #closing: Promise<void> = Promise.resolve();
  #cancelTimer: (() => void) | undefined;
  #reported: DriverState = "stopped";
  #firstOpen: { resolve: () => void; reject: (error: Error) => void } | undefined;

  constructor({ name, port, baudBps = 115_200, role = "gateway", silenceTimeoutMs = 500, optional = false, clock = systemClock, newSession = () => randomInt(1, 0xffff_ffff), random = Math.random, dataId, receive, limits }: SerialDriverOptions) {
    this.name = name;
    this.#port = typeof port === "string" ? ttyPort({ path: port, baudBps }) : port;
    this.#optional = optional;
    this.#clock = clock;
    this.#link = new SerialLink({ role, name, dataId, baudBps, silenceTimeoutMs, newSession, random, ...(receive ? { receive } : {}), ...(limits ? { limits } : {}) });
  }

  get peer(): Hello | undefined {
    return this.#link.peer;
  }

  async start(): Promise<void> {
    if (this.#link.state !== "stopped") throw new DriverError("alreadyStarted", `serial link ${this.name} runs already`, "stop it first");
    const firstOpen = new Promise<void>((resolve, reject) => {
      this.#firstOpen = { resolve, reject };
    });
    this.#run(this.#link.start(this.#clock.nowUs()));
    await firstOpen;
  }

  async stop(): Promise<void> {
    this.#run(this.#link.stop(this.#clock.nowUs()));
    this.#cancelTimer?.();
    this.#firstOpen?.reject(new DriverError("stopped", `serial link ${this.name} was stopped while it started`, "start it again"));
    this.#firstOpen = undefined;
    await this.#closing;
  }

  send(outgoing: SerialOutgoing): ReturnType<SerialLink["send"]> {
    const nowUs = this.#clock.nowUs();
    const verdict = this.#link.send(outgoing, nowUs);
    if (verdict === "queued") this.#run(this.#link.poll(nowUs));
    return verdict;
  }

  onFrames(listener: (message: SerialMessage) => void): () => void {
    this.#frameListeners.add(listener);
    return () => this.#frameListeners.delete(listener);
  }
  onEvent(listener: (event: DriverEvent) => void): () => void {
    this.#eventListeners.add(listener);
    return () => this.#eventListeners.delete(listener);
  }
  onReject(listener: (reject: SerialReject) => void): () => void {
    this.#rejectListeners.add(listener);
    return () => this.#rejectListeners.delete(listener);
  }

  health(): DriverHealth {
    const { driverState, sinceUs, reason, counters } = this.#link;
    return { state: driverState, sinceUs, reason, counters: { ...counters } };
  }

  #run(effects: readonly LinkEffect[]): void {
    for (const effect of effects) {
      switch (effect.do) {
        case "open":
          void this.#open();
          break;
        case "close":
          this.#close();
          break;
        case "write":
          this.#write(effect.bytes);
          break;
        case "deliver":
          // A listener may have stopped us.
          if (this.#link.state !== "stopped") for (const listener of this.#frameListeners) listener(effect.message);
          break;
        case "reject":
          for (const listener of this.#rejectListeners) listener(effect.reject);
          break;
        case "report":
          this.#emit({ code: effect.code, text: effect.text, ...(effect.details ? { details: effect.details } : {}) });
          break;
      }
    }
    const { driverState, reason } = this.#link;
    if (driverState !== this.#reported) {
      this.#reported = driverState;
      this.#emit({ code: "stateChanged", state: driverState, text: reason === "" ? driverState : `${driverState}: ${reason}` });
    }
    this.#cancelTimer?.();
    const deadlineUs = this.#link.nextDeadlineUs();
    this.#cancelTimer = deadlineUs === undefined ? undefined : this.#clock.at(deadlineUs, () => this.#run(this.#link.poll(this.#clock.nowUs())));
  }

  #emit(event: Omit<DriverEvent, "atUs">): void {
    for (const listener of this.#eventListeners) listener({ atUs: this.#clock.nowUs(), ...event });
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
      this.#firstOpen?.resolve();
      this.#firstOpen = undefined;
      this.#run(this.#link.opened(this.#clock.nowUs()));
    } catch (error) {
      if (current()) this.#openFailed(error as Error);
    }
  }

  #openFailed(error: Error): void {
    const first = this.#firstOpen;
    this.#firstOpen = undefined;
    if (first && !this.#optional) {
      this.#run(this.#link.stop(this.#clock.nowUs()));
      first.reject(error);
      return;
    }
    first?.resolve();
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
    this.#opened?.write(bytes, (fault) => {
      if (attempt !== this.#attempt) return;
      const nowUs = this.#clock.nowUs();
      this.#run(fault === undefined ? this.#link.wrote(bytes.length, nowUs) : this.#link.lost(fault, nowUs));
    });
  }
}

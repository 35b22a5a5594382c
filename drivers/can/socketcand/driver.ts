/**
 * A CAN driver over a socketcand server (ASCII over TCP, raw mode).
 *
 * The server confirms nothing, so a dead bus cannot be seen and its queue cannot be emptied: fit for looking on and for benches; whoever commands motors over it
 * is told so by `confirmsTransmission` and `canPurge`. What TCP would pile up in a stalled network is bounded: the server's `< echo >` is
 * asked for behind the frames, and no more than `txQueueFrames` are under way unanswered. The same echo shows whether the server lives.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";
import type { Clock } from "../../../schemas/clock.ts";
import { systemClock } from "../../../schemas/clock.ts";
import { DriverError } from "../../driver.ts";
import type { CanFrame } from "../frame.ts";
import type { CanLink, LinkDriverOptions, LinkSink } from "../linkDriver.ts";
import { LinkDriver } from "../linkDriver.ts";
import type { ServerMessage } from "./protocol.ts";
import { encodeSend, serverMessages } from "./protocol.ts";

export interface SocketcandOptions extends LinkDriverOptions {
  host: string;
  /** Default 29536. */
  port?: number;
  /** The bus's name at the server, e.g. can0. */
  bus: string;
  /** The server's interface is FD. */
  fd?: boolean;
  /** Frames under way to the server. Default 16. */
  txQueueFrames?: number;
  /** Connecting, each answer, and each echo may take so long. Default 2000. */
  answerTimeoutMs?: number;
}

export const SOCKETCAND_PORT = 29_536;

export function createSocketcand(options: SocketcandOptions): LinkDriver {
  return new LinkDriver(
    {
      kind: "socketcand",
      confirms: false,
      fd: options.fd ?? false,
      async open(sink, signal) {
        const session = new Session(sink, options);
        try {
          await session.opened(signal);
        } catch (error) {
          await session.close();
          throw error;
        }
        return session;
      },
    },
    options,
  );
}

/** What is said after which answer, until raw mode runs. */
const GREETING = ["hi", "ok", "ok"] as const;

class Session implements CanLink {
  readonly bitrateBps = undefined;
  readonly txQueueFrames: number;
  readonly canPurge = false;

  readonly #sink: LinkSink;
  readonly #options: SocketcandOptions;
  readonly #clock: Clock;
  readonly #socket: Socket;
  readonly #reader = serverMessages();
  readonly #opened: Promise<void>;
  #settle: ((error?: DriverError) => void) | undefined;
  #answers = 0;
  #closed = false;
  /** Frames sent since the echo before the last one, and how many of them the awaited echo covers. */
  #unanswered = 0;
  #covered = 0;
  #echoAwaited = false;
  #cancelTimer: (() => void) | undefined;

  constructor(sink: LinkSink, options: SocketcandOptions) {
    this.#sink = sink;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.txQueueFrames = options.txQueueFrames ?? 16;
    this.#socket = connect({ host: options.host, port: options.port ?? SOCKETCAND_PORT, noDelay: true });
    this.#opened = new Promise((resolve, reject) => {
      this.#settle = (error) => {
        this.#settle = undefined;
        if (error) reject(error);
        else resolve();
      };
    });
    this.#socket.on("data", (bytes) => this.#heard(bytes));
    this.#socket.on("error", (error) => this.#lost("cannotConnect", error.message));
    this.#socket.on("close", () => this.#lost("closed", "the server closed the connection"));
    this.#expectAnswer();
  }

  opened(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#settle?.(new DriverError("stopped", "stopped while it connected", "start it again")));
    return this.#opened;
  }

  transmit(frame: CanFrame): "queued" | "queueFull" | "unsupported" | "linkDown" {
    if (this.#closed || this.#answers < GREETING.length) return "linkDown";
    if (this.#unanswered >= this.txQueueFrames) return "queueFull";
    const message = encodeSend(frame);
    if (message === undefined) return "unsupported";
    this.#unanswered += 1;
    this.#socket.write(message);
    if (!this.#echoAwaited) queueMicrotask(() => this.#askEcho());
    return "queued";
  }

  purge(): ReturnType<CanLink["purge"]> {
    return Promise.resolve({ purged: false, code: "unsupported", text: "socketcand cannot empty the interface's queue" });
  }

  restart(): Promise<boolean> {
    return Promise.resolve(false);
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer?.();
    return new Promise((resolve) => {
      if (this.#socket.closed) {
        resolve();
        return;
      }
      this.#socket.on("close", () => resolve());
      this.#socket.destroy();
    });
  }

  #heard(bytes: Uint8Array): void {
    if (this.#closed) return;
    for (const message of this.#reader.push(bytes)) {
      if (message.type === "bad") this.#sink.resynchronised(message.skippedBytes);
      else this.#take(message);
    }
    this.#sink.flush();
  }

  #take(message: ServerMessage): void {
    switch (message.type) {
      case "hi":
      case "ok":
        if (GREETING[this.#answers] === message.type) this.#greeted();
        break;
      case "echo":
        this.#unanswered -= this.#covered;
        this.#covered = 0;
        this.#echoAwaited = false;
        this.#expectAnswer();
        if (this.#unanswered > 0) this.#askEcho();
        break;
      case "frame":
        if (this.#answers < GREETING.length) break;
        message.frame.timeUs = this.#clock.nowUs();
        this.#sink.push(message.frame);
        break;
      case "refused":
        if (this.#answers < GREETING.length) this.#lost("refused", `the server refuses: ${message.text}`);
        break;
      default:
        message satisfies never;
    }
  }

  #greeted(): void {
    this.#answers += 1;
    if (this.#answers === 1) this.#socket.write(`< open ${this.#options.bus} >`);
    else if (this.#answers === 2) this.#socket.write("< rawmode >");
    else this.#settle?.();
    this.#expectAnswer();
  }

  #askEcho(): void {
    if (this.#closed || this.#echoAwaited) return;
    this.#echoAwaited = true;
    this.#covered = this.#unanswered;
    this.#socket.write("< echo >");
    this.#expectAnswer();
  }

  /** Restarts the watch: while an answer is due, its absence is a loss; in silence, an echo is asked for. */
  #expectAnswer(): void {
    this.#cancelTimer?.();
    if (this.#closed) return;
    this.#cancelTimer = this.#clock.at(this.#clock.nowUs() + (this.#options.answerTimeoutMs ?? 2000) * 1e3, () => {
      this.#cancelTimer = undefined;
      if (this.#answers < GREETING.length || this.#echoAwaited) this.#lost("noAnswer", "the server does not answer");
      else this.#askEcho();
    });
  }

  #lost(code: string, why: string): void {
    if (this.#closed) return;
    const { host, port = SOCKETCAND_PORT, bus } = this.#options;
    if (this.#settle) this.#settle(new DriverError(code, `${host}:${port}/${bus}: ${why}`, `start the server there: socketcand -i ${bus}, or correct host, port and bus in the configuration`));
    this.#sink.lost(why);
  }
}

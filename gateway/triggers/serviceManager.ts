/** What a service manager is told (sd_notify(3)): that the gateway is ready, that its event loop turns, that it stops, and while it stops that it still works and needs time. */
import { notifySystemd, SocketError } from "../../shm/sockets/index.ts";

/** Asked for again in half of it: as long as the event loop turns. Each phase of a stop is bounded by itself, so that this comes to its end too. */
const EXTEND_MS = 4_000;

export class ServiceManager {
  readonly #path: string | undefined;
  /** How often it wants to hear that we live; undefined: never. */
  readonly #watchdogMs: number | undefined;
  /** Datagrams that nobody took; only rises. */
  refused = 0;

  constructor(env: Readonly<Record<string, string | undefined>>) {
    this.#path = env["NOTIFY_SOCKET"];
    // Meant for the process that it names: a child inherits the words and not the duty.
    const watchdogUs = env["WATCHDOG_PID"] === undefined || env["WATCHDOG_PID"] === String(process.pid) ? Number(env["WATCHDOG_USEC"] ?? "NaN") : Number.NaN;
    this.#watchdogMs = watchdogUs > 0 ? watchdogUs / 1e3 : undefined;
  }

  /** From now on it also hears that the event loop turns, three times in the time it allows. An instance whose supervised tasks do not go on ends by itself (failsafe/watchdog). */
  ready(): void {
    this.#say("READY=1");
    if (this.#watchdogMs === undefined) return;
    setInterval(() => this.#say("WATCHDOG=1"), this.#watchdogMs / 3).unref();
  }

  /** Until `over` is settled. */
  stopping(why: string, over: Promise<unknown>): void {
    this.#say(`STOPPING=1\nSTATUS=${why}: the safe pose`);
    const extend = (): void => this.#say(`EXTEND_TIMEOUT_USEC=${EXTEND_MS * 1_000}`);
    extend();
    const timer = setInterval(extend, EXTEND_MS / 2);
    void Promise.allSettled([over]).then(() => clearInterval(timer));
  }

  #say(text: string): void {
    if (this.#path === undefined) return;
    try {
      notifySystemd(this.#path, text);
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      this.refused += 1;
    }
  }
}

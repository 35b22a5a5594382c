/**
 * Whether the operating system is about to stop. logind says so before anything is stopped (PrepareForShutdown), and waits some seconds for whoever holds a delay lock; systemd says
 * so afterwards, when asked (SystemState). Both are courtesies: `systemctl reboot` by root passes the locks, and without a bus an end of the system looks like an ordinary stop.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { BusConnection } from "./dbus/connection.ts";
import { bodyBoolean, bodyString, type Message } from "./dbus/wire.ts";

const LOGIND = { destination: "org.freedesktop.login1", path: "/org/freedesktop/login1", interface: "org.freedesktop.login1.Manager" } as const;
const SIGNAL = "PrepareForShutdown";
const RETRY_MS = 10_000;
const ANSWER_MS = 1_000;

export interface SystemWatchOptions {
  /** Socket of the system bus; undefined: there is none. */
  bus: string | undefined;
  uid: number;
  /** Whether to hold a delay lock: a service does, somebody's terminal does not. */
  delay: boolean;
  /** logind is about to stop the system. The lock is held until the promise is settled, at most as long as logind waits. */
  prepare(): Promise<unknown>;
  /** For people, once: why an end of the system cannot be seen. */
  trouble(text: string): void;
}

export class SystemWatch {
  readonly #options: SystemWatchOptions;
  #connection: BusConnection | undefined;
  #lock: DelayLock | undefined;
  #timer: NodeJS.Timeout | undefined;
  #preparing = false;
  #troubleTold = false;
  #closed = false;

  constructor(options: SystemWatchOptions) {
    this.#options = options;
  }

  /** Resolves when the signal is listened for, or cannot be for now. Never rejects. */
  async start(): Promise<void> {
    const { bus, uid, delay } = this.#options;
    if (bus === undefined) return this.#trouble("there is no system bus");
    try {
      const connection = await BusConnection.connect(bus, uid);
      this.#connection = connection;
      connection.onMessage((message) => void this.#heard(connection, message));
      connection.onClose((why) => {
        this.#connection = undefined;
        if (!this.#closed) this.#later(why);
      });
      await connection.busCall("AddMatch", `type='signal',sender='${LOGIND.destination}',path='${LOGIND.path}',interface='${LOGIND.interface}',member='${SIGNAL}'`);
      if (this.#closed) return connection.close();
      if (delay) this.#lock ??= new DelayLock();
    } catch (error) {
      this.#connection?.close();
      if (!this.#connection) this.#later((error as Error).message);
    }
  }

  /** logind has said so. */
  get isPreparing(): boolean {
    return this.#preparing;
  }

  /** Asked when we are told to stop. `false` also when nobody answers in time. */
  async isStopping(boundMs = ANSWER_MS): Promise<boolean> {
    if (this.#preparing) return true;
    if (!this.#connection) return false;
    try {
      const answer = await this.#connection.call({ destination: "org.freedesktop.systemd1", path: "/org/freedesktop/systemd1", interface: "org.freedesktop.DBus.Properties", member: "Get", arguments: ["org.freedesktop.systemd1.Manager", "SystemState"] }, boundMs);
      return bodyString(answer) === "stopping";
    } catch (error) {
      this.#trouble((error as Error).message);
      return false;
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#connection?.close();
    this.#lock?.release();
  }

  async #heard(connection: BusConnection, { type, interface: of, member, sender, ...message }: Message): Promise<void> {
    const preparing = type === "signal" && of === LOGIND.interface && member === SIGNAL ? bodyBoolean(message) : undefined;
    if (preparing === undefined) return;
    try {
      // Anybody may send us a signal: only the owner of the name counts.
      if (bodyString(await connection.busCall("GetNameOwner", LOGIND.destination)) !== sender) return;
    } catch (error) {
      return this.#trouble((error as Error).message);
    }
    // False: it was called off.
    this.#preparing = preparing;
    if (!preparing) {
      if (this.#options.delay) this.#lock ??= new DelayLock();
      return;
    }
    await Promise.allSettled([this.#options.prepare()]);
    this.#lock?.release();
    this.#lock = undefined;
  }

  #later(why: string): void {
    this.#trouble(why);
    this.#timer = setTimeout(() => void this.start(), RETRY_MS).unref();
  }

  #trouble(text: string): void {
    if (this.#troubleTold) return;
    this.#troubleTold = true;
    this.#options.trouble(text);
  }
}

/** Held by a child, since the lock is a descriptor that only it can receive; the child ends with its standard input, so also with us. */
class DelayLock {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = spawn("systemd-inhibit", ["--what=shutdown", "--mode=delay", "--who=ipcnet", "--why=the robot comes to rest first", "cat"], { stdio: ["pipe", "ignore", "ignore"], detached: true });
    this.#child.unref();
    // Not there, or not allowed: then nobody waits for us.
    this.#child.on("error", () => this.release());
    this.#child.stdin!.on("error", () => this.release());
  }

  release(): void {
    this.#child.stdin?.destroy();
  }
}

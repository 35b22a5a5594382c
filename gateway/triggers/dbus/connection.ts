/** A connection to a message bus: authenticates as this user, says Hello, calls, hears signals. When it breaks, every call that waits fails, and `onClose` tells once. */
import { connect, type Socket } from "node:net";
import { encodeMessage, type Message, MESSAGE_BYTES_MAX, readMessage, stringsBody, type Outgoing } from "./wire.ts";

const CONNECT_MS = 5_000;
const BUS = { destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" } as const;

export interface Call {
  destination: string;
  path: string;
  interface: string;
  member: string;
  arguments?: readonly string[];
}

/** Where the system bus listens; undefined: at an address of a kind that we do not speak. */
export function systemBusPath(env: Readonly<Record<string, string | undefined>>): string | undefined {
  return socketOf(env["DBUS_SYSTEM_BUS_ADDRESS"] ?? "unix:path=/run/dbus/system_bus_socket");
}

/** `unix:path=…` or `unix:abstract=…`, the first of several. */
export function socketOf(address: string): string | undefined {
  for (const each of address.split(";")) {
    const [, kind, value] = /^unix:(?:.*,)?(path|abstract)=([^,]+)/.exec(each) ?? [];
    if (value !== undefined) return `${kind === "abstract" ? "\0" : ""}${decodeURIComponent(value)}`;
  }
  return undefined;
}

export class BusConnection {
  readonly #socket: Socket;
  #pending: Uint8Array = new Uint8Array(0);
  #authenticated = false;
  #serial = 0;
  #closed: string | undefined;
  readonly #waiting = new Map<number, { resolve(message: Message): void; reject(error: Error): void }>();
  readonly #listeners: ((message: Message) => void)[] = [];
  readonly #closeListeners: ((why: string) => void)[] = [];
  #begun: () => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes) => this.#take(bytes));
    socket.on("error", (error) => this.#end(error.message));
    socket.on("close", () => this.#end("the bus has closed the connection"));
    // A daemon that ends must not be kept alive by it.
    socket.unref();
  }

  /** Rejects with a sentence. */
  static async connect(path: string, uid: number): Promise<BusConnection> {
    const socket = connect(path);
    const bus = new BusConnection(socket);
    const begun = new Promise<void>((resolve, reject) => {
      bus.#begun = resolve;
      bus.onClose((why) => reject(new Error(why)));
    });
    socket.on("connect", () => socket.write(`\0AUTH EXTERNAL ${Buffer.from(String(uid)).toString("hex")}\r\n`));
    const timer = setTimeout(() => bus.#end("the bus does not answer"), CONNECT_MS);
    try {
      await begun;
      await bus.call({ ...BUS, member: "Hello" }, CONNECT_MS);
      return bus;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Whatever is no answer to a call. */
  onMessage(listener: (message: Message) => void): void {
    this.#listeners.push(listener);
  }

  onClose(listener: (why: string) => void): void {
    this.#closeListeners.push(listener);
  }

  /** The answer; rejects with the bus's or the peer's error, or after `timeoutMs`. */
  call({ arguments: texts = [], ...to }: Call, timeoutMs: number): Promise<Message> {
    if (this.#closed !== undefined) return Promise.reject(new Error(this.#closed));
    const serial = this.send({ type: "call", ...to, body: stringsBody(texts) });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(serial);
        reject(new Error(`${to.member}: no answer within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#waiting.set(serial, {
        resolve: (message) => (clearTimeout(timer), resolve(message)),
        reject: (error) => (clearTimeout(timer), reject(error)),
      });
    });
  }

  /** Of the bus itself. */
  busCall(member: string, ...texts: string[]): Promise<Message> {
    return this.call({ ...BUS, member, arguments: texts }, CONNECT_MS);
  }

  send(message: Omit<Outgoing, "serial">): number {
    this.#serial += 1;
    this.#socket.write(encodeMessage({ ...message, serial: this.#serial }));
    return this.#serial;
  }

  close(): void {
    this.#end("closed");
  }

  #take(bytes: Uint8Array): void {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    if (!this.#authenticated && !this.#authenticate()) return;
    for (;;) {
      const read = readMessage(this.#pending);
      if (read.type === "bad") return this.#end(`the bus says what we do not understand: ${read.text}`);
      if (read.type === "needMore") return;
      this.#pending = this.#pending.subarray(read.lengthBytes);
      this.#message(read.message);
    }
  }

  #authenticate(): boolean {
    const end = this.#pending.indexOf(0x0a);
    if (end < 0) {
      if (this.#pending.length > MESSAGE_BYTES_MAX) this.#end("a line without an end");
      return false;
    }
    const line = Buffer.from(this.#pending.subarray(0, end)).toString("latin1");
    this.#pending = this.#pending.subarray(end + 1);
    if (!line.startsWith("OK ")) {
      this.#end(`the bus does not let us in: ${line.trim()}`);
      return false;
    }
    this.#socket.write("BEGIN\r\n");
    this.#authenticated = true;
    this.#begun();
    return true;
  }

  #message(message: Message): void {
    const { type, replySerial } = message;
    const waiting = replySerial === undefined ? undefined : this.#waiting.get(replySerial);
    if (!waiting || (type !== "return" && type !== "error")) {
      for (const listener of this.#listeners) listener(message);
      return;
    }
    this.#waiting.delete(replySerial!);
    if (type === "return") waiting.resolve(message);
    else waiting.reject(new Error(message.errorName));
  }

  #end(why: string): void {
    if (this.#closed !== undefined) return;
    this.#closed = why;
    this.#socket.destroy();
    for (const { reject } of this.#waiting.values()) reject(new Error(why));
    this.#waiting.clear();
    for (const listener of this.#closeListeners) listener(why);
  }
}

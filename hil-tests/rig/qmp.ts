/** QEMU's monitor protocol: orders with answers, and what QEMU tells by itself (WATCHDOG, RESET, SHUTDOWN, DEVICE_DELETED …). */
import { connect, type Socket } from "node:net";

export interface QmpEvent {
  event: string;
  data: Readonly<Record<string, unknown>>;
  /** Ours, ms of performance.now(). */
  atMs: number;
}

interface Message {
  event?: string;
  data?: Record<string, unknown>;
  return?: unknown;
  error?: { desc: string };
}

export class Qmp {
  readonly events: QmpEvent[] = [];
  onEvent: ((event: QmpEvent) => void) | undefined;
  readonly #socket: Socket;
  readonly #waiting: { resolve: (value: unknown) => void; reject: (error: Error) => void }[] = [];
  #rest = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8").on("data", (text: string) => this.#read(text));
    // It goes with the machine.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error("QEMU has ended"));
    });
  }

  /** Fails if nobody listens there yet. */
  static async connect(path: string): Promise<Qmp> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    const qmp = new Qmp(socket);
    await qmp.order("qmp_capabilities");
    return qmp;
  }

  /** Resolves with QEMU's answer. */
  order(execute: string, args: Record<string, unknown> = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(new Error("QEMU has ended"));
        return;
      }
      this.#waiting.push({ resolve, reject });
      this.#socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines) if (line.trim() !== "") this.#take(JSON.parse(line) as Message);
  }

  #take({ event, data, return: value, error }: Message): void {
    if (event !== undefined) {
      const told = { event, data: data ?? {}, atMs: performance.now() };
      this.events.push(told);
      this.onEvent?.(told);
    } else if (error !== undefined) this.#waiting.shift()?.reject(new Error(`QEMU refused: ${error.desc}`));
    // The greeting is neither.
    else if (value !== undefined) this.#waiting.shift()?.resolve(value);
  }
}

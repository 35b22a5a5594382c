/** Lanes for tests: a writer with readers in the same thread, and programs of their own that get their descriptors by a socket. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type Descriptor, SeqpacketConnection, SeqpacketServer } from "../sockets/index.ts";
import { type LaneOptions, LaneReader, type LaneReaderOptions, LaneWriter, makeBell } from "./index.ts";

export const small: LaneOptions = { schemaHash: 7n, policy: "lossless", slots: 64, inlineBytes: 64, largeBytes: 1 << 20 };

/** A reader of `writer`, with a bell. */
export function join(writer: LaneWriter, options: Partial<LaneReaderOptions> = {}, deadlineMs = 60_000): { reader: LaneReader; number: number } {
  const bell = makeBell();
  const reader = LaneReader.open(writer.descriptor, bell.reader, { policy: "queue", start: "next", ...options });
  return { reader, number: writer.addReader(reader.page.dup(), bell.writer, options.policy ?? "queue", deadlineMs) };
}


/** Mappings of lanes and pages. */
export const mappingCount = (): number => readFileSync("/proc/self/maps", "latin1").split("\n").filter((line) => line.includes("memfd:ipcnet")).length;

export const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** Turns the loop until `done`; a test that never gets there fails by its own time limit. */
export async function until(done: () => boolean): Promise<void> {
  while (!done()) await turn();
}

export const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
export const text = (payload: Uint8Array): string => Buffer.from(payload).toString();

const imports = `
  import { SeqpacketConnection, Descriptor } from ${JSON.stringify(new URL("../sockets/index.js", import.meta.url).href)};
  import { LaneReader, LaneWriter, makeBell } from ${JSON.stringify(new URL("index.js", import.meta.url).href)};`;

/**
 * A program of its own. It has `connection` to us, \`say(object)\`, and \`next()\` for our messages with their descriptors; what it says comes by `heard`.
 */
export class Program {
  readonly child: ChildProcess;
  readonly #server: SeqpacketServer;
  connection!: SeqpacketConnection;
  readonly #heard: { message: Record<string, unknown>; descriptors: Descriptor[] }[] = [];

  private constructor(child: ChildProcess, server: SeqpacketServer) {
    this.child = child;
    this.#server = server;
  }

  static async start(path: string, source: string): Promise<Program> {
    const server = SeqpacketServer.listen(path);
    const accepted = new Promise<SeqpacketConnection>((resolve) => server.onConnection(resolve));
    const script = `${imports}
      const connection = SeqpacketConnection.connect(${JSON.stringify(path)});
      const waiting = [], box = [];
      connection.onPacket((b, at, n, descriptors) => { const item = { message: JSON.parse(Buffer.from(b.subarray(at, at + n))), descriptors: [...descriptors] }; const w = waiting.shift(); if (w) w(item); else box.push(item); });
      const next = () => box.length > 0 ? Promise.resolve(box.shift()) : new Promise((resolve) => waiting.push(resolve));
      const say = (message, descriptors = []) => connection.send(Buffer.from(JSON.stringify(message)), 0, undefined, descriptors);
      ${source}`;
    const child = spawn(process.execPath, ["--expose-gc", "--input-type=module", "-e", script], { stdio: ["ignore", "inherit", "inherit"] });
    const program = new Program(child, server);
    program.connection = await accepted;
    program.connection.onPacket((packet, at, lengthBytes, descriptors) => {
      program.#heard.push({ message: JSON.parse(Buffer.from(packet.subarray(at, at + lengthBytes)).toString()) as Record<string, unknown>, descriptors: [...descriptors] });
    });
    return program;
  }

  tell(message: object, descriptors: readonly Descriptor[] = []): void {
    const packet = Buffer.from(JSON.stringify(message));
    this.connection.send(packet, 0, packet.length, descriptors);
  }

  async next(): Promise<{ message: Record<string, unknown>; descriptors: Descriptor[] }> {
    await until(() => this.#heard.length > 0);
    return this.#heard.shift()!;
  }

  async kill(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill("SIGKILL");
      await once(this.child, "exit");
    }
    this.connection.close();
    this.#server.close();
  }
}

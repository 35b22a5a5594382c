/** A client that knows the protocol and keeps no rule of it: says any message in any order, any bytes with the right header, and any bytes at all. Remembers all that it was sent. */
import { CborWriter } from "../../../shm/protocol/cborWriter.ts";
import { Channel } from "../../../shm/protocol/channel.ts";
import { decodeServerMessage } from "../../../shm/protocol/control.ts";
import { CONTROL_BYTES_MAX_TO_CLIENT, PACKET_BYTES_MAX } from "../../../shm/protocol/limits.ts";
import type { ServerMessage } from "../../../shm/protocol/messages.ts";
import { type Descriptor, nativeSeal, SeqpacketConnection } from "../../../shm/sockets/index.ts";

/** What came, with the descriptors that came with it. */
export type Heard = ServerMessage & { descriptors: readonly Descriptor[] };
export type Words = Record<string, unknown> & { op: string };

/** Longer than a busy machine takes, shorter than the test's patience. */
const PATIENCE_MS = 30_000;
const scratch = new Uint8Array(PACKET_BYTES_MAX);

export class RawClient {
  readonly connection: SeqpacketConnection;
  readonly channel: Channel;
  readonly heard: Heard[] = [];
  /** Every byte of every packet, data included: to be searched for what should not be there. */
  readonly bytes: Uint8Array[] = [];
  ended: string | undefined;
  /** The next request's number. */
  seq = 0;
  #look = new Set<() => void>();

  constructor(socketPath: string) {
    this.connection = SeqpacketConnection.connect(socketPath, { queue: { capacityBytes: 2 ** 26, whenFull: "refuse" } });
    this.channel = new Channel({ role: "client", seal: nativeSeal(), transport: this.connection, controlBytesMax: CONTROL_BYTES_MAX_TO_CLIENT, scratch });
    this.connection.onClose(({ text }) => {
      this.ended = text;
      this.#tell();
    });
    this.connection.onPacket((bytes, at, lengthBytes, descriptors) => {
      this.bytes.push(bytes.slice(at, at + lengthBytes));
      const kind = this.channel.receive(bytes, at, lengthBytes, descriptors);
      if (kind !== "control" && kind !== "handshake") return;
      const { body, bodyAt, bodyBytes } = this.channel;
      const result = decodeServerMessage(body, bodyAt, bodyBytes);
      if (result.ok) this.heard.push({ ...result.message, descriptors: this.channel.takeDescriptors() });
      this.#tell();
    });
  }

  /** Connected and welcomed. */
  static async open(socketPath: string): Promise<RawClient> {
    const client = new RawClient(socketPath);
    client.say({ op: "hello", versions: [1], name: "raw" }, [], "handshake");
    await client.hears((message) => message.op === "welcome");
    return client;
  }

  /** Says a message, whatever it is. Returns the transport's verdict. */
  say(message: Words, descriptors: readonly Descriptor[] = [], kind: "control" | "handshake" = "control"): string {
    const words = descriptors.length > 0 && message["fds"] === undefined ? { ...message, fds: descriptors.length } : message;
    return this.cbor(new CborWriter({ lengthMax: 2 ** 22 }).value(words).take(), descriptors, kind);
  }

  /** Says bytes as a control message. */
  cbor(bytes: Uint8Array, descriptors: readonly Descriptor[] = [], kind: "control" | "handshake" = "control"): string {
    return this.ended === undefined ? this.channel.sendControl(bytes, kind, descriptors) : "closed";
  }

  /** Asks and resolves with the reply's status and body; "ended" when the gateway has closed. */
  async ask(message: Words, descriptors: readonly Descriptor[] = []): Promise<{ status: number; body: unknown }> {
    const seq = ++this.seq;
    this.say({ ...message, seq }, descriptors);
    const reply = await this.hears((heard) => heard.op === "reply" && heard.seq === seq);
    return reply?.op === "reply" ? { status: reply.status, body: reply.body } : { status: 0, body: undefined };
  }

  /** The first message, past or to come, that satisfies `test`; undefined when the connection ends first. */
  async hears(test: (message: Heard) => boolean): Promise<Heard | undefined> {
    await this.until(() => this.heard.some(test) || this.ended !== undefined, "an answer");
    return this.heard.find(test);
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    const deadlineMs = performance.now() + PATIENCE_MS;
    while (!condition()) {
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) throw new Error(`${what} did not come within ${PATIENCE_MS} ms (${this.ended ?? "open"}; last ${this.heard.at(-1)?.op ?? "nothing"})`);
      await new Promise<void>((resolve) => {
        const look = (): void => {
          clearTimeout(timer);
          this.#look.delete(look);
          resolve();
        };
        const timer = setTimeout(look, leftMs);
        this.#look.add(look);
      });
    }
  }

  /** Resolves when the gateway has ended the connection, with the status of its goodbye (0 = none). */
  async cutOff(): Promise<number> {
    await this.until(() => this.ended !== undefined, "the end");
    const last = this.heard.find((message) => message.op === "goodbye" || message.op === "refused");
    return last && "status" in last ? last.status : 0;
  }

  close(): void {
    for (const { descriptors } of this.heard) for (const descriptor of descriptors) descriptor.close();
    this.connection.close();
  }

  #tell(): void {
    for (const look of this.#look) look();
  }
}

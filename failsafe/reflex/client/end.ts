/**
 * The connection to one reflex: greets, hands the table over, exchanges lanes, sends orders and pairs them with their answers; comes back by itself when the reflex does.
 * It decides nothing: what two of them mean together is the client's matter.
 */
import type { Clock } from "../../../schemas/clock.ts";
import { closeAll, Descriptor, sealBytes, SeqpacketConnection, SocketError } from "../../../shm/sockets/index.ts";
import { LaneError, LaneReader, type LaneBatch, type LaneWriter, makeBell } from "../../../shm/lanes/index.ts";
import { shortHash } from "../table/compile.ts";
import { ANSWER_TIMEOUT_MS, RECONNECT_MAX_MS, RECONNECT_MIN_MS, TABLE_RETRY_MS } from "./limits.ts";
import { PacketCodec, PROTOCOL_MAJOR, PROTOCOL_MINOR, who, type Answer, type Hello, type Order, type Packet, type SwitchTo } from "./packets.ts";
import type { ReflexState, Report } from "./records.ts";
import { roles, type ReflexRole, type ReflexStatus } from "./status.ts";

export type ReflexInstance = "a" | "b";

export interface EndOptions {
  instance: ReflexInstance;
  path: string;
  clock: Clock;
  brainEpoch(): number;
  /** Whether this brain is the one that commands: only then the table is its matter. */
  isActive(): boolean;
  /** Of the kernel, 16 bytes. */
  bootId: Uint8Array;
  /** The table that the reflex shall have. */
  table(): { bytes: Uint8Array; hash: Uint8Array };
  commandLane: LaneWriter;
  ports: EndPorts;
}

export interface EndPorts {
  /** Greeted, or gone (with the reason). */
  connectionChanged(end: ReflexEnd, text: string): void;
  /** Messages of its frame lane: valid until it returns. */
  records(end: ReflexEnd, batch: LaneBatch): void;
  statusChanged(end: ReflexEnd): void;
  /** Something that people should know. */
  trouble(end: ReflexEnd, code: string, text: string): void;
}

export type Reply = Answer | { code: "away"; count: 0; lacks: []; text: string };

const away = (text: string): Reply => ({ code: "away", count: 0, lacks: [], text });

interface Waiting {
  resolve(reply: Reply): void;
  cancel(): void;
}

export class ReflexEnd {
  readonly instance: ReflexInstance;
  /** What it said last; undefined before, and after it has gone. */
  status: ReflexStatus | undefined;
  /** By its newest report. */
  state: ReflexState | undefined;
  role: ReflexRole = "starting";
  epoch = 0;
  /** When anything came from it, by our clock. */
  heardUs = Number.NEGATIVE_INFINITY;
  /** Its twin owns the buses since it did. */
  wasReplaced = false;
  /** Reports of it may be among what was lost; until its next status. */
  lostRecords = false;
  /** By bus row: its newest report. */
  readonly buses = new Map<number, Extract<Report, { kind: "bus" }>>();
  hello: Hello | undefined;
  /** Why it is away. */
  why = "not connected yet";
  readonly #options: EndOptions;
  #connection: SeqpacketConnection | undefined;
  #codec = new PacketCodec();
  #frames: LaneReader | undefined;
  #readerNumber: number | undefined;
  #requests = new Map<number, Waiting>();
  #nextRequest = 1;
  #backoffMs = RECONNECT_MIN_MS;
  #cancelRetry: (() => void) | undefined;
  #cancelTable: (() => void) | undefined;
  #stopped = true;
  /** By its own clock: reports come by the lane and the status by the socket, so that one may overtake the other. */
  #roleToldUs = Number.NEGATIVE_INFINITY;

  constructor(options: EndOptions) {
    this.instance = options.instance;
    this.#options = options;
  }

  /** Whether it is there and speaks our version. */
  get isReady(): boolean {
    return this.hello !== undefined;
  }

  /** Whether it reads the commands. */
  get takesCommands(): boolean {
    return this.#readerNumber !== undefined;
  }

  get tableIsOurs(): boolean {
    const known = this.status?.tableHash ?? this.hello?.tableHash;
    return known !== undefined && shortHash(known) === shortHash(this.#options.table().hash);
  }

  /** What it says of its role; false: that is an older word than the last. */
  roleTold(role: ReflexRole, epoch: number, timeUs: number): boolean {
    if (timeUs < this.#roleToldUs) return false;
    this.#roleToldUs = timeUs;
    this.role = role;
    this.epoch = epoch;
    return true;
  }

  start(): void {
    this.#stopped = false;
    this.#connect();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelRetry?.();
    this.#gone("this gateway stops");
  }

  /** Resolves with the answer; `away` when the reflex goes or does not answer in time. Never rejects. */
  order(order: Order, timeoutMs = ANSWER_TIMEOUT_MS): Promise<Reply> {
    return this.#ask((request) => this.#codec.order(order, request), timeoutMs);
  }

  /** Sends without waiting for an answer. */
  tell(order: Order): void {
    if (this.isReady) this.#send(this.#codec.order(order, 0));
  }

  switchOver(to: SwitchTo): Promise<Reply> {
    return this.#ask((request) => this.#codec.switchOver(to, request), ANSWER_TIMEOUT_MS);
  }

  drill(what: "kill" | "stop"): Promise<Reply> {
    return this.#ask((request) => this.#codec.drill(what, request), ANSWER_TIMEOUT_MS);
  }

  askStatus(): void {
    if (this.isReady) this.#send(this.#codec.bare("statusAsked", 0));
  }

  /** Offers the table, if it has another one. */
  offerTable(): void {
    this.#cancelTable?.();
    if (!this.isReady || this.tableIsOurs || !this.#options.isActive()) return;
    void this.#handTableOver();
  }

  async #handTableOver(): Promise<void> {
    const { table, ports } = this.#options;
    const { bytes, hash } = table();
    const sealed = sealBytes(bytes);
    const reply = await this.#ask((request) => this.#codec.table(bytes.length, request), ANSWER_TIMEOUT_MS, [sealed]);
    sealed.close();
    if (reply.code === "done") {
      if (this.hello) this.hello.tableHash = hash.slice(0, 8);
      this.askStatus();
      ports.connectionChanged(this, "has the table");
    } else if (this.isReady) {
      ports.trouble(this, "tableRefused", `reflex ${this.instance} does not take the table: ${reply.text || reply.code}`);
      this.#cancelTable = this.#later(TABLE_RETRY_MS, () => this.offerTable());
    }
  }

  #connect(): void {
    if (this.#stopped) return;
    let connection: SeqpacketConnection;
    try {
      connection = SeqpacketConnection.connect(this.#options.path);
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      this.#gone(error.message);
      return;
    }
    this.#connection = connection;
    this.#codec = new PacketCodec();
    connection.onClose((reason) => {
      if (this.#connection === connection) this.#gone(reason.text);
    });
    connection.onPacket((bytes, at, lengthBytes, descriptors) => {
      const read = this.#codec.read(bytes, at, lengthBytes);
      if (!read.ok) {
        closeAll(descriptors);
        this.#options.ports.trouble(this, "badPacket", `reflex ${this.instance}: ${read.text}`);
        connection.close();
        return;
      }
      this.#packet(read.packet, descriptors);
    });
    const { bootId, table, brainEpoch, instance } = this.#options;
    this.#send(this.#codec.hello({ major: PROTOCOL_MAJOR, minor: PROTOCOL_MINOR, who: who.brain, instance: instance === "a" ? 0 : 1, brainEpoch: brainEpoch(), bootId, tableHash: table().hash.slice(0, 8) }));
  }

  #packet(packet: Packet, descriptors: Descriptor[]): void {
    this.heardUs = this.#options.clock.nowUs();
    switch (packet.kind) {
      case "hello": return this.#greeted(packet.hello, descriptors);
      case "reader": return this.#takesCommandsBy(packet.request, descriptors);
      case "frameLane": return this.#readFrames(descriptors);
      case "answer":
        closeAll(descriptors);
        return this.#answered(packet.request, packet.answer);
      case "status":
        closeAll(descriptors);
        this.status = packet.status;
        this.roleTold(roles[packet.status.role] ?? "starting", packet.status.epoch, packet.status.nowUs);
        return this.#options.ports.statusChanged(this);
      case "order": case "table": case "drill": case "commandLane": case "frameReader": case "statusAsked": case "switch": case "twinPage": case "look": case "powerLine":
        // A brain is not sent these.
        return closeAll(descriptors);
      default: packet satisfies never;
    }
  }

  #greeted(hello: Hello, descriptors: Descriptor[]): void {
    closeAll(descriptors);
    if (hello.major !== PROTOCOL_MAJOR) {
      this.#options.ports.trouble(this, "otherVersion", `reflex ${this.instance} speaks version ${hello.major}.${hello.minor}, this gateway ${PROTOCOL_MAJOR}.${PROTOCOL_MINOR}`);
      this.#connection?.close();
      return;
    }
    this.hello = hello;
    this.#backoffMs = RECONNECT_MIN_MS;
    this.offerTable();
    this.#send(this.#codec.bare("commandLane", this.#requestNumber()), [this.#options.commandLane.descriptor]);
    this.askStatus();
    this.#options.ports.connectionChanged(this, "connected");
  }

  #takesCommandsBy(_request: number, descriptors: Descriptor[]): void {
    const [page, bell] = descriptors;
    if (!page || !bell || this.#readerNumber !== undefined) return closeAll(descriptors);
    try {
      this.#readerNumber = this.#options.commandLane.addReader(page, bell, "queue", 0);
    } catch (error) {
      if (!(error instanceof LaneError)) throw error;
      this.#options.ports.trouble(this, "laneRefused", `reflex ${this.instance} cannot read the commands: ${error.message}`);
    }
  }

  #readFrames(descriptors: Descriptor[]): void {
    const [lane] = descriptors;
    if (!lane || this.#frames) return closeAll(descriptors);
    try {
      const bell = makeBell();
      const reader = LaneReader.open(lane, bell.reader, { policy: "queue", start: "next" });
      this.#frames = reader;
      reader.onMessages((batch) => this.#options.ports.records(this, batch));
      this.#send(this.#codec.bare("frameReader", this.#requestNumber()), [reader.page, bell.writer]);
      bell.writer.close();
    } catch (error) {
      if (!(error instanceof LaneError) && !(error instanceof SocketError)) throw error;
      this.#options.ports.trouble(this, "laneRefused", `the frames of reflex ${this.instance} cannot be read: ${error.message}`);
    } finally {
      closeAll(descriptors);
    }
  }

  #answered(request: number, answer: Answer): void {
    const waiting = this.#requests.get(request);
    if (!waiting) {
      if (answer.code === "fault") this.#options.ports.trouble(this, "refused", `reflex ${this.instance}: ${answer.text}`);
      return;
    }
    this.#requests.delete(request);
    waiting.cancel();
    waiting.resolve(answer);
  }

  #ask(make: (request: number) => Uint8Array, timeoutMs: number, descriptors: readonly Descriptor[] = []): Promise<Reply> {
    if (!this.isReady) return Promise.resolve(away(`reflex ${this.instance} is not there: ${this.why}`));
    const request = this.#requestNumber();
    return new Promise((resolve) => {
      const cancel = this.#later(timeoutMs, () => {
        this.#requests.delete(request);
        resolve(away(`reflex ${this.instance} has not answered within ${timeoutMs} ms`));
      });
      this.#requests.set(request, { resolve, cancel });
      this.#send(make(request), descriptors);
    });
  }

  #requestNumber(): number {
    const number = this.#nextRequest;
    this.#nextRequest = number === 0xffff ? 1 : number + 1;
    return number;
  }

  #send(packet: Uint8Array, descriptors: readonly Descriptor[] = []): void {
    const verdict = this.#connection?.send(packet, 0, packet.length, descriptors);
    // It reads nothing any more: it will be fenced, or comes back.
    if (verdict === "full") this.#connection?.close({ code: "system", text: "it does not read its packets" });
  }

  #gone(why: string): void {
    const wasReady = this.isReady;
    this.why = why;
    this.hello = undefined;
    this.status = undefined;
    this.state = undefined;
    this.role = "starting";
    this.epoch = 0;
    this.#roleToldUs = Number.NEGATIVE_INFINITY;
    this.lostRecords = false;
    this.buses.clear();
    this.#cancelTable?.();
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.close();
    this.#frames?.close();
    this.#frames = undefined;
    if (this.#readerNumber !== undefined && this.#options.commandLane.isOpen) this.#options.commandLane.removeReader(this.#readerNumber);
    this.#readerNumber = undefined;
    for (const { resolve, cancel } of this.#requests.values()) {
      cancel();
      resolve(away(`reflex ${this.instance} is gone: ${why}`));
    }
    this.#requests.clear();
    if (wasReady) this.#options.ports.connectionChanged(this, why);
    if (this.#stopped) return;
    this.#cancelRetry = this.#later(this.#backoffMs, () => this.#connect());
    this.#backoffMs = Math.min(2 * this.#backoffMs, RECONNECT_MAX_MS);
  }

  #later(ms: number, callback: () => void): () => void {
    const { clock } = this.#options;
    return clock.at(clock.nowUs() + ms * 1e3, callback);
  }
}

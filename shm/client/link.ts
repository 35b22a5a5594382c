/** One connection to a gateway, from hello to the end: numbered calls with their replies, and everything else handed on. */
import { systemClock } from "../../schemas/clock.ts";
import { IpcnetError, Status } from "../../schemas/status.ts";
import { Channel, type SendVerdict } from "../protocol/channel.ts";
import { CborValueError, CborWriter } from "../protocol/cborWriter.ts";
import { decodeServerMessage, encodeControl } from "../protocol/control.ts";
import { CONTROL_BYTES_MAX_TO_CLIENT, CONTROL_BYTES_MAX_TO_GATEWAY, PACKET_BYTES_MAX } from "../protocol/limits.ts";
import type { ClientMessage, GatewayIdentity, ServerMessage } from "../protocol/messages.ts";
import { PROTOCOL_VERSION } from "../protocol/packet.ts";
import { laneDescriptors, type LaneServerMessage } from "../protocol/laneMessages.ts";
import type { ServiceServerMessage } from "../protocol/serviceMessages.ts";
import { closeAll, type Descriptor, nativeSeal, noDescriptors, SeqpacketConnection, SocketError } from "../sockets/index.ts";

export type Reply = Extract<ServerMessage, { op: "reply" }>;
export type Announced = Extract<ServerMessage, { op: "announce" | "origins" | "gap" | "notice" }>;

export interface LinkHandlers {
  announced(message: Announced): void;
  /** Calls to this program, and what belongs to them. The descriptors are the handler's. */
  service(message: Exclude<ServiceServerMessage, { op: "item" }>, descriptors: Descriptor[]): void;
  /** What the gateway says about lanes. The descriptors are the handler's. */
  lane(message: LaneServerMessage, descriptors: Descriptor[]): void;
  /** A data packet whose header was checked; borrowed until it returns. */
  data(bytes: Uint8Array, at: number, lengthBytes: number): void;
  /** Called once; pending calls have been rejected. */
  closed(why: string): void;
}

type Unnumbered<M> = M extends { seq: number } ? Omit<M, "seq"> : never;
/** A call without its number. */
export type Call = Unnumbered<ClientMessage>;

/** A message that no reply answers. */
export type Post = Extract<ClientMessage, { op: "credit" | "cancel" | "result" }>;

interface Pending {
  accept: (reply: Reply, descriptors: Descriptor[]) => void;
  reject: (error: unknown) => void;
  /** Stops the clock. */
  cancel: () => void;
  /** Starts the clock anew. */
  restart: () => void;
  /** For streams. */
  item: ((body: unknown, descriptors: Descriptor[]) => void) | undefined;
}

/** What a call may come with. */
export interface CallExtras {
  descriptors?: readonly Descriptor[];
  /** Runs with the successful reply before anything that came behind it is looked at. Takes over the descriptors. */
  onReply?: (reply: Reply, descriptors: Descriptor[]) => void;
  /** An item of a stream; each begins the time anew. Takes over the descriptors. */
  onItem?: (body: unknown, descriptors: Descriptor[]) => void;
}

export interface StartedCall {
  readonly seq: number;
  readonly reply: Promise<Reply>;
}

/** How often a full backlog is tried again, ms. */
const RETRY_MS = 20;
/** For what is still to be sent when this program closes and the gateway does not read, ms. */
const FAREWELL_MS = 1_000;
/** Whether a message may come with so many descriptors: lanes always come with the same number, services with any. */
function mayBring(op: ServerMessage["op"], descriptors: number): boolean {
  if (Object.hasOwn(laneDescriptors, op)) return descriptors === laneDescriptors[op as keyof typeof laneDescriptors];
  return descriptors === 0 || op === "reply" || op === "item" || op === "call";
}
const scratch = new Uint8Array(PACKET_BYTES_MAX);

export class Link {
  gateway: GatewayIdentity = { robot: "", version: "", instance: "", boot: "" };
  readonly #connection: SeqpacketConnection;
  readonly #channel: Channel;
  readonly #writer = new CborWriter({ lengthMax: CONTROL_BYTES_MAX_TO_GATEWAY });
  readonly #pending = new Map<number, Pending>();
  readonly #waitingForRoom: (() => void)[] = [];
  #handlers: LinkHandlers | undefined;
  #welcome: { resolve: () => void; reject: (error: IpcnetError) => void } | undefined;
  #farewell: string | undefined;
  #cancelFarewell: (() => void) | undefined;
  #seq = 0;
  #open = true;

  private constructor(connection: SeqpacketConnection) {
    this.#connection = connection;
    this.#channel = new Channel({ role: "client", seal: nativeSeal(), transport: connection, controlBytesMax: CONTROL_BYTES_MAX_TO_CLIENT, scratch });
    connection.onDrain(() => this.#wakeForRoom());
    connection.onClose((reason) => this.#closed(this.#farewell ?? reason.text));
    connection.onPacket((bytes, at, lengthBytes, descriptors) => this.#packet(bytes, at, lengthBytes, descriptors));
  }

  /** Connects and shakes hands. Rejects with an `IpcnetError` whose sentence says what to do. */
  static async open(path: string, name: string, timeoutMs: number): Promise<Link> {
    const deadlineUs = systemClock.nowUs() + timeoutMs * 1e3;
    const link = new Link(await connectSocket(path, deadlineUs));
    const welcomed = new Promise<void>((resolve, reject) => {
      link.#welcome = { resolve, reject };
    });
    // As with calls: a welcome that waits unread is not late.
    const late = (): void => link.#fail(new IpcnetError(Status.requestTimeout, `the gateway at ${path} did not answer within ${timeoutMs} ms (ETIMEDOUT): is it stopped or overloaded?`));
    let cancel = systemClock.at(deadlineUs, () => {
      const reading = setImmediate(late);
      cancel = () => clearImmediate(reading);
    });
    try {
      link.#sayHello(name);
      await welcomed;
    } finally {
      cancel();
    }
    return link;
  }

  /** Hands everything that comes from now on to `handlers`. To be called in the turn in which `open` resolved. */
  attach(handlers: LinkHandlers): void {
    this.#handlers = handlers;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Makes a call. See `start`. */
  call(call: Call, timeoutMs: number, onReply?: (reply: Reply) => void): Promise<Reply> {
    return this.start(call, timeoutMs, onReply ? { onReply } : {}).reply;
  }

  /**
   * Makes a call. The promise rejects with the reply's status, 204 after `timeoutMs`, 303 when the connection ends, 210 when the gateway does not take more.
   * Descriptors of a reply that nobody takes over are closed.
   */
  start(call: Call, timeoutMs: number, { descriptors = noDescriptors, onReply, onItem }: CallExtras = {}): StartedCall {
    this.#seq = this.#seq === 0xffff_ffff ? 1 : this.#seq + 1;
    const seq = this.#seq;
    const reply = new Promise<Reply>((resolve, reject) => {
      const late = (): void => {
        this.#pending.delete(seq);
        reject(new IpcnetError(Status.requestTimeout, `${call.op}: the gateway did not answer within ${timeoutMs} ms`));
      };
      // An answer that waits unread is not late: a program that stood still itself reads first, which the loop does between its timers and its immediates.
      const lateUnlessRead = (): void => {
        const reading = setImmediate(late);
        pending.cancel = () => clearImmediate(reading);
      };
      const pending: Pending = {
        accept: (answer, attached) => {
          if (onReply) onReply(answer, attached);
          else closeAll(attached);
          resolve(answer);
        },
        reject, item: onItem, cancel: () => {},
        restart: () => {
          pending.cancel();
          pending.cancel = systemClock.at(systemClock.nowUs() + timeoutMs * 1e3, lateUnlessRead);
        },
      };
      pending.restart();
      this.#pending.set(seq, pending);
      try {
        this.#send({ ...call, seq } as ClientMessage, "control", descriptors);
      } catch (error) {
        this.forget(seq, error);
      }
    });
    return { seq, reply };
  }

  /** Waits no longer for the answer to a call: its promise rejects with `why`. */
  forget(seq: number, why: unknown): void {
    const pending = this.#pending.get(seq);
    if (!pending) return;
    this.#pending.delete(seq);
    pending.cancel();
    pending.reject(why);
  }

  /** Begins the time of a call anew. */
  restart(seq: number): void {
    this.#pending.get(seq)?.restart();
  }

  /** Sends what no reply answers, with copies of the descriptors. "full": not taken, `room` says when to try again. Throws an `IpcnetError` (209) for a body without an encoding. */
  post(message: Post, descriptors: readonly Descriptor[] = noDescriptors): SendVerdict {
    return this.#try(message, "control", descriptors);
  }

  /** Resolves when the gateway has read what waited for it, or the connection has ended. */
  room(): Promise<void> {
    if (!this.#open || this.#connection.pendingBytes === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waitingForRoom.push(resolve);
    });
  }

  /** A gateway that refuses may have closed before our first word: its last ones, which say why, are still to be read. */
  #sayHello(name: string): void {
    try {
      this.#send({ op: "hello", versions: [PROTOCOL_VERSION], name }, "handshake");
    } catch (error) {
      if (!(error instanceof IpcnetError) || error.status !== Status.serviceUnavailable) throw error;
    }
  }

  sendData(bytes: Uint8Array, at: number, lengthBytes: number): SendVerdict {
    return this.#channel.sendData(bytes, at, lengthBytes);
  }

  /** Says goodbye and closes when everything has been sent. */
  close(why: string): void {
    if (!this.#open) return;
    this.#farewell = why;
    this.#channel.sendControl(encodeControl(this.#writer.reset(), { op: "goodbye", text: why }).take());
    this.#cancelFarewell = systemClock.at(systemClock.nowUs() + FAREWELL_MS * 1e3, () => this.#connection.close());
    this.#connection.end();
  }

  #try(message: ClientMessage, kind: "control" | "handshake", descriptors: readonly Descriptor[]): SendVerdict {
    try {
      encodeControl(this.#writer.reset(), message, descriptors.length);
      return this.#channel.sendControl(this.#writer.bytes.subarray(0, this.#writer.length), kind, descriptors);
    } catch (error) {
      if (error instanceof CborValueError) throw new IpcnetError(Status.unprocessableContent, error.message);
      throw error;
    }
  }

  #send(message: ClientMessage, kind: "control" | "handshake", descriptors: readonly Descriptor[] = noDescriptors): void {
    const verdict = this.#try(message, kind, descriptors);
    if (verdict === "full") throw new IpcnetError(Status.tooManyRequests, "the gateway does not read as fast as this program writes");
    if (verdict === "closed") throw new IpcnetError(Status.serviceUnavailable, "the connection to the gateway is closed");
  }

  #packet(bytes: Uint8Array, at: number, lengthBytes: number, descriptors: Descriptor[]): void {
    const kind = this.#channel.receive(bytes, at, lengthBytes, descriptors);
    if (kind === "more") return;
    if (kind === "data") return this.#handlers?.data(bytes, at, lengthBytes);
    if (kind !== "control" && kind !== "handshake") return this.#fail(new IpcnetError(Status.integrityFailure, `a packet from the gateway failed its integrity check (${kind})`));
    const { body, bodyAt, bodyBytes } = this.#channel;
    const result = decodeServerMessage(body, bodyAt, bodyBytes);
    // An op of a later minor revision is none of our business; anything else malformed comes from a broken gateway.
    if (!result.ok) this.#channel.closeDescriptors();
    if (!result.ok) return result.fault.code === "unknownOp" ? undefined : this.#fail(new IpcnetError(Status.badGateway, `the gateway sent a malformed message: ${result.fault.text}`));
    const attached = this.#channel.takeDescriptors();
    if (attached.length !== result.fds || !mayBring(result.message.op, attached.length)) {
      closeAll(attached);
      return this.#fail(new IpcnetError(Status.badGateway, `the gateway sent ${result.message.op} with ${attached.length} descriptors`));
    }
    this.#message(result.message, attached);
  }

  #message(message: ServerMessage, descriptors: Descriptor[]): void {
    switch (message.op) {
      case "welcome":
        this.gateway = message.gateway;
        this.#welcome?.resolve();
        this.#welcome = undefined;
        return;
      case "refused":
        return this.#fail(new IpcnetError(message.status, `the gateway refuses: ${message.text}`));
      case "goodbye":
        this.#farewell = `the gateway says goodbye: ${message.text}`;
        return this.#connection.end();
      case "reply":
        return this.#reply(message, descriptors);
      case "item":
        return this.#item(message.seq, message.body, descriptors);
      case "call":
      case "callCredit":
      case "callCancelled":
      case "leaving":
        return this.#handlers ? this.#handlers.service(message, descriptors) : closeAll(descriptors);
      case "lane":
      case "unlane":
      case "reader":
      case "unreader":
      case "rekey":
      case "unadvert":
        return this.#handlers ? this.#handlers.lane(message, descriptors) : closeAll(descriptors);
      case "announce":
      case "origins":
      case "gap":
      case "notice":
        return this.#handlers?.announced(message);
      default:
        return message satisfies never;
    }
  }

  #reply(reply: Reply, descriptors: Descriptor[]): void {
    const pending = this.#pending.get(reply.seq);
    if (!pending) return closeAll(descriptors);
    this.#pending.delete(reply.seq);
    pending.cancel();
    // Application statuses (1000 and up) are answers, not failures.
    if (reply.status < 200 || reply.status >= 1000) return pending.accept(reply, descriptors);
    closeAll(descriptors);
    pending.reject(new IpcnetError(reply.status, reply.text, reply.body));
  }

  #item(seq: number, body: unknown, descriptors: Descriptor[]): void {
    const pending = this.#pending.get(seq);
    if (!pending?.item) return closeAll(descriptors);
    pending.restart();
    pending.item(body, descriptors);
  }

  #fail(error: IpcnetError): void {
    this.#welcome?.reject(error);
    this.#welcome = undefined;
    this.#farewell = error.message;
    this.#connection.close();
  }

  #wakeForRoom(): void {
    for (const resolve of this.#waitingForRoom.splice(0)) resolve();
  }

  #closed(why: string): void {
    this.#open = false;
    this.#cancelFarewell?.();
    const error = new IpcnetError(Status.serviceUnavailable, why);
    this.#welcome?.reject(error);
    this.#welcome = undefined;
    for (const { cancel, reject } of this.#pending.values()) {
      cancel();
      reject(error);
    }
    this.#pending.clear();
    this.#wakeForRoom();
    this.#handlers?.closed(why);
  }
}

async function connectSocket(path: string, deadlineUs: number): Promise<SeqpacketConnection> {
  for (;;) {
    try {
      return SeqpacketConnection.connect(path);
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      if (error.code !== "EAGAIN" || systemClock.nowUs() >= deadlineUs) throw explain(path, error.code);
    }
    await new Promise<void>((resolve) => void systemClock.at(systemClock.nowUs() + RETRY_MS * 1e3, resolve));
  }
}

/** What to do about a socket that cannot be opened. */
function explain(path: string, code: string): IpcnetError {
  const details = { code, socketPath: path };
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return new IpcnetError(Status.serviceUnavailable, `no gateway listens at ${path} (${code}): start one with "ipcnetd --config FILE", or name its socket by IPCNET_SOCKET or the option socketPath`, details);
    case "ECONNREFUSED":
      return new IpcnetError(Status.serviceUnavailable, `the gateway that listened at ${path} is gone (${code}): start it again with "systemctl restart ipcnet" or "ipcnetd --config FILE"`, details);
    case "EACCES":
    case "EPERM":
      return new IpcnetError(Status.forbidden, `uid ${process.getuid?.() ?? "?"} may not open ${path} (${code}): join the socket's group with "sudo usermod -aG ipcnet $USER" and log in again`, details);
    case "EAGAIN":
      return new IpcnetError(Status.requestTimeout, `the gateway at ${path} does not accept connections (${code}): is it stopped or overloaded?`, details);
    default:
      return new IpcnetError(Status.serviceUnavailable, `cannot connect to ${path} (${code})`, details);
  }
}

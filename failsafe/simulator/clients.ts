/**
 * Programs of a host and their connections to its gateway. A connection is the kernel's: what was sent waits in it, whoever lives; it ends when nobody on the other side holds it any more.
 * A client numbers its requests from 1; the gateway's answer to request n is n again, and how many requests of this connection it has handled so far. So a lost request, one that was handled twice, an answer that is lost
 * or doubled: each shows in the next answer.
 */
import { Buffer } from "node:buffer";
import type { EventQueue } from "./queue.ts";

const HEADER_BYTES = 20;
export const PACKET_BYTES = HEADER_BYTES + 12;
/** What handling a packet does to the process; 0: nothing. */
export const Poison = { none: 0, fault: 1, hang: 2, killed: 3 } as const;
/** Instead of an answer: this connection ends, and its program is kept out. */
export const FORBIDDEN = 0xffff_ffff;

/** One client's socket and the gateway's. */
export class ClientSocket {
  readonly client: SimClient;
  /** What waits at the gateway's end; it is looked at before it is taken. */
  readonly toGateway: Uint8Array[] = [];
  /** Processes that have the gateway's end open, and messages on their way that carry it. */
  readonly holders = new Set<object>();
  /** It was handed to the standby, and the journal names it: nobody's death may end it while there is one. */
  wasHandedOver = false;
  isOpen = true;
  readonly #time: EventQueue;

  constructor(client: SimClient, time: EventQueue) {
    this.client = client;
    this.#time = time;
  }

  /** The gateway sends: arrived, as far as anybody can tell. */
  send(packet: Uint8Array): void {
    if (this.isOpen) this.client.hears(packet);
  }

  letGo(holder: object): void {
    this.holders.delete(holder);
    if (this.holders.size > 0 || !this.isOpen) return;
    this.isOpen = false;
    this.#time.after(20, () => this.client.closed(this));
  }
}

export interface ClientEvents {
  /** A connection to whoever listens; false: nobody does. */
  connects(socket: ClientSocket): boolean;
  /** Something waits for the gateway. */
  sent(): void;
  fail(code: string, text: string): never;
  /** The gateway has ended a connection that it had. */
  ended(client: SimClient, socket: ClientSocket, why: "forbidden" | "closed"): void;
}

export interface SimClientOptions {
  name: string;
  number: number;
  time: EventQueue;
  random: () => number;
  events: ClientEvents;
  /** Its third request does that; and it is sent once more after each reconnection. */
  poison?: number;
}

const OUTSTANDING_MAX = 3;
const RECONNECT_US = 8_000;

export class SimClient {
  readonly name: string;
  readonly number: number;
  readonly poison: number;
  /** Answers so far, over all connections. */
  answers = 0;
  answeredUs = 0;
  isForbidden = false;
  socket: ClientSocket | undefined;
  /** How often a packet of it was let in again after a death; and whether it was kept out at last. */
  strikes = 0;
  isKeptOut = false;
  /** Deaths from outside while a packet of it was in hand, and somebody was there to judge. */
  struckOutside = 0;
  readonly #time: EventQueue;
  readonly #random: () => number;
  readonly #events: ClientEvents;
  /** Of this connection. */
  #asked = 0;
  #answered = 0;
  #packets = 0;
  #heard = 0;
  #period: [number, number] = [6_000, 24_000];

  constructor({ name, number, time, random, events, poison = Poison.none }: SimClientOptions) {
    this.name = name;
    this.number = number;
    this.poison = poison;
    this.#time = time;
    this.#random = random;
    this.#events = events;
    this.#time.after(Math.floor(random() * 10_000), () => this.#connect());
  }

  #connect(): void {
    if (this.isForbidden || this.socket) return;
    const socket = new ClientSocket(this, this.#time);
    if (!this.#events.connects(socket)) {
      this.#time.after(RECONNECT_US, () => this.#connect());
      return;
    }
    this.socket = socket;
    this.#asked = this.#answered = this.#packets = this.#heard = 0;
    this.#turn(socket);
  }

  #turn(socket: ClientSocket): void {
    if (this.socket !== socket) return;
    if (this.#asked - this.#answered < OUTSTANDING_MAX) this.#ask(socket);
    const [low, high] = this.#period;
    this.#time.after(low + Math.floor(this.#random() * (high - low)), () => this.#turn(socket));
  }

  #ask(socket: ClientSocket): void {
    this.#asked += 1;
    const packet = Buffer.alloc(PACKET_BYTES);
    packet.writeUInt32BE(this.#packets, 12);
    packet.writeUInt32LE(this.number, HEADER_BYTES);
    packet.writeUInt32LE(this.#asked, HEADER_BYTES + 4);
    packet.writeUInt32LE(this.#asked >= 3 ? this.poison : Poison.none, HEADER_BYTES + 8);
    this.#packets += 1;
    socket.toGateway.push(packet);
    this.#events.sent();
  }

  hears(bytes: Uint8Array): void {
    const packet = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const counter = packet.readUInt32BE(12);
    const number = packet.readUInt32LE(HEADER_BYTES);
    const handled = packet.readUInt32LE(HEADER_BYTES + 4);
    if (counter !== this.#heard) this.#events.fail(counter < this.#heard ? "answeredTwice" : "answerLost", `${this.name} was given packet ${counter}, expected ${this.#heard}`);
    this.#heard += 1;
    if (number === FORBIDDEN) {
      this.isForbidden = true;
      const { socket } = this;
      if (!socket) return;
      socket.isOpen = false;
      this.closed(socket);
      return;
    }
    if (number !== this.#answered + 1) this.#events.fail(number <= this.#answered ? "answeredTwice" : "requestLost", `${this.name} is answered request ${number}, the next one is ${this.#answered + 1}`);
    if (handled > number) this.#events.fail("handledTwice", `${this.name}: after request ${number} it has handled ${handled}`);
    if (handled < number) this.#events.fail("acknowledgedLost", `${this.name}: after request ${number} it knows of ${handled}`);
    this.#answered += 1;
    this.answers += 1;
    this.answeredUs = this.#time.nowUs;
  }

  /** Its connection has ended from the other side. */
  closed(socket: ClientSocket): void {
    if (this.socket !== socket) return;
    this.socket = undefined;
    this.#events.ended(this, socket, this.isForbidden ? "forbidden" : "closed");
    this.#time.after(RECONNECT_US, () => this.#connect());
  }
}

export function requestOf(packet: Uint8Array): { counter: number; client: number; request: number; poison: number } {
  const view = Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength);
  return { counter: view.readUInt32BE(12), client: view.readUInt32LE(HEADER_BYTES), request: view.readUInt32LE(HEADER_BYTES + 4), poison: view.readUInt32LE(HEADER_BYTES + 8) };
}

export function answerPacket(counter: number, request: number, handled: number): Uint8Array {
  const packet = Buffer.alloc(PACKET_BYTES);
  packet.writeUInt32BE(counter, 12);
  packet.writeUInt32LE(request, HEADER_BYTES);
  packet.writeUInt32LE(handled >>> 0, HEADER_BYTES + 4);
  return packet;
}

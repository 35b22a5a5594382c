/**
 * What an active gateway does with its clients, step by step: it looks at packets, handles them, writes the turn to the journal, sends, takes the packets away; it hands everything to a standby; it goes on with what a
 * dead one has left. Mirrors failsafe/failover's edges (keeper.ts, handedConnection.ts, activeLink.ts, inheritance.ts) around the real journal, replica and quarantine. Each `yield` is a place where the process may
 * die, stand still or be overtaken by others.
 */
import { Buffer } from "node:buffer";
import { TransactionWriter } from "../failover/journal.ts";
import { Word } from "../failover/page.ts";
import type { Death, Quarantine } from "../failover/quarantine.ts";
import { isBefore, type Replica } from "../failover/replica.ts";
import { nativeSeal } from "../../shm/sockets/index.ts";
import { answerPacket, type ClientSocket, FORBIDDEN, Poison, requestOf, type SimClient } from "./clients.ts";

const seal = nativeSeal();
/** Packets of one turn. */
const TURN_PACKETS = 6;

/** Where the process is in its turn: places that count for coverage. */
export type Place = "idle" | "handling" | "writing" | "sending" | "consuming" | "handingOver" | "takingOver";

/** What an active says of itself in memory that outlives it. */
export interface Page {
  readonly words: Uint32Array;
  /** Packets that the connection in a slot was given: the kernel counts them together with taking them. */
  readonly sent: Map<number, number>;
  /** Who reads behind the journal; a standby that is not it any more knows too little to go on. */
  heir: object | undefined;
}

/** A file in memory that one writes and another reads behind. */
export class Journal {
  bytes = Buffer.alloc(16_384);
  length = 0;

  append(bytes: Uint8Array): void {
    if (this.length + bytes.length > this.bytes.length) this.bytes = Buffer.concat([this.bytes], 2 * (this.length + bytes.length));
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }
}

export type LinkMessage = { op: "journal"; journal: Journal } | { op: "descriptor"; number: number; socket: ClientSocket } | { op: "synced" };

interface Session {
  number: number;
  slot: number;
  socket: ClientSocket;
  taken: number;
  given: number;
  handled: number;
  /** Packets that were looked at and are still in the socket. */
  looked: number;
  /** Counter of the packet that the one before died over. */
  suspect: number | undefined;
  /** It was told to go: what it still says is not handled. */
  isLeaving: boolean;
  /** Its socket's number; 0: not handed over. */
  descriptor: number;
}

export interface Legacy {
  replica: Replica;
  page: Page;
  descriptors: Map<number, ClientSocket>;
  death: Death;
}

export interface ActiveOptions {
  holder: object;
  page: Page;
  quarantine: Quarantine;
  judged(client: SimClient, death: Death, isKeptOut: boolean): void;
  /** Writes the quarantine where the other instance finds it. */
  saveQuarantine(): void;
  /** Clients that wait to be let in. */
  backlog: ClientSocket[];
  /** The packet in hand does this to the process. */
  poisoned(kind: number, socket: ClientSocket): void;
  fail(code: string, text: string): never;
}

export class GatewayActive {
  readonly sessions = new Map<number, Session>();
  place: Place = "idle";
  /** What is being written: a process that dies in it leaves the beginning. */
  torn: Uint8Array | undefined;
  readonly #options: ActiveOptions;
  readonly #changed = new Set<Session>();
  readonly #gone = new Set<number>();
  readonly #writer = new TransactionWriter();
  #outputs: { session: Session; bytes: Uint8Array; counter: number }[] = [];
  #send: ((message: LinkMessage) => void) | undefined;
  #wantedHeir: ((message: LinkMessage) => void) | undefined;
  #journal: Journal | undefined;
  #transactions = 0;
  #lastNumber = 0;
  #lastSlot = 0;
  #lastDescriptor = 0;
  /** Requests that were handled, in all and of connections that are gone: two sums that one transaction changes together. */
  #total = 0;
  #departed = 0;
  #death: Death = "killed";
  #struck: SimClient | undefined;

  constructor(options: ActiveOptions) {
    this.#options = options;
  }

  get journal(): Journal | undefined {
    return this.#journal;
  }

  /** A standby came; undefined: it went. */
  setHeir(send: ((message: LinkMessage) => void) | undefined): void {
    this.#send = undefined;
    this.#journal = undefined;
    this.#wantedHeir = send;
  }

  // ---- Taking over --------------------------------------------------------------------------------------------------------------------------

  *takeOver({ replica, page, descriptors, death }: Legacy): Generator<void> {
    this.place = "takingOver";
    this.#death = death;
    const handling = page.words[Word.connection] === 0 ? undefined : { connection: page.words[Word.connection]!, counter: page.words[Word.counter]! };
    for (const { value, descriptors: named } of replica.states("session:")) {
      const view = Buffer.from(value);
      const [number, slot, handled] = [view.readUInt32LE(0), view.readUInt32LE(4), view.readUInt32LE(8)];
      const socket = descriptors.get(named[0]!);
      descriptors.delete(named[0]!);
      this.#lastNumber = Math.max(this.#lastNumber, number);
      if (!socket) this.#options.fail("descriptorMissing", `connection ${number} is in the journal, its socket never came`);
      const { taken } = replica.countsOf(number);
      const sent = page.sent.get(slot) ?? 0;
      const outputs = replica.outputsFrom(number, sent);
      const session: Session = { number, slot: ++this.#lastSlot, socket, taken, given: (sent + outputs.length) >>> 0, handled, looked: 0, suspect: undefined, isLeaving: false, descriptor: 0 };
      if (handling?.connection === number && handling.counter === taken) session.suspect = taken;
      socket.holders.add(this.#options.holder);
      this.#options.page.sent.set(session.slot, sent);
      this.sessions.set(number, session);
      this.#changed.add(session);
      for (const { bytes } of outputs) {
        yield;
        this.#give(session, bytes);
      }
      // The one before had kept it out, and died before it had said so.
      if (this.#isKeptOut(socket)) this.#refuse(session);
    }
    const value = replica.get("value:total");
    if (value) [this.#total, this.#departed] = [Buffer.from(value).readUInt32LE(0), Buffer.from(value).readUInt32LE(4)];
    const sum = [...this.sessions.values()].reduce((all, { handled }) => all + handled, this.#departed);
    if (sum !== this.#total) this.#options.fail("tornTransaction", `a successor finds ${this.#total} requests in all and ${sum} by connection`);
    yield;
    this.place = "idle";
  }

  // ---- A turn -------------------------------------------------------------------------------------------------------------------------------

  /** Whether there is anything to do. */
  get hasWork(): boolean {
    if (this.#options.backlog.length > 0 || this.#wantedHeir !== undefined || this.#gone.size > 0) return true;
    for (const { socket, looked } of this.sessions.values()) if (!socket.isOpen || socket.toGateway.length > looked) return true;
    return false;
  }

  *turn(): Generator<void> {
    this.#accept();
    for (const session of this.sessions.values()) if (!session.socket.isOpen) this.#leave(session);
    let budget = TURN_PACKETS;
    for (const session of this.sessions.values()) while (session.looked < session.socket.toGateway.length && budget-- > 0) yield* this.#handle(session);
    yield* this.#commit();
    if (this.#wantedHeir) yield* this.#snapshot(this.#wantedHeir);
    this.place = "idle";
  }

  #accept(): void {
    const socket = this.#options.backlog.shift();
    if (!socket?.isOpen) return;
    socket.holders.add(this.#options.holder);
    socket.holders.delete(this.#options.backlog);
    if (this.#isKeptOut(socket)) {
      socket.client.isForbidden = true;
      socket.letGo(this.#options.holder);
      return;
    }
    const session: Session = { number: ++this.#lastNumber, slot: ++this.#lastSlot, socket, taken: 0, given: 0, handled: 0, looked: 0, suspect: undefined, isLeaving: false, descriptor: 0 };
    this.#options.page.sent.set(session.slot, 0);
    this.sessions.set(session.number, session);
    this.#changed.add(session);
  }

  #leave(session: Session): void {
    this.sessions.delete(session.number);
    this.#changed.delete(session);
    this.#outputs = this.#outputs.filter((output) => output.session !== session);
    this.#departed += session.handled;
    session.socket.letGo(this.#options.holder);
    this.#gone.add(session.number);
  }

  *#handle(session: Session): Generator<void> {
    const packet = session.socket.toGateway[session.looked]!;
    session.looked += 1;
    this.#changed.add(session);
    const { counter, request, poison } = requestOf(packet);
    // The one before has handled it, and died before it could take it away.
    if (isBefore(counter, session.taken)) return;
    if (session.isLeaving) {
      session.taken = (session.taken + 1) >>> 0;
      return;
    }
    const { words } = this.#options.page;
    words[Word.counter] = session.taken;
    words[Word.lengthBytes] = packet.length;
    words[Word.connection] = session.number;
    const isSuspect = session.suspect === session.taken;
    session.taken = (session.taken + 1) >>> 0;
    this.place = "handling";
    yield;
    if ((isSuspect || !this.#options.quarantine.isEmpty) && this.#stops(session, packet, isSuspect)) return;
    if (poison !== Poison.none) {
      this.#options.poisoned(poison, session.socket);
      yield;
    }
    session.handled += 1;
    this.#total += 1;
    this.#answer(session, request);
  }

  #answer(session: Session, request: number): void {
    this.#outputs.push({ session, counter: session.given, bytes: answerPacket(session.given, request, session.handled) });
    session.given = (session.given + 1) >>> 0;
  }

  #refuse(session: Session): void {
    session.isLeaving = true;
    this.#answer(session, FORBIDDEN);
  }

  #isKeptOut({ client: { name, number } }: ClientSocket): boolean {
    return this.#options.quarantine.keepsOut({ component: name, pid: number, uid: 1_000, startTime: 1 }) !== undefined;
  }

  /** Whose packet was struck and is not acquitted yet. */
  get struck(): SimClient | undefined {
    return this.#struck;
  }

  /** As the gateway's guard does: true: it must not be handled. */
  #stops(session: Session, packet: Uint8Array, isSuspect: boolean): boolean {
    const { quarantine, saveQuarantine } = this.#options;
    const judge = (death: Death): ReturnType<Quarantine["judge"]> => {
      const { name, number } = session.socket.client;
      const entry = quarantine.judge(packet, { component: name, pid: number, uid: 1_000, startTime: 1 }, death, "");
      saveQuarantine();
      this.#options.judged(session.socket.client, death, entry !== undefined);
      if (!entry) this.#struck = session.socket.client;
      return entry;
    };
    const entry = (isSuspect ? judge(this.#death) : quarantine.isStruck(packet) ? judge("killed") : undefined) ?? quarantine.knows(packet);
    if (entry) this.#refuse(session);
    return entry !== undefined;
  }

  // ---- Commit, then send, then consume --------------------------------------------------------------------------------------------------------

  *#commit(): Generator<void> {
    if (this.#changed.size === 0 && this.#gone.size === 0 && this.#outputs.length === 0) return;
    this.place = "writing";
    yield;
    if (this.#send && this.#journal) {
      const writer = this.#writer.reset();
      for (const number of this.#gone) writer.gone(`session:${number}`);
      for (const session of this.#changed) this.#record(session, this.#send);
      this.#recordTotal();
      for (const session of this.#changed) writer.counted(session.number, session.slot, session.taken, session.given);
      for (const { session, counter, bytes } of this.#outputs) writer.output(session.number, counter, [], bytes, 0, bytes.length);
      yield* this.#write(this.#journal);
      for (const { socket } of this.#changed) socket.wasHandedOver = true;
    }
    this.#gone.clear();
    yield* this.#deliver();
  }

  *#deliver(): Generator<void> {
    this.place = "sending";
    yield;
    const outputs = this.#outputs;
    const changed = [...this.#changed];
    this.#outputs = [];
    this.#changed.clear();
    for (const { session, bytes } of outputs) {
      this.#give(session, bytes);
      yield;
    }
    this.#options.page.words[Word.connection] = 0;
    this.place = "consuming";
    for (const session of changed) {
      yield;
      session.socket.toGateway.splice(0, session.looked);
      session.looked = 0;
    }
    if (this.#struck && this.#options.quarantine.acquit()) this.#options.saveQuarantine();
    this.#struck = undefined;
  }

  #give(session: Session, bytes: Uint8Array): void {
    const { sent } = this.#options.page;
    sent.set(session.slot, ((sent.get(session.slot) ?? 0) + 1) >>> 0);
    session.socket.send(bytes);
  }

  #record(session: Session, send: (message: LinkMessage) => void): void {
    if (session.descriptor === 0) {
      session.descriptor = ++this.#lastDescriptor;
      send({ op: "descriptor", number: session.descriptor, socket: session.socket });
    }
    const value = Buffer.alloc(12);
    value.writeUInt32LE(session.number, 0);
    value.writeUInt32LE(session.slot, 4);
    value.writeUInt32LE(session.handled, 8);
    this.#writer.state(`session:${session.number}`, [session.descriptor], value);
  }

  #recordTotal(): void {
    const value = Buffer.alloc(8);
    value.writeUInt32LE(this.#total, 0);
    value.writeUInt32LE(this.#departed, 4);
    this.#writer.state("value:total", [], value);
  }

  *#write(journal: Journal): Generator<void> {
    const writer = this.#writer;
    writer.seal(seal, this.#transactions);
    this.torn = writer.bytes.subarray(0, writer.length);
    yield;
    this.torn = undefined;
    journal.append(writer.bytes.subarray(0, writer.length));
    this.#transactions += 1;
    this.#options.page.words[Word.committed] = this.#transactions;
  }

  *#snapshot(send: (message: LinkMessage) => void): Generator<void> {
    this.place = "handingOver";
    const journal = new Journal();
    this.#transactions = 0;
    this.#writer.reset();
    for (const session of this.sessions.values()) {
      session.descriptor = 0;
      this.#record(session, send);
      this.#writer.counted(session.number, session.slot, session.taken, session.given);
    }
    this.#recordTotal();
    yield* this.#write(journal);
    for (const { socket } of this.sessions.values()) socket.wasHandedOver = true;
    // It may have gone meanwhile, and another one come.
    if (this.#wantedHeir !== send) return;
    this.#wantedHeir = undefined;
    this.#send = send;
    this.#journal = journal;
    send({ op: "journal", journal });
    yield;
    if (this.#send === send) send({ op: "synced" });
  }
}

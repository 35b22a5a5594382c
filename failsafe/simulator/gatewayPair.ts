/** The two gateways of one host and what their kernel knows: the lock, the clients' listening socket, the link between them, who is dead. */
import { Word } from "../failover/page.ts";
import type { Death, QuarantineState } from "../failover/quarantine.ts";
import { ClientSocket, Poison, SimClient } from "./clients.ts";
import { GatewayProcess } from "./gatewayProcess.ts";
import type { EventQueue } from "./queue.ts";

const CLIENTS = 2;
const RESTART_US: [number, number] = [20_000, 120_000];

export interface GatewayPairOptions {
  host: number;
  time: EventQueue;
  random: () => number;
  nowUs(): number;
  isPowered(): boolean;
  fail(code: string, text: string): never;
  trace(line: string): void;
  /** Another instance begins to serve. */
  served(): void;
}

export class GatewayPair {
  readonly host: number;
  readonly processes: GatewayProcess[];
  readonly clients: SimClient[] = [];
  /** The file that both instances know. */
  quarantineFile: QuarantineState | undefined;
  /** From now on nothing that clients say does any harm. */
  isQuiet = false;
  /** Clients that wait in the listening socket. */
  backlog: ClientSocket[] = [];
  /** Counters that only rise. */
  readonly counts = { takeovers: 0, judgedDeaths: 0, quarantined: 0, reconnections: 0 };
  readonly #options: GatewayPairOptions;
  readonly #listenerHolders = new Set<GatewayProcess>();
  #lock: GatewayProcess | undefined;

  constructor(options: GatewayPairOptions) {
    this.#options = options;
    this.host = options.host;
    const { time, random } = options;
    this.processes = [0, 1].map((instance) => new GatewayProcess({ pair: this, instance, time, random }));
    for (const process of this.processes) time.after(Math.floor(random() * 10_000), () => process.start());
    for (let number = 1; number <= CLIENTS; number++) this.#newClient(Poison.none);
  }

  get nowUs(): number {
    return this.#options.nowUs();
  }
  get isPowered(): boolean {
    return this.#options.isPowered();
  }
  fail(code: string, text: string): never {
    return this.#options.fail(code, text);
  }
  trace(line: string): void {
    this.#options.trace(line);
  }

  /** Whoever serves and runs. */
  get serving(): GatewayProcess | undefined {
    return this.processes.find((process) => process.isAlive && process.isServing && process.role === "active" && !process.isHung && process.stalledUntilUs <= this.#options.time.nowUs);
  }

  other(process: GatewayProcess): GatewayProcess | undefined {
    const other = this.processes[1 - process.instance]!;
    return other.isAlive ? other : undefined;
  }

  /** All ordinary clients are served since then. */
  isWellSince(sinceUs: number): boolean {
    return this.serving !== undefined && this.clients.every((client) => client.poison !== Poison.none || client.isForbidden || client.answeredUs > sinceUs);
  }

  // ---- Faults ----------------------------------------------------------------------------------------------------------------------------------

  /** A program whose third request does that. */
  poison(kind: number): void {
    this.#newClient(kind);
  }

  cutLink(): void {
    for (const process of this.processes) if (process.isAlive) process.following?.close();
  }

  slowLink(byUs: number): void {
    for (const process of this.processes) if (process.following) process.following.delayUs = byUs;
  }

  cutPower(): void {
    for (const process of this.processes) process.vanish();
    this.#mustSurvive.clear();
    for (const client of this.clients) [client.strikes, client.isKeptOut] = [0, false];
    this.#lock = undefined;
    this.quarantineFile = undefined;
    this.#closeListener();
    // The programs are gone too: they begin anew.
    for (const client of this.clients) {
      const { socket } = client;
      if (!socket) continue;
      socket.isOpen = false;
      socket.holders.clear();
      client.closed(socket);
    }
  }

  powerIsBack(): void {
    for (const process of this.processes) this.#options.time.after(2_000 + Math.floor(this.#options.random() * 10_000), () => process.start());
  }

  // ---- The kernel ------------------------------------------------------------------------------------------------------------------------------

  takeLock(process: GatewayProcess): boolean {
    if (this.#lock === undefined) this.#lock = process;
    return this.#lock === process;
  }

  get hasListener(): boolean {
    return this.#listenerHolders.size > 0;
  }

  listen(process: GatewayProcess): void {
    this.#closeListener();
    this.#listenerHolders.add(process);
  }

  holdListener(process: GatewayProcess): void {
    if (this.hasListener) this.#listenerHolders.add(process);
  }

  #closeListener(): void {
    this.#listenerHolders.clear();
    for (const socket of this.backlog.splice(0)) socket.letGo(this.backlog);
  }

  /** Whoever lets a standby in. */
  get listening(): GatewayProcess | undefined {
    return this.processes.find((process) => process.isAlive && process.isServing);
  }

  begins(process: GatewayProcess): void {
    this.counts.takeovers += 1;
    this.serves(process);
    this.#options.served();
  }

  /** Before each step of serving: nobody else may be at it, not even one that stands still. */
  serves(process: GatewayProcess): void {
    const other = this.other(process);
    if (other?.isServing) this.fail("twoActives", `${process.name} serves while ${other.name} is ${other.role}`);
    if (this.#lock !== process) this.fail("servesWithoutLock", `${process.name} serves, ${this.#lock?.name ?? "nobody"} has the lock`);
  }

  readonly #mustSurvive = new Set<ClientSocket>();

  ended(process: GatewayProcess, { teardownUs, wasServing, culprit }: { teardownUs: number; wasServing: boolean; culprit: SimClient | undefined }): void {
    const { time, random } = this.#options;
    this.trace(`${process.name} is dead${culprit ? ` of ${culprit.name}` : ""}`);
    const heir = this.processes[1 - process.instance]!;
    const isAtPost = heir.isAlive && heir.isInSync && (heir.role === "standby" || heir.role === "fencing") && heir.following?.isOf(process) === true && process.page.heir === heir.following;
    if (wasServing) this.#judgeDeath(process, culprit, isAtPost);
    // What a standby that dies held is the active's still.
    if (wasServing || !heir.isAlive || heir.role !== "active") {
      this.#mustSurvive.clear();
      for (const { socket } of this.clients) if (socket && isAtPost && socket.wasHandedOver && socket.holders.has(heir)) this.#mustSurvive.add(socket);
    }
    const links = [process.following, heir.following].filter((link) => link !== undefined && (link.standby === process || link.isOf(process)));
    const { following } = heir;
    const { life } = process;
    process.isTornDown = true;
    time.after(teardownUs, () => {
      if (process.life !== life) return;
      process.isTornDown = false;
      if (this.#lock === process) this.#lock = undefined;
      this.#listenerHolders.delete(process);
      if (this.#listenerHolders.size === 0) this.#closeListener();
      for (const { socket } of this.clients) socket?.letGo(process);
      for (const link of links) link?.close();
      if (following?.isOf(process)) heir.twinDied(following);
      const [low, high] = RESTART_US;
      time.after(low + Math.floor(random() * (high - low)), () => process.start());
    });
  }

  #judgeDeath(process: GatewayProcess, culprit: SimClient | undefined, isAtPost: boolean): void {
    if (culprit && isAtPost) this.counts.judgedDeaths += 1;
    // Not its fault; but from here nobody can tell: what was in hand, and what was being handled for the second time in the same turn.
    const connection = process.page.words[Word.connection]!;
    const inHand = connection === 0 ? undefined : process.active?.sessions.get(connection)?.socket.client;
    const struck = process.active?.struck;
    for (const client of new Set([inHand, struck])) if (client && client !== culprit) client.struckOutside += 1;
  }

  /** A packet that an instance died over was judged. */
  judged(client: SimClient, death: Death, isKeptOut: boolean): void {
    if (isKeptOut) {
      client.isKeptOut = true;
      this.counts.quarantined += 1;
      return;
    }
    client.strikes += 1;
    if (death === "fault" || death === "hung") this.fail("faultForgiven", `${client.name}: ${death} over its packet, and it is handled again`);
    // Twice by the stated rule: struck, then kept out. A third time the same bytes must not be begun with.
    if (client.poison === Poison.killed && client.strikes > 1 + client.struckOutside) this.fail("poisonKillsAgain", `${client.name} was let in ${client.strikes} times after a death`);
  }

  // ---- Clients ---------------------------------------------------------------------------------------------------------------------------------

  #newClient(poison: number): void {
    const { time, random } = this.#options;
    const number = this.clients.length + 1;
    this.clients.push(new SimClient({
      name: `client ${this.host}.${number}`, number, time, random, poison,
      events: {
        connects: (socket) => {
          if (!this.hasListener || !this.isPowered) return false;
          socket.holders.add(this.backlog);
          this.backlog.push(socket);
          this.serving?.wake();
          return true;
        },
        sent: () => this.processes.find((process) => process.isServing)?.wake(),
        fail: (code, text) => this.fail(code, text),
        ended: (client, socket, why) => {
          this.counts.reconnections += 1;
          if (why === "forbidden" && client.poison === Poison.none && client.struckOutside < 2) this.fail("innocentKeptOut", `${client.name} is kept out, its packets were in hand at ${client.struckOutside} deaths`);
          if (why === "closed" && this.#mustSurvive.has(socket)) this.fail("clientLost", `${client.name} has lost its connection although a standby was at its post`);
          this.#mustSurvive.delete(socket);
        },
      },
    }));
  }
}

/**
 * One instance of `ipcnetd`: the real table of roles, judge, replica and quarantine; around them what gateway/bin/pairInstance.ts and failsafe/failover/standby.ts do with system calls. It can be killed between any two
 * steps, in the middle of writing too, stand still, hang over a packet.
 */
import { ProgressJudge } from "../failover/judge.ts";
import { JournalReader } from "../failover/journalReader.ts";
import { Fate, type Handling, handlingOf, Word } from "../failover/page.ts";
import { type Death, Quarantine } from "../failover/quarantine.ts";
import { Replica } from "../failover/replica.ts";
import { nextRole, type Role, type RoleEffect, type RoleEvent } from "../failover/roles.ts";
import { nativeSeal } from "../../shm/sockets/index.ts";
import { type ClientSocket, Poison, type SimClient } from "./clients.ts";
import { GatewayActive, type Journal, type Legacy, type LinkMessage, type Page, type Place } from "./gatewayActive.ts";
import type { GatewayPair } from "./gatewayPair.ts";
import { Following } from "./pairLink.ts";
import type { EventQueue } from "./queue.ts";

const seal = nativeSeal();
export const PROGRESS_DEADLINE_MS = 250;
const TICK_US = (PROGRESS_DEADLINE_MS * 1e3) / 10;
const LOOK_US = 10_000;
const LOOK_AGAIN_US = 50_000;
const LOCK_RETRY_US = 20_000;
/** The service manager's own watchdog: whoever hangs and has nobody who judges it. */
const WATCHDOG_US = 600_000;

interface Followed {
  reader: JournalReader;
  replica: Replica | undefined;
}

export class GatewayProcess {
  readonly name: string;
  readonly instance: number;
  life: object = {};
  isAlive = false;
  /** Dead, and the kernel has not given everything back: nobody starts it before. */
  isTornDown = false;
  role: Role = "looking";
  stalledUntilUs = 0;
  /** Dies before the step with this number, counted from now; or stands still there. */
  cutIn = Infinity;
  cutStallUs = 0;
  page: Page = { words: new Uint32Array(16), sent: new Map(), heir: undefined };
  active: GatewayActive | undefined;
  /** It has begun to serve. */
  isServing = false;
  readonly #pair: GatewayPair;
  readonly #time: EventQueue;
  readonly #random: () => number;
  #work: Generator<void> | undefined;
  #scheduled = false;
  /** What came while it stood still. */
  readonly #waiting: (() => void)[] = [];
  /** Of the poison that makes it hang. */
  hangsOver: SimClient | undefined;
  /** Everything that the active had is here too. */
  isInSync = false;
  /** A standby's end of the link, and what came over it. */
  following: Following | undefined;
  #twinPage: Page | undefined;
  #journals: { journal: Journal; followed: Followed }[] = [];
  #replica: Replica | undefined;
  readonly #descriptors = new Map<number, ClientSocket>();
  readonly #dropped = new Set<number>();
  #judge = new ProgressJudge(PROGRESS_DEADLINE_MS);
  #inHand: { handling: Handling | undefined; sinceUs: number; wasStopped: boolean } | undefined;
  #hung = false;
  #twinDead = false;

  constructor({ pair, instance, time, random }: { pair: GatewayPair; instance: number; time: EventQueue; random: () => number }) {
    this.name = `gateway ${pair.host}${"ab"[instance]}`;
    this.instance = instance;
    this.#pair = pair;
    this.#time = time;
    this.#random = random;
  }

  /** For coverage. */
  get state(): string {
    if (!this.isAlive) return "gateway dead";
    const place: Place = this.active?.place ?? "idle";
    return this.role === "active" && place !== "idle" ? `gateway ${place}` : `gateway ${this.role}`;
  }

  get isHung(): boolean {
    return this.hangsOver !== undefined;
  }

  // ---- Life -----------------------------------------------------------------------------------------------------------------------------------

  start(): void {
    if (this.isAlive || this.isTornDown || !this.#pair.isPowered) return;
    this.life = {};
    this.isAlive = true;
    this.role = "looking";
    this.stalledUntilUs = 0;
    this.cutIn = Infinity;
    this.cutStallUs = 0;
    this.page = { words: new Uint32Array(16), sent: new Map(), heir: undefined };
    this.active = this.#work = undefined;
    this.isServing = this.#scheduled = false;
    this.#waiting.length = 0;
    this.hangsOver = undefined;
    this.#forgetTwin();
    this.#every(TICK_US, () => (this.page.words[Word.progress] = (this.page.words[Word.progress]! + 1) >>> 0));
    this.#every(TICK_US, () => this.#askJudge());
    this.#every(LOOK_US, () => this.#look());
    this.#later(500, () => this.#perform("look"));
  }

  /** SIGKILL, or a crash. `culprit`: the client whose packet did it. */
  kill(culprit?: SimClient): void {
    if (!this.isAlive) return;
    if (this.active?.torn && this.active.journal) this.active.journal.append(this.active.torn.subarray(0, Math.floor(this.#random() * this.active.torn.length)));
    this.#end(5_000 + Math.floor(this.#random() * 30_000), culprit);
  }

  /** The host has lost its power. */
  vanish(): void {
    this.isAlive = this.isServing = this.isTornDown = false;
    this.life = {};
    this.#work = undefined;
  }

  #end(teardownUs: number, culprit: SimClient | undefined): void {
    const wasServing = this.isServing;
    this.isAlive = this.isServing = false;
    this.#work = undefined;
    this.#pair.ended(this, { teardownUs, wasServing, culprit });
  }

  stall(forUs: number): void {
    this.stalledUntilUs = Math.max(this.stalledUntilUs, this.#time.nowUs + forUs);
  }

  /** In its own time: not while it stands still, not after its death. What came while it stood still happens in the order in which it came. */
  #later(delayUs: number, action: () => void): void {
    const { life } = this;
    this.#time.after(delayUs, () => {
      if (!this.isAlive || this.life !== life || this.isHung) return;
      if (this.#waiting.length === 0 && this.#time.nowUs >= this.stalledUntilUs) return action();
      this.#waiting.push(action);
      if (this.#waiting.length === 1) this.#goOn(life);
    });
  }

  #goOn(life: object): void {
    this.#time.at(this.stalledUntilUs, () => {
      while (this.isAlive && this.life === life && !this.isHung && this.#waiting.length > 0) {
        if (this.#time.nowUs < this.stalledUntilUs) return this.#goOn(life);
        this.#waiting.shift()!();
      }
    });
  }

  #every(periodUs: number, action: () => void): void {
    this.#later(periodUs, () => {
      action();
      this.#every(periodUs, action);
    });
  }

  // ---- Roles ----------------------------------------------------------------------------------------------------------------------------------

  happened(event: RoleEvent): void {
    const cell = nextRole(this.role, event);
    if (!cell) return;
    if (cell.to !== this.role) this.#pair.trace(`${this.name}: ${this.role} → ${cell.to} (${event})`);
    this.role = cell.to;
    for (const effect of cell.do) if (this.isAlive) this.#perform(effect);
  }

  #perform(effect: RoleEffect): void {
    switch (effect) {
      case "look":
        return this.happened(this.#pair.takeLock(this) ? "lockTaken" : "lockHeld");
      case "join": {
        const active = this.#pair.listening;
        if (!active) return this.happened("notLinked");
        this.following = new Following({ time: this.#time, random: this.#random, active, standby: this });
        active.joined(this.following);
        return this.happened("linked");
      }
      case "lookLater":
        this.following?.close();
        this.#forgetTwin();
        return this.#later(LOOK_AGAIN_US, () => this.#perform("look"));
      case "startCold":
        // Somebody else has the clients' socket: one that was started while its twin was taking over.
        if (this.#pair.hasListener) return this.#end(100, undefined);
        this.#pair.listen(this);
        return this.#later(3_000, () => this.#serve(undefined));
      case "fence":
        return this.following?.killActive(this.#hung);
      case "takeOver":
        return this.#takeOver();
      case "handOver":
        // No turn begins any more; the one that runs is finished first.
        return;
      case "die":
      case "stop":
      case "leave":
        return this.kill();
      case "reportRefusal":
        return;
      default:
        return effect satisfies never;
    }
  }

  /** A planned hand-over. */
  switchOver(): void {
    if (!this.isAlive || this.role !== "active" || !this.isServing || this.#pair.other(this)?.role !== "standby") return;
    this.happened("switchAsked");
    this.#go();
  }

  #takeOver(): void {
    const legacy = this.#legacy();
    if (!this.#pair.takeLock(this)) return this.#later(LOCK_RETRY_US, () => this.#takeOver());
    if (!legacy) {
      for (const socket of this.#descriptors.values()) socket.letGo(this);
      this.#descriptors.clear();
      this.#pair.listen(this);
      return this.#serve(undefined);
    }
    this.#later(2_000 + Math.floor(this.#random() * 8_000), () => this.#serve(legacy));
  }

  #serve(legacy: Legacy | undefined): void {
    this.#pair.begins(this);
    this.isServing = true;
    const quarantine = new Quarantine();
    if (this.#pair.quarantineFile) quarantine.restore(structuredClone(this.#pair.quarantineFile));
    this.active = new GatewayActive({
      holder: this, page: this.page, quarantine, backlog: this.#pair.backlog, saveQuarantine: () => (this.#pair.quarantineFile = structuredClone(quarantine.state())),
      judged: (client, death, isKeptOut) => this.#pair.judged(client, death, isKeptOut), poisoned: (kind, socket) => this.#poisoned(kind, socket.client), fail: (code, text) => this.#pair.fail(code, `${this.name}: ${text}`),
    });
    if (legacy) {
      const { active } = this;
      this.#work = (function* work(this: GatewayProcess): Generator<void> {
        yield* active.takeOver(legacy);
        // What nobody took is closed.
        for (const socket of legacy.descriptors.values()) socket.letGo(this);
        legacy.descriptors.clear();
        this.#descriptors.clear();
        yield* active.turn();
      }).call(this);
    }
    this.#go();
  }

  #poisoned(kind: number, client: SimClient): void {
    if (this.#pair.isQuiet) return;
    if (client.isKeptOut) this.#pair.fail("keptOutHandled", `${this.name} handles a packet of ${client.name}, which is kept out`);
    this.#pair.trace(`${this.name}: the packet of ${client.name} does its work`);
    if (kind === Poison.fault) this.page.words[Word.fate] = Fate.fault;
    if (kind !== Poison.hang) {
      this.kill(client);
      return;
    }
    this.hangsOver = client;
    const { life } = this;
    this.#time.after(WATCHDOG_US, () => {
      if (this.life === life) this.kill();
    });
  }

  // ---- Turns of an active ----------------------------------------------------------------------------------------------------------------------

  /** Something may be there to do. */
  wake(): void {
    if (this.isServing && this.isAlive) this.#go();
  }

  #go(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#later(20 + Math.floor(this.#random() * 60), () => {
      this.#scheduled = false;
      this.#step();
    });
  }

  #step(): void {
    const { active } = this;
    if (!active || !this.isServing) return;
    this.#pair.serves(this);
    if (!this.#work) {
      if (this.role === "handingOver") return this.#handedOver();
      if (!active.hasWork) return;
      this.#work = active.turn();
    }
    if (this.cutIn !== Infinity && this.cutIn-- <= 0) {
      this.cutIn = Infinity;
      if (this.cutStallUs === 0) return this.kill();
      this.stall(this.cutStallUs);
    }
    const { done } = this.#work.next();
    if (!this.isAlive || this.isHung) return;
    if (done) this.#work = undefined;
    this.#go();
  }

  #handedOver(): void {
    this.page.words[Word.fate] = Fate.handover;
    this.#end(5_000 + Math.floor(this.#random() * 20_000), undefined);
  }

  /** A standby has connected. */
  joined(following: Following): void {
    this.#later(100, () => {
      if (following.isOver) return;
      this.page.heir = following;
      following.welcome(this.page);
      // It travels with the welcome: the kernel keeps it open on its way.
      this.#pair.holdListener(following.standby);
      this.active?.setHeir((message) => following.send(message));
      this.#go();
    });
  }

  left(following: Following): void {
    this.#later(50, () => {
      if (this.page.heir !== following) return;
      this.page.heir = undefined;
      this.active?.setHeir(undefined);
    });
  }

  // ---- A standby -------------------------------------------------------------------------------------------------------------------------------

  #forgetTwin(): void {
    for (const socket of this.#descriptors.values()) socket.letGo(this);
    this.#descriptors.clear();
    this.#dropped.clear();
    this.#journals = [];
    this.#replica = this.#twinPage = this.following = this.#inHand = undefined;
    this.#judge = new ProgressJudge(PROGRESS_DEADLINE_MS);
    this.#hung = this.#twinDead = this.isInSync = false;
  }

  receives(following: Following, message: LinkMessage | { op: "welcome"; page: Page }): void {
    this.#later(10, () => {
      if (this.following !== following) return;
      switch (message.op) {
        case "welcome":
          this.#twinPage = message.page;
          return;
        case "journal":
          return this.#begin(message.journal);
        case "descriptor":
          if (this.#dropped.delete(message.number)) message.socket.letGo(this);
          else this.#descriptors.set(message.number, message.socket);
          return;
        case "synced":
          this.#look();
          this.isInSync = true;
          return this.happened("inSync");
      }
    });
  }

  /** The link has ended, and everything that was on its way has been read. */
  linkEnded(following: Following): void {
    this.#later(10, () => {
      if (this.following !== following) return;
      if (this.#twinDead) this.happened("twinDead");
      else this.happened(this.#isHeir || this.role !== "standby" ? "twinGone" : "refused");
    });
  }

  /** The kernel says so; what the dead one had sent is read first. */
  twinDied(following: Following): void {
    if (this.following !== following) return;
    this.#twinDead = true;
    if (following.isOver) this.#later(10, () => (this.following === following ? this.happened("twinDead") : undefined));
  }

  #begin(journal: Journal): void {
    const reader = new JournalReader((chunk, at) => {
      const count = Math.max(0, Math.min(chunk.length, journal.length - at));
      chunk.set(journal.bytes.subarray(at, at + count));
      return count;
    }, seal);
    const known = [...this.#descriptors.keys()];
    this.#journals.push({ journal, followed: { reader, replica: undefined } });
    this.#look();
    const named = this.#replica!.named();
    this.#drop(known.filter((number) => !named.has(number)));
    this.#dropped.clear();
  }

  #drop(numbers: readonly number[]): void {
    for (const number of numbers) {
      const socket = this.#descriptors.get(number);
      if (!socket) this.#dropped.add(number);
      socket?.letGo(this);
      this.#descriptors.delete(number);
    }
  }

  #look(): void {
    for (;;) {
      const [first, next] = this.#journals;
      if (!first) return;
      const { followed } = first;
      const replica = (followed.replica ??= new Replica({ sent: (slot) => this.#twinPage?.sent.get(slot), drop: (numbers) => this.#drop(numbers) }));
      followed.reader.read(replica);
      if (followed.reader.transactions > 0) this.#replica = replica;
      this.#replica?.prune();
      if (!next) return;
      this.#journals.shift();
    }
  }

  #askJudge(): void {
    const words = this.#twinPage?.words;
    if (!words || this.#twinDead) return;
    const nowUs = this.#pair.nowUs;
    const handling = handlingOf(words);
    const isSame = handling !== undefined && handling.connection === this.#inHand?.handling?.connection && handling.counter === this.#inHand.handling.counter;
    if (!isSame) this.#inHand = { handling, sinceUs: nowUs, wasStopped: false };
    if (isSame && this.following!.isActiveStopped) this.#inHand!.wasStopped = true;
    if (this.#judge.judge(words[Word.progress]!, nowUs) !== "late") return;
    this.#hung = isSame && nowUs - this.#inHand!.sinceUs >= (PROGRESS_DEADLINE_MS * 1e3) / 2 && !this.#inHand!.wasStopped;
    this.happened("twinLate");
  }

  get #isHeir(): boolean {
    return this.#twinPage !== undefined && this.#twinPage.heir === this.following;
  }

  /** What is left, if it is all there: an active that had let us go has answered its clients since, and we know nothing of it. */
  #legacy(): Legacy | undefined {
    this.#look();
    const page = this.#twinPage;
    if (!page || !this.#isHeir) return undefined;
    const fate = page.words[Word.fate];
    const death: Death = fate === Fate.handover ? "handover" : fate === Fate.fault ? "fault" : this.#hung ? "hung" : "killed";
    return { replica: this.#replica ?? new Replica({ sent: () => undefined, drop: () => undefined }), page, descriptors: this.#descriptors, death };
  }
}

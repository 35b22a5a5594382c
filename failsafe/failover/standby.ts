/**
 * The standby's end: follows the active, judges whether it lives, and says when it is dead for certain. What it was can then be asked for as an `Inheritance`.
 *
 * The order is always the same: a sign (the link ended, no progress) → SIGKILL through the pidfd → the pidfd says that it is dead → only then is anything taken over. A stopped
 * process that is woken up later finds that it is dead.
 */
import { readFileSync, readSync } from "node:fs";
import type { PacketSeal } from "../../shm/protocol/packet.ts";
import { closeAll, type Descriptor, killBehind, onDeath, SeqpacketConnection, TwinLife, TwinPage } from "../../shm/sockets/index.ts";
import { Inheritance } from "./inheritance.ts";
import { JournalReader } from "./journalReader.ts";
import { ProgressJudge } from "./judge.ts";
import { Starvation } from "../watchdog/starvation.ts";
import { messageInHand, type MessageInHand } from "./inHand.ts";
import { Fate, type Handling, handlingOf, Word } from "./page.ts";
import { type LinkMessage, PairLink } from "./pairLink.ts";
import type { Death } from "./quarantine.ts";
import { Replica } from "./replica.ts";
import type { TakeoverTrace } from "./trace.ts";
import { PAIR_VERSION, type PairVersion, versionFault } from "./version.ts";

export interface StandbyOptions {
  path: string;
  instance: string;
  version?: PairVersion;
  topics: string;
  seal: PacketSeal;
  /** Without progress for so long the active is killed, ms. */
  deadlineMs: number;
  nowUs(): number;
  trace: TakeoverTrace;
  /** What happens, in the words of the roles' table (roles.ts). */
  happened(event: "inSync" | "twinLate" | "twinGone" | "twinDead" | "refused", text: string): void;
}

/** Between two looks at the journal and at the active's progress: what is left to read at a takeover is what it wrote in this time, and by so much it is noticed late that it hangs. */
const LOOK_MS = 10;
/** Of the deadline: an active that has not moved for so long is asked what kept it. Its counter moves every tenth. */
const STILL_PART = 5;

interface Journal {
  descriptor: Descriptor;
  reader: JournalReader;
  replica: Replica | undefined;
}

/** What the dead active has left. */
export interface Legacy {
  inheritance: Inheritance;
  listener: Descriptor;
  path: string;
  instance: string;
  death: Death;
  /** The message of a link over which it died. */
  message: MessageInHand | undefined;
  /** 0: not known. */
  epoch: number;
}

export class Standby {
  /** Resolves when the active has given back all that it held. */
  readonly released: Promise<void>;
  #release: () => void = () => {};
  readonly #options: StandbyOptions;
  readonly #link: PairLink;
  readonly #pidfd: Descriptor;
  readonly #judge: ProgressJudge;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #descriptors = new Map<number, Descriptor>();
  /** Numbers that nobody names any more, before their descriptors came. */
  readonly #dropped = new Set<number>();
  #stopWatching: () => void;
  #twin: { page: TwinPage; life: TwinLife; listener: Descriptor; lock: Descriptor | undefined; path: string; instance: string; heir: number } | undefined;
  #journals: Journal[] = [];
  #replica: Replica | undefined;
  #hung = false;
  /** What the active has in hand, and since when. */
  #inHand: { handling: Handling | undefined; message: MessageInHand | undefined; sinceUs: number; starvedUs: number; wasStopped: boolean } | undefined;
  /** Of this machine, when the active was last seen alive. */
  #memoryKills = outOfMemoryKills();
  #progress: number | undefined;
  #progressUs = 0;
  #starvation: Starvation | undefined;
  #isSynced = false;
  #isDying = false;
  #dead = false;
  #fault: string | undefined;

  /** Connects to the active. Throws a `SocketError` when nobody listens there. */
  constructor(options: StandbyOptions) {
    this.#options = options;
    this.released = new Promise((resolve) => (this.#release = resolve));
    const { path, seal, deadlineMs } = options;
    const connection = SeqpacketConnection.connect(path, { pidfd: "wanted" });
    this.#link = new PairLink(connection, { role: "standby", seal });
    const { pidfd, uid } = connection.peer;
    this.#judge = new ProgressJudge(deadlineMs);
    if (!pidfd || uid !== process.getuid?.()) {
      connection.close();
      throw new Error("the kernel does not say who the active is");
    }
    // Closed with the connection otherwise.
    this.#pidfd = pidfd.dup();
    this.#stopWatching = onDeath(this.#pidfd, () => this.#died());
    connection.onClose(() => this.#gone("the active closed the link"));
    this.#link.onMessage((message, descriptors) => this.#message(message, descriptors), (text) => this.#refused(text));
    this.#link.send({ op: "hello", ...(options.version ?? PAIR_VERSION), instance: options.instance, topics: options.topics, lock: true });
  }

  /** For status. */
  get twin(): { instance: string; pid: number } | undefined {
    return this.#twin && { instance: this.#twin.instance, pid: this.#link.connection.peer.pid };
  }

  /** Whether a takeover may run before everything else here; undefined: nobody to take over from yet. */
  get mayRaise(): boolean | undefined {
    return this.#twin?.life.mayRaise;
  }

  /** The takeover is over: this process is scheduled like any other again. */
  settle(): void {
    this.#twin?.life.end();
  }

  /** SIGKILL; `twinDead` happens when it is dead. */
  fence(): void {
    if (this.#twin) this.#twin.life.kill();
    else killBehind(this.#pidfd);
    this.#options.trace.mark("fenced");
  }

  /** Asks to be let go: `refused` happens when the active does without it from now on. Until then it may be handing over to this instance, and whoever leaves then leaves nobody. */
  leave(): void {
    this.#link.send({ op: "leaving" });
  }

  /** It is this instance that goes. */
  close(): void {
    this.#stopWatching();
    this.#dead = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#link.connection.close();
    closeAll([...this.#descriptors.values()]);
    this.#twin?.listener.close();
    this.#twin?.lock?.close();
    this.settle();
  }

  /** The lock of the dead active, to be taken over; undefined: it had none to give. */
  takeLock(): Descriptor | undefined {
    const lock = this.#twin?.lock;
    if (this.#twin) this.#twin.lock = undefined;
    return lock;
  }

  /** Everything that the active has told its clients stands in the journal that is read here. One that was let go knows less: nobody may go on with that. */
  get #isHeir(): boolean {
    return this.#twin === undefined || this.#twin.page.words[Word.heir] === this.#twin.heir;
  }

  /** After `twinDead`: reads what is left. undefined: it died before it had handed over so much as its socket, or had let this instance go. */
  legacy(): Legacy | undefined {
    this.#look();
    this.#options.trace.mark("journalRead");
    const twin = this.#twin;
    if (!twin) return undefined;
    if (!this.#isHeir) {
      // Whoever still has the other end sees that it is over, and connects again.
      closeAll([twin.listener, ...this.#descriptors.values()]);
      this.#descriptors.clear();
      return undefined;
    }
    const { page } = twin;
    // It was that which was executed: whatever packet was in hand besides had waited.
    const message = messageInHand(page.words);
    const replica = this.#replica ?? new Replica({ sent: () => undefined, drop: () => {} });
    const inheritance = new Inheritance({ replica, descriptors: this.#descriptors, sent: (slot) => page.sent(slot), handling: message ? undefined : handlingOf(page.words) });
    return { inheritance, listener: twin.listener, path: twin.path, instance: twin.instance, death: this.#death(page.words[Word.fate]!), message, epoch: page.words[Word.epoch]! };
  }

  #death(fate: number): Death {
    if (fate === Fate.handover) return "handover";
    if (fate === Fate.fault) return "fault";
    if (this.#hung) return "hung";
    return outOfMemoryKills() > this.#memoryKills ? "outOfMemory" : "killed";
  }

  #message(message: LinkMessage, descriptors: Descriptor[]): void {
    const { version = PAIR_VERSION } = this.#options;
    switch (message.op) {
      case "welcome": {
        const fault = versionFault(version, message);
        // One of the release before has no copy of its lock to give.
        if (fault !== undefined || descriptors.length < 2 || descriptors.length > 3) {
          closeAll(descriptors);
          return this.#refused(fault ?? "the active's welcome came without its page and socket");
        }
        const [page, listener, lock] = descriptors as [Descriptor, Descriptor, Descriptor | undefined];
        const twinPage = new TwinPage(page);
        const life = new TwinLife({ pid: this.#link.connection.peer.pid, pidfd: this.#pidfd }, { dying: () => this.#dying(), over: () => this.#over() });
        this.#twin = { page: twinPage, life, listener, lock, path: message.path, instance: message.instance, heir: twinPage.words[Word.heir]! };
        page.close();
        this.#timers.push(setInterval(() => this.#look(), LOOK_MS), setInterval(() => this.#askJudge(), LOOK_MS));
        return;
      }
      case "refused":
        closeAll(descriptors);
        return this.#refused(message.text);
      case "journal":
        return this.#begin(descriptors[0]!);
      case "descriptors":
        message.numbers.forEach((number, i) => this.#keep(number, descriptors[i]!));
        return;
      case "synced":
        closeAll(descriptors);
        this.#look();
        this.#isSynced = true;
        return this.#options.happened("inSync", "everything is open here too");
      case "hello":
      case "leaving":
        return closeAll(descriptors);
      default:
        return message satisfies never;
    }
  }

  /** A new journal: its snapshot is written. What came before it and is not in it is nobody's any more. */
  #begin(descriptor: Descriptor): void {
    const reader = new JournalReader((chunk, at) => readSync(descriptor.fd, chunk, 0, chunk.length, at), this.#options.seal);
    const journal: Journal = { descriptor, reader, replica: undefined };
    const known = [...this.#descriptors.keys()];
    this.#journals.push(journal);
    this.#look();
    const named = this.#replica!.named();
    this.#drop(known.filter((number) => !named.has(number)));
    this.#dropped.clear();
  }

  /** A sign like the end of the link, only earlier. Before everything is here the proof is waited for: it does not let us go, it dies. */
  #dying(): void {
    this.#options.trace.mark("noticed");
    if (this.#isSynced) this.#gone("the active is dying");
    this.#isDying = true;
  }

  #gone(text: string): void {
    if (this.#dead || this.#isDying || this.#fault !== undefined) return;
    if (this.#isSynced && !this.#isHeir) return this.#refused("the active has let this instance go: it did not follow, or ends without a successor");
    this.#options.trace.mark("noticed");
    this.#options.happened("twinGone", text);
  }

  #refused(text: string): void {
    this.#fault = text;
    this.#options.happened("refused", text);
  }

  #keep(number: number, descriptor: Descriptor): void {
    if (this.#dropped.delete(number)) descriptor.close();
    else this.#descriptors.set(number, descriptor);
  }

  #drop(numbers: readonly number[]): void {
    for (const number of numbers) {
      const descriptor = this.#descriptors.get(number);
      if (!descriptor) this.#dropped.add(number);
      descriptor?.close();
      this.#descriptors.delete(number);
    }
  }

  /** Reads the journals as far as they are written. */
  #look(): void {
    for (;;) {
      const [journal, next] = this.#journals;
      if (!journal) return;
      const replica = journal.replica ?? this.#newReplica();
      journal.replica = replica;
      journal.reader.read(replica);
      if (journal.reader.transactions > 0) this.#replica = replica;
      this.#replica?.prune();
      if (!next) return;
      journal.descriptor.close();
      this.#journals.shift();
    }
  }

  #newReplica(): Replica {
    return new Replica({ sent: (slot) => this.#twin?.page.sent(slot), drop: (numbers) => this.#drop(numbers) });
  }

  #askJudge(): void {
    const words = this.#twin?.page.words;
    if (this.#dead || this.#isDying || !words) return;
    const progress = words[Word.progress]!;
    if (progress !== this.#progress) {
      this.#memoryKills = outOfMemoryKills();
      this.#progressUs = this.#options.nowUs();
    }
    this.#progress = progress;
    const { pid } = this.#link.connection.peer;
    const nowUs = this.#options.nowUs();
    const starvedUs = this.#starvedUs(pid, nowUs);
    const handling = handlingOf(words);
    const message = messageInHand(words);
    const isSamePacket = handling !== undefined && handling.connection === this.#inHand?.handling?.connection && handling.counter === this.#inHand.handling.counter;
    const isSameMessage = message !== undefined && message.count === this.#inHand?.message?.count;
    const isSame = isSamePacket || isSameMessage;
    if (!isSame) this.#inHand = { handling, message, sinceUs: nowUs, starvedUs, wasStopped: false };
    if (isSame && !this.#inHand!.wasStopped) this.#inHand!.wasStopped = isStopped(pid);
    if (this.#judge.judge(progress, nowUs, starvedUs) !== "late") return;
    // It hangs over a packet or a message that it had in hand all the time; one that somebody has stopped (SIGSTOP, a debugger) hangs over nothing of its own.
    const inHandUs = isSame ? nowUs - this.#inHand!.sinceUs - (starvedUs - this.#inHand!.starvedUs) : 0;
    this.#hung = inHandUs >= (this.#options.deadlineMs * 1e3) / 2 && !this.#inHand!.wasStopped;
    this.#options.trace.mark("noticed");
    const [stillMs, starvedMs] = [this.#judge.stillUs, this.#judge.excusedUs].map((us) => Math.round(us / 1e3));
    this.#options.happened("twinLate", `no progress for ${this.#options.deadlineMs} ms (${stillMs} ms, in ${starvedMs} of which it waited for a processor or a disk)`);
  }

  /** Looked at when it has not moved for a while: most of the time nothing has to be excused. */
  #starvedUs(pid: number, nowUs: number): number {
    this.#starvation ??= new Starvation(pid);
    const isStill = nowUs - this.#progressUs >= (this.#options.deadlineMs * 1e3) / STILL_PART;
    return isStill ? this.#starvation.look(nowUs) : this.#starvation.goesOn();
  }

  /** The kernel says that it has given everything back. */
  #died(): void {
    this.#pidfd.close();
    this.#over();
    this.#release();
  }

  /** The kernel says that it will never do anything again: it is dead, but for what it still holds. What it had sent is still to be read from the link. */
  #over(): void {
    if (this.#dead) return;
    this.#dead = true;
    const { trace } = this.#options;
    trace.mark("noticed");
    trace.mark("dead");
    for (const timer of this.#timers) clearInterval(timer);
    this.#link.connection.receiveAll();
    this.#options.happened("twinDead", "the active is dead");
  }
}

/** Whether somebody has stopped the process. By its number: the pidfd still holds it, so it is the same process. */
function isStopped(pid: number): boolean {
  try {
    return /^\d+ \(.*\) [Tt]/s.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    // Gone meanwhile: then it is not stopped.
    return false;
  }
}

/** How many processes the kernel has killed for lack of memory since the boot; 0 where it does not say. */
function outOfMemoryKills(): number {
  try {
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync("/proc/vmstat", "latin1"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

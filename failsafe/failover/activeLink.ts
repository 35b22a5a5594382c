/** The active's end of the link: lets one standby in, hands it what there is, and then what changes. A standby that cannot follow is let go; it never holds the active up. */
import { closeAll, type Descriptor, killBehind, type OwnPage, type SeqpacketConnection, SeqpacketServer } from "../../shm/sockets/index.ts";
import type { PacketSeal } from "../../shm/protocol/packet.ts";
import { type FdStore, heirs } from "./fdStore.ts";
import type { Heir, Keeper } from "./keeper.ts";
import { Word } from "./page.ts";
import { type LinkMessage, PairLink } from "./pairLink.ts";
import { PAIR_VERSION, type PairVersion, versionFault } from "./version.ts";

export interface ActiveLinkOptions {
  /** Where the standby connects. */
  path: string;
  instance: string;
  version?: PairVersion;
  topics: string;
  page: Pick<OwnPage, "words" | "descriptor">;
  keeper: Keeper;
  /** systemd's store, which goes on when the standby goes. */
  store?: FdStore | undefined;
  seal: PacketSeal;
  /** The clients' listening socket, and its path. */
  listener(): { descriptor: Descriptor; path: string };
  /** Whether a standby that was told to end may go: false where this instance counts on it, because it hands over to it. */
  mayLeave(): boolean;
  /** Whoever has it is active. With a copy the standby has it without an interval, however long this process takes to let go of it. */
  lock: Descriptor;
  /** A standby came, is ready, was refused, or went. */
  event(code: "standbyJoined" | "standbyReady" | "standbyRefused" | "standbyGone", text: string): void;
}

/** Messages that wait for the standby to read: two descriptors for each of a thousand clients, and as much again. */
const BACKLOG_MAX = 4_096;

export class ActiveLink {
  readonly #options: ActiveLinkOptions;
  readonly #server: SeqpacketServer;
  #standby: { link: PairLink; instance: string; isReady: boolean } | undefined;
  /** How many there have been. */
  #heirs = 0;

  /** Throws a `SocketError` when it cannot listen. */
  constructor(options: ActiveLinkOptions) {
    this.#options = options;
    this.#server = SeqpacketServer.listen(options.path, { mode: 0o600 });
    this.#server.onConnection((connection) => this.#accept(connection));
  }

  /** The standby, if there is one. */
  get standby(): { instance: string; pid: number; isReady: boolean } | undefined {
    return this.#standby && { instance: this.#standby.instance, pid: this.#standby.link.connection.peer.pid, isReady: this.#standby.isReady };
  }

  /** kill -9 of the standby, for drills. */
  killStandby(): void {
    const pidfd = this.#standby?.link.connection.peer.pidfd;
    if (pidfd) killBehind(pidfd);
  }

  close(): void {
    this.#server.close();
    this.#standby?.link.connection.close();
  }

  #accept(connection: SeqpacketConnection): void {
    const link = new PairLink(connection, { role: "active", seal: this.#options.seal });
    if (connection.peer.uid !== process.getuid?.() || !connection.peer.pidfd) return this.#refuse(link, "the twin runs as the same user, and the kernel says who it is");
    link.onMessage((message, descriptors) => {
      closeAll(descriptors);
      if (message.op === "hello") this.#hello(link, message);
      else if (message.op === "leaving" && this.#standby?.link === link && this.#options.mayLeave()) link.connection.close();
    }, (text) => this.#options.event("standbyRefused", text));
  }

  #hello(link: PairLink, { major, minor, instance, topics, lock = false }: Extract<LinkMessage, { op: "hello" }>): void {
    const { version = PAIR_VERSION, event, keeper, page, listener, store } = this.#options;
    const fault = versionFault(version, { major, minor })
      ?? (this.#standby ? `there is a standby already (${this.#standby.instance})` : undefined)
      ?? (topics === this.#options.topics ? undefined : "the twin's configuration has other topics")
      ?? (instance === this.#options.instance ? `both are called ${instance}` : undefined);
    if (fault !== undefined) return this.#refuse(link, fault);
    const standby = { link, instance, isReady: false };
    this.#standby = standby;
    this.#heirs += 1;
    page.words[Word.heir] = this.#heirs;
    // Before it sees the end, and looks here: it would take an active that lets it go for one that has died, and kill it; and it must not go on with less than the clients have been told from here on.
    link.connection.onClosing(() => (page.words[Word.heir] = 0));
    link.connection.onClose(() => {
      this.#standby = undefined;
      store?.forgetAll(store.numbered());
      keeper.setHeir(store);
      page.words[Word.missing] = 0;
      event("standbyGone", `instance ${instance} is gone: nobody can take over now`);
    });
    event("standbyJoined", `instance ${instance} follows (pid ${link.connection.peer.pid})`);
    const { descriptor, path } = listener();
    link.send({ op: "welcome", ...version, instance: this.#options.instance, path }, [page.descriptor, descriptor, ...(lock ? [this.#options.lock] : [])]);
    descriptor.close();
    const heir = new LinkHeir(link, page);
    // What it holds is numbered anew with a new heir.
    store?.forgetAll(store.numbered());
    keeper.setHeir(store ? heirs(heir, store) : heir);
    heir.synced(() => {
      standby.isReady = true;
      event("standbyReady", `instance ${instance} has everything open and can take over`);
    });
  }

  #refuse(link: PairLink, text: string): void {
    this.#options.event("standbyRefused", text);
    link.send({ op: "refused", text });
    link.connection.end();
  }
}

/** Hands over by the link, in order; what does not fit its socket waits here. */
class LinkHeir implements Heir {
  readonly #link: PairLink;
  readonly #page: Pick<OwnPage, "words">;
  #backlog: { message: LinkMessage; copies: Descriptor[] }[] = [];
  #synced: (() => void) | undefined;

  constructor(link: PairLink, page: Pick<OwnPage, "words">) {
    this.#link = link;
    this.#page = page;
    link.connection.onDrain(() => this.#flush());
  }

  journal(descriptor: Descriptor): void {
    this.#send({ op: "journal" }, descriptor);
  }

  handOver(number: number, descriptor: Descriptor): void {
    this.#send({ op: "descriptors", numbers: [number] }, descriptor);
  }

  dropped(): void {
    // The standby sees from the journal what nobody names any more.
  }

  /** Calls `listener` when everything so far is on its way. */
  synced(listener: () => void): void {
    this.#synced = listener;
    this.#flush();
  }

  #send(message: LinkMessage, descriptor: Descriptor): void {
    if (this.#backlog.length === 0 && this.#link.send(message, [descriptor])) return;
    this.#backlog.push({ message, copies: [descriptor.dup()] });
    this.#page.words[Word.missing] = this.#backlog.length;
    if (this.#backlog.length <= BACKLOG_MAX) return;
    for (const { copies } of this.#backlog) closeAll(copies);
    this.#backlog = [];
    this.#link.connection.close({ code: "local", text: "the standby does not follow" });
  }

  #flush(): void {
    let sent = 0;
    while (sent < this.#backlog.length && this.#link.send(this.#backlog[sent]!.message, this.#backlog[sent]!.copies)) closeAll(this.#backlog[sent++]!.copies);
    this.#backlog.splice(0, sent);
    this.#page.words[Word.missing] = this.#backlog.length;
    const synced = this.#synced;
    if (this.#backlog.length > 0 || !synced || !this.#link.send({ op: "synced" })) return;
    this.#synced = undefined;
    synced();
  }
}

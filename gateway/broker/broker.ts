/** The broker of the client socket: accepts local programs, lets each have a session, and sends at the end of each turn what the turn has brought. */
import type { Clock } from "../../schemas/clock.ts";
import type { ClientReport, LaneReport } from "../../schemas/messages/statusReport.ts";
import { Status } from "../../schemas/status.ts";
import { Channel } from "../../shm/protocol/channel.ts";
import { CborWriter } from "../../shm/protocol/cborWriter.ts";
import { encodeControl } from "../../shm/protocol/control.ts";
import { CONTROL_BYTES_MAX_TO_CLIENT, PACKET_BYTES_MAX } from "../../shm/protocol/limits.ts";
import type { Inheritance } from "../../failsafe/failover/inheritance.ts";
import type { GatewayIdentity } from "../../shm/protocol/messages.ts";
import { PROTOCOL_VERSION } from "../../shm/protocol/packet.ts";
import { SampleBatchReader } from "../../shm/protocol/samples.ts";
import { type Descriptor, type ListenOptions, nativeSeal, type PeerIdentity, type SeqpacketConnection, SeqpacketServer } from "../../shm/sockets/index.ts";
import type { TopicSource } from "../topics/topicSource.ts";
import { LaneBroker } from "./lanes/laneBroker.ts";
import { defaultLaneLimits, type LaneLimits } from "./lanes/limits.ts";
import { LaneTap } from "./lanes/tap.ts";
import type { DirectTopics } from "./lanes/topics.ts";
import type { ProcessFacts } from "../identity/facts.ts";
import { type Account, Ledger } from "./ledger.ts";
import { type BrokerLimits, defaultLimits } from "./limits.ts";
import { OriginTable } from "./origins.ts";
import { PacketPool } from "./outbox.ts";
import type { AccessPolicy, ClientConnection, Peer, Publisher, ResourceTable, ServiceTable } from "./ports.ts";
import { type BrokerHandover, restoreBroker, StateNotes } from "./handover.ts";
import { FairShare, type QuotaUse } from "./quota/quota.ts";
import { ServiceDesk } from "./services/desk.ts";
import { type ServiceLimits, serviceLimits } from "./services/limits.ts";
import { type RestoredSession, Session, type SessionHost } from "./session.ts";

export interface BrokerOptions {
  /** From `listenForClients`; the broker accepts its connections and closes it in the end. */
  server: SeqpacketServer;
  gateway: GatewayIdentity;
  topics: TopicSource;
  publisher: Publisher;
  services: ServiceTable;
  /** Topics that programs write by lanes. */
  directTopics: DirectTopics;
  /** What can be granted; absent: nothing. */
  resources?: ResourceTable;
  policy: AccessPolicy;
  /** Says which component a peer is; absent: all are known by their uid alone. */
  identify?: (peer: PeerIdentity, facts?: ProcessFacts) => Peer;
  /** For a pair of gateways: what a successor needs is handed over as it changes, and what a predecessor has left goes on. */
  handover?: BrokerHandover;
  clock: Clock;
  limits?: Partial<BrokerLimits>;
  laneLimits?: Partial<LaneLimits>;
  serviceLimits?: Partial<ServiceLimits>;
  /** For the log: clients that came and went. */
  onEvent?: (event: BrokerEvent) => void;
}

export interface BrokerEvent {
  code: "takenOver" | "clientConnected" | "clientRefused" | "clientLeft" | "acceptFailed";
  pid: number;
  uid: number;
  name: string;
  text: string;
}

export interface Broker {
  /** Everybody who is connected, for status. */
  clients(): ClientReport[];
  /** Who writes what by lanes, for status. */
  lanes(): LaneReport[];
  /** Calls of services: counters that only rise. */
  serviceCounters(): Readonly<Record<string, number>>;
  /** What the users have of what they share, for status. */
  quotaUse(): QuotaUse;
  /** Counters that only rise. */
  readonly counters: Readonly<{ connected: number; refused: number; left: number }>;
  /** To be called when the policy's answers may have changed. */
  recheck(): void;
  /** Tells all clients that the gateway goes in `deadlineMs`; resolves when they are prepared or gone, at the latest when their time is over. `late`: the names of those that were not. */
  sayFarewell(deadlineMs: number, text: string): Promise<{ told: number; late: string[] }>;
  /** Stops accepting, says goodbye to everybody and resolves when all are gone, at the latest after `timeoutMs`. */
  close(why: string, timeoutMs?: number): Promise<void>;
}

/** Listens at `path` for `createBroker`. Throws a `SocketError`: EADDRINUSE another gateway listens there, EACCES, ENOENT the folder is missing … */
export function listenForClients(path: string, { mode, group, limits }: Pick<ListenOptions, "mode" | "group"> & { limits?: Partial<BrokerLimits> } = {}): SeqpacketServer {
  return SeqpacketServer.listen(path, { ...(mode === undefined ? {} : { mode }), ...(group === undefined ? {} : { group }), connection: { queue: clientQueue(limits) } });
}

/** Goes on with a listening socket that was handed over, at the path where it is. Throws a `SocketError`. */
export function goOnListening(listener: Descriptor, path: string): SeqpacketServer {
  return SeqpacketServer.of(listener, path, { connection: { queue: clientQueue() } });
}

/** What may wait for a client in its connection. */
export function clientQueue(limits?: Partial<BrokerLimits>): { capacityBytes: number; whenFull: "refuse" } {
  return { capacityBytes: limits?.connectionQueueBytes ?? defaultLimits.connectionQueueBytes, whenFull: "refuse" };
}

export function createBroker(options: BrokerOptions): Broker {
  return new LocalBroker(options);
}

class LocalBroker implements Broker {
  readonly counters = { connected: 0, refused: 0, left: 0 };
  readonly #options: BrokerOptions;
  readonly #limits: BrokerLimits;
  readonly #host: SessionHost;
  readonly #quota: FairShare;
  readonly #ledger: Ledger;
  readonly #desk: ServiceDesk;
  readonly #sessions = new Map<Session, Account>();
  readonly #lanes: LaneBroker;
  readonly #tap: LaneTap;
  readonly #stopForgetting: () => void;
  readonly #notes: StateNotes | undefined;
  #scheduled: Session[] = [];
  #allGone: (() => void) | undefined;

  constructor(options: BrokerOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#quota = new FairShare(this.#limits.shared);
    this.#ledger = new Ledger(this.#limits, this.#quota);
    const { gateway, topics, publisher, services, policy, clock, server, directTopics, handover } = options;
    const notes = handover && new StateNotes(handover);
    this.#notes = notes;
    this.#lanes = new LaneBroker({ limits: { ...defaultLaneLimits, ...options.laneLimits }, quota: this.#quota, policy, topics: directTopics, clock, ...(notes ? { changed: (client) => notes.lanes(this.#lanes, client) } : {}) });
    this.#tap = new LaneTap({ lanes: this.#lanes, topics: directTopics, peer: { ...ownPeer(), component: "gateway" }, clock });
    this.#stopForgetting = topics.onGone((topic) => {
      for (const session of this.#sessions.keys()) session.forget(topic);
    });
    this.#desk = new ServiceDesk({ clock, policy, services, topics, resources: options.resources ?? nothingToGrant, quota: this.#quota, limits: { ...serviceLimits, requestsPerClient: this.#limits.requestsOutstanding, ...options.serviceLimits }, ...(notes ? { listener: notes.desk(() => this.#desk) } : {}) });
    this.#host = {
      lanes: this.#lanes, gateway, topics, publisher, desk: this.#desk, policy, clock, limits: this.#limits, quota: this.#quota, seal: nativeSeal(), pool: new PacketPool(), origins: new OriginTable((id, name) => notes?.origin(id, name)),
      writer: new CborWriter({ lengthMax: CONTROL_BYTES_MAX_TO_CLIENT }), scratch: new Uint8Array(PACKET_BYTES_MAX), reader: new SampleBatchReader(),
      changed: (session) => notes?.session(session), changedOwed: (session) => notes?.owed(session), schedule: (session) => this.#schedule(session), ended: (session, why) => this.#ended(session, why),
    };
    server.onError((error) => this.#event("acceptFailed", { pid: 0, uid: 0 }, "", error.message));
    if (handover) {
      handover.keeper.beforeCommit(() => this.#flushAll());
      server.connectionOptions(() => handover.connections.options());
    }
    if (handover?.inheritance) this.#restore(handover, handover.inheritance);
    server.onConnection((connection) => this.#accept(connection));
  }

  #restore(handover: BrokerHandover, inheritance: Inheritance): void {
    const { identify = unnamed } = this.#options;
    const { origins } = this.#host;
    const { restored, lost } = restoreBroker(inheritance, {
      handover, lanes: this.#lanes, desk: this.#desk, origins, notes: this.#notes!,
      begin: (connection, facts, from) => this.#begin(connection, identify(connection.peer, facts), from),
    });
    this.#event("takenOver", ownPeer(), "", `${restored} clients go on${lost > 0 ? `, ${lost} did not come over and have to connect again` : ""}`);
  }

  clients(): ClientReport[] {
    return [...this.#sessions.keys()].map((session) => session.report());
  }

  quotaUse(): QuotaUse {
    return this.#quota.use();
  }

  serviceCounters(): Readonly<Record<string, number>> {
    return { ...this.#desk.counters };
  }

  lanes(): LaneReport[] {
    return this.#lanes.report();
  }

  recheck(): void {
    for (const session of this.#sessions.keys()) session.recheck();
    this.#lanes.recheck();
  }

  sayFarewell(deadlineMs: number, text: string): Promise<{ told: number; late: string[] }> {
    return this.#desk.sayFarewell(deadlineMs, text);
  }

  async close(why: string, timeoutMs = 200): Promise<void> {
    this.#options.server.close();
    const { clock } = this.#options;
    const gone = new Promise<void>((resolve) => {
      this.#allGone = resolve;
    });
    this.#tap.close();
    for (const session of this.#sessions.keys()) session.leave(Status.serviceUnavailable, why);
    this.#lanes.stop();
    this.#stopForgetting();
    this.#desk.close();
    if (this.#sessions.size === 0) return;
    const cancel = clock.at(clock.nowUs() + timeoutMs * 1e3, () => this.#allGone?.());
    await gone;
    cancel();
    for (const session of this.#sessions.keys()) session.cut();
  }

  #accept(connection: SeqpacketConnection): void {
    const { policy, identify = unnamed, handover } = this.#options;
    const handed = handover?.connections.accepted(connection);
    const peer = identify(connection.peer);
    if (!policy.mayConnect(peer)) return this.#refuse(handed ?? connection, Status.forbidden, `uid ${peer.uid} may not use this gateway`);
    if (handover && !handed) return this.#refuse(connection, Status.serviceUnavailable, "the gateway has as many connections as it can hand over");
    const kept = handover?.guard.refusal(peer);
    if (kept !== undefined) return this.#refuse(handed ?? connection, Status.forbidden, kept);
    const session = this.#begin(handed ?? connection, peer);
    if (!session) return this.#refuse(handed ?? connection, Status.tooManyRequests, `uid ${peer.uid} has its share of the connections already`);
    if (handed) {
      this.#notes!.began(session, handed);
      handover!.guard.watch(session, handed);
    }
    this.counters.connected += 1;
    this.#event("clientConnected", peer, "", "");
  }

  /** undefined: the user has its share of connections. */
  #begin(connection: ClientConnection, peer: Peer, restored?: RestoredSession): Session | undefined {
    const account = this.#ledger.open(peer.uid, this.#options.clock.nowUs());
    if (!account) return undefined;
    const session = new Session(this.#host, { connection, account, peer, restored });
    this.#sessions.set(session, account);
    return session;
  }

  #refuse(connection: ClientConnection, status: number, text: string): void {
    const { seal, writer, scratch } = this.#host;
    this.counters.refused += 1;
    this.#event("clientRefused", connection.peer, "", text);
    const channel = new Channel({ role: "gateway", seal, transport: connection, controlBytesMax: 0, scratch });
    channel.sendControl(encodeControl(writer.reset(), { op: "refused", status, text, versions: [PROTOCOL_VERSION] }).bytes.subarray(0, writer.length), "handshake");
    connection.end();
  }

  /** Microtasks run when the callback that delivered the samples returns: everything one driver read at once leaves in one packet per client. */
  #schedule(session: Session): void {
    if (this.#scheduled.push(session) > 1) return;
    queueMicrotask(() => this.#flushAll());
  }

  #flushAll(): void {
    const sessions = this.#scheduled;
    if (sessions.length === 0) return;
    this.#scheduled = [];
    for (const each of sessions) each.flush();
  }

  #ended(session: Session, why: string): void {
    const account = this.#sessions.get(session);
    if (!account) return;
    this.#sessions.delete(session);
    this.#notes?.ended(session);
    this.#ledger.close(account);
    this.counters.left += 1;
    const { pid, uid, name } = session.report();
    this.#event("clientLeft", { pid, uid }, name, why);
    if (this.#sessions.size === 0) this.#allGone?.();
  }

  #event(code: BrokerEvent["code"], { pid, uid }: { pid: number; uid: number }, name: string, text: string): void {
    this.#options.onEvent?.({ code, pid, uid, name, text });
  }
}

function unnamed(peer: PeerIdentity): Peer {
  return { ...peer, component: `uid:${peer.uid}` };
}

function ownPeer(): PeerIdentity {
  return { pid: process.pid, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, groups: [] };
}

const nothingToGrant: ResourceTable = { list: () => [], open: (name) => Promise.resolve({ status: Status.notFound, text: `there is no resource ${name}` }) };

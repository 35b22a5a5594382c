/**
 * One client of the gateway, from its first packet to its last: handshake, requests, publishes, and what it is sent.
 *
 * Whatever a client does costs itself: it reads slowly → its queues overflow and it is told what it lost; it floods → its reading pauses; it talks
 * nonsense → it gets errors, then a goodbye; it forges packets → it is cut off. A sentence says why, wherever it can still be heard.
 */
import { Status } from "../../schemas/status.ts";
import { topicMatcher, topicNameFault, topicPatternFault } from "../../schemas/topics/topicName.ts";
import { Channel, type SendVerdict } from "../../shm/protocol/channel.ts";
import { decodeCbor } from "../../shm/protocol/cborReader.ts";
import { CborValueError } from "../../shm/protocol/cborWriter.ts";
import type { CborWriter } from "../../shm/protocol/cborWriter.ts";
import { laneDescriptors, type LaneClientMessage } from "../../shm/protocol/laneMessages.ts";
import { cutText, decodeClientMessage, encodeAnnouncements, encodeControl } from "../../shm/protocol/control.ts";
import { CBOR_DEPTH_MAX, CBOR_ITEMS_MAX_TO_GATEWAY, CONTROL_BYTES_MAX_TO_CLIENT, CONTROL_BYTES_MAX_TO_GATEWAY } from "../../shm/protocol/limits.ts";
import type { ClientMessage, ClientOp, GatewayIdentity, QueryAnswer, ServerMessage } from "../../shm/protocol/messages.ts";
import { type PacketSeal, PROTOCOL_VERSION } from "../../shm/protocol/packet.ts";
import { SampleBatchReader, SampleFlag } from "../../shm/protocol/samples.ts";
import type { ConnectionState } from "../../failsafe/failover/connections.ts";
import { type CloseReason, closeAll, type Descriptor, SocketError } from "../../shm/sockets/index.ts";
import type { Clock } from "../../schemas/clock.ts";
import type { ClientReport } from "../../schemas/messages/statusReport.ts";
import type { TopicEntry, TopicSource } from "../topics/topicSource.ts";
import { Budget } from "./budget.ts";
import { describeTopic } from "./describe.ts";
import type { LaneBroker } from "./lanes/laneBroker.ts";
import { SessionLanes } from "./lanes/sessionLanes.ts";
import type { Account } from "./ledger.ts";
import type { BrokerLimits } from "./limits.ts";
import { Notices } from "./notices.ts";
import type { OriginTable } from "./origins.ts";
import { Outbox, type Owed, type PacketPool } from "./outbox.ts";
import type { AccessPolicy, ClientConnection, Peer, Publisher, ServiceAnswer } from "./ports.ts";
import type { Quota } from "./quota/quota.ts";
import type { ServiceClient, ServiceDesk } from "./services/desk.ts";
import { Subscriptions, type SubscriptionsState } from "./subscriptions.ts";

/** What all sessions of a broker share. */
export interface SessionHost {
  readonly gateway: GatewayIdentity;
  readonly topics: TopicSource;
  readonly publisher: Publisher;
  readonly lanes: LaneBroker;
  readonly desk: ServiceDesk;
  readonly policy: AccessPolicy;
  readonly clock: Clock;
  readonly limits: BrokerLimits;
  /** What the users have in use; whoever charges also releases. */
  readonly quota: Quota;
  readonly seal: PacketSeal;
  readonly pool: PacketPool;
  readonly origins: OriginTable;
  readonly writer: CborWriter;
  readonly scratch: Uint8Array;
  readonly reader: SampleBatchReader;
  /** What `state` of this session says has changed. */
  changed(session: Session): void;
  /** What `owed` of this session says has changed. */
  changedOwed(session: Session): void;
  /** Has `flush` called at the end of this turn. */
  schedule(session: Session): void;
  ended(session: Session, why: string): void;
}

/** A session as a successor needs it. */
export interface SessionState {
  connection: ConnectionState;
  /** What the kernel said of its process. */
  facts: unknown;
  client: number;
  name: string;
  open: boolean;
  fragments: Uint8Array;
  subscriptions: SubscriptionsState;
}

/** Where a predecessor has left off. */
export interface RestoredSession {
  state: SessionState;
  sent: number;
  received: number;
}

/** Something to publish into: looked up once per client and topic. */
interface Target {
  topic: TopicEntry;
  permitted: boolean;
}

type Handlers = { readonly [O in Exclude<ClientOp, "hello">]: (message: Extract<ClientMessage, { op: O }>, descriptors: Descriptor[]) => void };

/** Whether a message may come with so many descriptors: lanes always come with the same number, services with any. */
function mayBring(op: ClientOp, descriptors: number): boolean {
  if (Object.hasOwn(laneDescriptors, op)) return descriptors === laneDescriptors[op as keyof typeof laneDescriptors];
  return descriptors === 0 || op === "request" || op === "result";
}

/** Why nothing is read from a client. */
type HoldReason = "quota" | "unreadAnswers";
/** leaving: it was sent off, and its goodbye waits to be read. */
type Phase = "new" | "open" | "leaving" | "ended";

export class Session {
  readonly #host: SessionHost;
  readonly #connection: ClientConnection;
  readonly #channel: Channel;
  readonly #account: Account;
  readonly #peer: Peer;
  readonly #outbox: Outbox;
  readonly #subscriptions: Subscriptions;
  readonly #notices: Notices;
  readonly #packets: Budget;
  readonly #bytes: Budget;
  readonly #targets = new Map<number, Target>();
  readonly #timers = new Map<string, () => void>();
  /** Its number at the desk of services. */
  readonly #client: number;
  #phase: Phase = "new";
  /** From the welcome on. */
  #lanes: SessionLanes | undefined;
  #name = "";
  #scheduled = false;
  /** Something waits that a successor would not have. */
  #owes = false;
  /** A subscription begins: its first samples wait until the reply has told its number. */
  #opening = false;
  #malformed = 0;
  #reservedBytes = 0;
  #settledBytes = 0;
  readonly #holds = new Set<HoldReason>();

  constructor(host: SessionHost, { connection, account, peer, restored }: { connection: ClientConnection; account: Account; peer: Peer; restored?: RestoredSession | undefined }) {
    this.#host = host;
    this.#connection = connection;
    this.#account = account;
    this.#peer = peer;
    const { limits, clock, seal, scratch, pool, topics, origins } = host;
    const nowUs = clock.nowUs();
    this.#channel = new Channel({ role: "gateway", seal, transport: connection, controlBytesMax: CONTROL_BYTES_MAX_TO_GATEWAY, scratch, resumed: restored && { sent: restored.sent, received: restored.received, fragments: restored.state.fragments } });
    this.#packets = new Budget({ perSecond: limits.packetsPerSecond, burst: limits.packetBurst, nowUs });
    this.#bytes = new Budget({ perSecond: limits.bytesPerSecond, burst: limits.bytesPerSecond / 4, nowUs });
    this.#notices = new Notices(limits.noticeIntervalMs);
    this.#outbox = new Outbox({ pool, reserve: (bytes) => this.#reserve(bytes), release: (bytes) => this.#release(bytes) });
    this.#subscriptions = new Subscriptions({
      outbox: this.#outbox, topics, origins, feedsMax: limits.feedsPerClient, mayRead: (topic) => host.policy.mayRead(peer, topic), nowUs: () => clock.nowUs(),
      wake: () => this.#wake(), changed: () => host.changed(this), tooMany: (topic) => this.#notice(Status.tooManyRequests, `${topic} and perhaps more are left out: a client may have ${limits.feedsPerClient} topics`),
    });
    this.#client = host.desk.join(this.#atDesk(), restored?.state.client);
    if (restored?.state.open) this.#welcomed(restored.state.name);
    else this.#timer("hello", nowUs + limits.helloTimeoutMs * 1e3, () => this.leave(Status.requestTimeout, `no hello within ${limits.helloTimeoutMs} ms`));
    connection.onClose((reason) => this.#closed(reason));
    connection.onDrain(() => this.#drained());
    if (!restored) this.listen();
  }

  /** Begins to read what the client says: when everything that it may refer to is there. */
  listen(): void {
    this.#connection.onPacket((bytes, at, lengthBytes, descriptors) => this.#packet(bytes, at, lengthBytes, descriptors));
  }

  /** Its subscriptions as a predecessor had them: when all topics are there. */
  restoreSubscriptions(state: SubscriptionsState): void {
    this.#subscriptions.restore(state, topicMatcher);
  }

  /** What its predecessor still owed it: behind its subscriptions. */
  restoreOwed(owed: readonly Owed[]): void {
    this.#subscriptions.restoreOwed(owed);
  }

  /** What would be lost with this gateway, and has to be told then; undefined: nothing. */
  owed(): Owed[] | undefined {
    return this.#owes ? this.#outbox.owed() : undefined;
  }

  /** Its number at the desk of services. */
  get client(): number {
    return this.#client;
  }

  get peer(): Peer {
    return this.#peer;
  }

  /** From the welcome on. */
  get lanes(): SessionLanes | undefined {
    return this.#lanes;
  }

  /** What a successor needs, but for the connection itself. */
  state(connection: ConnectionState): SessionState {
    return { connection, facts: this.#peer.facts, client: this.#client, name: this.#name, open: this.#phase === "open", fragments: this.#channel.fragments, subscriptions: this.#subscriptions.state() };
  }

  report(): ClientReport {
    const { pid, uid, component } = this.#peer;
    const leaving = this.#host.desk.leavingOf(this.#client);
    return {
      name: this.#name, pid, uid, component, ...(leaving === undefined ? {} : { leaving }), subscriptions: this.#subscriptions.count, sentMessages: this.#outbox.sent, droppedMessages: this.#outbox.dropped,
      pendingBytes: this.#outbox.pendingBytes + this.#connection.pendingBytes,
    };
  }

  /** Sends what the turn has brought. */
  flush(): void {
    this.#scheduled = false;
    if (this.#phase !== "open") return;
    if (this.#tellNews() && this.#connection.pendingBytes === 0) {
      this.#outbox.pack((batch) => this.#channel.sendData(batch.bytes, batch.packetAt, batch.packetBytes) === "sent");
      const gaps = this.#outbox.takeGaps();
      if (gaps.length > 0) this.#say({ op: "gap", gaps });
    }
    this.#watchStall();
    this.#scheduleDue();
    this.#noteOwed();
  }

  /** Who keeps up owes nothing at the end of a turn, and nothing is noted. */
  #noteOwed(): void {
    const owes = this.#outbox.hasWork;
    if (!(owes ? this.#outbox.takeOwedChanged() : this.#owes)) return;
    this.#owes = owes;
    this.#host.changedOwed(this);
  }

  /** Asks the policy again: it has changed. */
  recheck(): void {
    if (!this.#host.policy.mayConnect(this.#peer)) return this.leave(Status.forbidden, "the access rules have changed");
    this.#targets.clear();
    this.#subscriptions.recheck();
    this.#host.desk.recheck(this.#client);
  }

  /** A topic is gone, and its id with it. */
  forget(topic: TopicEntry): void {
    this.#targets.delete(topic.id);
    this.#subscriptions.gone(topic);
  }

  /** Says goodbye, then closes; a client that does not read is cut off after `lingerMs`. */
  leave(status: number, text: string): void {
    if (this.#phase === "leaving" || this.#phase === "ended") return;
    const greeted = this.#phase !== "new";
    this.#phase = "leaving";
    this.#stopAll();
    this.#say(greeted ? { op: "goodbye", status, text: cutText(text) } : { op: "refused", status, text: cutText(text), versions: [PROTOCOL_VERSION] }, greeted ? "control" : "handshake");
    const { clock, limits } = this.#host;
    this.#timer("linger", clock.nowUs() + limits.lingerMs * 1e3, () => this.#connection.close());
    this.#connection.end();
  }

  /** Closes at once. */
  cut(): void {
    this.#connection.close();
  }

  // --- incoming -------------------------------------------------------------------------------------------------------------------

  #packet(bytes: Uint8Array, at: number, lengthBytes: number, descriptors: Descriptor[]): void {
    const nowUs = this.#host.clock.nowUs();
    const resumeUs = Math.max(this.#packets.charge(1, nowUs), this.#bytes.charge(lengthBytes, nowUs));
    if (resumeUs > 0) this.#pause(resumeUs);
    const kind = this.#channel.receive(bytes, at, lengthBytes, descriptors);
    switch (kind) {
      case "more":
        return this.#host.changed(this);
      case "handshake":
      case "control":
        return this.#control(kind);
      case "data":
        return this.#phase === "open" ? this.#publishBatch(bytes, at, lengthBytes, nowUs) : this.leave(Status.badRequest, "data before hello");
      case "descriptors":
        return this.leave(Status.badRequest, "descriptors came with a packet that takes none");
      case "tooShort":
      case "length":
      case "crc":
      case "counter":
      case "dataId":
      case "fragment":
        return this.leave(Status.integrityFailure, `a packet failed its integrity check (${kind})`);
      default:
        return kind satisfies never;
    }
  }

  #control(kind: "handshake" | "control"): void {
    const { body, bodyAt, bodyBytes } = this.#channel;
    // It came in parts, which are no longer kept.
    if (bodyAt === 0) this.#host.changed(this);
    const result = decodeClientMessage(body, bodyAt, bodyBytes);
    if (!result.ok) {
      this.#channel.closeDescriptors();
      return this.#malformedMessage(result.fault.seq, result.fault.text);
    }
    const { message, fds } = result;
    const descriptors = this.#channel.takeDescriptors();
    if (descriptors.length !== fds || !mayBring(message.op, fds)) {
      closeAll(descriptors);
      return this.leave(Status.badRequest, `${message.op} came with ${descriptors.length} descriptors`);
    }
    if ((message.op === "hello") !== (kind === "handshake") || (message.op === "hello") !== (this.#phase === "new")) {
      closeAll(descriptors);
      return this.leave(Status.badRequest, `${message.op} does not belong here`);
    }
    if (message.op === "hello") return this.#hello(message);
    // The table is total over the other ops; TypeScript cannot follow the correlation.
    (this.#handlers[message.op] as (message: ClientMessage, descriptors: Descriptor[]) => void)(message, descriptors);
  }

  #hello({ versions, name }: Extract<ClientMessage, { op: "hello" }>): void {
    this.#cancel("hello");
    if (!versions.includes(PROTOCOL_VERSION)) return this.leave(Status.upgradeRequired, `this gateway speaks protocol version ${PROTOCOL_VERSION}, the client ${versions.join(", ") || "none"}`);
    // Names end up in terminals: what could steer one is not passed on.
    this.#welcomed(name.replace(/\p{Cc}/gu, "?"));
    this.#host.changed(this);
    this.#say({ op: "welcome", version: PROTOCOL_VERSION, gateway: this.#host.gateway }, "handshake");
  }

  #welcomed(name: string): void {
    this.#name = name;
    this.#phase = "open";
    this.#lanes = new SessionLanes(this.#host.lanes, {
      peer: this.#peer, client: this.#client, nowUs: () => this.#host.clock.nowUs(), reply: (seq, answer) => this.#reply(seq, answer), tell: (status, text) => this.#notice(status, text),
      send: (message, descriptors) => {
        const said = this.#say(message, "control", descriptors);
        if (!said) this.leave(Status.insufficientStorage, "what it is told about lanes is not read");
        return said;
      },
      describe: (name) => this.#describeByName(name), originId: (origin) => this.#tellOrigin(origin),
    });
  }

  #malformedMessage(seq: number, text: string): void {
    this.#malformed += 1;
    if (this.#phase === "new" || this.#malformed > this.#host.limits.malformedMax) return this.leave(Status.badRequest, text);
    this.#reply(seq, { status: Status.badRequest, text });
  }

  readonly #handlers: Handlers = {
    ping: ({ seq }) => this.#reply(seq, { status: Status.ok }),
    goodbye: () => this.#connection.close(),
    topics: (message) => this.#topics(message),
    subscribe: (message) => this.#subscribe(message),
    unsubscribe: ({ seq, subscription }) => {
      const found = this.#subscriptions.close(subscription);
      this.#lanes!.unsubscribe(subscription);
      this.#reply(seq, found ? { status: Status.ok } : { status: Status.notFound, text: `there is no subscription ${subscription}` });
    },
    publish: (message) => this.#publish(message),
    query: (message) => this.#query(message),
    advertise: (message, descriptors) => this.#lane(message, descriptors),
    relane: (message, descriptors) => this.#lane(message, descriptors),
    unadvertise: (message, descriptors) => this.#lane(message, descriptors),
    attach: (message, descriptors) => this.#lane(message, descriptors),
    detach: (message, descriptors) => this.#lane(message, descriptors),
    announce: (message) => this.#host.desk.announce(this.#client, message, this.#channel.bodyBytes),
    find: (message) => this.#host.desk.find(this.#client, message),
    offer: (message) => this.#host.desk.offer(this.#client, message),
    unoffer: (message) => this.#host.desk.unoffer(this.#client, message),
    request: (message, descriptors) => this.#host.desk.request(this.#client, message, { body: message.body, bytes: this.#channel.bodyBytes, descriptors }),
    credit: (message) => this.#host.desk.credit(this.#client, message),
    cancel: (message) => this.#host.desk.cancel(this.#client, message),
    result: (message, descriptors) => this.#host.desk.result(this.#client, message, { body: message.body, bytes: this.#channel.bodyBytes, descriptors }),
    grant: (message) => void this.#host.desk.grant(this.#client, message),
    leaving: (message) => {
      this.#host.desk.leaving(this.#client, message);
      this.#lanes?.leaving(`${this.#name || this.#peer.component}, which writes topics that are read here, leaves in ${Math.round(message.deadlineMs)} ms: ${message.text}`);
    },
    ready: (message) => this.#host.desk.ready(this.#client, message),
    moreTime: (message) => this.#host.desk.moreTime(this.#client, message),
  };

  #lane(message: LaneClientMessage, descriptors: readonly Descriptor[]): void {
    this.#lanes!.handle(message, descriptors);
  }

  #topics({ seq, pattern }: Extract<ClientMessage, { op: "topics" }>): void {
    const fault = topicPatternFault(pattern);
    if (fault) return this.#reply(seq, { status: Status.badRequest, text: `the pattern is not one: ${fault}` });
    const matches = topicMatcher(pattern);
    const { topics, policy, writer } = this.#host;
    const peer = this.#peer;
    const visible = [...topics.entries()].filter(({ name }) => matches(name) && (policy.mayRead(peer, name) || policy.mayWrite(peer, name)));
    const described = visible.map((topic) => {
      this.#subscriptions.described(topic);
      return describeTopic(topic);
    });
    this.#replyEncoded(seq, () => {
      writer.reset().map(4).text("op").text("reply").text("seq").value(seq).text("status").value(Status.ok).text("body").array(described.length);
      for (const cbor of described) writer.raw(cbor);
    });
  }

  #subscribe({ seq, pattern, policy, rateHzMax, lastValue, lanes }: Extract<ClientMessage, { op: "subscribe" }>): void {
    const fault = topicPatternFault(pattern);
    const { limits, topics } = this.#host;
    if (fault) return this.#reply(seq, { status: Status.badRequest, text: `the pattern is not one: ${fault}` });
    if (this.#subscriptions.count >= limits.subscriptionsPerClient) return this.#reply(seq, { status: Status.tooManyRequests, text: `a client may have ${limits.subscriptionsPerClient} subscriptions` });
    const exact = topicNameFault(pattern) === undefined;
    if (exact && !this.#host.policy.mayRead(this.#peer, pattern)) return this.#reply(seq, { status: Status.forbidden, text: `${this.#peer.component} may not read ${pattern}` });
    const matches = topicMatcher(pattern);
    // Whoever wants a lower rate is served by the gateway: a lane would wake it for each message.
    const readsLanes = lanes && rateHzMax === undefined;
    const looked = lastValue && !readsLanes ? this.#refreshLastValues(matches) : 0;
    this.#opening = true;
    const subscription = this.#subscriptions.open(pattern, { policy, rateHzMax, lastValue, matches, readsLanes });
    this.#opening = false;
    const count = readsLanes ? this.#lanes!.subscribe(subscription, policy, matches) : 0;
    // Handing out a lane costs as much as reading a packet: subscribing to everything again and again is a flood as well.
    const nowUs = this.#host.clock.nowUs();
    const resumeUs = this.#packets.charge(count + looked, nowUs);
    if (resumeUs > nowUs) this.#pause(resumeUs);
    const known = exact ? topics.get(pattern) !== undefined : [...topics.entries()].some(({ name }) => matches(name));
    this.#reply(seq, { status: known ? Status.ok : Status.accepted, text: known ? "" : `no topic matches ${pattern} yet`, body: { subscription, ...(readsLanes ? { lanes: count } : {}) } });
    this.#lanes!.perform();
  }

  /** What only lanes have is made the topics' last values; returns in how many topics it looked. */
  #refreshLastValues(matches: (name: string) => boolean): number {
    let looked = 0;
    for (const { name, writers } of this.#host.topics.entries()) {
      if (writers === 0 || !matches(name) || !this.#host.policy.mayRead(this.#peer, name)) continue;
      this.#host.lanes.refresh(name);
      looked += 1;
    }
    return looked;
  }

  #query({ seq, topic: name, last }: Extract<ClientMessage, { op: "query" }>): void {
    const { topics, policy, lanes } = this.#host;
    const topic = topics.get(name);
    if (!policy.mayRead(this.#peer, name)) return this.#reply(seq, { status: Status.forbidden, text: `${this.#peer.component} may not read ${name}` });
    if (!topic) return this.#reply(seq, { status: Status.notFound, text: `there is no topic ${name}` });
    const { answers, costBytes, tooLarge } = lanes.history(name, topic.id, last ?? 1);
    this.#chargeBytes(costBytes / QUERY_BYTES_PER_BYTE);
    const kept = lastAnswer(topic);
    // The gateway's own copy is the only one of a topic without lanes; with lanes it is what was published through the gateway, if that is the newest.
    if (kept && (answers.length === 0 || kept.timeUs > answers.at(-1)!.timeUs)) answers.push(kept);
    if (answers.length === 0 && tooLarge > 0) return this.#reply(seq, { status: Status.payloadTooLarge, text: `the messages of ${name} are too large for an answer: subscribe to it` });
    if (last === undefined && answers.length === 0) return this.#reply(seq, { status: Status.noContent, text: "no value yet" });
    if (!this.#describe(topic)) return this.#reply(seq, busy);
    this.#reply(seq, { status: Status.ok, body: last === undefined ? answers.at(-1) : answers.slice(-last) });
  }

  // --- publishing -----------------------------------------------------------------------------------------------------------------

  #publish({ seq, topic, encoding, value, ttlMs, sentUs, id, acknowledge }: Extract<ClientMessage, { op: "publish" }>): void {
    const { clock, policy, publisher } = this.#host;
    const who = this.#peer;
    const verdict = !this.#account.publishes.take(1, clock.nowUs()) ? tooFast
      : !policy.mayWrite(who, topic) ? notPermitted(who, topic)
      : publisher.publish(topic, value, { form: encoding === "native" ? "native" : "value", ttlMs, sentUs, id, who, clientName: this.#name });
    if (acknowledge) this.#reply(seq, verdict);
    else if (verdict.status >= 200) this.#notice(verdict.status, `${topic}: ${verdict.text}`);
  }

  #publishBatch(bytes: Uint8Array, at: number, lengthBytes: number, nowUs: number): void {
    const { reader } = this.#host;
    const fault = reader.open(bytes, at, lengthBytes);
    if (fault) return this.leave(Status.badRequest, `a batch of samples is malformed (${fault})`);
    while (reader.next() && this.#phase === "open") {
      const target = this.#targets.get(reader.topicId) ?? this.#findTarget(reader.topicId);
      const verdict = this.#publishSample(target, nowUs);
      if (verdict.status >= 200) this.#notice(verdict.status, `${target?.topic.name ?? `topic ${reader.topicId}`}: ${verdict.text}`);
    }
  }

  #publishSample(target: Target | undefined, nowUs: number): { status: number; text: string } {
    const { reader, publisher } = this.#host;
    const who = this.#peer;
    if (!this.#account.publishes.take(1, nowUs)) return tooFast;
    if (!target) return { status: Status.notFound, text: "no such topic was described to this client" };
    if (!target.permitted) return notPermitted(who, target.topic.name);
    const ttlMs = reader.tag === 0 ? undefined : reader.tag;
    const sentUs = reader.timeUs;
    if (!(reader.flags & SampleFlag.cbor)) {
      return publisher.publish(target.topic.name, reader.bytes.subarray(reader.payloadAt, reader.payloadAt + reader.payloadBytes), { form: "native", ttlMs, sentUs, id: undefined, who, clientName: this.#name });
    }
    const decoded = decodeCbor(reader.bytes, { at: reader.payloadAt, lengthBytes: reader.payloadBytes, limits: { depthMax: CBOR_DEPTH_MAX, itemsMax: CBOR_ITEMS_MAX_TO_GATEWAY } });
    if (!decoded.ok) return { status: Status.badRequest, text: `not a CBOR value: ${decoded.code}` };
    return publisher.publish(target.topic.name, decoded.value, { form: "value", ttlMs, sentUs, id: undefined, who, clientName: this.#name });
  }

  /** Cold path, once per topic and client: ids are only accepted for topics that were described to this client. */
  #findTarget(topicId: number): Target | undefined {
    for (const topic of this.#host.topics.entries()) {
      if (topic.id !== topicId || !this.#subscriptions.isDescribed(topic)) continue;
      const target = { topic, permitted: this.#host.policy.mayWrite(this.#peer, topic.name) };
      this.#targets.set(topicId, target);
      return target;
    }
    return undefined;
  }

  /** This session as the desk of services sees it. */
  #atDesk(): ServiceClient {
    const name = (): string => this.#name;
    const isGreeted = (): boolean => this.#phase === "open";
    return {
      peer: this.#peer,
      get name() {
        return name();
      },
      get isGreeted() {
        return isGreeted();
      },
      tell: (message, descriptors) => this.#tell(message, descriptors),
      reply: (seq, answer, descriptors) => this.#reply(seq, answer, descriptors),
      leave: (status, text) => this.leave(status, text),
    };
  }

  // --- outgoing -------------------------------------------------------------------------------------------------------------------

  #reply(seq: number, { status, text = "", body }: ServiceAnswer, descriptors: readonly Descriptor[] = []): void {
    const { writer } = this.#host;
    this.#replyEncoded(seq, () => {
      encodeControl(writer.reset(), { op: "reply", seq, status, text: cutText(text), body }, descriptors.length);
    }, descriptors);
  }

  /** Sends a message of any size; without room for it the client is sent off. The descriptors stay the caller's. */
  #tell(message: ServerMessage, descriptors: readonly Descriptor[] = []): void {
    const { writer } = this.#host;
    encodeControl(writer.reset(), message, descriptors.length);
    if (this.#sendControl(descriptors) === "full") this.leave(Status.insufficientStorage, "what it is sent is not read");
    this.#watchStall();
  }

  /** Sends what `encode` adds to the writer; if it is too large or there is no room for it, says that instead. */
  #replyEncoded(seq: number, encode: () => void, descriptors: readonly Descriptor[] = []): void {
    const { writer } = this.#host;
    let verdict: SendVerdict;
    try {
      encode();
      verdict = this.#sendControl(descriptors);
    } catch (error) {
      if (!(error instanceof CborValueError)) throw error;
      encodeControl(writer.reset(), { op: "reply", seq, status: Status.internalError, text: cutText(`the answer cannot be sent: ${error.message}`), body: undefined });
      verdict = this.#channel.sendControl(writer.bytes.subarray(0, writer.length));
    }
    // Its answers fill megabytes and it does not read them: it will not read an excuse either.
    if (verdict === "full") this.leave(Status.insufficientStorage, "answers are not read");
    this.#watchStall();
  }

  /** Sends what stands in the writer. Where copies of the descriptors cannot be had (EMFILE), it is as if there were no room. */
  #sendControl(descriptors: readonly Descriptor[], kind: "control" | "handshake" = "control"): SendVerdict {
    const { writer } = this.#host;
    try {
      return this.#channel.sendControl(writer.bytes.subarray(0, writer.length), kind, descriptors);
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      return "full";
    }
  }

  /** Sends a small message; the descriptors stay the caller's. */
  #say(message: ServerMessage, kind: "control" | "handshake" = "control", descriptors: readonly Descriptor[] = []): boolean {
    const { writer } = this.#host;
    encodeControl(writer.reset(), message, descriptors.length);
    const verdict = this.#sendControl(descriptors, kind);
    return verdict === "sent" || verdict === "queued";
  }

  #notice(status: number, text: string): void {
    this.#notices.add(status, cutText(text));
    this.#sendNotices();
  }

  #sendNotices(): void {
    const { clock } = this.#host;
    const nowUs = clock.nowUs();
    for (const { status, text, count } of this.#notices.take(nowUs)) this.#say({ op: "notice", status, text, count });
    const dueUs = this.#notices.dueUs;
    if (dueUs !== undefined && !this.#timers.has("notices")) this.#timer("notices", dueUs, () => this.#sendNotices());
  }

  /** Describes topics and names origins before the first sample that needs them; false = no room, the samples must wait. */
  #tellNews(): boolean {
    const news = this.#subscriptions.takeNews();
    if (!news) return true;
    const { writer, origins } = this.#host;
    const described = news.topics.map((topic) => describeTopic(topic));
    for (const cbor of encodeAnnouncements(writer, described, CONTROL_BYTES_MAX_TO_CLIENT / 8)) {
      if (this.#channel.sendControl(cbor) === "full") return this.#tooMuchNews();
    }
    if (news.origins.length === 0) return true;
    return this.#say({ op: "origins", origins: news.origins.map((id) => ({ id, name: origins.nameOf(id) })) }) || this.#tooMuchNews();
  }

  #tooMuchNews(): false {
    this.leave(Status.insufficientStorage, "topic descriptions are not read");
    return false;
  }

  #describeByName(name: string): boolean {
    const topic = this.#host.topics.get(name);
    return topic !== undefined && (this.#describe(topic) || this.#tooMuchNews());
  }

  /** The number of an origin, told before it is used. */
  #tellOrigin(name: string): number {
    const { origins } = this.#host;
    const id = origins.idOf(name);
    if (this.#subscriptions.learnsOrigin(id)) this.#say({ op: "origins", origins: [{ id, name: origins.nameOf(id) }] });
    return id;
  }

  #describe(topic: TopicEntry): boolean {
    if (this.#subscriptions.isDescribed(topic)) return true;
    const [cbor] = encodeAnnouncements(this.#host.writer, [describeTopic(topic)], CONTROL_BYTES_MAX_TO_CLIENT);
    if (this.#channel.sendControl(cbor!) === "full") return false;
    this.#subscriptions.described(topic);
    return true;
  }

  // --- being behind ---------------------------------------------------------------------------------------------------------------

  #wake(): void {
    // Within the turn only if a packet is full, so that a client is woken once per turn and not once per sample.
    if (this.#outbox.isFull && !this.#opening && this.#connection.pendingBytes === 0 && this.#phase === "open") this.flush();
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#host.schedule(this);
  }

  #watchStall(): void {
    this.#outbox.behind = this.#connection.pendingBytes > 0;
    if (!this.#settle()) return this.leave(Status.insufficientStorage, "too much waits to be read by this user's clients");
    if (this.#connection.pendingBytes > this.#host.limits.holdReadingAtBytes) this.#hold("unreadAnswers");
    if (!this.#outbox.behind || this.#timers.has("stall") || this.#phase !== "open") return;
    const { clock, limits } = this.#host;
    this.#timer("stall", clock.nowUs() + limits.stallDeadlineMs * 1e3, () => this.leave(Status.requestTimeout, `nothing was read for ${limits.stallDeadlineMs} ms; ${this.#outbox.dropped + this.#outbox.clear()} messages are lost`));
  }

  #drained(): void {
    this.#cancel("stall");
    this.#outbox.behind = false;
    this.#settle();
    this.#resume("unreadAnswers");
    if (this.#outbox.hasWork) this.flush();
  }

  /** Comes back when the next rate-limited message is due. */
  #scheduleDue(): void {
    const { clock } = this.#host;
    const dueUs = this.#subscriptions.nextDueUs;
    if (dueUs === undefined || this.#timers.has("due")) return;
    this.#timer("due", dueUs, () => {
      this.#subscriptions.release(clock.nowUs());
      this.flush();
    });
  }

  /** Work that a small message has made counts like a large one. */
  #chargeBytes(bytes: number): void {
    const nowUs = this.#host.clock.nowUs();
    const resumeUs = this.#bytes.charge(bytes, nowUs);
    if (resumeUs > nowUs) this.#pause(resumeUs);
  }

  #pause(untilUs: number): void {
    this.#hold("quota");
    this.#cancel("resume");
    this.#timer("resume", untilUs, () => this.#resume("quota"));
  }

  #hold(reason: HoldReason): void {
    this.#holds.add(reason);
    this.#connection.pauseReading();
  }

  #resume(reason: HoldReason): void {
    if (this.#holds.delete(reason) && this.#holds.size === 0) this.#connection.resumeReading();
  }

  /** Counts what waits in the connection's queue as the user's, but for what every client may have; false = the user has its share. */
  #settle(): boolean {
    const bytes = Math.max(0, this.#connection.pendingBytes - this.#host.limits.holdReadingAtBytes);
    const more = bytes - this.#settledBytes;
    if (more > 0 && !this.#account.reserve(more)) return false;
    if (more < 0) this.#account.release(-more);
    this.#settledBytes = bytes;
    return true;
  }

  #reserve(bytes: number): boolean {
    if (this.#reservedBytes + bytes > this.#host.limits.pendingBytesPerClient || !this.#account.reserve(bytes)) return false;
    this.#reservedBytes += bytes;
    return true;
  }

  #release(bytes: number): void {
    this.#reservedBytes -= bytes;
    this.#account.release(bytes);
  }

  #timer(name: string, deadlineUs: number, callback: () => void): void {
    this.#timers.set(name, this.#host.clock.at(deadlineUs, () => {
      this.#timers.delete(name);
      callback();
    }));
  }

  #cancel(name: string): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }

  #stopAll(): void {
    this.#lanes?.close();
    for (const name of this.#timers.keys()) this.#cancel(name);
    this.#subscriptions.closeAll();
    this.#outbox.clear();
    this.#targets.clear();
    this.#host.desk.left(this.#client);
  }

  #closed(reason: CloseReason): void {
    this.#phase = "ended";
    this.#stopAll();
    this.#settle();
    this.#host.ended(this, reason.text);
  }
}

/** What the gateway has kept of a topic. */
function lastAnswer(topic: TopicEntry): QueryAnswer | undefined {
  if (topic.sequence === 0) return undefined;
  const { id, sequence, timeUs, wallTimeNs, quality, origin } = topic;
  return { topicId: id, bytes: topic.lastBytes.subarray(0, topic.lastLength), sequence, timeUs, wallTimeNs, quality, origin };
}

/** Clearing and copying memory is some eight times as fast as receiving it, with its CRC. */
const QUERY_BYTES_PER_BYTE = 8;

const tooFast = { status: Status.tooManyRequests, text: "this user publishes faster than its quota" };
const busy = { status: Status.serviceUnavailable, text: "the client does not read what it was sent" };

function notPermitted({ component }: Peer, topic: string): { status: number; text: string } {
  return { status: Status.forbidden, text: `${component} may not write ${topic}` };
}

/** The client: calls, subscriptions and publishes over one link, and, if asked for, over the next link when one has ended. */
import { systemClock } from "../../schemas/clock.ts";
import { IpcnetError, Status } from "../../schemas/status.ts";
import { CborValueError, CborWriter } from "../protocol/cborWriter.ts";
import { readAnnouncements, readQueryAnswer, readQueryAnswers } from "../protocol/control.ts";
import { readLineage } from "../protocol/lineage.ts";
import { Fields } from "../protocol/fields.ts";
import type { LaneServerMessage } from "../protocol/laneMessages.ts";
import type { GatewayIdentity, TopicAnnouncement } from "../protocol/messages.ts";
import { PAYLOAD_BYTES_MAX, SampleBatchReader, SampleBatchWriter, SampleFlag } from "../protocol/samples.ts";
import type { Client, Message, Notice, PublishOptions, SubscribeOptions, Subscription, TopicDescription } from "./api.ts";
import type { Descriptor } from "../sockets/index.ts";
import { anEnd, type End } from "./ending.ts";
import { deliverBatch, type Recipient } from "./lanes/delivery.ts";
import { LaneFeeds, type LaneSubscriber } from "./lanes/laneFeeds.ts";
import { Writers } from "./lanes/writers.ts";
import type { Announced, Call, Link, Reply } from "./link.ts";
import { KnownTopic, ReceivedMessage } from "./message.ts";
import { Services } from "./services.ts";

/** For calls that the gateway answers from memory. */
const CALL_TIMEOUT_MS = 5_000;

interface Active extends LaneSubscriber<KnownTopic> {
  pattern: string;
  options: SubscribeOptions;
  listener: (message: Message) => void;
  /** Messages that were too old when they came. */
  expired: number;
  /** Lanes that were there when the subscription began and are still to come, and who waits for them. */
  early: number;
  allLanes: (() => void) | undefined;
  /** It has been told to a gateway before: lanes that it does not know came while that was away, and are read from their first message on. */
  renewed: boolean;
  /** The gateway's number for it; undefined while it is not established. */
  id: number | undefined;
  /** Closed by the program. */
  ended: boolean;
  /** What the program may wait for, and how it is settled. */
  end: End;
  /** With reconnect: the last sequence of each topic, to tell what was lost between two connections. */
  sequences: Map<string, number> | undefined;
  /** With reconnect: topics whose next message comes over a new connection to the same gateway process. */
  resumed: Set<string> | undefined;
}

/** Opens the next link after one has ended, however long it takes; rejects when `signal` is aborted. `failed` is called for each attempt that failed. */
export type Reopen = (signal: AbortSignal, failed: (error: unknown) => void) => Promise<Link>;

export class LocalClient implements Client {
  #link: Link;
  readonly #reopen: Reopen | undefined;
  readonly #stop = new AbortController();
  readonly #active = new Set<Active>();
  #byId = new Map<number, Active>();
  #topics = new Map<number, KnownTopic>();
  #topicsByName = new Map<string, KnownTopic>();
  #origins = new Map<number, string>();
  readonly #reader = new SampleBatchReader();
  readonly #batch = new SampleBatchWriter();
  readonly #writer = new CborWriter({ lengthMax: PAYLOAD_BYTES_MAX });
  #flushed: Promise<void> | undefined;
  readonly #readsLanes: boolean;
  readonly #feeds = new LaneFeeds<KnownTopic>({
    topic: (id) => this.#topics.get(id), nameOf: ({ announcement }) => announcement.name, origin: (id) => this.#origins.get(id) ?? "", failed: (error) => this.#notify(noticeOf(error)), after,
    attach: (lane, page) => this.#tryCall({ op: "attach", lane }, [page]), detach: (lane) => this.#tryCall({ op: "detach", lane }),
  });
  readonly #writers = new Writers({ link: () => this.#openLink(), failed: (error) => this.#notify(noticeOf(error)), after });
  readonly #services = new Services({ link: () => this.#openLink(), notify: (error) => this.#notify(noticeOf(error)) });
  readonly #closeListeners = new Set<(why: string) => void>();
  readonly #noticeListeners = new Set<(notice: Notice) => void>();
  #closing: Promise<void> | undefined;
  #ended: string | undefined;

  constructor(link: Link, { reopen, lanes = true }: { reopen?: Reopen | undefined; lanes?: boolean } = {}) {
    this.#link = link;
    this.#reopen = reopen;
    this.#readsLanes = lanes;
    this.#attach(link);
  }

  get gateway(): GatewayIdentity {
    return this.#link.gateway;
  }

  async topics(pattern = "#"): Promise<TopicDescription[]> {
    const { body } = await this.#call({ op: "topics", pattern }, CALL_TIMEOUT_MS);
    const announced = readAnnouncements(body);
    if (!announced) throw new IpcnetError(Status.badGateway, "the gateway's list of topics is malformed");
    return announced.map((topic) => this.#learn(topic).describe());
  }

  async subscribe(pattern: string, options: SubscribeOptions, listener: (message: Message) => void): Promise<Subscription> {
    const keeping = this.#reopen !== undefined;
    const active: Active = {
      pattern, options, listener, id: undefined, ended: false, sequences: keeping ? new Map() : undefined, resumed: undefined, expired: 0, early: 0, allLanes: undefined, renewed: false, end: anEnd(),
      lastValue: options.lastValue === true, batch: (batch, source) => deliverBatch(batch, source, recipient),
    };
    const recipient: Recipient = {
      deliver: listener, expire: () => (active.expired += 1), refuse: (text, count) => this.#notify({ status: Status.unprocessableContent, text, count }),
    };
    await this.#establish(active);
    return {
      close: () => this.#unsubscribe(active),
      ended: active.end.promise,
      get expired() {
        return active.expired;
      },
    };
  }

  async publish(topic: string, value: unknown, { ttlMs, id, acknowledge = true }: PublishOptions = {}): Promise<void> {
    if (!acknowledge) return this.#publishFast(topic, value, ttlMs);
    await this.#call({ op: "publish", topic, encoding: value instanceof Uint8Array ? "native" : "cbor", value, ttlMs, sentUs: systemClock.nowUs(), id, acknowledge: true }, CALL_TIMEOUT_MS);
  }

  query(topic: string): Promise<Message | undefined>;
  query(topic: string, options: { last: number }): Promise<Message[]>;
  async query(topic: string, options?: { last: number }): Promise<Message | Message[] | undefined> {
    const { status, body } = await this.#call({ op: "query", topic, last: options?.last }, CALL_TIMEOUT_MS);
    if (status === Status.noContent) return undefined;
    const answers = options ? readQueryAnswers(body) : [readQueryAnswer(body)];
    const messages = answers?.map((answer) => {
      const known = answer && this.#topics.get(answer.topicId);
      if (!known) throw new IpcnetError(Status.badGateway, "the gateway's answer is malformed");
      const { bytes, sequence, timeUs, wallTimeNs, quality, origin, lineage } = answer;
      return new ReceivedMessage(known, bytes, 0, bytes.length, sequence, timeUs, Number(wallTimeNs) / 1e3 - timeUs, quality, 0, origin, lineage && { ttlMs: 0, keyFrame: false, lineage: readLineage(lineage) });
    });
    if (!messages) throw new IpcnetError(Status.badGateway, "the gateway's answer is malformed");
    return options ? messages : messages[0];
  }

  advertise: Client["advertise"] = (topic, options) => this.#writers.advertise(topic, options);
  announce: Client["announce"] = (info) => this.#services.announce(info);
  find: Client["find"] = (what, pattern) => this.#services.find(what, pattern);
  offer: Client["offer"] = (service, options, handler) => this.#services.offer(service, options, handler);
  request: Client["request"] = (service, body, options) => this.#services.request(service, body, options);
  requestFull: Client["requestFull"] = (service, body, options) => this.#services.requestFull(service, body, options);
  stream: Client["stream"] = (service, body, options) => this.#services.stream(service, body, options);
  streamFull: Client["streamFull"] = (service, body, options) => this.#services.streamFull(service, body, options);
  channel: Client["channel"] = (service, body, options) => this.#services.channel(service, body, options);
  grant: Client["grant"] = (resource, mode) => this.#services.grant(resource, mode);
  leaving: Client["leaving"] = (deadlineMs, text) => this.#services.leaving(deadlineMs, text);
  onLeaving: Client["onLeaving"] = (listener) => this.#services.onLeaving(listener);

  onClose(listener: (why: string) => void): () => void {
    this.#closeListeners.add(listener);
    return () => this.#closeListeners.delete(listener);
  }

  onNotice(listener: (notice: Notice) => void): () => void {
    this.#noticeListeners.add(listener);
    return () => this.#noticeListeners.delete(listener);
  }

  /** Closing twice is closing once: every caller waits for the same end. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    if (this.#ended !== undefined) return;
    this.#stop.abort();
    if (!this.#link.isOpen) return this.#end("closed by this program");
    // Whether the last publishes could be sent is their callers' concern, who hold the same promise.
    await Promise.allSettled([this.#flushed]);
    // The gateway may have been quicker.
    if (this.#ended !== undefined) return;
    await new Promise<void>((resolve) => {
      this.#closeListeners.add(() => resolve());
      this.#link.close("closed by this program");
    });
  }

  // --- calls ----------------------------------------------------------------------------------------------------------------------

  async #call(call: Call, timeoutMs: number, onReply?: (reply: Reply) => void): Promise<Reply> {
    return this.#openLink().call(call, timeoutMs, onReply);
  }

  #openLink(): Link {
    if (!this.#link.isOpen) throw new IpcnetError(Status.serviceUnavailable, this.#ended ?? "the gateway is away; a new connection is being sought");
    return this.#link;
  }

  async #establish(active: Active): Promise<void> {
    const { pattern, options: { policy = "latest", rateHzMax, lastValue = false } } = active;
    const wanted = policy === "latest" ? { latest: true as const } : policy === "lossless" ? { lossless: true as const } : { queueSamples: policy.queue };
    let malformed = false;
    let allLanes: Promise<void> | undefined;
    await this.#call({ op: "subscribe", pattern, policy: wanted, rateHzMax, lastValue, lanes: this.#readsLanes }, CALL_TIMEOUT_MS, ({ body }) => {
      // At once, because the first samples may stand behind the reply in the same read.
      const fields = new Fields(Object(body));
      active.id = fields.integer("subscription", 1, 0xffff_ffff);
      active.early = fields.optionalInteger("lanes", 0, 0xffff_ffff) ?? 0;
      malformed = fields.fault !== undefined;
      this.#byId.set(active.id, active);
      this.#active.add(active);
      if (active.early > 0) {
        allLanes = new Promise((resolve) => {
          // One that the gateway could not hand out after all is said in a notice.
          const cancel = after(CALL_TIMEOUT_MS, resolve);
          active.allLanes = () => {
            cancel();
            resolve();
          };
        });
      }
    });
    if (malformed) throw new IpcnetError(Status.badGateway, "the gateway's answer is malformed");
    // What is published after this call has resolved is not missed.
    await allLanes;
    // Closed while it was being renewed over a new connection.
    if (active.ended) await this.#unsubscribe(active);
  }

  async #unsubscribe(active: Active): Promise<void> {
    active.ended = true;
    active.end.resolve();
    this.#feeds.drop(active);
    active.allLanes?.();
    if (!this.#active.delete(active) || active.id === undefined) return;
    this.#byId.delete(active.id);
    if (this.#link.isOpen) await this.#call({ op: "unsubscribe", subscription: active.id }, CALL_TIMEOUT_MS);
  }

  // --- publishing -----------------------------------------------------------------------------------------------------------------

  async #publishFast(name: string, value: unknown, ttlMs: number | undefined): Promise<void> {
    if (!this.#topicsByName.has(name)) await this.topics(name);
    const topic = this.#topicsByName.get(name);
    if (!topic) throw new IpcnetError(Status.notFound, `there is no topic ${name}, or this program may neither read nor write it`);
    if (!this.#link.isOpen) throw new IpcnetError(Status.serviceUnavailable, this.#ended ?? "the gateway is away; a new connection is being sought");
    const native = value instanceof Uint8Array;
    const payload = native ? value : this.#encode(value);
    const payloadBytes = native ? payload.length : this.#writer.length;
    const append = (): boolean => this.#batch.append(
      topic.announcement.id, ttlMs === undefined ? 0 : Math.max(1, Math.ceil(ttlMs)), 0, systemClock.nowUs(), 0, 0, 0, native ? 0 : SampleFlag.cbor, payload, 0, payloadBytes,
    );
    if (!append()) {
      this.#sendBatch();
      if (!append()) throw new IpcnetError(Status.payloadTooLarge, `${name}: ${payloadBytes} bytes are more than the ${PAYLOAD_BYTES_MAX} a message can have`);
    }
    // One promise for all publishes of a turn.
    this.#flushed ??= Promise.resolve().then(() => this.#sendBatch());
    await this.#flushed;
  }

  #encode(value: unknown): Uint8Array {
    try {
      return this.#writer.reset().value(value).bytes;
    } catch (error) {
      if (error instanceof CborValueError) throw new IpcnetError(Status.unprocessableContent, error.message);
      throw error;
    }
  }

  #sendBatch(): void {
    this.#flushed = undefined;
    const batch = this.#batch;
    if (batch.count === 0) return;
    batch.finish(0);
    const verdict = this.#link.sendData(batch.bytes, batch.packetAt, batch.packetBytes);
    batch.reset();
    if (verdict === "full") throw new IpcnetError(Status.tooManyRequests, "the gateway does not read as fast as this program writes");
    if (verdict === "closed") throw new IpcnetError(Status.serviceUnavailable, "the connection to the gateway is closed");
  }

  // --- what comes -----------------------------------------------------------------------------------------------------------------

  #attach(link: Link): void {
    link.attach({
      announced: (message) => this.#announced(message), service: (message, descriptors) => this.#services.take(link, message, descriptors), lane: (message, descriptors) => this.#lane(message, descriptors),
      data: (bytes, at, lengthBytes) => this.#data(bytes, at, lengthBytes), closed: (why) => this.#lost(why),
    });
  }

  #lane(message: LaneServerMessage, descriptors: Descriptor[]): void {
    if (message.op === "unlane") return this.#feeds.unlane(message.lane, message.status);
    if (message.op !== "lane") return this.#writers.take(message, descriptors);
    const active = this.#byId.get(message.subscription);
    const early = active !== undefined && active.early > 0;
    this.#feeds.lane(message, descriptors as [Descriptor, Descriptor], active, { early: early && !active.renewed });
    if (!early) return;
    active.early -= 1;
    if (active.early === 0) active.allLanes?.();
  }

  /** A call whose failure means only that something is gone already. */
  #tryCall(call: Call, descriptors: readonly Descriptor[] = []): void {
    if (!this.#link.isOpen) return;
    this.#link.start(call, CALL_TIMEOUT_MS, { descriptors }).reply.catch((error: unknown) => {
      if (!(error instanceof IpcnetError) || (error.status !== Status.notFound && error.status !== Status.serviceUnavailable)) this.#notify(noticeOf(error));
    });
  }

  #announced(message: Announced): void {
    switch (message.op) {
      case "announce":
        for (const topic of message.topics) this.#learn(topic);
        return;
      case "origins":
        for (const { id, name } of message.origins) this.#origins.set(id, name);
        return;
      case "gap":
        for (const { topicId, lost } of message.gaps) this.#notify({ status: Status.partialContent, text: `${this.#topics.get(topicId)?.announcement.name ?? `topic ${topicId}`}: messages were lost`, count: lost });
        return;
      case "notice":
        return this.#notify({ status: message.status, text: message.text, count: message.count });
      default:
        return message satisfies never;
    }
  }

  #notify(notice: Notice): void {
    for (const listener of this.#noticeListeners) listener(notice);
  }

  #learn(announcement: TopicAnnouncement): KnownTopic {
    const topic = new KnownTopic(announcement);
    this.#topics.set(announcement.id, topic);
    this.#topicsByName.set(announcement.name, topic);
    return topic;
  }

  #data(bytes: Uint8Array, at: number, lengthBytes: number): void {
    // One copy for all messages of the packet: the receive buffer is used again.
    const packet = bytes.slice(at, at + lengthBytes);
    const reader = this.#reader;
    const fault = reader.open(packet, 0, packet.length);
    if (fault) return this.#link.close(`the gateway sent a malformed batch (${fault})`);
    while (reader.next()) {
      const active = this.#byId.get(reader.tag);
      const topic = this.#topics.get(reader.topicId);
      if (!active || !topic) continue;
      const { payloadAt, payloadBytes, sequence, timeUs, wallOffsetUs, quality } = reader;
      const lost = active.sequences ? this.#lostAcross(active, topic.announcement.name, sequence, reader.lostBefore) : reader.lostBefore;
      if (lost < 0) continue;
      active.listener(new ReceivedMessage(topic, packet, payloadAt, payloadBytes, sequence, timeUs, wallOffsetUs, quality, lost, this.#origins.get(reader.originId) ?? ""));
    }
  }

  /** Losses before a message, those between two connections included; negative: it was delivered over the last connection already. */
  #lostAcross(active: Active, topic: string, sequence: number, lostBefore: number): number {
    const last = active.sequences!.get(topic) ?? 0;
    active.sequences!.set(topic, sequence);
    if (!active.resumed?.delete(topic)) return lostBefore;
    // A lower rate that was asked for is no loss.
    return active.options.rateHzMax === undefined || sequence <= last ? sequence - last - 1 : lostBefore;
  }

  // --- the end, or the next link --------------------------------------------------------------------------------------------------

  #lost(why: string): void {
    this.#services.lost(why);
    this.#feeds.lost();
    this.#writers.lost();
    if (!this.#reopen || this.#stop.signal.aborted) return this.#end(why);
    const before = this.gateway.boot;
    this.#topics = new Map();
    this.#topicsByName = new Map();
    this.#origins = new Map();
    this.#byId = new Map();
    this.#batch.reset();
    const failed = (error: unknown): void => this.#notify(noticeOf(error));
    failed(new IpcnetError(Status.serviceUnavailable, why));
    this.#reopen(this.#stop.signal, failed).then((link) => this.#resume(link, link.gateway.boot === before), () => this.#end(why));
  }

  #resume(link: Link, sameBoot: boolean): void {
    this.#link = link;
    this.#attach(link);
    if (this.#stop.signal.aborted) return link.close("closed by this program");
    this.#services.resume(link);
    void this.#writers.resume(link);
    for (const active of this.#active) {
      active.allLanes?.();
      active.renewed = true;
      if (sameBoot) active.resumed = new Set(active.sequences?.keys());
      else active.sequences = new Map();
      active.id = undefined;
      this.#establish(active).catch((error: unknown) => {
        // The rules may have changed meanwhile. If the link was lost again, the next one tries again.
        if (link.isOpen) this.#notify(noticeOf(error));
      });
    }
  }

  /** Nothing can come any more. Whoever listens for the end of the client has been told. */
  #lose(name: string, end: End, why: string): void {
    if (this.#stop.signal.aborted) end.resolve();
    else end.reject(new IpcnetError(Status.serviceUnavailable, `${name}: ${why}`), this.#closeListeners.size > 0);
  }

  #end(why: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = why;
    this.#feeds.closeAll();
    this.#writers.closeAll(why, (topic, end) => this.#lose(topic, end, why));
    this.#services.closeAll((service, end) => this.#lose(service, end, why));
    for (const active of this.#active) {
      active.allLanes?.();
      this.#lose(active.pattern, active.end, why);
    }
    this.#active.clear();
    this.#byId.clear();
    for (const listener of this.#closeListeners) listener(why);
  }
}

function after(ms: number, callback: () => void): () => void {
  return systemClock.at(systemClock.nowUs() + ms * 1e3, callback);
}

function noticeOf(error: unknown): Notice {
  return { status: error instanceof IpcnetError ? error.status : Status.internalError, text: error instanceof Error ? error.message : String(error), count: 1 };
}

/**
 * The embedded MQTT broker behind an interface of our own; the only file that imports aedes.
 *
 * What it adds: users and allow-lists, bounds on everything a stranger can make grow, and a delivery that never waits for a subscriber.
 * aedes hands a message to all subscribers and holds one of its slots until the slowest socket took it, so that one frozen subscriber
 * stops everybody once the slots are used up; its `drainTimeout` only bounds that. Here no subscriber is ever waited for: what piles up
 * for it is counted against `clientQueueBytes`, beyond which QoS 0 messages are dropped for that subscriber alone (counted), a QoS 1
 * message ends its connection, and so does taking nothing at all for `drainTimeoutMs`.
 *
 * Messages are handed to `onMessage` listeners when they arrive and are allowed, before any subscriber gets them.
 */
import { Aedes } from "aedes";
import type { AedesPublishPacket, Client } from "aedes";
import type { EventEmitter } from "node:events";
import { createServer as createTcpServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { Clock } from "../../schemas/clock.ts";
import { systemClock } from "../../schemas/clock.ts";
import { DriverError } from "../driver.ts";
import { Listeners } from "../listeners.ts";
import type { MqttPermissions, MqttUser } from "./accounts.ts";
import { Accounts, checkFilters, mayPublish, maySubscribe } from "./accounts.ts";
import { BrokerStore } from "./brokerStore.ts";
import { MQTT_LIMITS } from "./limits.ts";
import type { MqttMessage } from "./message.ts";
import { copyProperties } from "./message.ts";
import { mqttFilterFault, mqttTopicFault } from "./topics.ts";

export type MqttLimits = { readonly [Name in keyof typeof MQTT_LIMITS]: number };

export interface MqttBrokerOptions {
  /** Default 127.0.0.1:1883; port 0 takes a free one. With `tls` the port speaks TLS alone. */
  listen?: { host?: string; port?: number; tls?: { key: string | Buffer; cert: string | Buffer } };
  users?: readonly MqttUser[];
  /** What clients without a user name may do (`{ publish: [], subscribe: ["ipcnet/#"] }` is a sensible value); absent: they may not connect. */
  anonymous?: MqttPermissions;
  /** A further look at an allowed message from a client: a reason to refuse it, or undefined. `held` is what the topic retains now. */
  guard?: (message: MqttMessage, held: Uint8Array | undefined) => string | undefined;
  limits?: Partial<MqttLimits>;
  clock?: Clock;
}

export type BrokerPublishVerdict = "queued" | "notStarted" | "queueFull" | "badLength" | "badTopic";

export interface BrokerClientReport {
  clientId: string;
  user: string;
  protocolVersion: number;
  pendingBytes: number;
  droppedMessages: number;
}

export interface MqttBroker {
  /** Rejects with a `DriverError`. */
  start(): Promise<{ host: string; port: number }>;
  stop(): Promise<void>;
  /** Publishes in the gateway's own name: no allow-list applies. `expiryS` reaches MQTT 5 subscribers. */
  publish(message: { topic: string; payload: Uint8Array; qos?: 0 | 1; retain?: boolean; expiryS?: number; contentType?: string; correlationData?: Uint8Array }): BrokerPublishVerdict;
  /** Allowed messages from clients, wills included. The payload is borrowed until the call returns. */
  onMessage(listener: (message: MqttMessage) => void): () => void;
  onClient(listener: (change: ClientChange) => void): () => void;
  clients(): BrokerClientReport[];
  /** Only rise. */
  readonly counters: Readonly<Record<string, number>>;
  /** What is held now. */
  readonly gauges: { connections: number; retainedMessages: number; retainedBytes: number };
}

export interface ClientChange {
  clientId: string;
  user: string;
  connected: boolean;
  /** Why it left. */
  reason: string;
}

/** What we know of a connection, beside what aedes knows. */
interface Session {
  socket: Socket;
  user: string;
  permissions: MqttPermissions;
  connection: number;
  droppedMessages: number;
  /** Bytes that had left for the kernel at the last look, and when that number last changed. */
  takenBytes: number;
  takenAtUs: number;
  reason: string;
}

const NOBODY: MqttPermissions = { publish: [], subscribe: [] };
const CLIENT_ID_MAX = 128;
const RETURN_CODE = { serverUnavailable: 3, badPassword: 4, notAuthorized: 5 } as const;

export function createMqttBroker(options: MqttBrokerOptions = {}): MqttBroker {
  return new EmbeddedBroker(options);
}

class EmbeddedBroker implements MqttBroker {
  readonly #options: MqttBrokerOptions;
  readonly #limits: MqttLimits;
  readonly #clock: Clock;
  readonly #accounts: Accounts;
  readonly #store: BrokerStore;
  #aedes: Aedes | undefined;
  #server: Server | undefined;
  #stopSweep: (() => void) | undefined;
  #sweepDueUs = 0;
  #inFlight = 0;
  #connections = 0;
  /** By connection, for as long as aedes has any use for it: a will is published, and asked about, after the socket is gone. */
  readonly #sessionOf = new WeakMap<Client, Session>();
  /** The connections that are open now. */
  readonly #open = new Map<Client, Session>();
  readonly #sockets = new Set<Socket>();
  readonly #messages = new Listeners<MqttMessage>();
  readonly #clientChanges = new Listeners<ClientChange>();
  readonly #counters = {
    connectionsAccepted: 0, connectionsRefused: 0, loginsRefused: 0, loginsBusy: 0, messagesIn: 0, messagesOut: 0, publishRefused: 0, subscribeRefused: 0, guardRefused: 0,
    slowDropped: 0, slowDisconnected: 0, frozenDisconnected: 0, publishQueueFull: 0, protocolErrors: 0,
  };

  constructor(options: MqttBrokerOptions) {
    this.#options = options;
    this.#limits = { ...MQTT_LIMITS, ...options.limits };
    this.#clock = options.clock ?? systemClock;
    this.#accounts = new Accounts(options.users ?? []);
    if (options.anonymous) checkFilters(options.anonymous);
    this.#store = new BrokerStore(this.#limits);
  }

  get counters(): Readonly<Record<string, number>> {
    return { ...this.#counters, listenerErrors: this.#messages.errors + this.#clientChanges.errors };
  }

  get gauges(): MqttBroker["gauges"] {
    return { connections: this.#sockets.size, retainedMessages: this.#store.retainedMessages, retainedBytes: this.#store.retainedBytes };
  }

  async start(): Promise<{ host: string; port: number }> {
    const { host = "127.0.0.1", port = 1883, tls } = this.#options.listen ?? {};
    if (!isLoopback(host) && (this.#accounts.size === 0 || this.#options.anonymous)) {
      throw new DriverError("brokerOpenToNetwork", `the MQTT broker would listen on ${host} and let anybody in`, "list users with passwords and leave anonymous access off, or listen on 127.0.0.1");
    }
    if (this.#aedes) throw new DriverError("alreadyStarted", "the MQTT broker runs already", "stop it first");
    const limits = this.#limits;
    const aedes = new Aedes({
      // Slots are never held for long: nothing waits for a socket.
      concurrency: 1024,
      persistence: this.#store,
      drainTimeout: limits.drainTimeoutMs,
      connectTimeout: limits.connectTimeoutMs,
      maximumPacketSize: limits.packetBytes,
      maxTopicLevels: limits.topicLevels,
      pendingSessionsLimit: 1,
      sessionExpiryIntervalLimit: 1,
      preConnect: (_client, packet, done) => {
        // No session outlives its connection; see brokerStore.ts.
        packet.clean = true;
        if (packet.properties) delete packet.properties.sessionExpiryInterval;
        done(null, true);
      },
      authenticate: (client, name, password, done) => void this.#authenticate(client, name, password, done),
      authorizePublish: (client, packet, done) => {
        const refusal = client ? this.#incoming(client, packet) : undefined;
        done(refusal === undefined ? null : new Error(refusal));
      },
      authorizeSubscribe: (client, subscription, done) => done(null, this.#maySubscribe(client, subscription.topic) ? subscription : null),
      authorizeForward: (client, packet) => (this.#mayForward(client, packet) ? packet : null),
    });
    this.#aedes = aedes;
    aedes.on("clientReady", (client) => this.#announce(client, true));
    aedes.on("clientDisconnect", (client) => this.#announce(client, false));
    aedes.on("clientError", (client, error) => this.#trouble(client, error));
    aedes.on("connectionError", (client, error) => this.#trouble(client, error));
    // Not in its type list, but emitted when the store refuses something.
    (aedes as EventEmitter).on("error", () => (this.#counters.protocolErrors += 1));
    await aedes.listen();
    const server = tls ? createTlsServer({ key: tls.key, cert: tls.cert }, (socket) => this.#accept(socket)) : createTcpServer((socket) => this.#accept(socket));
    server.maxConnections = limits.connections;
    server.on("drop", () => (this.#counters.connectionsRefused += 1));
    server.on("tlsClientError", () => (this.#counters.protocolErrors += 1));
    this.#server = server;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen({ host, port }, () => {
          server.off("error", reject);
          resolve();
        });
      });
    } catch (error) {
      await this.stop();
      throw new DriverError("brokerCannotListen", `the MQTT broker cannot listen on ${host}:${port}: ${(error as Error).message}`, `find what holds the port (ss -ltnp 'sport = :${port}'), or choose another one`, { cause: error });
    }
    this.#sweepLater();
    return { host, port: (server.address() as AddressInfo).port };
  }

  async stop(): Promise<void> {
    this.#stopSweep?.();
    this.#stopSweep = undefined;
    const aedes = this.#aedes;
    const server = this.#server;
    this.#aedes = undefined;
    this.#server = undefined;
    if (aedes) await new Promise<void>((resolve) => aedes.close(resolve));
    if (server) {
      const closed = new Promise<void>((resolve) => {
        if (server.listening) server.close(() => resolve());
        else resolve();
      });
      for (const socket of this.#sockets) socket.destroy();
      await closed;
    }
    this.#open.clear();
    this.#inFlight = 0;
  }

  publish({ topic, payload, qos = 0, retain = false, expiryS, contentType, correlationData }: Parameters<MqttBroker["publish"]>[0]): BrokerPublishVerdict {
    const aedes = this.#aedes;
    if (!aedes) return "notStarted";
    if (mqttTopicFault(topic) !== undefined) return "badTopic";
    if (payload.length + topic.length > this.#limits.packetBytes - 64) return "badLength";
    if (this.#inFlight >= this.#limits.publishInFlight || (retain && !this.#store.hasRoomFor(topic, payload.length))) {
      this.#counters.publishQueueFull += 1;
      return "queueFull";
    }
    this.#inFlight += 1;
    const properties = {
      ...(expiryS === undefined ? {} : { messageExpiryInterval: expiryS }),
      ...(contentType === undefined ? {} : { contentType }),
      ...(correlationData === undefined ? {} : { correlationData: asBuffer(correlationData) }),
    };
    aedes.publish({ cmd: "publish", topic, payload: asBuffer(payload), qos, retain, dup: false, ...(Object.keys(properties).length > 0 ? { properties } : {}) }, () => {
      this.#inFlight = Math.max(0, this.#inFlight - 1);
    });
    return "queued";
  }

  onMessage(listener: (message: MqttMessage) => void): () => void {
    return this.#messages.add(listener);
  }

  onClient(listener: (change: ClientChange) => void): () => void {
    return this.#clientChanges.add(listener);
  }

  clients(): BrokerClientReport[] {
    return [...this.#open].filter(([client]) => client.connected).map(([client, { user, socket, droppedMessages }]) => ({ clientId: client.id, user, protocolVersion: client.version, pendingBytes: socket.writableLength, droppedMessages }));
  }

  #accept(socket: Socket): void {
    const aedes = this.#aedes;
    if (!aedes) {
      socket.destroy();
      return;
    }
    this.#counters.connectionsAccepted += 1;
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
    // Nothing waits for this socket: the bound is `#mayForward` and, beyond it, the end of the connection.
    const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
    const hardMaxBytes = this.#limits.clientQueueBytes + this.#limits.retainedBytes + this.#limits.packetBytes;
    socket.write = ((...args: unknown[]) => {
      write(...args);
      if (socket.writableLength > hardMaxBytes) this.#cutOff(client, "slowDisconnected", "too much waited for it");
      return true;
    }) as typeof socket.write;
    const client = aedes.handle(socket);
    const session: Session = { socket, user: "", permissions: NOBODY, connection: ++this.#connections, droppedMessages: 0, takenBytes: 0, takenAtUs: this.#clock.nowUs(), reason: "closed by the client" };
    this.#sessionOf.set(client, session);
    this.#open.set(client, session);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      this.#open.delete(client);
    });
  }

  async #authenticate(client: Client, name: string | undefined, password: Buffer | undefined, done: (error: (Error & { returnCode: number }) | null, success: boolean | null) => void): Promise<void> {
    const returnCode = await this.#login(client, name, password);
    if (returnCode === 0) done(null, true);
    else done(Object.assign(new Error("login refused"), { returnCode }), false);
  }

  /** 0, or the MQTT 3.1.1 return code of the refusal. */
  async #login(client: Client, name: string | undefined, password: Buffer | undefined): Promise<number> {
    const session = this.#sessionOf.get(client);
    if (!session || client.id.length > CLIENT_ID_MAX) return RETURN_CODE.notAuthorized;
    if (name === undefined || name === "") {
      if (!this.#options.anonymous) return this.#loginRefused();
      session.permissions = this.#options.anonymous;
    } else {
      const verdict = await this.#accounts.login(name, password ?? new Uint8Array(0));
      if (verdict === "busy") {
        this.#counters.loginsBusy += 1;
        return RETURN_CODE.serverUnavailable;
      }
      if (verdict === "refused") return this.#loginRefused();
      session.user = name;
      session.permissions = this.#accounts.permissions(name)!;
    }
    // Taking over a client id ends the connection that holds it: only its own user may do that.
    for (const [other, { user }] of this.#open) {
      if (other !== client && other.connected && other.id === client.id && user !== session.user) return this.#loginRefused();
    }
    return 0;
  }

  #loginRefused(): number {
    this.#counters.loginsRefused += 1;
    return RETURN_CODE.badPassword;
  }

  /** A message from a client (or its will): the reason to refuse it, or undefined. */
  #incoming(client: Client, packet: { topic: string; payload: string | Buffer; retain?: boolean; qos?: number; properties?: object }): string | undefined {
    const session = this.#sessionOf.get(client);
    const { topic } = packet;
    const payload = typeof packet.payload === "string" ? Buffer.from(packet.payload) : packet.payload;
    const retain = packet.retain === true;
    if (!session || mqttTopicFault(topic) !== undefined || !mayPublish(session.permissions, topic)) {
      this.#counters.publishRefused += 1;
      return `not permitted to publish ${topic}`;
    }
    if (retain && !this.#store.hasRoomFor(topic, payload.length)) {
      this.#counters.publishRefused += 1;
      return "too many retained messages";
    }
    const message: MqttMessage = {
      topic, payload, retain, qos: packet.qos === 2 ? 2 : packet.qos === 1 ? 1 : 0, timeUs: this.#clock.nowUs(),
      sender: { clientId: client.id, user: session.user, connection: session.connection, protocolVersion: client.version }, ...copyProperties(packet.properties),
    };
    const refusal = this.#options.guard?.(message, this.#store.retained(topic));
    if (refusal !== undefined) {
      this.#counters.guardRefused += 1;
      return refusal;
    }
    this.#counters.messagesIn += 1;
    this.#messages.call(message);
    return undefined;
  }

  #maySubscribe(client: Client, filter: string): boolean {
    const session = this.#sessionOf.get(client);
    const used = Object.keys((client as Client & { subscriptions: object }).subscriptions).length;
    const may = session !== undefined && mqttFilterFault(filter) === undefined && maySubscribe(session.permissions, filter) && used < this.#limits.subscriptionsPerClient;
    if (!may) this.#counters.subscribeRefused += 1;
    return may;
  }

  #mayForward(client: Client, packet: AedesPublishPacket): boolean {
    const session = this.#sessionOf.get(client);
    // A filter like "#" reaches only what the user may see; `#maySubscribe` made sure. Internal topics of aedes stay inside.
    if (!session || packet.topic.startsWith("$SYS/")) return false;
    // Retained messages for a new subscriber come in one go, bounded by `retainedBytes`.
    if (session.socket.writableLength > this.#limits.clientQueueBytes && !packet.retain) {
      session.droppedMessages += 1;
      this.#counters.slowDropped += 1;
      if (packet.qos > 0) this.#cutOff(client, "slowDisconnected", "too slow for messages that must not be lost");
      return false;
    }
    this.#counters.messagesOut += 1;
    return true;
  }

  /**
   * Ends connections that took nothing for `drainTimeoutMs` although something waits for them. Of the time between two looks no more counts than was meant to be between them: who looks late has
   * been kept from its own work, and has sent nothing meanwhile that anybody could have taken.
   */
  #sweep(): void {
    const nowUs = this.#clock.nowUs();
    const lateUs = Math.max(0, nowUs - this.#sweepDueUs);
    for (const [client, session] of this.#open) {
      const waitingBytes = session.socket.writableLength;
      const takenBytes = session.socket.bytesWritten - waitingBytes;
      if (waitingBytes === 0 || takenBytes !== session.takenBytes) {
        session.takenBytes = takenBytes;
        session.takenAtUs = nowUs;
      } else if (nowUs - (session.takenAtUs += lateUs) >= this.#limits.drainTimeoutMs * 1e3) {
        this.#cutOff(client, "frozenDisconnected", `took nothing for ${this.#limits.drainTimeoutMs} ms`);
      }
    }
    this.#sweepLater();
  }

  #sweepLater(): void {
    this.#sweepDueUs = this.#clock.nowUs() + (this.#limits.drainTimeoutMs * 1e3) / 4;
    this.#stopSweep = this.#clock.at(this.#sweepDueUs, () => this.#sweep());
  }

  #cutOff(client: Client, counter: "slowDisconnected" | "frozenDisconnected", reason: string): void {
    const session = this.#sessionOf.get(client);
    if (!session || session.socket.destroyed) return;
    session.reason = reason;
    this.#counters[counter] += 1;
    session.socket.destroy();
  }

  #announce(client: Client, connected: boolean): void {
    const session = this.#sessionOf.get(client);
    if (!connected) this.#store.forget(client.id);
    this.#clientChanges.call({ clientId: client.id, user: session?.user ?? "", connected, reason: connected ? "" : (session?.reason ?? "") });
  }

  #trouble(client: Client, error: Error): void {
    this.#counters.protocolErrors += 1;
    const session = this.#sessionOf.get(client);
    if (session && session.reason === "closed by the client") session.reason = error.message;
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/**
 * A connection to an external broker; the only file that imports the npm package `mqtt`.
 *
 * The package's own reconnection is switched off: each attempt is a new connection object with a will of its own (a new session number) and
 * nothing left over from the last one. MQTT 5 is tried first; a broker that refuses it, or hangs up on it, is tried with 3.1.1 next.
 *
 * Queue: at most `capacityMessages`; when full the oldest goes (counted). Only messages without a deadline wait for a lost connection to
 * return; one with a deadline is a command in spirit and is refused instead. At most `inFlightMax` messages are inside the library, so
 * that its own buffers stay bounded.
 */
import { connect } from "mqtt";
import type { IClientOptions, IPublishPacket, MqttClient as LibraryClient } from "mqtt";
import type { Clock } from "../../schemas/clock.ts";
import { systemClock } from "../../schemas/clock.ts";
import type { SendVerdict } from "../driver.ts";
import type { BackoffOptions } from "./backoff.ts";
import { BACKOFF_DEFAULT, backoffMs } from "./backoff.ts";
import { MQTT_LIMITS } from "./limits.ts";
import type { MqttMessage, MqttOutgoing } from "./message.ts";
import { copyProperties } from "./message.ts";
import { mqttTopicFault } from "./topics.ts";

export interface MqttClientOptions {
  /** mqtt://host:port or mqtts://host:port. */
  url: string;
  clientId: string;
  username?: string;
  password?: string;
  tls?: { ca?: string | Buffer; cert?: string | Buffer; key?: string | Buffer; servername?: string };
  /** 5 falls back to 4 (3.1.1) by itself. Default 5. */
  protocolVersion?: 4 | 5;
  subscriptions?: readonly { filter: string; qos: 0 | 1 }[];
  queue?: { capacityMessages: number; whenFull: "dropOldest" };
  keepaliveS?: number;
  connectTimeoutMs?: number;
  backoff?: BackoffOptions;
  /** Called before each attempt: the will to leave with the broker. */
  will?: () => { topic: string; payload: Uint8Array } | undefined;
  /** In [0, 1); for the jitter. */
  random?: () => number;
  clock?: Clock;
}

export interface MqttConnectionEvents {
  message(message: MqttMessage): void;
  /** Subscriptions stand; messages can be sent. */
  connected(protocolVersion: 4 | 5): void;
  disconnected(reason: string): void;
  dropped(count: number, reason: "queueFull" | "expired"): void;
}

const IN_FLIGHT_MAX = 64;

interface Connection {
  library: LibraryClient;
  version: 4 | 5;
  /** CONNACK came and the subscriptions were granted. */
  ready: boolean;
  gotConnack: boolean;
  reason: string;
  inFlight: Set<MqttOutgoing>;
}

export class MqttConnection {
  readonly #options: MqttClientOptions;
  readonly #events: MqttConnectionEvents;
  readonly #clock: Clock;
  readonly #queue: MqttOutgoing[] = [];
  readonly #capacity: number;
  #connection: Connection | undefined;
  #running = false;
  #attempt = 0;
  #version: 4 | 5;
  #cancelRetry: (() => void) | undefined;
  readonly counters = { attempts: 0, connects: 0, disconnects: 0, messagesIn: 0, messagesOut: 0, queueDropped: 0, expired: 0, requeued: 0, refusedTooLong: 0, versionFallbacks: 0, subscribeRefused: 0 };

  constructor(options: MqttClientOptions, events: MqttConnectionEvents) {
    this.#options = options;
    this.#events = events;
    this.#clock = options.clock ?? systemClock;
    this.#version = options.protocolVersion ?? 5;
    this.#capacity = options.queue?.capacityMessages ?? 1000;
  }

  get connected(): boolean {
    return this.#connection?.ready === true;
  }
  get queuedMessages(): number {
    return this.#queue.length;
  }

  /** Begins to connect, and to reconnect whenever the connection is lost, until `stop`. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#open();
  }

  /** Hands over what is queued if that takes no longer than `graceMs`, then disconnects without leaving the will behind. */
  async stop({ graceMs = 500 }: { graceMs?: number } = {}): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    this.#cancelRetry?.();
    const connection = this.#connection;
    if (!connection) return;
    if (connection.ready) await this.#drained(connection, graceMs);
    await new Promise<void>((resolve) => {
      const cancel = this.#clock.at(this.#clock.nowUs() + graceMs * 1e3, () => {
        connection.library.stream?.destroy();
        resolve();
      });
      connection.library.end(!connection.ready, {}, () => {
        cancel();
        resolve();
      });
    });
    this.#connection = undefined;
    this.#queue.length = 0;
  }

  send(outgoing: MqttOutgoing): SendVerdict {
    if (!this.#running) return "notStarted";
    if (!(outgoing.deadlineUs > this.#clock.nowUs())) return "expired";
    if (mqttTopicFault(outgoing.topic) !== undefined) return "unsupported";
    if (outgoing.payload.length + outgoing.topic.length > MQTT_LIMITS.packetBytes - 64) {
      this.counters.refusedTooLong += 1;
      return "badLength";
    }
    if (!this.connected && outgoing.deadlineUs !== Infinity) return "linkDown";
    this.#queue.push(outgoing);
    if (this.#queue.length > this.#capacity) {
      this.#queue.shift();
      this.counters.queueDropped += 1;
      this.#events.dropped(1, "queueFull");
    }
    this.#pump();
    return "queued";
  }

  #open(): void {
    const { url, clientId, username, password, tls, keepaliveS = 15, connectTimeoutMs = 10_000, will, subscriptions = [] } = this.#options;
    const version = this.#version;
    const last = will?.();
    const options: IClientOptions = {
      clientId, protocolVersion: version, clean: true, keepalive: keepaliveS, connectTimeout: connectTimeoutMs, reconnectPeriod: 0, resubscribe: false, queueQoSZero: false,
      ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }), ...tls,
      ...(last ? { will: { topic: last.topic, payload: Buffer.from(last.payload), qos: 1, retain: true } } : {}),
    };
    this.counters.attempts += 1;
    const library = connect(url, options);
    const connection: Connection = { library, version, ready: false, gotConnack: false, reason: "connection closed", inFlight: new Set() };
    this.#connection = connection;
    library.on("error", (error) => {
      connection.reason = error.message;
    });
    library.on("connect", () => {
      connection.gotConnack = true;
      void this.#subscribe(connection, subscriptions);
    });
    library.on("message", (topic, payload, packet) => this.#received(topic, payload, packet));
    library.on("disconnect", (packet) => {
      connection.reason = `the broker said goodbye (0x${(packet.reasonCode ?? 0).toString(16)})`;
    });
    library.on("close", () => this.#lost(connection));
  }

  async #subscribe(connection: Connection, subscriptions: readonly { filter: string; qos: 0 | 1 }[]): Promise<void> {
    try {
      for (const { filter, qos } of subscriptions) {
        const granted = await connection.library.subscribeAsync(filter, { qos });
        if (granted.some((grant) => grant.qos > 2)) throw new Error(`the broker refused the subscription to ${filter}`);
      }
    } catch (error) {
      this.counters.subscribeRefused += 1;
      connection.reason = (error as Error).message;
      connection.library.stream.destroy();
      return;
    }
    if (this.#connection !== connection || !this.#running || !connection.library.connected) return;
    connection.ready = true;
    this.#attempt = 0;
    this.counters.connects += 1;
    this.#events.connected(connection.version);
    this.#pump();
  }

  #received(topic: string, payload: Buffer, packet: IPublishPacket): void {
    if (!this.#running) return;
    this.counters.messagesIn += 1;
    this.#events.message({ topic, payload, retain: packet.retain, qos: packet.qos, timeUs: this.#clock.nowUs(), ...copyProperties(packet.properties) });
  }

  #lost(connection: Connection): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    const wasReady = connection.ready;
    connection.ready = false;
    connection.library.end(true);
    // What was sent and not acknowledged is sent again; QoS 1 means at least once. QoS 0 in flight is gone.
    const again = [...connection.inFlight].filter(({ qos, deadlineUs }) => qos === 1 && deadlineUs === Infinity);
    this.counters.requeued += again.length;
    this.#queue.unshift(...again);
    const tooMany = this.#queue.length - this.#capacity;
    if (tooMany > 0) {
      this.#queue.splice(0, tooMany);
      this.counters.queueDropped += tooMany;
      this.#events.dropped(tooMany, "queueFull");
    }
    if (wasReady) this.counters.disconnects += 1;
    // A broker without MQTT 5 refuses the CONNECT (0x84, or return code 1) or hangs up without a word.
    if (!connection.gotConnack && (this.#options.protocolVersion ?? 5) === 5) {
      const refusesVersion = /protocol version|Unsupported Protocol|Connection refused: Unacceptable/i.test(connection.reason) || connection.reason === "connection closed";
      if (connection.version === 4) this.#version = 5;
      else if (refusesVersion) {
        this.#version = 4;
        this.counters.versionFallbacks += 1;
      }
    }
    this.#events.disconnected(connection.reason);
    if (!this.#running) return;
    const delayMs = backoffMs(this.#options.backoff ?? BACKOFF_DEFAULT, this.#attempt++, (this.#options.random ?? Math.random)());
    this.#cancelRetry = this.#clock.at(this.#clock.nowUs() + delayMs * 1e3, () => this.#open());
  }

  /** Moves messages from the queue into the library while it has room. */
  #pump(): void {
    const connection = this.#connection;
    if (!connection?.ready) return;
    while (connection.inFlight.size < IN_FLIGHT_MAX) {
      const outgoing = this.#queue.shift();
      if (!outgoing) return;
      const leftUs = outgoing.deadlineUs - this.#clock.nowUs();
      if (leftUs <= 0) {
        this.counters.expired += 1;
        this.#events.dropped(1, "expired");
        continue;
      }
      connection.inFlight.add(outgoing);
      const { topic, payload, qos = 0, retain = false, contentType, correlationData } = outgoing;
      const properties = {
        ...(leftUs === Infinity ? {} : { messageExpiryInterval: Math.ceil(leftUs / 1e6) }),
        ...(contentType === undefined ? {} : { contentType }),
        ...(correlationData === undefined ? {} : { correlationData: Buffer.from(correlationData) }),
      };
      connection.library.publish(topic, Buffer.from(payload.buffer, payload.byteOffset, payload.length), { qos, retain, ...(connection.version === 5 && Object.keys(properties).length > 0 ? { properties } : {}) }, (error) => {
        // After the connection is lost, `#lost` has decided about it already.
        if (this.#connection !== connection) return;
        connection.inFlight.delete(outgoing);
        if (!error) this.counters.messagesOut += 1;
        this.#pump();
      });
    }
  }

  async #drained(connection: Connection, graceMs: number): Promise<void> {
    const untilUs = this.#clock.nowUs() + graceMs * 1e3;
    while (this.#connection === connection && connection.ready && (this.#queue.length > 0 || connection.inFlight.size > 0) && this.#clock.nowUs() < untilUs) {
      await new Promise<void>((resolve) => {
        this.#clock.at(this.#clock.nowUs() + 5_000, resolve);
      });
    }
  }
}

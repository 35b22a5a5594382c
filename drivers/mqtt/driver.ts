/**
 * MQTT behind the contract of all drivers, from both sides: as the broker that nodes connect to, and as a client of an external one.
 */
import type { Clock } from "../../schemas/clock.ts";
import { systemClock } from "../../schemas/clock.ts";
import type { Driver, DriverEvent, DriverHealth, DriverState, SendVerdict } from "../driver.ts";
import { DriverError } from "../driver.ts";
import type { BridgeIdentity } from "./bridge.ts";
import { BridgeAnnouncer, treeGuard } from "./bridge.ts";
import type { BrokerClientReport, MqttBroker, MqttBrokerOptions } from "./broker.ts";
import { createMqttBroker } from "./broker.ts";
import type { MqttClientOptions } from "./client.ts";
import { MqttConnection } from "./client.ts";
import type { MqttMessage, MqttOutgoing } from "./message.ts";
import { topicTree } from "./topics.ts";

export interface MqttDriver extends Driver<MqttMessage, MqttOutgoing> {
  readonly kind: "mqtt";
  /** Present when the driver was given a robot to speak for. */
  readonly bridge: BridgeAnnouncer | undefined;
}

export interface MqttBrokerDriver extends MqttDriver {
  /** Where it listens, once started. */
  readonly address: { host: string; port: number } | undefined;
  clients(): BrokerClientReport[];
}

interface Robot {
  robot: string;
  identity: BridgeIdentity;
}

/** State, listeners and events, the same for both sides. */
class Base {
  readonly clock: Clock;
  state: DriverState = "stopped";
  sinceUs: number;
  reason = "";
  readonly #frameListeners = new Set<(message: MqttMessage) => void>();
  readonly #eventListeners = new Set<(event: DriverEvent) => void>();

  constructor(clock: Clock) {
    this.clock = clock;
    this.sinceUs = clock.nowUs();
  }

  onFrames(listener: (message: MqttMessage) => void): () => void {
    this.#frameListeners.add(listener);
    return () => this.#frameListeners.delete(listener);
  }
  onEvent(listener: (event: DriverEvent) => void): () => void {
    this.#eventListeners.add(listener);
    return () => this.#eventListeners.delete(listener);
  }
  deliver(message: MqttMessage): void {
    if (this.state === "stopped") return;
    for (const listener of this.#frameListeners) listener(message);
  }
  emit(code: DriverEvent["code"], text: string, details?: DriverEvent["details"]): void {
    const event: DriverEvent = { atUs: this.clock.nowUs(), code, text, ...(code === "stateChanged" ? { state: this.state } : {}), ...(details ? { details } : {}) };
    for (const listener of this.#eventListeners) listener(event);
  }
  become(state: DriverState, reason: string): void {
    if (this.state === state) return;
    this.state = state;
    this.reason = reason;
    this.sinceUs = this.clock.nowUs();
    this.emit("stateChanged", reason === "" ? state : `${state}: ${reason}`);
  }
}

function makeBridge(robot: Robot | undefined, clock: Clock, send: (outgoing: MqttOutgoing) => unknown): BridgeAnnouncer | undefined {
  return robot && new BridgeAnnouncer({ tree: topicTree(robot.robot), identity: robot.identity, send, clock });
}

/** The embedded broker as a driver. Frames are what clients publish; `send` publishes to them. `treeGuard` is always on. */
export function createMqttBrokerDriver(options: MqttBrokerOptions & { name: string; speakFor?: Robot }): MqttBrokerDriver {
  const { name, clock = systemClock, guard, speakFor } = options;
  const base = new Base(clock);
  const broker: MqttBroker = createMqttBroker({ ...options, guard: (message, held) => treeGuard(message, held) ?? guard?.(message, held) });
  let address: { host: string; port: number } | undefined;
  const publish = (outgoing: MqttOutgoing): SendVerdict => {
    const { topic, payload, qos, retain, deadlineUs, contentType, correlationData } = outgoing;
    const leftUs = deadlineUs - clock.nowUs();
    if (!(leftUs > 0)) return "expired";
    const verdict = broker.publish({
      topic, payload, ...(qos === undefined ? {} : { qos }), ...(retain === undefined ? {} : { retain }), ...(leftUs === Infinity ? {} : { expiryS: Math.ceil(leftUs / 1e6) }),
      ...(contentType === undefined ? {} : { contentType }), ...(correlationData === undefined ? {} : { correlationData }),
    });
    return verdict === "badTopic" ? "unsupported" : verdict;
  };
  const bridge = makeBridge(speakFor, clock, publish);
  broker.onMessage((message) => {
    bridge?.saw(message);
    base.deliver(message);
  });
  broker.onClient(({ clientId, user, connected, reason }) => {
    if (base.state === "up") base.emit(connected ? "linkRestored" : "linkLost", `MQTT client ${clientId} ${connected ? "connected" : `left: ${reason}`}`, { clientId, user });
  });
  return {
    kind: "mqtt",
    name,
    bridge,
    get address() {
      return address;
    },
    clients: () => broker.clients(),
    async start() {
      if (base.state !== "stopped") throw new DriverError("alreadyStarted", `MQTT broker ${name} runs already`, "stop it first");
      base.become("starting", "");
      try {
        address = await broker.start();
      } catch (error) {
        base.become("stopped", (error as Error).message);
        throw error;
      }
      base.become("up", "");
      bridge?.connected();
    },
    async stop() {
      if (base.state === "stopped") return;
      bridge?.stop("the gateway stopped");
      base.become("stopped", "");
      await broker.stop();
      address = undefined;
    },
    send: (outgoing) => (base.state === "up" ? publish(outgoing) : "notStarted"),
    onFrames: (listener) => base.onFrames(listener),
    onEvent: (listener) => base.onEvent(listener),
    health: (): DriverHealth => ({ state: base.state, sinceUs: base.sinceUs, reason: base.reason, counters: broker.counters }),
  };
}

export interface MqttClientDriverOptions extends Omit<MqttClientOptions, "will"> {
  name: string;
  /** Speak for this robot: last will, bridge/state, availability. */
  speakFor?: Robot;
}

/** A connection to an external broker as a driver. `start` resolves when the search has begun: a fleet's broker may be away. */
export function createMqttClientDriver(options: MqttClientDriverOptions): MqttDriver {
  const { name, clock = systemClock, speakFor } = options;
  const base = new Base(clock);
  const bridge = makeBridge(speakFor, clock, (outgoing) => connection.send(outgoing));
  const own = bridge ? [{ filter: bridge.tree.bridgeState, qos: 1 as const }] : [];
  const connection: MqttConnection = new MqttConnection(
    { ...options, subscriptions: [...own, ...(options.subscriptions ?? [])], ...(bridge ? { will: () => bridge.will() } : {}) },
    {
      message(message) {
        bridge?.saw(message);
        base.deliver(message);
      },
      connected(protocolVersion) {
        if (base.state === "stopped") return;
        const again = base.state === "down";
        base.become("up", "");
        if (again) base.emit("linkRestored", `connected with MQTT ${protocolVersion === 5 ? "5" : "3.1.1"}`);
        bridge?.connected();
      },
      disconnected(reason) {
        bridge?.disconnected();
        if (base.state === "stopped") return;
        if (base.state === "up") base.emit("linkLost", reason);
        base.become("down", reason);
      },
      dropped: (count, reason) => base.emit("transmitDropped", `${count} message${count === 1 ? "" : "s"} dropped: ${reason === "queueFull" ? "the queue is full" : "their time was up"}`, { count, reason }),
    },
  );
  return {
    kind: "mqtt",
    name,
    bridge,
    async start() {
      if (base.state !== "stopped") throw new DriverError("alreadyStarted", `MQTT client ${name} runs already`, "stop it first");
      base.become("starting", "");
      connection.start();
    },
    async stop() {
      if (base.state === "stopped") return;
      bridge?.stop("the gateway stopped");
      base.become("stopped", "");
      await connection.stop();
    },
    send: (outgoing) => (base.state === "stopped" ? "notStarted" : connection.send(outgoing)),
    onFrames: (listener) => base.onFrames(listener),
    onEvent: (listener) => base.onEvent(listener),
    health: (): DriverHealth => ({ state: base.state, sinceUs: base.sinceUs, reason: base.reason, counters: { ...connection.counters, queuedMessages: connection.queuedMessages } }),
  };
}

/**
 * MQTT behind the contract of all drivers, from both sides: as the broker that nodes connect to, and as a client of an external one.
 */
import type { Clock } from "../../schemas/clock.ts";
import { systemClock } from "../../schemas/clock.ts";
import type { Driver, DriverEvent, DriverHealth, DriverState, SendVerdict } from "../driver.ts";
import { DriverError } from "../driver.ts";
import { Listeners } from "../listeners.ts";
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
  readonly frames = new Listeners<MqttMessage>();
  readonly events = new Listeners<DriverEvent>();

  constructor(clock: Clock) {
    this.clock = clock;
    this.sinceUs = clock.nowUs();
  }

  deliver(message: MqttMessage): void {
    this.frames.call(message, () => this.state !== "stopped");
  }
  emit(code: DriverEvent["code"], text: string, details?: DriverEvent["details"]): void {
    this.events.call({ atUs: this.clock.nowUs(), code, text, ...(code === "stateChanged" ? { state: this.state } : {}), ...(details ? { details } : {}) });
  }
  health(counters: Readonly<Record<string, number>>): DriverHealth {
    return { state: this.state, sinceUs: this.sinceUs, reason: this.reason, counters: { ...counters, listenerErrors: this.frames.errors + this.events.errors } };
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
  /** Starting and stopping, one after the other. */
  let changing: Promise<void> = Promise.resolve();
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
      const before = changing;
      const started = before.then(() => broker.start());
      // Whoever stops meanwhile waits for this, however it ends; the one who started hears how.
      changing = started.then(() => undefined, () => undefined);
      let listening: { host: string; port: number };
      try {
        listening = await started;
      } catch (error) {
        base.become("stopped", (error as Error).message);
        throw error;
      }
      if ((base.state as DriverState) !== "starting") throw new DriverError("stopped", `MQTT broker ${name} was stopped while it started`, "start it again");
      address = listening;
      base.become("up", "");
      bridge?.connected();
    },
    async stop() {
      if (base.state !== "stopped") {
        bridge?.stop("the gateway stopped");
        base.become("stopped", "");
        address = undefined;
        changing = changing.then(() => broker.stop());
      }
      await changing;
    },
    send: (outgoing) => (base.state === "up" ? publish(outgoing) : "notStarted"),
    onFrames: (listener) => base.frames.add(listener),
    onEvent: (listener) => base.events.add(listener),
    health: () => base.health(broker.counters),
  };
}

export interface MqttClientDriverOptions extends Omit<MqttClientOptions, "will"> {
  name: string;
  /** Speak for this robot: last will, bridge/state, availability. */
  speakFor?: Robot;
  /** `start` waits so long for the connection and then resolves without it: a fleet's broker may be away. Default 2000. */
  startTimeoutMs?: number;
}

/** A connection to an external broker as a driver. */
export function createMqttClientDriver(options: MqttClientDriverOptions): MqttDriver {
  const { name, clock = systemClock, speakFor, startTimeoutMs = 2000 } = options;
  const base = new Base(clock);
  let endStart = (): void => undefined;
  let stopping: Promise<void> = Promise.resolve();
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
        endStart();
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
      await stopping;
      // Stopped again while the last connection was still closing.
      if ((base.state as DriverState) !== "starting") return;
      const settled = new Promise<void>((resolve) => {
        const cancel = clock.at(clock.nowUs() + startTimeoutMs * 1e3, resolve);
        endStart = () => {
          cancel();
          resolve();
        };
      });
      connection.start();
      await settled;
    },
    async stop() {
      if (base.state !== "stopped") {
        bridge?.stop("the gateway stopped");
        base.become("stopped", "");
        endStart();
        stopping = stopping.then(() => connection.stop());
      }
      await stopping;
    },
    send: (outgoing) => (base.state === "stopped" ? "notStarted" : connection.send(outgoing)),
    onFrames: (listener) => base.frames.add(listener),
    onEvent: (listener) => base.events.add(listener),
    health: () => base.health(connection.counters),
  };
}

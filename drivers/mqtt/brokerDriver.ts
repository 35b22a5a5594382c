/** The embedded broker behind the contract of all drivers. */
import { systemClock } from "../../schemas/clock.ts";
import type { DriverState, SendVerdict } from "../driver.ts";
import { DriverError } from "../driver.ts";
import { treeGuard } from "./bridge.ts";
import type { BrokerClientReport, MqttBroker, MqttBrokerOptions } from "./broker.ts";
import { createMqttBroker } from "./broker.ts";
import type { MqttDriver, Robot } from "./driverBase.ts";
import { DriverBase, makeBridge } from "./driverBase.ts";
import type { MqttOutgoing } from "./message.ts";

export interface MqttBrokerDriver extends MqttDriver {
  /** Where it listens, once started. */
  readonly address: { host: string; port: number } | undefined;
  clients(): BrokerClientReport[];
}

/** The embedded broker as a driver. Frames are what clients publish; `send` publishes to them. `treeGuard` is always on. */
export function createMqttBrokerDriver(options: MqttBrokerOptions & { name: string; speakFor?: Robot }): MqttBrokerDriver {
  const { name, clock = systemClock, guard, speakFor } = options;
  const base = new DriverBase(clock);
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

/** A client of an external broker behind the contract of all drivers. */
import { systemClock } from "../../schemas/clock.ts";
import type { DriverState } from "../driver.ts";
import { DriverError } from "../driver.ts";
import type { MqttClientOptions } from "./client.ts";
import { MqttConnection } from "./client.ts";
import type { MqttDriver, Robot } from "./driverBase.ts";
import { DriverBase, makeBridge } from "./driverBase.ts";

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
  const base = new DriverBase(clock);
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

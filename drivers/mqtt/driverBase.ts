/** What both MQTT drivers have in common: `brokerDriver.ts`, the broker that nodes connect to, and `clientDriver.ts`, a client of an external one. */
import type { Clock } from "../../schemas/clock.ts";
import type { Driver, DriverEvent, DriverHealth, DriverState } from "../driver.ts";
import { Listeners } from "../listeners.ts";
import type { BridgeIdentity } from "./bridge.ts";
import { BridgeAnnouncer } from "./bridge.ts";
import type { MqttMessage, MqttOutgoing } from "./message.ts";
import { topicTree } from "./topics.ts";

export interface MqttDriver extends Driver<MqttMessage, MqttOutgoing> {
  readonly kind: "mqtt";
  /** Present when the driver was given a robot to speak for. */
  readonly bridge: BridgeAnnouncer | undefined;
}

/** Whom a driver speaks for: the names in last will, bridge/state and availability. */
export interface Robot {
  robot: string;
  identity: BridgeIdentity;
}

/** State, listeners and events, the same for both sides. */
export class DriverBase {
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

export function makeBridge(robot: Robot | undefined, clock: Clock, send: (outgoing: MqttOutgoing) => unknown): BridgeAnnouncer | undefined {
  return robot && new BridgeAnnouncer({ tree: topicTree(robot.robot), identity: robot.identity, send, clock });
}

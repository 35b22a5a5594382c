/** The lanes of one session: its part of the control messages, and what it is sent. */
import { Status } from "../../../schemas/status.ts";
import type { LaneClientMessage, LaneServerMessage } from "../../../shm/protocol/laneMessages.ts";
import type { SubscriptionPolicy } from "../../../shm/protocol/messages.ts";
import type { Descriptor } from "../../../shm/sockets/index.ts";
import { Budget } from "../budget.ts";
import type { Peer, ServiceAnswer } from "../ports.ts";
import type { LaneBroker, LaneClient } from "./laneBroker.ts";

/** What the lanes need of a session. */
export interface SessionPorts {
  readonly peer: Peer;
  /** Its number at the desk of services. */
  readonly client: number;
  reply(seq: number, answer: ServiceAnswer): void;
  /** False = it could not be sent, and the session ends. */
  send(message: LaneServerMessage, descriptors: readonly Descriptor[]): boolean;
  /** Announces a topic before the first message that names it. */
  describe(topic: string): boolean;
  originId(name: string): number;
  tell(status: number, text: string): void;
  nowUs(): number;
}

export class SessionLanes implements LaneClient {
  readonly peer: Peer;
  readonly number: number;
  readonly #broker: LaneBroker;
  readonly #ports: SessionPorts;
  readonly #changes: Budget;
  #open = true;

  constructor(broker: LaneBroker, ports: SessionPorts) {
    this.peer = ports.peer;
    this.number = ports.client;
    this.#broker = broker;
    this.#ports = ports;
    const { changesPerSecond, changeBurst } = broker.limits;
    this.#changes = new Budget({ perSecond: changesPerSecond, burst: changeBurst, nowUs: ports.nowUs() });
    broker.open(this);
  }

  /** Takes over the descriptors: as many as the message has. The answer goes out before what follows from it. */
  handle(message: LaneClientMessage, descriptors: readonly Descriptor[]): void {
    this.#ports.reply(message.seq, this.#answer(message, descriptors));
    this.#broker.perform();
  }

  /** Returns how many lanes will follow; `perform` sends them. */
  subscribe(subscription: number, policy: SubscriptionPolicy, matches: (topic: string) => boolean): number {
    return this.#broker.subscribe(this, subscription, policy, matches);
  }

  perform(): void {
    this.#broker.perform();
  }

  unsubscribe(subscription: number): void {
    this.#broker.unsubscribe(this, subscription);
  }

  /** This program will go: whoever reads its topics is told. */
  leaving(text: string): void {
    this.#broker.leaving(this, text);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#broker.close(this);
  }

  say(message: LaneServerMessage, descriptors: readonly Descriptor[], topic?: string): boolean {
    if (!this.#open || (topic !== undefined && !this.#ports.describe(topic))) return false;
    return this.#ports.send(message, descriptors);
  }

  originId(name: string): number {
    return this.#open ? this.#ports.originId(name) : 0;
  }

  tell(status: number, text: string): void {
    if (this.#open) this.#ports.tell(status, text);
  }

  #answer(message: LaneClientMessage, [descriptor]: readonly Descriptor[]): ServiceAnswer {
    const broker = this.#broker;
    if ((message.op === "advertise" || message.op === "relane") && !this.#changes.take(1, this.#ports.nowUs())) {
      descriptor!.close();
      return { status: Status.tooManyRequests, text: "this client makes new lanes too often" };
    }
    switch (message.op) {
      case "advertise":
        return broker.advertise(this, message, descriptor!);
      case "relane":
        return broker.relane(this, message.advert, descriptor!);
      case "attach":
        return broker.attach(this, message.lane, descriptor!);
      case "unadvertise":
        return broker.unadvertise(this, message.advert);
      case "detach":
        return broker.detach(this, message.lane);
      default:
        return { status: Status.badRequest, text: `unknown ${(message satisfies never as LaneClientMessage).op}` };
    }
  }
}

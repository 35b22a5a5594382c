/**
 * How a gateway shows itself on MQTT: `bridge/state` and the availability of its nodes, over whatever connection it has.
 * The rules are in `status.ts`; here they meet topics and a way to publish.
 */
import type { Clock } from "../../schemas/clock.ts";
import { systemClock } from "../../schemas/clock.ts";
import type { MqttMessage, MqttOutgoing } from "./message.ts";
import type { BridgeWord, Incarnation } from "./status.ts";
import { BridgeStatePublisher, compareIncarnations, encodeStatus, parseAvailability, parseBridgeState, willOf } from "./status.ts";
import type { TopicTree } from "./topics.ts";

export interface BridgeIdentity {
  /** Which of the redundant instances this is. */
  instance: string;
  version: string;
  /** Rises with each takeover; the gateway's fencing token. Who may have to wait for it says it at the first connection. */
  epoch: number | (() => number);
  /** The first session number to use; each connection uses the next. Must be higher than any used before in this epoch: the start time in ms serves. */
  firstSession: number;
}

export class BridgeAnnouncer {
  readonly tree: TopicTree;
  readonly #publisher: BridgeStatePublisher;
  readonly #send: (outgoing: MqttOutgoing) => unknown;
  readonly #clock: Clock;
  readonly #nodes = new Map<string, "online" | "offline">();
  readonly #epoch: () => number;
  #next: Incarnation;
  /** A will with this incarnation may already lie with a broker: the next attempt needs a session of its own. */
  #nextUsed = false;
  #willOut = false;
  #cancelRepeat: (() => void) | undefined;

  constructor({ tree, identity, send, clock = systemClock }: { tree: TopicTree; identity: BridgeIdentity; send: (outgoing: MqttOutgoing) => unknown; clock?: Clock }) {
    const { instance, version, epoch, firstSession } = identity;
    this.tree = tree;
    this.#send = send;
    this.#clock = clock;
    this.#epoch = typeof epoch === "number" ? () => epoch : epoch;
    this.#next = { epoch: 0, session: firstSession };
    this.#publisher = new BridgeStatePublisher({ state: "starting", instance, version, epoch: 0, session: firstSession, reason: "" });
  }

  get incarnation(): Incarnation {
    return this.#publisher.own;
  }
  /** A higher incarnation spoke for this robot: we are silent. */
  get superseded(): boolean {
    return this.#publisher.state === "superseded";
  }
  get counters(): Readonly<Record<string, number>> {
    return this.#publisher.counters;
  }

  /** The will for the next connection attempt. */
  will(): { topic: string; payload: Uint8Array } {
    this.#newSession();
    this.#willOut = true;
    return { topic: this.tree.bridgeState, payload: encodeStatus(willOf({ ...this.#publisher.own, ...this.#next })) };
  }

  connected(): void {
    if (!this.#willOut) this.#newSession();
    this.#willOut = false;
    this.#publish(this.#publisher.connected(this.#next));
    for (const node of this.#nodes.keys()) this.#publishNode(node);
  }

  disconnected(): void {
    this.#publisher.disconnected();
  }

  set(state: BridgeWord, reason: string): void {
    this.#publish(this.#publisher.changed(state, reason));
  }

  setNode(node: string, state: "online" | "offline"): void {
    if (this.#nodes.get(node) === state) return;
    this.#nodes.set(node, state);
    if (this.#publisher.state === "announced") this.#publishNode(node);
  }

  /** A message on our own bridge/state topic. */
  saw(message: MqttMessage): void {
    if (message.topic !== this.tree.bridgeState) return;
    this.#publish(this.#publisher.saw(message.payload, this.#clock.nowUs()));
    this.#repeatLater();
  }

  stop(reason: string): void {
    this.#cancelRepeat?.();
    this.#publish(this.#publisher.stop(reason));
  }

  #newSession(): void {
    this.#next = { epoch: this.#epoch(), session: this.#next.session + (this.#nextUsed ? 1 : 0) };
    this.#nextUsed = true;
  }

  #publish(state: ReturnType<BridgeStatePublisher["connected"]>): void {
    if (state) this.#send({ topic: this.tree.bridgeState, payload: encodeStatus(state), qos: 1, retain: true, deadlineUs: Infinity });
  }

  #publishNode(node: string): void {
    const { epoch, session } = this.#publisher.own;
    this.#send({ topic: this.tree.availability(node), payload: encodeStatus({ state: this.#nodes.get(node)!, epoch, session }), qos: 1, retain: true, deadlineUs: Infinity });
  }

  #repeatLater(): void {
    const deadlineUs = this.#publisher.nextDeadlineUs();
    this.#cancelRepeat?.();
    this.#cancelRepeat = deadlineUs === undefined ? undefined : this.#clock.at(deadlineUs, () => this.#publish(this.#publisher.poll(this.#clock.nowUs())));
  }
}

/**
 * What the embedded broker refuses on any robot's tree, whoever sends it: commands with the retain flag (they would be replayed to
 * whoever subscribes later), and a bridge state or availability of a lower incarnation than the one retained.
 */
export function treeGuard(message: MqttMessage, held: Uint8Array | undefined): string | undefined {
  const { topic, retain, payload } = message;
  if (!topic.startsWith("ipcnet/")) return undefined;
  if (retain && /^ipcnet\/[^/]+\/(cmd\/.+\/set|bridge\/request\/.+)$/.test(topic)) return "commands and requests are never retained";
  const parse = /^ipcnet\/[^/]+\/bridge\/state$/.test(topic) ? parseBridgeState : /^ipcnet\/[^/]+\/nodes\/[^/]+\/availability$/.test(topic) ? parseAvailability : undefined;
  if (!parse) return undefined;
  const said = parse(payload);
  if (!said) return "not a state";
  const known = held && parse(held);
  return known && compareIncarnations(said, known) < 0 ? "a later incarnation has spoken" : undefined;
}

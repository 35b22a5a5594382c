/**
 * Who is there: presence of the robot's nodes from their heartbeats (CiA 301's, a named message, or any topic), pure.
 *
 * A node is watched from its first sign of life (as CiA 301's heartbeat consumer does); `required` nodes must be operational before anything
 * may be armed, and losing one while armed is an event. Two nodes with one number are found by `duplicate.ts` and keep anything from being armed.
 */
import { DuplicateWatch } from "./duplicate.ts";
import type { NodeReport, NodeState } from "../../schemas/messages/statusReport.ts";

export interface WatchedNode {
  name: string;
  link: string;
  timeoutMs: number;
  required: boolean;
}

export type NodeEvent =
  | { type: "appeared" | "lost" | "duplicate"; node: WatchedNode; atUs: number }
  /** `state`: the first that it says; bootUp: it has started anew. */
  | { type: "returned" | "stateChanged"; node: WatchedNode; atUs: number; state: NodeState };

interface Presence {
  node: WatchedNode;
  state: NodeState;
  lastSeenUs: number | undefined;
  count: number;
  countAtLastRate: number;
  rateHz: number;
  duplicate: DuplicateWatch;
  suspected: boolean;
}

/** NMT states in a CiA 301 heartbeat; bit 7 is the toggle bit of the obsolete node guarding and is ignored. */
const nmtStates: Readonly<Record<number, NodeState>> = { 0: "bootUp", 4: "stopped", 5: "operational", 127: "preOperational" };

export class NodeMonitor {
  readonly #presences: Presence[];

  constructor(nodes: readonly WatchedNode[]) {
    this.#presences = nodes.map((node) => ({ node, state: "unknown", lastSeenUs: undefined, count: 0, countAtLastRate: 0, rateHz: 0, duplicate: new DuplicateWatch(), suspected: false }));
  }

  /** A sign of life of node `index`. A message or topic that is itself the heartbeat says "operational". */
  seen(index: number, nowUs: number, state: NodeState = "operational"): NodeEvent | undefined {
    const presence = this.#presences[index]!;
    const before = presence.state;
    presence.lastSeenUs = nowUs;
    presence.count += 1;
    presence.state = state;
    if (before === state) return undefined;
    if (before === "unknown") return { type: "appeared", node: presence.node, atUs: nowUs };
    if (before === "lost") return { type: "returned", node: presence.node, atUs: nowUs, state };
    return { type: "stateChanged", node: presence.node, atUs: nowUs, state };
  }

  /** A CiA 301 heartbeat's byte. An unknown state keeps the node alive but not operational. */
  seenCanopen(index: number, nmtByte: number, nowUs: number): NodeEvent | undefined {
    const presence = this.#presences[index]!;
    const suspectedBefore = presence.suspected;
    presence.suspected = presence.duplicate.seen(nmtByte & 0x7f, nowUs);
    const event = this.seen(index, nowUs, nmtStates[nmtByte & 0x7f] ?? "preOperational");
    return presence.suspected && !suspectedBefore ? { type: "duplicate", node: presence.node, atUs: nowUs } : event;
  }

  /** Whether a node of this name was heard, and not for too long ago. */
  isThere(name: string): boolean {
    return this.#presences.some(({ node, state }) => node.name === name && state !== "unknown" && state !== "lost");
  }

  /** For a successor: who is there. */
  states(): Record<string, NodeState> {
    return Object.fromEntries(this.#presences.map(({ node, state }) => [node.name, state]));
  }

  /** Who was there for a predecessor is there until it has been silent for its time from now on; nothing of it is news. */
  restore(states: Readonly<Record<string, NodeState>>, nowUs: number): void {
    for (const presence of this.#presences) {
      const state = Object.hasOwn(states, presence.node.name) ? states[presence.node.name]! : "unknown";
      if (state === "unknown") continue;
      presence.state = state;
      presence.lastSeenUs = nowUs;
    }
  }

  /** Finds out who has been silent for too long. */
  poll(nowUs: number): NodeEvent[] {
    const events: NodeEvent[] = [];
    for (const presence of this.#presences) {
      if (presence.lastSeenUs === undefined || presence.state === "lost") continue;
      if (nowUs - presence.lastSeenUs <= presence.node.timeoutMs * 1e3) continue;
      presence.state = "lost";
      presence.duplicate.lost();
      presence.suspected = false;
      events.push({ type: "lost", node: presence.node, atUs: nowUs });
    }
    return events;
  }

  /** One sentence for each required node that is not operational. */
  missing(counts: (link: string) => boolean = () => true): string[] {
    const twice = this.#presences.filter(({ suspected }) => suspected).map(({ node }) => `two nodes on ${node.link} seem to have the number of ${node.name}`);
    return [...twice, ...this.#absent(counts)];
  }

  #absent(counts: (link: string) => boolean): string[] {
    return this.#presences.filter(({ node, state }) => node.required && state !== "operational" && counts(node.link)).map(({ node, state }) =>
      state === "unknown" ? `node ${node.name} on ${node.link} has not been seen` : `node ${node.name} on ${node.link} is ${state}`);
  }

  closeRateInterval(seconds: number): void {
    for (const presence of this.#presences) {
      presence.rateHz = (presence.count - presence.countAtLastRate) / seconds;
      presence.countAtLastRate = presence.count;
    }
  }

  report(nowUs: number): NodeReport[] {
    return this.#presences.map(({ node, state, lastSeenUs, rateHz }) => ({
      name: node.name, link: node.link, state, required: node.required, rateHz,
      lastSeenMsAgo: lastSeenUs === undefined ? undefined : (nowUs - lastSeenUs) / 1e3,
    }));
  }
}

/** Which sign of life belongs to which node of the configuration. */
import type { Node } from "../../schemas/messages/config.ts";
import type { NodeEvent, NodeMonitor } from "../nodes/monitor.ts";
import type { TopicSource } from "../topics/topicSource.ts";

export class Heartbeats {
  readonly #nodes: readonly Node[];
  readonly #monitor: NodeMonitor;
  readonly #onEvent: (event: NodeEvent) => void;

  constructor(nodes: readonly Node[], monitor: NodeMonitor, onEvent: (event: NodeEvent) => void) {
    this.#nodes = nodes;
    this.#monitor = monitor;
    this.#onEvent = onEvent;
  }

  /** Nodes of a bus that send CiA 301 heartbeats. */
  canopen(bus: string): { nodeIndex: number; nodeNumber: number }[] {
    return this.#nodes.flatMap(({ link, heartbeat }, nodeIndex) => (link === bus && "canopen" in heartbeat ? [{ nodeIndex, nodeNumber: heartbeat.canopen }] : []));
  }

  /** Nodes of a link for which this message counts. */
  byMessage(link: string, message: string): number[] {
    return this.#nodes.flatMap((node, nodeIndex) => (node.link === link && "message" in node.heartbeat && node.heartbeat.message === message ? [nodeIndex] : []));
  }

  /** Nodes of a link that show by messages of it that they are there. */
  byMessages(link: string): number[] {
    return this.#nodes.flatMap((node, nodeIndex) => (node.link === link && "message" in node.heartbeat ? [nodeIndex] : []));
  }

  /** Watches the topics that count for nodes. */
  watchTopics(topics: TopicSource): void {
    for (const [nodeIndex, { heartbeat }] of this.#nodes.entries()) {
      if (!("topic" in heartbeat)) continue;
      topics.watch(heartbeat.topic, { sample: (topic) => this.seen([nodeIndex], topic.timeUs) });
    }
  }

  seen(nodeIndexes: readonly number[], timeUs: number): void {
    for (const nodeIndex of nodeIndexes) this.#tell(this.#monitor.seen(nodeIndex, timeUs));
  }

  /** They began anew, as CiA 301's boot-up message says of a CANopen node: not operational before their next sign of life. */
  restarted(nodeIndexes: readonly number[], timeUs: number): void {
    for (const nodeIndex of nodeIndexes) this.#tell(this.#monitor.seen(nodeIndex, timeUs, "bootUp"));
  }

  canopenSeen(nodeIndex: number, nmtByte: number, timeUs: number): void {
    this.#tell(this.#monitor.seenCanopen(nodeIndex, nmtByte, timeUs));
  }

  #tell(event: NodeEvent | undefined): void {
    if (event) this.#onEvent(event);
  }
}

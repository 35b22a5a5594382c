/**
 * What the embedded broker remembers, all of it bounded: retained messages, wills of connected clients, and the ids of QoS 2 messages
 * between PUBLISH and PUBREL. It keeps nothing for clients that are away: a queue for an absent subscriber is how a command of
 * yesterday reaches a motor today. Sessions therefore end with the connection (the broker makes each connection a clean one).
 *
 * The shape is what aedes 2 asks of a persistence.
 */
import { Readable } from "node:stream";
import { topicMatches } from "../../schemas/topics/topicName.ts";

interface StoredPacket {
  topic: string;
  payload: Uint8Array;
  messageId?: number;
  brokerId?: string;
  clientId?: string;
}
interface ClientId {
  id: string;
}

export interface BrokerStoreLimits {
  retainedMessages: number;
  retainedBytes: number;
  incomingQos2: number;
}

export class BrokerStore {
  readonly #limits: BrokerStoreLimits;
  readonly #retained = new Map<string, StoredPacket>();
  #retainedBytes = 0;
  readonly #wills = new Map<string, StoredPacket>();
  /** Per client the messages whose PUBREL is still to come; PUBREL asks for the id alone. */
  readonly #incoming = new Map<string, Map<number, StoredPacket>>();
  #brokerId = "";

  constructor(limits: BrokerStoreLimits) {
    this.#limits = limits;
  }

  get retainedMessages(): number {
    return this.#retained.size;
  }
  get retainedBytes(): number {
    return this.#retainedBytes;
  }

  retained(topic: string): Uint8Array | undefined {
    return this.#retained.get(topic)?.payload;
  }

  /** Whether a retained message fits, replacing what the topic holds now. */
  hasRoomFor(topic: string, payloadBytes: number): boolean {
    const old = this.#retained.get(topic);
    if (payloadBytes === 0) return true;
    const bytes = this.#retainedBytes - (old ? sizeOf(old) : 0) + topic.length + payloadBytes;
    return bytes <= this.#limits.retainedBytes && (old !== undefined || this.#retained.size < this.#limits.retainedMessages);
  }

  /** Called when a client is gone: nothing of it stays. */
  forget(clientId: string): void {
    this.#incoming.delete(clientId);
  }

  async setup(broker: { id: string }): Promise<void> {
    this.#brokerId = broker.id;
  }

  async storeRetained(packet: StoredPacket): Promise<void> {
    const old = this.#retained.get(packet.topic);
    if (!this.hasRoomFor(packet.topic, packet.payload.length)) throw new Error("too many retained messages");
    if (old) this.#retainedBytes -= sizeOf(old);
    if (packet.payload.length === 0) {
      this.#retained.delete(packet.topic);
      return;
    }
    // A payload is often a slice of a large receive buffer: keep the slice alone.
    const kept = { ...packet, payload: Buffer.from(packet.payload) };
    this.#retained.set(packet.topic, kept);
    this.#retainedBytes += sizeOf(kept);
  }

  createRetainedStream(pattern: string): Readable {
    return this.createRetainedStreamCombi([pattern]);
  }

  createRetainedStreamCombi(patterns: readonly string[]): Readable {
    return Readable.from([...this.#retained.values()].filter(({ topic }) => patterns.some((pattern) => topicMatches(pattern, topic))));
  }

  // Sessions that outlive a connection: none, by intent.
  async addSubscriptions(): Promise<void> {}
  async removeSubscriptions(): Promise<void> {}
  async cleanSubscriptions(): Promise<void> {}
  async subscriptionsByClient(): Promise<never[]> {
    return [];
  }
  async subscriptionsByTopic(): Promise<never[]> {
    return [];
  }
  async countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    return { subsCount: 0, clientsCount: 0 };
  }
  async outgoingEnqueue(): Promise<void> {}
  async outgoingEnqueueCombi(): Promise<void> {}
  async outgoingUpdate(): Promise<void> {}
  async outgoingClearMessageId(): Promise<undefined> {}
  outgoingStream(): Readable {
    return Readable.from([]);
  }
  getClientList(): Readable {
    return Readable.from([]);
  }

  async incomingStorePacket({ id }: ClientId, packet: StoredPacket): Promise<void> {
    let store = this.#incoming.get(id);
    if (!store) this.#incoming.set(id, (store = new Map()));
    if (store.size >= this.#limits.incomingQos2) throw new Error("too many QoS 2 messages in flight");
    store.set(packet.messageId ?? 0, { topic: packet.topic, payload: new Uint8Array(0), messageId: packet.messageId ?? 0 });
  }

  async incomingGetPacket({ id }: ClientId, { messageId = 0 }: { messageId?: number }): Promise<StoredPacket> {
    const found = this.#incoming.get(id)?.get(messageId);
    if (!found) throw new Error("no such packet");
    return found;
  }

  async incomingDelPacket({ id }: ClientId, { messageId = 0 }: { messageId?: number }): Promise<void> {
    if (!this.#incoming.get(id)?.delete(messageId)) throw new Error("no such packet");
  }

  async putWill({ id }: ClientId, packet: StoredPacket): Promise<void> {
    packet.brokerId = this.#brokerId;
    packet.clientId = id;
    this.#wills.set(id, packet);
  }
  async getWill({ id }: ClientId): Promise<StoredPacket | undefined> {
    return this.#wills.get(id);
  }
  async delWill({ id }: ClientId): Promise<StoredPacket | undefined> {
    const will = this.#wills.get(id);
    this.#wills.delete(id);
    return will;
  }
  streamWill(brokers: Readonly<Record<string, unknown>> = {}): Readable {
    return Readable.from([...this.#wills.values()].filter(({ brokerId }) => brokerId === undefined || !(brokerId in brokers)));
  }

  async destroy(): Promise<void> {
    this.#retained.clear();
    this.#retainedBytes = 0;
    this.#wills.clear();
    this.#incoming.clear();
  }
}

function sizeOf({ topic, payload }: StoredPacket): number {
  return topic.length + payload.length;
}

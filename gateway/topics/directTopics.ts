/**
 * Topics that programs write by lanes of their own: declared by the configuration, or coming into being with their first writer and going some time after their last.
 * A topic that the configuration declares stays; it is without a writer then, and its value is stale.
 *
 * Why it lingers: a program that is started again finds its topic as it was, with the same number, and what the last writer wrote last still reaches those whom the gateway serves.
 */
import type { Clock } from "../../schemas/clock.ts";
import { layoutFromJson } from "../../schemas/records/index.ts";
import { isReserved } from "../../schemas/messages/check/topics.ts";
import { Status } from "../../schemas/status.ts";
import { hashText, schemaHash } from "../../schemas/topics/schemaHash.ts";
import type { AdvertEncoding } from "../../shm/protocol/laneMessages.ts";
import type { RecordLayout } from "../../schemas/records/layout.ts";
import type { Quality } from "./topicSource.ts";
import { type Topic, type TopicDeclaration, TopicDeclarationError, type TopicTable } from "./table.ts";

/** What a writer says of its topic. */
export interface TopicClaim {
  topic: string;
  encoding: AdvertEncoding;
  schemaHash: bigint;
  /** RecordLayout as JSON. */
  layout: unknown;
  jsonSchema: unknown;
}

export interface ClaimVerdict {
  status: number;
  text: string;
  topicId?: number;
}

export interface SampleMeta {
  timeUs: number;
  quality: Quality;
  origin: string;
  lostBefore: number;
}

/** Told when a topic comes into being or goes: whoever publishes into topics wants to know. */
export interface TopicLifeListener {
  declared(topic: Topic): void;
  removed(topic: Topic): void;
}

/** How long a topic stays without a writer, ms: a program is started again within a second or two. With another schema it is replaced at once. */
export const LINGER_MS = 2_000;

export class DirectTopicTable {
  readonly #table: TopicTable;
  readonly #clock: Pick<Clock, "nowUs" | "at">;
  readonly #listener: TopicLifeListener | undefined;
  /** Topics that go with their writers, and how to keep them from going. */
  readonly #temporary = new Map<Topic, (() => void) | undefined>();
  readonly #born = new Set<(topic: Topic) => void>();

  constructor(table: TopicTable, clock: Pick<Clock, "nowUs" | "at">, listener?: TopicLifeListener) {
    this.#table = table;
    this.#clock = clock;
    this.#listener = listener;
  }

  /**
   * One more writer of a topic: 100 and its id, declaring it if nobody has. 202 the gateway alone writes it; 205 somebody else owns it alone; 206 it exists with another schema;
   * 209 the layout or schema is not what the hash says; 210 there are too many topics.
   */
  claim(claim: TopicClaim): ClaimVerdict {
    const known = this.#present(claim);
    const refusal = known ? judge(known, claim) : undefined;
    if (refusal) return refusal;
    const topic = known ?? this.#declare(claim);
    if ("status" in topic) return topic;
    topic.writers += 1;
    topic.quality = 0;
    this.#keep(topic);
    return { status: Status.ok, text: "", topicId: topic.id };
  }

  /** One writer less. */
  leave(name: string): void {
    const topic = this.#table.get(name);
    if (!topic || topic.writers === 0) return;
    topic.writers -= 1;
    if (topic.writers > 0) return;
    topic.quality = 1;
    if (this.#temporary.has(topic)) this.#temporary.set(topic, this.#clock.at(this.#clock.nowUs() + LINGER_MS * 1e3, () => this.#remove(topic)));
  }

  /** Whether the topic goes with its writers. */
  isTemporary(topic: Topic): boolean {
    return this.#temporary.has(topic);
  }

  /** Calls `listener` with each topic that a program brings into being. */
  onTemporary(listener: (topic: Topic) => void): void {
    this.#born.add(listener);
  }

  /** A topic that a program made, as a predecessor numbered it; it goes if no writer claims it in time. */
  restore(declaration: TopicDeclaration, id: number): void {
    const topic = this.#table.declare(declaration, id);
    this.#temporary.set(topic, this.#clock.at(this.#clock.nowUs() + LINGER_MS * 1e3, () => this.#remove(topic)));
    this.#listener?.declared(topic);
  }

  /** The topic, unless it only lingers and is to become another one. */
  #present({ topic: name, encoding, schemaHash: hash }: TopicClaim): Topic | undefined {
    const topic = this.#table.get(name);
    if (!topic || topic.writers > 0 || !this.#temporary.has(topic) || (topic.encoding === encoding && topic.schemaHash === hash)) return topic;
    this.#remove(topic);
    return undefined;
  }

  #keep(topic: Topic): void {
    const cancel = this.#temporary.get(topic);
    if (!cancel) return;
    cancel();
    this.#temporary.set(topic, undefined);
  }

  #remove(topic: Topic): void {
    this.#keep(topic);
    this.#temporary.delete(topic);
    this.#listener?.removed(topic);
    this.#table.remove(topic);
  }

  /** A message that came by a lane, for those in the gateway who need it. The bytes are borrowed. */
  sample(name: string, payload: Uint8Array, { timeUs, quality, origin, lostBefore }: SampleMeta): void {
    const topic = this.#table.get(name);
    if (topic) this.#table.publishFromLane(topic, payload, 0, payload.length, timeUs, quality, origin, lostBefore);
  }

  store(name: string, payload: Uint8Array, timeUs: number, quality: Quality, origin: string): void {
    const topic = this.#table.get(name);
    if (!topic || (topic.sequence > 0 && topic.timeUs >= timeUs)) return;
    this.#table.store(topic, payload, 0, payload.length, timeUs, quality, origin);
    topic.fromLanes += 1;
  }

  onNeed(listener: (topic: Topic, needed: boolean) => void): () => void {
    return this.#table.onNeed((topic) => {
      if (topic.writable && !topic.name.startsWith("cmd/")) listener(topic, topic.needsLanes);
    });
  }

  messages(name: string): number {
    return this.#table.get(name)?.laneMessages?.() ?? 0;
  }

  countBy(name: string, count: () => number): void {
    const topic = this.#table.get(name);
    if (topic) topic.laneMessages = count;
  }

  #declare({ topic: name, encoding, schemaHash: hash, layout: layoutJson, jsonSchema }: TopicClaim): Topic | ClaimVerdict {
    if (isReserved(name)) return { status: Status.forbidden, text: `${name}: topics that begin with ${name.split("/")[0]}/ are made by the gateway alone` };
    let layout: RecordLayout | undefined;
    if (encoding === "record") {
      layout = layoutFromJson(layoutJson);
      if (!layout || layout.hash !== hash) return { status: Status.unprocessableContent, text: `${name}: the layout is not one, or not the one of the schema hash` };
    } else if (encoding === "cbor" || encoding === "json" || encoding === "bytes") {
      if (schemaHash(encoding, jsonSchema) !== hash) return { status: Status.unprocessableContent, text: `${name}: the schema hash is not that of the JSON Schema` };
    }
    try {
      const schema = typeof jsonSchema === "object" && jsonSchema !== null ? { jsonSchema } : {};
      const topic = this.#table.declare({ name, encoding, schemaHash: hash, writable: true, ...(layout ? { layout } : {}), ...schema });
      this.#temporary.set(topic, undefined);
      this.#listener?.declared(topic);
      for (const listener of this.#born) listener(topic);
      return topic;
    } catch (error) {
      if (!(error instanceof TopicDeclarationError)) throw error;
      return { status: Status.tooManyRequests, text: error.message };
    }
  }
}

function judge(topic: Topic, { encoding, schemaHash: hash }: TopicClaim): ClaimVerdict | undefined {
  const { name } = topic;
  if (!topic.writable) return { status: Status.forbidden, text: `${name} is written by the gateway alone` };
  if (topic.encoding !== encoding || topic.schemaHash !== hash) {
    return { status: Status.upgradeRequired, text: `${name} exists as ${topic.encoding} with schema ${hashText(topic.schemaHash)}, not as ${encoding} with ${hashText(hash)}` };
  }
  if (topic.exclusive && topic.writers > 0) return { status: Status.conflict, text: `${name} has its one writer already` };
  return undefined;
}

/** A received message: cheap to make, decoded when looked at. */
import type { LineageEntry, Message, Quality, TopicDescription } from "./api.ts";
import type { TopicAnnouncement } from "../protocol/messages.ts";
import { type CheckPayload, type DecodePayload, payloadCheck, payloadDecoder } from "./decode.ts";

const qualities: readonly Quality[] = ["good", "stale", "bad"];

/** A topic that was announced to this client. */
export class KnownTopic {
  readonly announcement: TopicAnnouncement;
  #decode: DecodePayload | undefined;
  #check: CheckPayload | null | undefined;

  constructor(announcement: TopicAnnouncement) {
    this.announcement = announcement;
  }

  /** Made at the first use: many topics are announced, few are looked into. */
  get decode(): DecodePayload {
    return (this.#decode ??= payloadDecoder(this.announcement));
  }

  /** What is to be checked of each payload that comes by a lane. */
  get check(): CheckPayload | undefined {
    if (this.#check === undefined) this.#check = payloadCheck(this.announcement) ?? null;
    return this.#check ?? undefined;
  }

  describe(): TopicDescription {
    const { name, id, encoding, schemaHash, layout, jsonSchema, writable, cycleTimeMs, writers, rateHz, quality } = this.announcement;
    return { name, id, encoding, schemaHash, layout, jsonSchema, writable, cycleTimeMs, writers, rateHz, quality: qualities[quality]! };
  }
}

/** What only a lane carries. */
export interface LaneExtras {
  ttlMs: number;
  keyFrame: boolean;
  lineage: readonly LineageEntry[];
}

const noExtras: LaneExtras = { ttlMs: 0, keyFrame: false, lineage: [] };

export class ReceivedMessage implements Message {
  readonly topic: string;
  readonly sequence: number;
  readonly timeUs: number;
  readonly lostBefore: number;
  readonly origin: string;
  readonly #packet: Uint8Array;
  readonly #at: number;
  readonly #lengthBytes: number;
  readonly #known: KnownTopic;
  readonly #quality: number;
  readonly #wallOffsetUs: number;
  #bytes: Uint8Array | undefined;
  #value: unknown;
  #decoded = false;
  readonly #extras: LaneExtras;

  /** The payload is `packet[at … at+lengthBytes)`; the packet is the message's to keep. */
  constructor(
    known: KnownTopic, packet: Uint8Array, at: number, lengthBytes: number,
    sequence: number, timeUs: number, wallOffsetUs: number, quality: number, lostBefore: number, origin: string, extras: LaneExtras = noExtras,
  ) {
    this.#extras = extras;
    this.topic = known.announcement.name;
    this.sequence = sequence;
    this.timeUs = timeUs;
    this.lostBefore = lostBefore;
    this.origin = origin;
    this.#known = known;
    this.#packet = packet;
    this.#at = at;
    this.#lengthBytes = lengthBytes;
    this.#quality = quality;
    this.#wallOffsetUs = wallOffsetUs;
  }

  get bytes(): Uint8Array {
    return (this.#bytes ??= this.#packet.subarray(this.#at, this.#at + this.#lengthBytes));
  }

  get value(): unknown {
    if (!this.#decoded) {
      this.#value = this.#known.decode(this.bytes);
      this.#decoded = true;
    }
    return this.#value;
  }

  get wallTimeNs(): bigint {
    return BigInt(Math.round(this.timeUs + this.#wallOffsetUs)) * 1000n;
  }

  get ttlMs(): number | undefined {
    return this.#extras.ttlMs === 0 ? undefined : this.#extras.ttlMs;
  }

  get keyFrame(): boolean {
    return this.#extras.keyFrame;
  }

  get lineage(): readonly LineageEntry[] {
    return this.#extras.lineage;
  }

  get quality(): Quality {
    return qualities[this.#quality]!;
  }

  /** For logs: everything but the bytes; bigints as decimal strings. */
  toJSON(): object {
    const { topic, sequence, timeUs, wallTimeNs, quality, lostBefore, origin, value } = this;
    return { topic, sequence, timeUs, wallTimeNs: wallTimeNs.toString(), quality, lostBefore, origin, value };
  }
}

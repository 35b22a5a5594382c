/** All topics that this program writes by lanes: made, told to the gateway, and told again when another one answers. */
import { IpcnetError, Status } from "../../../schemas/status.ts";
import { hashText } from "../../../schemas/topics/schemaHash.ts";
import { layoutToJson } from "../../../schemas/records/index.ts";
import { LaneError } from "../../lanes/index.ts";
import { Fields } from "../../protocol/fields.ts";
import type { LaneServerMessage } from "../../protocol/laneMessages.ts";
import { closeAll, type Descriptor } from "../../sockets/index.ts";
import { payloadEncoder, topicSchema } from "../encode.ts";
import type { AdvertiseOptions, TopicWriter } from "../laneApi.ts";
import type { End } from "../ending.ts";
import type { Link } from "../link.ts";
import { laneGeometry } from "./geometry.ts";
import { LaneTopicWriter, type WriterOptions } from "./topicWriter.ts";

export interface WritersPorts {
  /** The link, or throws an `IpcnetError` (303). */
  link(): Link;
  failed(error: unknown): void;
  after(ms: number, callback: () => void): () => void;
}

type ToWriter = Extract<LaneServerMessage, { op: "reader" | "unreader" | "rekey" | "unadvert" }>;

const CALL_TIMEOUT_MS = 5_000;
/** The gateway's default for lossless readers. */
const DEADLINE_MS = 1_000;
/** Clients try to come back at least every 2 s, and a busy gateway takes its time: who is not back by then is gone, or may not read any more. */
const RETURN_MS = 5_000;

export class Writers {
  readonly #ports: WritersPorts;
  readonly #writers = new Set<LaneTopicWriter>();
  #byAdvert = new Map<number, LaneTopicWriter>();
  #cancelReturn: (() => void) | undefined;

  constructor(ports: WritersPorts) {
    this.#ports = ports;
  }

  async advertise(topic: string, options: AdvertiseOptions = {}): Promise<TopicWriter> {
    const link = this.#ports.link();
    const writer = await create(writerOptions(topic, options, {
      relane: (advert, lane) => this.#relane(advert, lane),
      unadvertise: (each, advert) => this.#unadvertise(each, advert),
      failed: (error) => this.#ports.failed(error), after: (ms, callback) => this.#ports.after(ms, callback),
    }));
    try {
      await this.#tell(link, writer);
    } catch (error) {
      writer.end(error instanceof IpcnetError ? error : new IpcnetError(Status.internalError, String(error)));
      throw error;
    }
    this.#writers.add(writer);
    return writer;
  }

  /** Takes over the descriptors. */
  take(message: ToWriter, descriptors: readonly Descriptor[]): void {
    const writer = this.#byAdvert.get(message.advert);
    if (!writer) return closeAll(descriptors);
    switch (message.op) {
      case "reader":
        return writer.reader(message, descriptors as [Descriptor, Descriptor]);
      case "unreader":
        return writer.unreader(message.reader);
      case "rekey":
        return void writer.rekey();
      case "unadvert":
        this.#byAdvert.delete(message.advert);
        this.#ports.failed(new IpcnetError(message.status, message.text));
        if (message.status === Status.requestTimeout) return void this.#returnWith(writer);
        this.#writers.delete(writer);
        return writer.end(new IpcnetError(message.status, message.text));
      default:
        return message satisfies never;
    }
  }

  /** It was too slow to change its lane (stopped, or the machine was): it comes back with a new one. */
  async #returnWith(writer: LaneTopicWriter): Promise<void> {
    writer.lost();
    await writer.rekey();
    await this.#retell(writer);
  }

  lost(): void {
    this.#cancelReturn?.();
    this.#byAdvert = new Map();
    for (const writer of this.#writers) writer.lost();
  }

  /** Another connection: the lanes are told again, with all that is in them. */
  async resume(link: Link): Promise<void> {
    await Promise.all([...this.#writers].map((writer) => this.#retell(writer)));
    if (!link.isOpen) return;
    this.#cancelReturn = this.#ports.after(RETURN_MS, () => {
      for (const writer of this.#writers) void writer.leaveAbsent();
    });
  }

  /** There will be no other link: `end` says how each writer's end is told. */
  closeAll(why: string, end: (topic: string, how: End) => void): void {
    this.#cancelReturn?.();
    for (const writer of this.#writers) {
      end(writer.topic, writer.ending);
      writer.end(new IpcnetError(Status.serviceUnavailable, why));
    }
    this.#writers.clear();
    this.#byAdvert.clear();
  }

  async #retell(writer: LaneTopicWriter): Promise<void> {
    let link: Link | undefined;
    try {
      await writer.settled();
      link = this.#ports.link();
      await this.#tell(link, writer);
    } catch (error) {
      // Lost again: the next connection tries again.
      if (!link?.isOpen) return;
      // The rules may have changed meanwhile.
      this.#writers.delete(writer);
      this.#ports.failed(error);
      writer.end(error instanceof IpcnetError ? error : new IpcnetError(Status.internalError, String(error)));
    }
  }

  async #tell(link: Link, writer: LaneTopicWriter): Promise<void> {
    let malformed = false;
    await link.start(writer.advertisement, CALL_TIMEOUT_MS, {
      descriptors: [writer.descriptor],
      // At once: the first reader may stand behind the reply in the same read.
      onReply: ({ body }) => {
        const fields = new Fields(Object(body));
        const advert = fields.integer("advert", 1, 0xffff_ffff);
        malformed = fields.fault !== undefined;
        this.#byAdvert.set(advert, writer);
        writer.advertised(advert);
      },
    }).reply;
    if (malformed) throw new IpcnetError(Status.badGateway, "the gateway's answer is malformed");
  }

  async #relane(advert: number, lane: Descriptor): Promise<void> {
    await this.#ports.link().start({ op: "relane", advert }, CALL_TIMEOUT_MS, { descriptors: [lane] }).reply;
  }

  async #unadvertise(writer: LaneTopicWriter, advert: number | undefined): Promise<void> {
    this.#writers.delete(writer);
    if (advert === undefined) return;
    this.#byAdvert.delete(advert);
    await this.#ports.link().start({ op: "unadvertise", advert }, CALL_TIMEOUT_MS).reply;
  }
}

async function create(options: WriterOptions): Promise<LaneTopicWriter> {
  try {
    return await LaneTopicWriter.create(options);
  } catch (error) {
    if (error instanceof LaneError) throw new IpcnetError(Status.insufficientStorage, `${options.advertisement.topic}: ${error.message}`);
    throw error;
  }
}

function writerOptions(topic: string, options: AdvertiseOptions, ports: WriterOptions["ports"]): WriterOptions {
  const { encoding, layout, jsonSchema, constraints, schemaHash, policy = "queue", queue, payloadBytesMax, deadlineMs } = options;
  const schema = topicSchema(topic, { ...(encoding ? { encoding } : {}), ...(layout ? { layout } : {}), ...(jsonSchema ? { jsonSchema } : {}), ...(constraints ? { constraints } : {}), ...(schemaHash === undefined ? {} : { hash: schemaHash }) });
  const payloadBytes = schema.layout?.sizeBytes;
  let geometry;
  try {
    geometry = laneGeometry({ payloadBytes, ...(queue === undefined ? {} : { queue }), ...(payloadBytesMax === undefined ? {} : { payloadBytesMax }) });
  } catch (error) {
    if (error instanceof RangeError) throw new IpcnetError(Status.badRequest, `${topic}: ${error.message}`);
    throw error;
  }
  return {
    schema, policy, geometry, ports, deadlineMs: deadlineMs ?? DEADLINE_MS, encode: payloadEncoder(topic, schema, Math.max(geometry.inlineBytes, geometry.largeBytes / 2)),
    advertisement: {
      op: "advertise", topic, encoding: schema.encoding, schemaHash: hashText(schema.hash), layout: schema.layout && layoutToJson(schema.layout), jsonSchema: schema.jsonSchema, policy, deadlineMs,
    },
  };
}

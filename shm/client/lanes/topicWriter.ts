/**
 * A topic that this program writes, over all the lanes it has for it: a new one when the gateway asks (`rekey`), so that whoever lost the right to read has nothing more to read.
 *
 * While a new lane is being made, off this thread, publishing goes into a queue of as many messages as the lane has slots; they are the new lane's first. So the old lane ends at the very
 * message at which its readers were asked to change, the count goes on without a gap, and who holds only the old one sees nothing more from that moment on.
 */
import { anEnd, type End } from "../ending.ts";
import { fstatSync } from "node:fs";
import { IpcnetError, Status } from "../../../schemas/status.ts";
import { nameHash } from "../../../schemas/topics/schemaHash.ts";
import { LaneError, type LaneLoan, type LaneMeta, LaneWriter } from "../../lanes/index.ts";
import type { AdvertiseMessage, LanePolicy, ReaderMessage } from "../../protocol/laneMessages.ts";
import { closeAll, type Descriptor } from "../../sockets/index.ts";
import type { Message, Quality } from "../api.ts";
import type { EncodePayload, TopicSchema } from "../encode.ts";
import type { Loan, SampleOptions, TopicWriter } from "../laneApi.ts";
import type { LaneGeometry } from "./geometry.ts";

export type Advertisement = Omit<AdvertiseMessage, "seq">;

/** How the writer talks to the gateway. */
export interface WriterPorts {
  /** Replaces the lane of an advert; rejects when the gateway refuses or is gone. */
  relane(advert: number, lane: Descriptor): Promise<void>;
  unadvertise(writer: LaneTopicWriter, advert: number | undefined): Promise<void>;
  failed(error: unknown): void;
  after(ms: number, callback: () => void): () => void;
}

export interface WriterOptions {
  advertisement: Advertisement;
  schema: TopicSchema;
  policy: LanePolicy;
  /** How long lossless readers may keep this writer waiting. */
  deadlineMs: number;
  geometry: LaneGeometry;
  encode: EncodePayload;
  ports: WriterPorts;
}

interface Waiting {
  payload: Uint8Array;
  meta: LaneMeta;
}

const qualities: Readonly<Record<Quality, 0 | 1 | 2>> = { good: 0, stale: 1, bad: 2 };
const LINEAGE_MAX = 15;

export class LaneTopicWriter implements TopicWriter {
  /** How it ends; whoever ends it with more to say settles it first. */
  readonly ending: End = anEnd();
  /** What the gateway was told, and is told again when another one answers. */
  readonly advertisement: Advertisement;
  readonly #options: WriterOptions;
  /** The gateway's number for it; undefined while there is no gateway. */
  #advert: number | undefined;
  #lane: LaneWriter;
  /** Readers of the present lane: the gateway's number → the lane's. */
  #readers = new Map<number, number>();
  /** The same readers by their pages, so that one that comes again is known: page → the lane's number. */
  #pages = new Map<string, number>();
  /** Readers from before the last gateway, which have not come again yet. */
  #absent = new Set<string>();
  /** While a new lane is being made. */
  #waiting: Waiting[] | undefined;
  #changing: Promise<void> | undefined;
  #again = false;
  /** Pages of lossless readers. */
  readonly #lossless = new Set<string>();
  /** Lossless readers that are on their way from the old lane to this one: until they are here, nothing that they need is overwritten. */
  #returning: { count: number; room: number; cancel?: () => void } | undefined;
  /** The sequence of the first of them. */
  #firstWaiting = 0n;
  #spaceListeners: (() => void)[] = [];
  #taken: IpcnetError | undefined;

  private constructor(lane: LaneWriter, options: WriterOptions) {
    this.#lane = lane;
    this.#options = options;
    this.advertisement = options.advertisement;
    this.#watchSpace(lane);
  }

  static async create(options: WriterOptions): Promise<LaneTopicWriter> {
    return new LaneTopicWriter(await newLane(options, undefined), options);
  }

  get topic(): string {
    return this.advertisement.topic;
  }

  get readers(): number {
    return this.#pages.size;
  }

  get nextSequence(): bigint {
    return this.#waiting ? this.#firstWaiting + BigInt(this.#waiting.length) : this.#lane.nextSequence;
  }

  get descriptor(): Descriptor {
    return this.#lane.descriptor;
  }

  publish(value: unknown, options?: SampleOptions): boolean {
    this.#assertOpen();
    const { encode } = this.#options;
    if (encode.inPlace && !(value instanceof Uint8Array) && !this.#waiting) return this.#putInPlace(encode.inPlace, value, options);
    return this.#put(encode(value), metaOf(options));
  }

  publishMany(values: readonly unknown[], options?: SampleOptions): number {
    this.#assertOpen();
    const { encode } = this.#options;
    if (options !== undefined || this.#waiting || this.#returning) {
      let count = 0;
      for (const value of values) {
        if (!this.publish(value, options)) break;
        count += 1;
      }
      return count;
    }
    // The encoder's buffer is used again for the next value.
    const payloads = values.map((value) => (value instanceof Uint8Array ? encode(value) : encode(value).slice()));
    try {
      return this.#lane.publishMany(payloads);
    } catch (error) {
      throw error instanceof RangeError ? tooLarge(this.topic, error) : error;
    }
  }

  space(): Promise<void> {
    this.#assertOpen();
    return new Promise((resolve) => {
      this.#spaceListeners.push(resolve);
    });
  }

  loan(bytes: number, lineageCount = 0): Loan | undefined {
    this.#assertOpen();
    if (this.#waiting) {
      if (this.#waiting.length >= this.#options.geometry.slots) return undefined;
      const buffer = new Uint8Array(bytes);
      return { bytes: buffer, commit: (lengthBytes = bytes, options) => void this.publish(buffer.subarray(0, lengthBytes), options), giveUp: () => {} };
    }
    if (this.#returning && !this.#hasRoom(this.#returning)) return undefined;
    const loan = this.#lend(bytes, lineageCount);
    return loan === "full" ? undefined : { bytes: loan.bytes, commit: (lengthBytes = bytes, options) => loan.commit(lengthBytes, metaOf(options)), giveUp: () => loan.giveUp() };
  }

  get ended(): Promise<void> {
    return this.ending.promise;
  }

  async close(): Promise<void> {
    this.ending.resolve();
    if (this.#taken) return;
    const advert = this.#advert;
    this.end(new IpcnetError(Status.serviceUnavailable, `${this.topic}: this writer is closed`));
    await this.#options.ports.unadvertise(this, advert);
  }

  // --- what the gateway says ------------------------------------------------------------------------------------------------------

  advertised(advert: number): void {
    this.#advert = advert;
    this.#absent = new Set(this.#pages.keys());
  }

  /** The gateway is gone; readers stay. */
  lost(): void {
    this.#advert = undefined;
    this.#readers.clear();
  }

  /** The topic was taken away, or the program is done with it. */
  end(why: IpcnetError): void {
    if (this.#taken) return;
    this.#taken = why;
    // Its program was told by a notice, and is told again by each publish.
    this.ending.reject(why, true);
    this.#advert = undefined;
    this.#waiting = undefined;
    this.#returning?.cancel?.();
    this.#returning = undefined;
    this.#lane.close();
    this.#hasSpace();
  }

  reader({ reader, policy, deadlineMs }: ReaderMessage, [page, bell]: readonly [Descriptor, Descriptor]): void {
    const key = pageOf(page);
    const known = this.#pages.get(key);
    if (this.#taken || known !== undefined) {
      // It reads on with the bell it has.
      closeAll([page, bell]);
      if (known !== undefined) this.#readers.set(reader, known);
      this.#absent.delete(key);
      return;
    }
    try {
      const number = this.#lane.addReader(page, bell, policy, deadlineMs);
      this.#readers.set(reader, number);
      this.#pages.set(key, number);
      if (policy !== "lossless") return;
      this.#lossless.add(key);
      if (this.#returning && (this.#returning.count -= 1) === 0) this.#allReturned();
    } catch (error) {
      // A page of the lane before this one: its reader is given the new one too. Anything else costs that reader alone.
      if (!(error instanceof LaneError)) throw error;
    }
  }

  unreader(reader: number): void {
    const number = this.#readers.get(reader);
    if (number === undefined) return;
    this.#readers.delete(reader);
    for (const [key, each] of this.#pages) {
      if (each !== number) continue;
      this.#pages.delete(key);
      this.#lossless.delete(key);
    }
    this.#lane.removeReader(number);
  }

  /**
   * Some time after a new gateway answered: readers that have not come again are gone, or the new gateway does not let them read. They are left behind with the old lane.
   * Returns whether there were any.
   */
  async leaveAbsent(): Promise<boolean> {
    if (this.#absent.size === 0 || this.#taken || this.#advert === undefined) return false;
    await this.rekey();
    return true;
  }

  /** Changes the lane: what is published from this call on is in the new one alone. Resolves when the gateway has it, or will be given it by whoever told of the advert anew. */
  rekey(): Promise<void> {
    if (this.#taken) return Promise.resolve();
    // Asked again after the new lane has been told, but before the answer was looked at.
    if (this.#changing && !this.#waiting) this.#again = true;
    this.#changing ??= this.#changes().finally(() => {
      this.#changing = undefined;
    });
    return this.#changing;
  }

  async #changes(): Promise<void> {
    do {
      this.#again = false;
      await this.#change();
    } while (this.#isAskedAgain());
  }

  /** Resolves when it has a lane: at once, unless that is being changed. */
  settled(): Promise<void> {
    return this.#changing ?? Promise.resolve();
  }

  async #change(): Promise<void> {
    const { ports, advertisement: { topic } } = this.#options;
    const old = this.#lane;
    this.#waiting = [];
    this.#firstWaiting = old.nextSequence;
    const lossless = this.#lossless.size;
    old.close();
    this.#readers.clear();
    this.#pages.clear();
    this.#absent.clear();
    this.#lossless.clear();
    try {
      const lane = await newLane(this.#options, this.#firstWaiting);
      if (this.#isTaken()) return lane.close();
      this.#begin(lane, lossless);
    } catch (error) {
      ports.failed(error);
      return this.end(new IpcnetError(Status.insufficientStorage, `${topic}: no new lane: ${error instanceof Error ? error.message : String(error)}`));
    }
    // Without a gateway the next one is given it.
    if (this.#advert !== undefined) await ports.relane(this.#advert, this.#lane.descriptor).catch((error: unknown) => ports.failed(error));
  }

  /** The lane is there: what has waited is its beginning. Lossless readers of the old lane are waited for, as if they were slow. */
  #begin(lane: LaneWriter, lossless: number): void {
    const waiting = this.#waiting!;
    this.#lane = lane;
    this.#watchSpace(lane);
    this.#waiting = undefined;
    for (const { payload, meta } of waiting) lane.publish(payload, meta);
    if (lossless > 0) {
      this.#returning = { count: lossless, room: this.#options.geometry.slots - waiting.length };
      this.#returning.cancel = this.#options.ports.after(this.#options.deadlineMs, () => this.#allReturned());
    }
    this.#hasSpace();
  }

  #allReturned(): void {
    this.#returning?.cancel?.();
    this.#returning = undefined;
    this.#hasSpace();
  }

  // --- inside ---------------------------------------------------------------------------------------------------------------------

  #put(payload: Uint8Array, meta: LaneMeta | undefined): boolean {
    if (!this.#waiting) {
      if (this.#returning && !this.#hasRoom(this.#returning)) return false;
      try {
        return this.#lane.publish(payload, meta) === "published";
      } catch (error) {
        throw error instanceof RangeError ? tooLarge(this.topic, error) : error;
      }
    }
    const { geometry, advertisement } = this.#options;
    if (this.#waiting.length >= geometry.slots) return false;
    if (payload.length > Math.max(geometry.inlineBytes, geometry.largeBytes / 2)) throw new IpcnetError(Status.payloadTooLarge, `${advertisement.topic}: ${payload.length} bytes`);
    this.#waiting.push({ payload: payload.slice(), meta: { timeNs: process.hrtime.bigint(), ...meta } });
    return true;
  }

  #lend(bytes: number, lineageCount: number): LaneLoan | "full" {
    try {
      return this.#lane.loan(bytes, lineageCount);
    } catch (error) {
      throw error instanceof RangeError ? tooLarge(this.topic, error) : error;
    }
  }

  /** A frame or a tensor is written where its readers will find it. */
  #putInPlace({ payloadBytes, write }: NonNullable<EncodePayload["inPlace"]>, value: unknown, options: SampleOptions | undefined): boolean {
    const meta = metaOf(options);
    const loan = this.loan(payloadBytes(value), meta?.lineage?.length ?? 0);
    if (!loan) return false;
    try {
      write(value, loan.bytes);
    } catch (error) {
      loan.giveUp();
      throw error;
    }
    loan.commit(undefined, options);
    return true;
  }

  /** Room for one more message that nobody can have read yet. Large ones that fill their ring sooner than the slots are the exception that a gap tells. */
  #hasRoom(returning: { room: number }): boolean {
    if (returning.room <= 0) return false;
    returning.room -= 1;
    return true;
  }

  #isAskedAgain(): boolean {
    return this.#again && !this.#taken;
  }

  #isTaken(): boolean {
    return this.#taken !== undefined;
  }

  #assertOpen(): void {
    if (this.#taken) throw this.#taken;
  }

  /** Only lossless readers can be behind. */
  #watchSpace(lane: LaneWriter): void {
    if (this.#options.policy === "lossless") lane.onSpace(() => this.#hasSpace());
  }

  #hasSpace(): void {
    for (const listener of this.#spaceListeners.splice(0)) listener();
  }
}

function newLane({ schema, policy, geometry }: WriterOptions, firstSequence: bigint | undefined): Promise<LaneWriter> {
  return LaneWriter.create({ schemaHash: schema.hash, policy, ...geometry, ...(firstSequence === undefined ? {} : { firstSequence }) });
}

function metaOf(options: SampleOptions | undefined): LaneMeta | undefined {
  if (options === undefined) return undefined;
  const { ttlMs, quality, keyFrame, lineage } = options;
  if (lineage && lineage.length > LINEAGE_MAX) throw new IpcnetError(Status.badRequest, `a lineage has at most ${LINEAGE_MAX} entries, not ${lineage.length}`);
  return {
    ...(ttlMs === undefined ? {} : { ttlMs: Math.max(1, Math.ceil(ttlMs)) }), ...(quality === undefined ? {} : { quality: qualities[quality] }), ...(keyFrame === undefined ? {} : { keyFrame }),
    ...(lineage === undefined ? {} : { lineage: lineage.map(lineageOf) }),
  };
}

/** Names are few and come again: hashing each time would cost more than publishing. */
const hashes = new Map<string, bigint>();
const HASHES_MAX = 4_096;

function hashOf(name: string): bigint {
  const known = hashes.get(name);
  if (known !== undefined) return known;
  if (hashes.size >= HASHES_MAX) hashes.clear();
  const hash = nameHash(name);
  hashes.set(name, hash);
  return hash;
}

function lineageOf({ origin, topic, sequence }: Message): { origin: bigint; topic: bigint; sequence: bigint } {
  return { origin: hashOf(origin), topic: hashOf(topic), sequence: BigInt(sequence) };
}

/** A page is known by its inode: no two have the same while one of them is open. */
function pageOf({ fd }: Descriptor): string {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return `${dev}:${ino}`;
}

function tooLarge(topic: string, { message }: RangeError): IpcnetError {
  return new IpcnetError(Status.payloadTooLarge, `${topic}: ${message}`);
}

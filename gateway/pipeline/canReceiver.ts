/**
 * What happens to every frame received on one bus: integrity → schema → policy → freshness → topic. Pure but for the table it writes into.
 *
 * A batch is walked in place: no object is made per frame. Nothing that fails integrity, schema or policy reaches a topic; each rejection is one
 * counter and, now and then, a sample of its bytes. State is never updated from a rejected frame. A frame that is right but waited too long on its
 * way to us is published with its true time and the quality "stale": it is no evidence of now, so it shows no node alive and moves nothing, but
 * whoever records or counts must not lose it.
 */
import { CanFlag, FRAME_STRIDE_BYTES, type CanFrameBatch } from "../../drivers/can/frame.ts";
import { DecodeFault, type MessageCodec } from "../../schemas/dbc/index.ts";
import { CheckResult, type FrameCheck } from "../../schemas/e2e/index.ts";
import { fdFrameBitsMax, frameBitsMax } from "../commands/budget.ts";
import type { RejectCounter, RejectReason, Rejects } from "../observe/rejects.ts";
import type { Topic, TopicTable } from "../topics/table.ts";
import type { MessageWatch } from "./messageWatch.ts";

/** A frame that waited longer than this between wire and pipeline says nothing about now: the process was stopped, or the machine overloaded. */
export const FRAME_AGE_MS_MAX = 500;

/** Beyond all identifiers of 29 bits. */
const EXTENDED_KEY = 0x8000_0000;

/** One message that may come in. */
export interface IncomingMessage {
  name: string;
  canId: number;
  extended: boolean;
  codec: MessageCodec;
  /** Undefined only where the configuration names no integrity for the message and does not require any. */
  check: FrameCheck | undefined;
  topic: Topic;
  /** Called after a frame was accepted: node presence, safe-pose conditions. */
  accepted: ((bytes: Uint8Array, at: number, lengthBytes: number, timeUs: number) => void) | undefined;
}

/** An identifier whose frames become no topic but still mean something: CiA 301 heartbeats, our own commands sent by somebody else. */
export interface RawHandler {
  canId: number;
  extended: boolean;
  /** Returns the reason to reject the frame, or undefined. */
  handle(bytes: Uint8Array, at: number, lengthBytes: number, timeUs: number): RejectReason | undefined;
}

export interface CanReceiverOptions {
  bus: string;
  /** What a bit of the data phase is of one of the nominal rate (commands/budget.ts). Default 1. */
  dataBit?: number;
  messages: readonly IncomingMessage[];
  rawHandlers: readonly RawHandler[];
  table: TopicTable;
  rejects: Rejects;
  /** Topic of all frames as they are, or undefined. */
  rawTopic: Topic | undefined;
  /** Looks at each frame before it is handled. */
  watch?: MessageWatch | undefined;
  /** Own frames, confirmed by the bus. */
  onEcho(token: number, timeUs: number): void;
  /** Error reports of the controller. */
  onErrorFrame(errorClass: number, bytes: Uint8Array, dataAt: number, timeUs: number): void;
}

interface Incoming extends IncomingMessage {
  record: Uint8Array;
  recordView: DataView;
  rejects: Partial<Record<RejectReason, RejectCounter>>;
}

const checkReasons: Readonly<Record<number, RejectReason>> = {
  [CheckResult.repeated]: "repeated",
  [CheckResult.wrongSequence]: "wrongSequence",
  [CheckResult.crcMismatch]: "crcMismatch",
  [CheckResult.badLength]: "badLength",
};

const decodeReasons: Readonly<Record<number, RejectReason>> = {
  [DecodeFault.badLength]: "badLength",
  [DecodeFault.unknownMultiplexer]: "unknownMultiplexer",
  [DecodeFault.outOfRange]: "outOfRange",
  [DecodeFault.notANumber]: "notANumber",
};

export class CanReceiver {
  readonly counters = { frames: 0, accepted: 0, rejected: 0, unknown: 0, echoes: 0, errorFrames: 0, late: 0, lost: 0, bits: 0 };
  readonly #options: CanReceiverOptions;
  /** 11-bit identifiers index an array (2 ns), 29-bit ones a map. */
  readonly #standard: (Incoming | RawHandler | undefined)[] = Array.from({ length: 2048 }, () => undefined);
  readonly #extended = new Map<number, Incoming | RawHandler>();
  readonly #unknownId: RejectCounter;
  readonly #unexpected: RejectCounter;
  readonly #quarantined: RejectCounter;

  constructor(options: CanReceiverOptions) {
    this.#options = options;
    this.#unknownId = options.rejects.counter(options.bus, "unknownId");
    this.#unexpected = options.rejects.counter(options.bus, "unexpectedFrame");
    this.#quarantined = options.rejects.counter(options.bus, "quarantined");
    for (const handler of options.rawHandlers) this.#register(handler);
    for (const message of options.messages) {
      const record = new Uint8Array(message.codec.layout.sizeBytes);
      this.#register({ ...message, record, recordView: new DataView(record.buffer), rejects: {} });
    }
  }

  /** Takes a batch as the driver hands it over. `nowUs` is the time of the call. */
  push(batch: CanFrameBatch, nowUs: number): void {
    try {
      this.#pushAll(batch, nowUs);
    } finally {
      // Also after an exception, which the driver counts: nothing is in hand then.
      this.#options.watch?.ends();
    }
  }

  #pushAll(batch: CanFrameBatch, nowUs: number): void {
    const { bytes, view, count } = batch;
    const { rawTopic, table, bus, watch, dataBit = 1 } = this.#options;
    for (let index = 0; index < count; index++) {
      const at = index * FRAME_STRIDE_BYTES;
      const flags = bytes[at + 12]!;
      const canId = view.getUint32(at + 8, true);
      const timeUs = view.getFloat64(at, true);
      const lost = view.getUint32(at + 20, true);
      if (lost > 0) this.counters.lost += lost;
      if (flags & CanFlag.error) {
        this.counters.errorFrames += 1;
        this.#options.onErrorFrame(canId, bytes, at + 24, timeUs);
        continue;
      }
      const lengthBytes = bytes[at + 13]!;
      const extended = (flags & CanFlag.extended) !== 0;
      this.counters.bits += flags & CanFlag.fd ? fdFrameBitsMax(lengthBytes, extended, flags & CanFlag.bitRateSwitch ? dataBit : 1) : frameBitsMax(lengthBytes, extended);
      if (rawTopic !== undefined && rawTopic.sinks.length > 0) table.publish(rawTopic, bytes, at, FRAME_STRIDE_BYTES, timeUs, 0, bus, lost);
      if (flags & CanFlag.echo) {
        this.counters.echoes += 1;
        this.#options.onEcho(view.getUint32(at + 16, true), timeUs);
        continue;
      }
      this.counters.frames += 1;
      if (watch !== undefined && !watch.begins(keyOf(canId, flags), bytes, at + 24, lengthBytes)) {
        this.#reject(this.#quarantined, bytes, at + 24, lengthBytes, nowUs, () => idText(canId, flags));
        continue;
      }
      this.#receive(bytes, view, at, canId, flags, lengthBytes, timeUs, lost, nowUs);
    }
  }

  #receive(bytes: Uint8Array, view: DataView, at: number, canId: number, flags: number, lengthBytes: number, timeUs: number, lost: number, nowUs: number): void {
    const found = flags & CanFlag.extended ? this.#extended.get(canId) : this.#standard[canId & 0x7ff];
    const dataAt = at + 24;
    if (found === undefined) {
      this.counters.unknown += 1;
      this.#unknownId.add(bytes, dataAt, lengthBytes, nowUs, () => idText(canId, flags));
      return;
    }
    if (flags & CanFlag.remote) {
      this.#reject(this.#unexpected, bytes, dataAt, 0, nowUs, () => idText(canId, flags));
      return;
    }
    if (!("codec" in found)) {
      const reason = found.handle(bytes, dataAt, lengthBytes, timeUs);
      if (reason === undefined) this.counters.accepted += 1;
      else this.#reject(this.#options.rejects.counter(this.#options.bus, reason), bytes, dataAt, lengthBytes, nowUs, () => idText(canId, flags));
      return;
    }
    // Integrity first: a corrupted frame must not even be looked at by the schema. What the check remembers, it updates only on acceptance.
    if (found.check !== undefined) {
      const result = found.check.check(bytes, dataAt, lengthBytes, canId, timeUs);
      if (result > CheckResult.okSomeLost) {
        this.#reject(this.#counterOf(found, checkReasons[result] ?? "malformed"), bytes, dataAt, lengthBytes, nowUs, () => found.name);
        return;
      }
    }
    const fault = found.codec.decodeInto(bytes, view, dataAt, lengthBytes, found.record, found.recordView, 0);
    if (fault !== 0) {
      this.#reject(this.#counterOf(found, decodeReasons[fault] ?? "malformed"), bytes, dataAt, lengthBytes, nowUs, () => `${found.name}.${found.codec.faultSignal ?? ""}`);
      return;
    }
    const late = nowUs - timeUs > FRAME_AGE_MS_MAX * 1e3;
    this.counters.accepted += 1;
    if (late) this.counters.late += 1;
    else found.accepted?.(bytes, dataAt, lengthBytes, timeUs);
    const missed = found.check === undefined ? lost : found.check.lost;
    this.#options.table.publish(found.topic, found.record, 0, found.record.length, timeUs, found.check?.state === "INVALID" ? 2 : late ? 1 : 0, this.#options.bus, missed);
  }

  #reject(counter: RejectCounter, bytes: Uint8Array, at: number, lengthBytes: number, nowUs: number, source: () => string): void {
    this.counters.rejected += 1;
    counter.add(bytes, at, lengthBytes, nowUs, source);
  }

  #counterOf(message: Incoming, reason: RejectReason): RejectCounter {
    return (message.rejects[reason] ??= this.#options.rejects.counter(this.#options.bus, reason));
  }

  #register(entry: Incoming | RawHandler): void {
    if (entry.extended) this.#extended.set(entry.canId, entry);
    else this.#standard[entry.canId] = entry;
  }
}

/** One number for an identifier of either length. */
function keyOf(canId: number, flags: number): number {
  return flags & CanFlag.extended ? canId + EXTENDED_KEY : canId;
}

/** What people call the message with such a key. */
export function frameName(key: number): string {
  return key >= EXTENDED_KEY ? idText(key - EXTENDED_KEY, CanFlag.extended) : idText(key, 0);
}

function idText(canId: number, flags: number): string {
  return flags & CanFlag.extended ? canId.toString(16).toUpperCase().padStart(8, "0") : canId.toString(16).toUpperCase().padStart(3, "0");
}

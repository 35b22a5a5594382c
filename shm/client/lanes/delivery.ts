/** From the messages of a lane to those of a subscription: copied, checked by their schema, dropped if their time has passed. */
import type { LaneBatch } from "../../lanes/index.ts";
import type { Message } from "../api.ts";
import { type KnownTopic, ReceivedMessage } from "../message.ts";
import type { LaneSource } from "./laneFeeds.ts";

export interface Recipient {
  deliver(message: Message): void;
  /** A message was too old when it came. */
  expire(): void;
  /** Messages that do not fit their schema, and what is wrong with the first of them; they count as lost in the next one that does. */
  refuse(text: string, count: number): void;
}

/** A listener may end the subscription in the midst of it. */
export function deliverBatch(batch: LaneBatch, source: LaneSource<KnownTopic>, to: Recipient): void {
  const { topic, origin } = source;
  const payloads = copyOf(batch);
  const nowNs = process.hrtime.bigint();
  let refused = 0;
  let text = "";
  for (let i = 0; i < batch.count && source.isOpen; i++) {
    const ttlMs = batch.ttlMs(i);
    if (ttlMs > 0 && nowNs - batch.timeNs(i) > BigInt(ttlMs) * 1_000_000n) {
      to.expire();
      continue;
    }
    const { bytes, at } = payloads(i);
    const lengthBytes = batch.payloadBytes(i);
    const fault = topic.check?.(bytes.subarray(at, at + lengthBytes));
    if (fault !== undefined) {
      source.unfit += 1;
      if (refused === 0) text = `${topic.announcement.name}: ${fault}`;
      refused += 1;
      continue;
    }
    const timeUs = batch.timeUs(i);
    const lost = batch.lostBefore(i) + source.unfit;
    source.unfit = 0;
    to.deliver(new ReceivedMessage(topic, bytes, at, lengthBytes, batch.sequenceNumber(i), timeUs, Number(batch.wallTimeNs(i)) / 1e3 - timeUs, batch.quality(i), lost, origin,
      { ttlMs, keyFrame: batch.keyFrame(i), lineage: batch.lineage(i) }));
  }
  if (refused > 0) to.refuse(text, refused);
}

/** One copy for all small messages of a batch; large ones get their own, so that keeping one of them does not keep all. */
const COPY_TOGETHER_BYTES = 65_536;

function copyOf(batch: LaneBatch): (i: number) => { bytes: Uint8Array; at: number } {
  const { bytes: owned } = batch;
  const last = batch.count - 1;
  const from = batch.payloadAt(0);
  const end = batch.payloadAt(last) + batch.payloadBytes(last);
  if (batch.isOwned) return (i) => ({ bytes: owned, at: batch.payloadAt(i) });
  if (end - from > COPY_TOGETHER_BYTES) return (i) => ({ bytes: batch.payload(i).slice(), at: 0 });
  const bytes = batch.bytes.slice(from, end);
  return (i) => ({ bytes, at: batch.payloadAt(i) - from });
}

/** Looks into lanes without being a reader of them: the last messages, copied and checked, nobody notices. */
import { LaneError, LaneReader, type LaneSample } from "../../../shm/lanes/index.ts";
import { writeLineage } from "../../../shm/protocol/lineage.ts";
import type { QueryAnswer } from "../../../shm/protocol/messages.ts";
import type { Descriptor } from "../../../shm/sockets/index.ts";

export interface HistoryOptions {
  topicId: number;
  count: number;
  /** Of the whole answer. */
  bytesMax: number;
  /** Lanes with larger payloads are left out. */
  payloadBytesMax: number;
}

export interface LaneHistory {
  /** Oldest first. */
  answers: QueryAnswer[];
  /** Memory that was touched for it. */
  costBytes: number;
  /** Lanes that were left out for their size. */
  tooLarge: number;
}

/** The last `count` messages of all lanes by time, as far as they fit `bytesMax`. Lanes that turn out broken are left out. */
export function laneHistory(lanes: readonly { lane: Descriptor; origin: string }[], { topicId, count, bytesMax, payloadBytesMax }: HistoryOptions): LaneHistory {
  const found: QueryAnswer[] = [];
  let costBytes = 0;
  let tooLarge = 0;
  for (const { lane, origin } of lanes) {
    const samples = lookInto(lane, (reader) => {
      if (reader.payloadBytesMax > payloadBytesMax) {
        tooLarge += 1;
        return [];
      }
      // One payload, or all of the ring, which holds two of the largest.
      costBytes += reader.payloadBytesMax * Math.min(count, 2);
      return reader.history(count);
    });
    for (const { payload, sequence, timeNs, wallTimeNs, quality, lineage } of samples) {
      found.push({ topicId, bytes: payload, sequence: Number(sequence), timeUs: Number(timeNs) / 1e3, wallTimeNs, quality, origin, ...(lineage.length > 0 ? { lineage: writeLineage(lineage) } : {}) });
    }
  }
  found.sort((a, b) => a.timeUs - b.timeUs);
  let bytes = 0;
  let from = found.length;
  while (from > 0 && found.length - from < count && bytes + found[from - 1]!.bytes.length <= bytesMax) bytes += found[--from]!.bytes.length;
  return { answers: found.slice(from), costBytes, tooLarge };
}

function lookInto(lane: Descriptor, look: (reader: LaneReader) => LaneSample[]): LaneSample[] {
  let reader: LaneReader | undefined;
  try {
    reader = LaneReader.open(lane, undefined, { policy: "latest", start: "next" });
    return look(reader);
  } catch (error) {
    // Broken, or this process has no room for it.
    if (error instanceof LaneError) return [];
    throw error;
  } finally {
    reader?.close();
  }
}

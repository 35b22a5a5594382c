/** Looks into lanes without being a reader of them: the last messages, copied and checked, nobody notices. */
import { LaneError, LaneReader } from "../../../shm/lanes/index.ts";
import { writeLineage } from "../../../shm/protocol/lineage.ts";
import type { QueryAnswer } from "../../../shm/protocol/messages.ts";
import type { Descriptor } from "../../../shm/sockets/index.ts";

/** The last `count` messages of all lanes by time, oldest first, as far as they fit `bytesMax`. Lanes that turn out broken are left out. */
export function laneHistory(lanes: readonly { lane: Descriptor; origin: string }[], { topicId, count, bytesMax }: { topicId: number; count: number; bytesMax: number }): QueryAnswer[] {
  const found: QueryAnswer[] = [];
  for (const { lane, origin } of lanes) {
    const reader = openQuietly(lane);
    if (!reader) continue;
    try {
      for (const { payload, sequence, timeNs, wallTimeNs, quality, lineage } of reader.history(count)) {
        found.push({ topicId, bytes: payload, sequence: Number(sequence), timeUs: Number(timeNs) / 1e3, wallTimeNs, quality, origin, ...(lineage.length > 0 ? { lineage: writeLineage(lineage) } : {}) });
      }
    } finally {
      reader.close();
    }
  }
  found.sort((a, b) => a.timeUs - b.timeUs);
  let bytes = 0;
  let from = found.length;
  while (from > 0 && found.length - from < count && bytes + found[from - 1]!.bytes.length <= bytesMax) bytes += found[--from]!.bytes.length;
  return found.slice(from);
}

function openQuietly(lane: Descriptor): LaneReader | undefined {
  try {
    return LaneReader.open(lane, undefined, { policy: "latest", start: "next" });
  } catch (error) {
    if (error instanceof LaneError) return undefined;
    throw error;
  }
}

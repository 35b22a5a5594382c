/** Looks into lanes without being a reader of them: the last messages, copied and checked, nobody notices. */
import { LaneError, LaneReader, type LaneSample } from "../../../shm/lanes/index.ts";
import type { QueryAnswer } from "../../../shm/protocol/messages.ts";
import type { Descriptor } from "../../../shm/sockets/index.ts";

/** The last `count` messages of all lanes by time, oldest first, as far as they fit `bytesMax`. Lanes that turn out broken are left out. */
export function laneHistory(lanes: readonly { lane: Descriptor; origin: string }[], { topicId, count, bytesMax }: { topicId: number; count: number; bytesMax: number }): QueryAnswer[] {
  const found: QueryAnswer[] = [];
  for (const { lane, origin } of lanes) {
    for (const { payload, sequence, timeNs, wallTimeNs, quality } of lookInto(lane, count)) {
      found.push({ topicId, bytes: payload, sequence: Number(sequence), timeUs: Number(timeNs) / 1e3, wallTimeNs, quality, origin });
    }
  }
  found.sort((a, b) => a.timeUs - b.timeUs);
  let bytes = 0;
  let from = found.length;
  while (from > 0 && found.length - from < count && bytes + found[from - 1]!.bytes.length <= bytesMax) bytes += found[--from]!.bytes.length;
  return found.slice(from);
}

function lookInto(lane: Descriptor, count: number): LaneSample[] {
  let reader: LaneReader | undefined;
  try {
    reader = LaneReader.open(lane, undefined, { policy: "latest", start: "next" });
    return reader.history(count);
  } catch (error) {
    // Broken, or this process has no room for it.
    if (error instanceof LaneError) return [];
    throw error;
  } finally {
    reader?.close();
  }
}

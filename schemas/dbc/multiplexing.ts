/** Which signals of a message can be present in one frame together. */
import type { Message, Signal } from "./model.ts";

type Ranges = readonly (readonly [number, number])[];

/** For each signal what its multiplexor, that one's multiplexor and so on must be for it to be present. */
export function conditionsOf(message: Message): Map<Signal, ReadonlyMap<string, Ranges>> {
  const byName = new Map(message.signals.map((signal) => [signal.name, signal]));
  const conditions = new Map<Signal, Map<string, Ranges>>();
  for (const signal of message.signals) {
    const own = new Map<string, Ranges>();
    for (let at: Signal | undefined = signal; at?.multiplexing !== undefined && !own.has(at.multiplexing.multiplexor); at = byName.get(at.multiplexing.multiplexor)) {
      own.set(at.multiplexing.multiplexor, at.multiplexing.ranges);
    }
    conditions.set(signal, own);
  }
  return conditions;
}

/** Whether both can be present in one frame. */
export function compatible(a: ReadonlyMap<string, Ranges>, b: ReadonlyMap<string, Ranges>): boolean {
  for (const [multiplexor, ranges] of a) {
    const others = b.get(multiplexor);
    if (others !== undefined && !intersect(ranges, others)) return false;
  }
  return true;
}

function intersect(a: Ranges, b: Ranges): boolean {
  return a.some(([low, high]) => b.some(([otherLow, otherHigh]) => low <= otherHigh && otherLow <= high));
}

export function inRanges(value: number | bigint, ranges: Ranges): boolean {
  return ranges.some(([low, high]) => low <= value && value <= high);
}

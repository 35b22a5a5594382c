/** Signals that take the same bit and can be present in one frame together. Lint reports them; the codec reads their frames back. */
import { bitMask, byteSpan } from "./bits.ts";
import type { Message, Signal } from "./model.ts";
import { compatible, conditionsOf } from "./multiplexing.ts";

/** How many pairs may still be compared; shared by all messages of a file. */
export interface PairBudget {
  pairs: number;
}

/** Calls `found` for each overlapping pair until it returns true. Returns false when the budget ran out first. */
export function eachOverlap(message: Message, budget: PairBudget, found: (a: Signal, b: Signal) => boolean | undefined): boolean {
  const conditions = conditionsOf(message);
  const placed = message.signals.map((signal) => ({ signal, mask: bitMask(signal), condition: conditions.get(signal)!, ...byteSpan(signal) }));
  placed.sort((a, b) => a.first - b.first);
  for (const [index, a] of placed.entries()) {
    for (let other = index + 1; other < placed.length; other++) {
      const b = placed[other]!;
      if (b.first > a.last) break;
      if (--budget.pairs < 0) return false;
      if ((a.mask & b.mask) !== 0n && compatible(a.condition, b.condition) && found(a.signal, b.signal) === true) return true;
    }
  }
  return true;
}

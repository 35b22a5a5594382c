/** The order in which a message's signals are decided: multiplexors before what they select. Shared by the plain codec and the generated one. */
import type { Signal } from "./model.ts";
import { inRanges } from "./multiplexing.ts";

export interface PlannedSignal {
  signal: Signal;
  /** Place in `message.signals`. */
  index: number;
  /** Place in `message.signals` of the multiplexor, or -1. */
  parent: number;
  ranges: readonly (readonly [number, number])[];
}

export interface Plan {
  /** In the file's order; index = place. */
  signals: readonly PlannedSignal[];
  /** Parents first. */
  order: readonly PlannedSignal[];
  /** By multiplexor: what it selects, in the file's order. */
  children: ReadonlyMap<number, readonly PlannedSignal[]>;
}

export function planMessage(all: readonly Signal[]): Plan {
  const places = new Map(all.map((signal, index) => [signal.name, index]));
  const signals = all.map((signal, index): PlannedSignal => ({
    signal, index, parent: signal.multiplexing === undefined ? -1 : places.get(signal.multiplexing.multiplexor) ?? -1, ranges: signal.multiplexing?.ranges ?? [],
  }));
  const children = new Map<number, PlannedSignal[]>();
  for (const planned of signals) {
    const siblings = children.get(planned.parent);
    if (siblings === undefined) children.set(planned.parent, [planned]);
    else siblings.push(planned);
  }
  const order = [...(children.get(-1) ?? [])];
  for (let at = 0; at < order.length; at++) order.push(...(children.get(order[at]!.index) ?? []));
  return { signals, order, children };
}

/** Whether anything is declared for this raw value: a selected signal, or a name in the value table (a value that selects nothing on purpose). */
export function isKnownSelection(plan: Plan, multiplexor: PlannedSignal, raw: number | bigint): boolean {
  const selected = plan.children.get(multiplexor.index);
  return selected === undefined || selected.some(({ ranges }) => inRanges(raw, ranges)) || multiplexor.signal.valueNames?.has(raw) === true;
}

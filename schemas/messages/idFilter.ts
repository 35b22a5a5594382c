/** Sets of CAN identifiers as routes write them: "0x123", "0x100-0x1FF", "0x18FF0000/0xFFFF0000x"; x at the end means 29-bit identifiers. */

export type IdFilter = { extended: boolean } & ({ low: number; high: number } | { value: number; mask: number });

const identifierMax = { standard: 0x7ff, extended: 0x1fffffff } as const;

/** The filter, or why the text is none. */
export function parseIdFilter(text: string): IdFilter | { fault: string; hint: string } {
  const match = /^(0x[0-9A-Fa-f]{1,8})(?:([-/])(0x[0-9A-Fa-f]{1,8}))?(x?)$/.exec(text);
  if (!match) return { fault: `"${text.slice(0, 40)}" is no set of CAN ids`, hint: "write 0x123, 0x100-0x1FF or 0x100/0x700, with x at the end for 29-bit ids" };
  const extended = match[4] === "x";
  const max = extended ? identifierMax.extended : identifierMax.standard;
  const first = Number(match[1]);
  const second = match[3] === undefined ? first : Number(match[3]);
  if (first > max || (match[2] !== "/" && second > max)) {
    return { fault: `an id beyond ${extended ? "29" : "11"} bits`, hint: extended ? "" : `write ${text}x if 29-bit ids are meant` };
  }
  if (match[2] === "/") {
    const mask = (second & max) >>> 0;
    return (first & ~mask) === 0 ? { extended, value: first, mask } : { fault: "the id has bits outside the mask: nothing would match", hint: `write 0x${(first & mask).toString(16).toUpperCase()}` };
  }
  return first <= second ? { extended, low: first, high: second } : { fault: "the first id is above the second", hint: "exchange them" };
}

export function idMatches(filter: IdFilter, canId: number, extended: boolean): boolean {
  if (filter.extended !== extended) return false;
  return "low" in filter ? canId >= filter.low && canId <= filter.high : (canId & filter.mask) === filter.value;
}

/** Whether some identifier is in both sets. */
export function filtersOverlap(a: IdFilter, b: IdFilter): boolean {
  if (a.extended !== b.extended) return false;
  if ("low" in a) return "low" in b ? a.low <= b.high && b.low <= a.high : rangeMeetsMask(a, b);
  return "low" in b ? rangeMeetsMask(b, a) : ((a.value ^ b.value) & a.mask & b.mask) === 0;
}

/** The smallest identifier from `low` up that fits the mask either is `low`, or agrees with it down to some bit where it has the first 1 more. */
function rangeMeetsMask({ low, high }: { low: number; high: number }, { value, mask }: { value: number; mask: number }): boolean {
  if ((low & mask) === value) return true;
  for (let bit = 0; bit < 29; bit++) {
    if (((low >>> bit) & 1) === 1) continue;
    const candidate = ((((low >>> bit) | 1) << bit) | (value & ((1 << bit) - 1))) >>> 0;
    if ((candidate & mask) === value && candidate <= high) return true;
  }
  return false;
}

/**
 * JSON without spaces and with the keys of every object in the order of their UTF-16 units: equal values give equal text, whatever the order in which they were written. For
 * plain data only. Written by hand, as an object of JavaScript's own would bring keys that look like numbers into another order.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, item]) => item !== undefined).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(",")}}`;
}

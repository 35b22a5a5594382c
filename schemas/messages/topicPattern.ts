/** MQTT-style patterns over topic names: + stands for any one level, # at the end for the rest. */

/** Whether some topic fits both patterns; a plain topic name is a pattern that fits only itself. */
export function patternsOverlap(a: string, b: string): boolean {
  const left = a.split("/");
  const right = b.split("/");
  for (let at = 0; ; at++) {
    if (left[at] === "#" || right[at] === "#") return true;
    if (at === left.length || at === right.length) return left.length === right.length;
    if (left[at] !== "+" && right[at] !== "+" && left[at] !== right[at]) return false;
  }
}

export function patternMatches(pattern: string, topic: string): boolean {
  return patternsOverlap(pattern, topic);
}

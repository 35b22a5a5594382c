/** Two patterns over topic names at once: `topicName.ts` matches one against a name. */

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

/** Questions about two patterns at once; `topicName.ts` matches one against a name. */

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

/**
 * Whether every topic that `inner` names is also named by `outer`: the question an allow-list asks of a subscription.
 * Both must be without fault, by our rules or by MQTT's. A leading wildcard does not reach topics that begin with `$` (MQTT 5 §4.7.2).
 */
export function patternCovers(outer: string, inner: string): boolean {
  const a = outer.split("/");
  const b = inner.split("/");
  if (b[0]!.startsWith("$") && (a[0] === "+" || a[0] === "#")) return false;
  for (let i = 0; ; i++) {
    if (a[i] === "#") return true;
    if (i === a.length) return i === b.length;
    // "a/#" names "a" itself too, "a/+" does not.
    if (i === b.length) return false;
    if (b[i] === "#") return false;
    if (a[i] !== "+" && a[i] !== b[i]) return false;
  }
}

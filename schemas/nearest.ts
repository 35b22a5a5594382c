/** "Did you mean": the nearest valid word, by edits, and for keys with a unit also by what is left without it. */

/** Edits (insert, delete, replace, swap neighbours) between two words; stops counting beyond `limit` and returns limit + 1. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(previous[j]! + 1, current[j - 1]! + 1, previous[j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, before[j - 2]! + 1);
      current.push(best);
    }
    if (Math.min(...current) > limit) return limit + 1;
    before = previous;
    previous = current;
  }
  return Math.min(previous[b.length]!, limit + 1);
}

/** The valid word nearest to `word`, ignoring case and separators; undefined when none is near. */
export function nearest(word: string, valid: Iterable<string>): string | undefined {
  const wanted = plain(word);
  if (wanted === "" || wanted.length > 64) return undefined;
  const limit = Math.max(1, Math.floor(wanted.length / 3));
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of valid) {
    const distance = editDistance(wanted, plain(candidate), limit);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function plain(word: string): string {
  return word.toLowerCase().replaceAll(/[-_ ]/g, "");
}

const units = /(?:_?(?:ns|us|ms|s|sec|secs|seconds|min|minutes|millis|milliseconds|bps|baud|hz|khz|kbps|kbit|mbps|percent|rate|pct|frames|messages))?$/i;

/** The nearest valid key: as `nearest`, and else one that is the same word with another unit or none (timeout, timeout_s → timeoutMs). */
export function nearestKey(key: string, valid: readonly string[]): string | undefined {
  const stem = plain(key.replace(units, ""));
  return valid.find((candidate) => stem.length >= 3 && plain(candidate.replace(units, "")) === stem) ?? nearest(key, valid);
}

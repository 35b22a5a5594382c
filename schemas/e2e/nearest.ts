/** "Did you mean": the candidate with the fewest single-letter edits from `word`, if few enough to be a slip of the pen. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  // A very long word is no slip; this also bounds the work done for hostile input.
  if (word.length > 64) return undefined;
  let best: string | undefined;
  let bestEdits = Math.max(2, Math.ceil(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const edits = editsBetween(word.toLowerCase(), candidate.toLowerCase());
    if (edits < bestEdits) [best, bestEdits] = [candidate, edits];
  }
  return best;
}

/** All candidates, nearest first: for a hint that lists what there is. */
export function byNearness(word: string, candidates: readonly string[]): string[] {
  const short = word.slice(0, 64).toLowerCase();
  return [...candidates].sort((a, b) => editsBetween(short, a.toLowerCase()) - editsBetween(short, b.toLowerCase()));
}

function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

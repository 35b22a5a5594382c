/** Files that setup would write: which of them differ from what is there, how, and where what is there is kept. Pure. */

export interface Change {
  path: string;
  /** Undefined: there is no such file. */
  before: string | undefined;
  /** Undefined: it is removed. */
  after: string | undefined;
  /** Where the file as it is goes first; undefined: it is none of a person's. */
  backup: string | undefined;
}

export interface ChangeOptions {
  wanted: ReadonlyMap<string, string | undefined>;
  read(path: string): string | undefined;
  /** Whether a file is one that setup itself has written and may write anew. */
  isOwn(text: string): boolean;
}

/** Only files that differ, in the order of `wanted`. A file of a person's is never removed. */
export function changesOf({ wanted, read, isOwn }: ChangeOptions): readonly Change[] {
  const found: Change[] = [];
  for (const [path, after] of wanted) {
    const before = read(path);
    if (before === after || (after === undefined && !isOwn(before!))) continue;
    found.push({ path, before, after, backup: before === undefined || isOwn(before) ? undefined : backupOf(path, read) });
  }
  return found;
}

/** The first name that is free: no backup replaces another. */
function backupOf(path: string, read: (path: string) => string | undefined): string {
  for (let number = 1; ; number++) {
    const name = `${path}.before-setup-${number}`;
    if (read(name) === undefined) return name;
  }
}

/** Lines with "-", "+" or a space before them; three unchanged ones around each change, "…" for the rest. */
export function differenceOf(before: string | undefined, after: string | undefined): readonly string[] {
  const [old, young] = [linesOf(before), linesOf(after)];
  const all = align(old, young);
  const near = all.map((_line, at) => all.slice(Math.max(0, at - 3), at + 4).some((line) => line[0] !== " "));
  return all.flatMap((line, at) => (near[at] ? [line] : near[at - 1] || (at === 0 && near.includes(true)) ? ["…"] : []));
}

function linesOf(text: string | undefined): readonly string[] {
  return text === undefined || text === "" ? [] : text.replace(/\n$/, "").split("\n");
}

/** By the longest common subsequence; files of configuration have hundreds of lines, not millions. */
function align(old: readonly string[], young: readonly string[]): readonly string[] {
  const lengths = Array.from({ length: old.length + 1 }, () => new Uint32Array(young.length + 1));
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = young.length - 1; j >= 0; j--) lengths[i]![j] = old[i] === young[j] ? lengths[i + 1]![j + 1]! + 1 : Math.max(lengths[i + 1]![j]!, lengths[i]![j + 1]!);
  }
  const out: string[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < young.length) {
    if (i < old.length && j < young.length && old[i] === young[j]) {
      out.push(`  ${old[i]!}`);
      i += 1;
      j += 1;
    } else if (j >= young.length || (i < old.length && lengths[i + 1]![j]! >= lengths[i]![j + 1]!)) out.push(`- ${old[i++]!}`);
    else out.push(`+ ${young[j++]!}`);
  }
  return out;
}

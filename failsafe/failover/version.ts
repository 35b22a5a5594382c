/** The protocol between the two instances: what the link's messages, the journal's records and the page mean. */

export interface PairVersion {
  major: number;
  minor: number;
}

/** Major: nobody of another one understands a word. Minor: fields were added that an older one does without. One release raises the minor by at most one. */
export const PAIR_VERSION: PairVersion = { major: 1, minor: 1 };

/** Why the two may not be a pair, or undefined. */
export function versionFault(mine: PairVersion, theirs: PairVersion): string | undefined {
  const words = ({ major, minor }: PairVersion): string => `${major}.${minor}`;
  if (mine.major !== theirs.major) return `the twin speaks version ${words(theirs)} of the pair's protocol, this instance ${words(mine)}: they cannot stand in for each other`;
  if (Math.abs(mine.minor - theirs.minor) > 1) return `the twin speaks version ${words(theirs)} of the pair's protocol, this instance ${words(mine)}: they are more than one release apart`;
  return undefined;
}

/** What happened during a behaviour, in one time: the rig's own, milliseconds since it began. */

export const lanes = ["rig", "program", "kernel", "machine"] as const;

export interface Entry {
  atMs: number;
  /** One of `lanes`, or a CAN interface. */
  lane: string;
  text: string;
  tone: "plain" | "good" | "bad" | "frame" | "errorFrame";
}

/** Frames beyond this many are counted, not kept: the first and the last half of it stay. */
const FRAMES_MAX = 2_000;

/**
 * The machine's clock against ours. A virtual machine's runs in jumps and slower, so there is no one offset: between two messages of the agent it is a straight line.
 */
export class Clocks {
  readonly #pairs: { machineS: number; hostMs: number }[] = [];

  add(machineS: number, hostMs: number): void {
    const last = this.#pairs.at(-1);
    if (last && machineS < last.machineS - 1) this.#pairs.length = 0; // set back, or booted anew
    else if (last && machineS - last.machineS < 0.005) return;
    this.#pairs.push({ machineS, hostMs });
  }

  /** Ours for a time of the machine; before the first and after the last pair by their own offset. Undefined without any. */
  hostMs(machineS: number): number | undefined {
    const pairs = this.#pairs;
    if (pairs.length === 0) return undefined;
    let [low, high] = [0, pairs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pairs[middle]!.machineS <= machineS) low = middle + 1;
      else high = middle;
    }
    const [before, after] = [pairs[low - 1], pairs[low]];
    if (!before) return after!.hostMs - (after!.machineS - machineS) * 1e3;
    if (!after) return before.hostMs + (machineS - before.machineS) * 1e3;
    const share = (machineS - before.machineS) / (after.machineS - before.machineS);
    return before.hostMs + share * (after.hostMs - before.hostMs);
  }
}

export class Timeline {
  readonly entries: Entry[] = [];
  /** Frames of the kernel's log, and how many of them are among the entries. */
  frames = { total: 0, shown: 0 };
  /** Called with each entry as it is made. */
  onEntry: ((entry: Entry) => void) | undefined;
  readonly #beganMs: number;
  readonly #now: () => number;

  /** `now`: ms of any clock that only rises. */
  constructor(now: () => number) {
    this.#now = now;
    this.#beganMs = now();
  }

  get ms(): number {
    return this.#now() - this.#beganMs;
  }

  note(lane: string, text: string, tone: Entry["tone"] = "plain", atHostMs = this.#now()): void {
    const entry = { atMs: atHostMs - this.#beganMs, lane, text, tone };
    this.entries.push(entry);
    this.onEntry?.(entry);
  }

  /** The kernel's CAN log as `candump -L` writes it, with the machine's times. Lines that are none are left out. */
  addCanLog(text: string, clocks: Pick<Clocks, "hostMs">): void {
    const lines = text.split("\n").flatMap((line) => {
      const match = /^\((\d+\.\d+)\) (\S+) ([0-9A-F]{3,8}#\S*)/.exec(line);
      return match ? [{ machineS: Number(match[1]), lane: match[2]!, frame: match[3]! }] : [];
    });
    this.frames.total += lines.length;
    const kept = lines.length <= FRAMES_MAX ? lines : [...lines.slice(0, FRAMES_MAX / 2), ...lines.slice(-FRAMES_MAX / 2)];
    this.frames.shown += kept.length;
    for (const { machineS, lane, frame } of kept) {
      const hostMs = clocks.hostMs(machineS);
      if (hostMs !== undefined) this.note(lane, frame, /^[23][0-9A-F]{7}#/.test(frame) ? "errorFrame" : "frame", hostMs);
    }
  }

  sorted(): Entry[] {
    return this.entries.toSorted((a, b) => a.atMs - b.atMs);
  }
}

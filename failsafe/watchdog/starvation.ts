/**
 * For how long a process could not go on although it wanted to: others had the processor, or the kernel kept it waiting for a disk or for memory. Whoever judges its progress takes that off:
 * starved is not stuck.
 *
 * All threads are looked at, not the first alone: it waits for the others, one after the other (the garbage collector's helpers), and they may be the ones that get no processor. A thread that runs, as one in an
 * endless loop does, is excused for nothing.
 *
 * The kernel adds a wait to its figures when it ends. A thread that wanted to run at both looks and has neither run nor ended a wait between them still waits: without that, whoever waits for
 * a whole deadline at once would be killed over it.
 */
import { readdirSync, readFileSync } from "node:fs";

/** Between two looks at the own figures. */
const LOOK_US = 100_000;

/** What the kernel says of one thread. */
export interface ThreadDelay {
  /** How long it has run, µs; only rises. */
  ranUs: number;
  /** How long it has waited for a processor, µs; only rises, and not before the wait is over. */
  waitedUs: number;
  /** "runs": it has a processor, or wants one. "blocked": it waits where nothing can interrupt it, for a disk or for memory. "sleeps": anything else. */
  state: "runs" | "blocked" | "sleeps";
}

/** By thread number. The first thread has the number of the process. */
export type ReadDelays = () => ReadonlyMap<number, ThreadDelay>;

export class Starvation {
  readonly #pid: number;
  readonly #read: ReadDelays;
  #before: ReadonlyMap<number, ThreadDelay> | undefined;
  #lookedUs = 0;
  #starvedUs = 0;

  constructor(pid: number, read: ReadDelays = () => delaysOf(pid)) {
    this.#pid = pid;
    this.#read = read;
  }

  /** In all, µs; only rises, by at most what has passed since the last look. Costs two short files a thread. */
  look(nowUs: number): number {
    const delays = this.#read();
    const elapsedUs = Math.max(0, nowUs - this.#lookedUs);
    if (this.#before) this.#starvedUs += starvedBetween(this.#before, delays, this.#pid, elapsedUs);
    this.#before = delays;
    this.#lookedUs = nowUs;
    return this.#starvedUs;
  }

  /** It goes on: what was before the next look counts for nothing. Costs nothing. Returns what it had been in all. */
  goesOn(): number {
    this.#before = undefined;
    return this.#starvedUs;
  }
}

/** What all threads were kept, µs, but no more than the first one did not run: it waits for one after the other, and goes on in between. */
function starvedBetween(before: ReadonlyMap<number, ThreadDelay>, now: ReadonlyMap<number, ThreadDelay>, first: number, elapsedUs: number): number {
  const isAtBoth = (thread: number, state: ThreadDelay["state"]): boolean => before.get(thread)?.state === state && now.get(thread)?.state === state;
  let starvedUs = 0;
  for (const [thread, { ranUs, waitedUs }] of now) {
    const then = before.get(thread);
    if (!then) continue;
    const stillWaits = isAtBoth(thread, "runs") && ranUs === then.ranUs && waitedUs === then.waitedUs;
    // Another thread's disk is an excuse only for a first thread that waits for somebody.
    const isBlocked = isAtBoth(thread, "blocked") && (thread === first || isAtBoth(first, "sleeps"));
    starvedUs += stillWaits || isBlocked ? elapsedUs : waitedUs - then.waitedUs;
  }
  const ranUs = (now.get(first)?.ranUs ?? 0) - (before.get(first)?.ranUs ?? 0);
  return Math.max(0, Math.min(starvedUs, elapsedUs - ranUs));
}

/** Empty where the kernel does not say, or the process is gone: then nothing is excused. */
export function delaysOf(pid: number): Map<number, ThreadDelay> {
  const delays = new Map<number, ThreadDelay>();
  try {
    for (const name of readdirSync(`/proc/${pid}/task`)) {
      const folder = `/proc/${pid}/task/${name}`;
      // The state first: a thread that begins to run between the two has no longer waited all the time.
      const letter = /\) ([A-Z]) /.exec(readFileSync(`${folder}/stat`, "latin1"))?.[1];
      const [ranNs = 0, waitedNs = 0] = readFileSync(`${folder}/schedstat`, "latin1").split(" ").map(Number);
      delays.set(Number(name), { ranUs: ranNs / 1e3, waitedUs: waitedNs / 1e3, state: letter === "R" ? "runs" : letter === "D" ? "blocked" : "sleeps" });
    }
  } catch {
    // A thread that ends between two looks takes the rest of this one with it; the next one tells more.
  }
  return delays;
}

/** Time as the supervised tasks of this process have it: it stands still while the process is starved. */
export class FairClock {
  readonly #nowUs: () => number;
  readonly #starvation: Starvation;
  #starvedUs = 0;
  #lookedUs = -Infinity;
  #fairUs = -Infinity;

  constructor(nowUs: () => number, starvation = new Starvation(process.pid)) {
    this.#nowUs = nowUs;
    this.#starvation = starvation;
  }

  /** Looks at the kernel's figures once in 100 ms, and before it tells of a longer time than that. */
  nowUs(): number {
    const nowUs = this.#nowUs();
    if (nowUs - this.#lookedUs >= LOOK_US) {
      this.#lookedUs = nowUs;
      this.#starvedUs = this.#starvation.look(nowUs);
    }
    // An excuse is heard of later than what it excuses: the clock waits for it, and never goes back.
    return (this.#fairUs = Math.max(this.#fairUs, nowUs - this.#starvedUs));
  }
}

/**
 * Two nodes with one number, told by their heartbeats, pure. CiA 301 gives each number to one node; a second one (a spare part with the old
 * setting) answers commands that are not meant for it. Signs: a state that goes back and forth, or heartbeats that suddenly come much more often, since a
 * node's heartbeat period is constant (object 0x1017). Two that were there from the start, in step and in the same state, cannot be told.
 */
const WINDOW = 8;
/** Boot-up, pre-operational, operational are two changes in an honest life; a restart in the window makes three. */
const CHANGES_MAX = 3;
/** Heartbeats until the node's own period is known: the shortest of these windows' means, so that a stalled machine does not make it seem long. */
const LEARN_BEATS = 32;
/** Of a window from which it is learned, the longest interval against the shortest: jitter of a third of the period, and a little. What stalls or is starved has none such, and nothing is learned from it. */
const STEADY = 3;
/** Two nodes halve the interval; jitter of one, averaged over the window, stays far above this. */
const FASTER_THAN = 0.65;
/** How long the suspicion lasts after its last sign, µs. */
const HOLD_US = 5_000_000;

export class DuplicateWatch {
  readonly #states: number[] = [];
  readonly #timesUs: number[] = [];
  #beats = 0;
  #periodUs = Infinity;
  #suspectedUs = -Infinity;

  /** A heartbeat with its NMT state; returns whether two nodes seem to send it. */
  seen(nmtState: number, timeUs: number): boolean {
    // A boot-up begins a new life, and a master may change the period while it configures the node: its period may be another.
    if (nmtState === 0 || nmtState !== this.#states.at(-1)) this.#forgetPeriod();
    push(this.#states, nmtState);
    push(this.#timesUs, timeUs);
    this.#beats += 1;
    if (this.#flaps() || this.#tooFast()) this.#suspectedUs = timeUs;
    return this.suspected(timeUs);
  }

  suspected(nowUs: number): boolean {
    return nowUs - this.#suspectedUs < HOLD_US;
  }

  /** The node was lost: what is learned of it may be another's next time. */
  lost(): void {
    this.#forgetPeriod();
    this.#states.length = 0;
  }

  #flaps(): boolean {
    let changes = 0;
    for (let i = 1; i < this.#states.length; i++) if (this.#states[i] !== this.#states[i - 1]) changes += 1;
    return changes > CHANGES_MAX;
  }

  #tooFast(): boolean {
    if (this.#timesUs.length < WINDOW) return false;
    const meanUs = (this.#timesUs.at(-1)! - this.#timesUs[0]!) / (WINDOW - 1);
    if (this.#beats < LEARN_BEATS || this.#periodUs === Infinity) {
      if (this.#isSteady()) this.#periodUs = Math.min(this.#periodUs, meanUs);
      return false;
    }
    return meanUs < FASTER_THAN * this.#periodUs;
  }

  #isSteady(): boolean {
    const intervalsUs = this.#timesUs.slice(1).map((timeUs, i) => timeUs - this.#timesUs[i]!);
    return Math.max(...intervalsUs) <= STEADY * Math.min(...intervalsUs);
  }

  #forgetPeriod(): void {
    this.#periodUs = Infinity;
    this.#beats = 0;
    this.#timesUs.length = 0;
  }
}

function push(list: number[], value: number): void {
  list.push(value);
  if (list.length > WINDOW) list.shift();
}

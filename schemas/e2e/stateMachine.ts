/**
 * E2E_SM: from the results of single frames to the state of the whole channel. It remembers the last results in a window and judges, by
 * the limits of its current state, whether there is enough good news. The counts are reduced to one of five events, so that the machine
 * itself is a total table; docs/specs/e2e.md prints it.
 *
 * Counted as good: ok, okSomeLost. Counted as error: crcMismatch, badLength. Repeated, wrongSequence and no new data take a place in the
 * window and count for neither, so that they starve the channel without condemning it.
 * The window is cleared by `start` and, with clearToInvalid, on the way into INVALID. Otherwise results are carried over between states, but
 * only those that the state left behind looked at: else old errors that a small window forgave would count again in a larger one.
 */
import { CheckResult } from "./status.ts";

export const channelStates = ["DEINIT", "NODATA", "INIT", "VALID", "INVALID"] as const;
export type ChannelState = (typeof channelStates)[number];

/** What one step amounts to, seen with the limits of the current state. */
export const channelEvents = ["start", "stop", "enough", "notEnough", "tooManyErrors"] as const;
export type ChannelEvent = (typeof channelEvents)[number];

export interface ChannelCell {
  to: ChannelState;
  /** Forget all results. "ifConfigured": only with clearToInvalid. */
  clear: "no" | "yes" | "ifConfigured";
}

const stay = (state: ChannelState): ChannelCell => ({ to: state, clear: "no" });
const start: ChannelCell = { to: "NODATA", clear: "yes" };
const stop: ChannelCell = { to: "DEINIT", clear: "yes" };
const invalid: ChannelCell = { to: "INVALID", clear: "ifConfigured" };

export const channelTable = {
  DEINIT: { start, stop: stay("DEINIT"), enough: stay("DEINIT"), notEnough: stay("DEINIT"), tooManyErrors: stay("DEINIT") },
  NODATA: { start, stop, enough: { to: "INIT", clear: "no" }, notEnough: stay("NODATA"), tooManyErrors: invalid },
  INIT: { start, stop, enough: { to: "VALID", clear: "no" }, notEnough: stay("INIT"), tooManyErrors: invalid },
  VALID: { start, stop, enough: stay("VALID"), notEnough: invalid, tooManyErrors: invalid },
  INVALID: { start, stop, enough: { to: "VALID", clear: "no" }, notEnough: stay("INVALID"), tooManyErrors: stay("INVALID") },
} as const satisfies Record<ChannelState, Record<ChannelEvent, ChannelCell>>;

/** The table as the rows of a Markdown table, for the specification page. */
export function printChannelTable(): string {
  const cell = (state: ChannelState, event: ChannelEvent): string => {
    const { to, clear } = channelTable[state][event] as ChannelCell;
    return `${to === state ? "·" : to}${clear === "yes" ? ", clear" : clear === "ifConfigured" ? ", clear if clearToInvalid" : ""}`;
  };
  const rows = channelStates.map((state) => `| **${state}** | ${channelEvents.map((event) => cell(state, event)).join(" | ")} |`);
  return [`| state | ${channelEvents.join(" | ")} |`, `|---|${channelEvents.map(() => "---").join("|")}|`, ...rows].join("\n");
}

/** Names as in AUTOSAR's E2E_SM configuration. Sizes count results, 1…64; windowSizeValid is the largest. */
export interface StateMachineConfig {
  windowSizeInit?: number;
  windowSizeValid?: number;
  windowSizeInvalid?: number;
  /** At least so many good results in the window … */
  minOkStateInit?: number;
  minOkStateValid?: number;
  minOkStateInvalid?: number;
  /** … and at most so many errors. */
  maxErrorStateInit?: number;
  maxErrorStateValid?: number;
  maxErrorStateInvalid?: number;
  clearToInvalid?: boolean;
}

export const WINDOW_SIZE_MAX = 64;

/** Missing keys filled in: valid after the second good frame, invalid with the fourth error in ten results, valid again with three good ones in five. */
export function stateMachineDefaults(config: StateMachineConfig = {}): Required<StateMachineConfig> {
  const windowSizeValid = config.windowSizeValid ?? Math.max(10, config.windowSizeInit ?? 0, config.windowSizeInvalid ?? 0);
  const windowSizeInit = config.windowSizeInit ?? Math.min(5, windowSizeValid);
  const windowSizeInvalid = config.windowSizeInvalid ?? Math.min(5, windowSizeValid);
  return {
    windowSizeInit,
    windowSizeValid,
    windowSizeInvalid,
    minOkStateInit: config.minOkStateInit ?? 1,
    minOkStateValid: config.minOkStateValid ?? 1,
    minOkStateInvalid: config.minOkStateInvalid ?? Math.min(3, windowSizeInvalid),
    maxErrorStateInit: config.maxErrorStateInit ?? Math.min(2, windowSizeInit - 1),
    maxErrorStateValid: config.maxErrorStateValid ?? Math.min(3, windowSizeValid - 1),
    maxErrorStateInvalid: config.maxErrorStateInvalid ?? Math.min(1, windowSizeInvalid - 1),
    clearToInvalid: config.clearToInvalid ?? false,
  };
}

export function stateMachineFaults(config: StateMachineConfig): { key: keyof StateMachineConfig; message: string; hint: string }[] {
  const faults: { key: keyof StateMachineConfig; message: string; hint: string }[] = [];
  for (const [name, value] of Object.entries(config)) {
    const key = name as keyof StateMachineConfig;
    if (value === undefined) continue;
    if (key === "clearToInvalid" ? typeof value === "boolean" : Number.isInteger(value) && value >= 0 && value <= WINDOW_SIZE_MAX) continue;
    faults.push({ key, message: `${key} is ${String(value)}`, hint: key === "clearToInvalid" ? "true or false" : `a whole number 0…${WINDOW_SIZE_MAX}` });
  }
  if (faults.length > 0) return faults;
  const full = stateMachineDefaults(config);
  const check = (key: Exclude<keyof StateMachineConfig, "clearToInvalid">, low: number, high: number, why: string): void => {
    if (full[key] < low || full[key] > high) faults.push({ key, message: `${key} is ${full[key]}`, hint: `a whole number ${low}…${high}${why}` });
  };
  for (const state of ["Init", "Valid", "Invalid"] as const) {
    check(`windowSize${state}`, 1, Math.max(1, full.windowSizeValid), " (windowSizeValid is the largest window)");
    check(`minOkState${state}`, state === "Valid" ? 0 : 1, full[`windowSize${state}`], " (the window)");
    check(`maxErrorState${state}`, 0, full[`windowSize${state}`], " (the window)");
  }
  return faults;
}

/** A step's input: a frame's result, or that nothing came since the last call. */
export type ChannelInput = CheckResult | typeof NO_NEW_DATA;
export const NO_NEW_DATA = 7;

const empty = 0xff;

/** One channel's state. Begins in NODATA. `step` costs a walk over the window and allocates nothing. */
export class ChannelStateMachine {
  readonly config: Readonly<Required<StateMachineConfig>>;
  readonly #window: Uint8Array;
  #next = 0;
  #state: ChannelState = "NODATA";

  constructor(config: StateMachineConfig = {}) {
    const [fault] = stateMachineFaults(config);
    if (fault) throw new RangeError(`${fault.message}: ${fault.hint}`);
    this.config = stateMachineDefaults(config);
    this.#window = new Uint8Array(this.config.windowSizeValid).fill(empty);
  }

  get state(): ChannelState {
    return this.#state;
  }

  start(): void {
    this.#apply(channelTable[this.#state].start);
  }

  stop(): void {
    this.#apply(channelTable[this.#state].stop);
  }

  step(input: ChannelInput): ChannelState {
    if (this.#state === "DEINIT") return this.#state;
    this.#window[this.#next] = input;
    this.#next = this.#next + 1 === this.#window.length ? 0 : this.#next + 1;
    this.#apply(channelTable[this.#state][this.#event(input)]);
    return this.#state;
  }

  #event(input: ChannelInput): ChannelEvent {
    const { config } = this;
    switch (this.#state) {
      case "NODATA":
        // Anything that was received whole, even out of sequence, shows that somebody is there.
        if (input !== NO_NEW_DATA && input !== CheckResult.crcMismatch && input !== CheckResult.badLength) return "enough";
        return this.#judge(config.windowSizeInit + 1, config.maxErrorStateInit);
      case "INIT":
        return this.#judge(config.minOkStateInit, config.maxErrorStateInit);
      case "VALID":
        return this.#judge(config.minOkStateValid, config.maxErrorStateValid);
      case "INVALID":
        return this.#judge(config.minOkStateInvalid, config.maxErrorStateInvalid);
      case "DEINIT":
        return "notEnough";
    }
  }

  /** Counts the newest results, as many as the state's window holds. */
  #judge(minOk: number, maxError: number): ChannelEvent {
    const window = this.#window;
    const size = this.#windowSize();
    let good = 0;
    let errors = 0;
    let index = this.#next;
    for (let i = 0; i < size; i++) {
      index = index === 0 ? window.length - 1 : index - 1;
      const result = window[index]!;
      if (result <= CheckResult.okSomeLost) good++;
      else if (result === CheckResult.crcMismatch || result === CheckResult.badLength) errors++;
    }
    if (errors > maxError) return "tooManyErrors";
    return good >= minOk ? "enough" : "notEnough";
  }

  #apply(cell: ChannelCell): void {
    if (cell.clear === "yes" || (cell.clear === "ifConfigured" && this.config.clearToInvalid)) {
      this.#window.fill(empty);
      this.#next = 0;
    } else if (cell.to !== this.#state) {
      this.#forgetOlderThan(this.#windowSize());
    }
    this.#state = cell.to;
  }

  #windowSize(): number {
    switch (this.#state) {
      case "VALID":
        return this.config.windowSizeValid;
      case "INVALID":
        return this.config.windowSizeInvalid;
      case "INIT":
      case "NODATA":
      case "DEINIT":
        return this.config.windowSizeInit;
    }
  }

  #forgetOlderThan(size: number): void {
    let index = this.#next;
    for (let i = size; i < this.#window.length; i++) {
      this.#window[index] = empty;
      index = index + 1 === this.#window.length ? 0 : index + 1;
    }
  }
}

/**
 * What happened, for people and programs: one line each on stderr (text, or JSON with `--log json`), the last of them kept for `ipcnet status`,
 * all of them as samples of the topic `ipcnet/events`. Codes are stable, sentences are for people. The same code from the same source is
 * written at most every five seconds, with the number of those left out: a flapping bus must not fill the disk. An error is held back only if it
 * says the same as the last one.
 */
export type Severity = "info" | "warning" | "error";

export interface GatewayEvent {
  atUs: number;
  wallTime: string;
  severity: Severity;
  /** Stable: busDead, armed, nodeLost, … */
  code: string;
  /** The link, node or client it concerns; "gateway" for itself. */
  source: string;
  text: string;
  details?: Readonly<Record<string, unknown>>;
  /** How many of the same code and source were left out since the last one. */
  leftOut?: number;
}

/** Kept in memory. */
export const EVENTS_KEPT = 256;
const REPEAT_INTERVAL_US = 5_000_000;
/** Distinct (source, code) pairs remembered for the limit; beyond, the oldest is forgotten. */
const PAIRS_MAX = 1_024;

export interface EventInput {
  severity: Severity;
  code: string;
  source: string;
  text: string;
  details?: Readonly<Record<string, unknown>>;
}

export class EventLog {
  readonly #kept: GatewayEvent[] = [];
  readonly #lastByPair = new Map<string, { atUs: number; leftOut: number; text: string }>();
  readonly #write: (event: GatewayEvent) => void;

  /** `write` is called for each event that passes the limit. */
  constructor(write: (event: GatewayEvent) => void) {
    this.#write = write;
  }

  add(input: EventInput, nowUs: number, wallTimeNs: bigint): void {
    const pair = `${input.source}\0${input.code}`;
    const last = this.#lastByPair.get(pair);
    if (last && (input.severity !== "error" || last.text === input.text) && nowUs - last.atUs < REPEAT_INTERVAL_US) {
      last.leftOut += 1;
      return;
    }
    const event: GatewayEvent = { atUs: nowUs, wallTime: new Date(Number(wallTimeNs / 1_000_000n)).toISOString(), ...input, ...(last && last.leftOut > 0 ? { leftOut: last.leftOut } : {}) };
    this.#lastByPair.delete(pair);
    this.#lastByPair.set(pair, { atUs: nowUs, leftOut: 0, text: input.text });
    if (this.#lastByPair.size > PAIRS_MAX) this.#lastByPair.delete(this.#lastByPair.keys().next().value!);
    this.#kept.push(event);
    if (this.#kept.length > EVENTS_KEPT) this.#kept.shift();
    this.#write(event);
  }

  /** Oldest first. */
  recent(): readonly GatewayEvent[] {
    return this.#kept;
  }
}

/** One line for a terminal or the journal. Under systemd the level is put in front in the kernel's form, which the journal understands. */
export function eventLine(event: GatewayEvent, { json, journal }: { json: boolean; journal: boolean }): string {
  if (json) return `${JSON.stringify(event)}\n`;
  const prefix = journal ? { info: "<6>", warning: "<4>", error: "<3>" }[event.severity] : `${event.wallTime.slice(11, 23)} ${event.severity.padEnd(7)} `;
  return `${prefix}${event.source}: ${event.text} [${event.code}]${event.leftOut ? ` (${event.leftOut} more left out)` : ""}\n`;
}

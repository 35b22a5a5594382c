/**
 * Who speaks for a robot on `bridge/state`, and whom to believe.
 *
 * A broker publishes a dead instance's last will whenever it notices the death, which may be after the successor announced itself
 * (Sparkplug B answers the same trouble with `bdSeq`). So every announcement and every will carries (epoch, session): the epoch rises
 * with each takeover by another instance, the session with each connection of one instance. Consumers ignore whatever is lower than
 * what they have seen; the publisher looks at its own topic and repeats itself when something lower overwrote the retained message;
 * the embedded broker refuses the lower one outright.
 *
 * After a crash only `bridge/state` goes offline; a node's own availability keeps its last value. So availability carries (epoch, session)
 * as well, and a node is available only if both say so (`nodeAvailable`).
 */
export type BridgeWord = "starting" | "online" | "stopping" | "offline";

export interface Incarnation {
  /** Rises with each takeover by another instance; never reused. */
  epoch: number;
  /** Rises with each connection that this instance makes. */
  session: number;
}

export interface BridgeState extends Incarnation {
  state: BridgeWord;
  instance: string;
  /** Why, for people; empty when online. */
  reason: string;
  version: string;
}

export interface Availability extends Incarnation {
  state: "online" | "offline";
}

/** Below zero when `a` came before `b`. */
export function compareIncarnations(a: Incarnation, b: Incarnation): number {
  return a.epoch - b.epoch || a.session - b.session;
}

const WORDS: readonly string[] = ["starting", "online", "stopping", "offline"] satisfies BridgeWord[];
/** Longest text of a field and largest payload taken; a state of ours has about 150 bytes. */
const TEXT_MAX = 256;
const PAYLOAD_BYTES_MAX = 2048;

const isCount = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const isText = (value: unknown): value is string => typeof value === "string" && value.length <= TEXT_MAX;

function parseObject(payload: Uint8Array): Record<string, unknown> | undefined {
  if (payload.length > PAYLOAD_BYTES_MAX) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // not JSON: the caller reports and counts it as malformed
  }
}

/** Undefined when the payload is not a bridge state. */
export function parseBridgeState(payload: Uint8Array): BridgeState | undefined {
  const value = parseObject(payload);
  if (!value) return undefined;
  const { state, instance, epoch, session, reason = "", version = "" } = value;
  if (typeof state !== "string" || !WORDS.includes(state) || !isText(instance) || !isCount(epoch) || !isCount(session) || !isText(reason) || !isText(version)) return undefined;
  return { state: state as BridgeWord, instance, epoch, session, reason, version };
}

/** Undefined when the payload is not an availability. */
export function parseAvailability(payload: Uint8Array): Availability | undefined {
  const value = parseObject(payload);
  if (!value) return undefined;
  const { state, epoch, session } = value;
  if ((state !== "online" && state !== "offline") || !isCount(epoch) || !isCount(session)) return undefined;
  return { state, epoch, session };
}

export function encodeStatus(value: BridgeState | Availability): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

/** The will to leave with the broker when connecting: what it is to say if the connection dies. */
export function willOf(state: Omit<BridgeState, "state" | "reason">): BridgeState {
  return { ...state, state: "offline", reason: "the connection was lost" };
}

/** Whether a node can be relied on: its own word and the bridge's, of the same incarnation. */
export function nodeAvailable(bridge: BridgeState | undefined, node: Availability | undefined): boolean {
  return bridge?.state === "online" && node?.state === "online" && compareIncarnations(bridge, node) === 0;
}

export type AcceptVerdict = { accepted: true; state: BridgeState } | { accepted: false; code: "malformed" | "older" };

/** A consumer's view of one robot: the latest believable state. */
export class BridgeStateView {
  #current: BridgeState | undefined;
  readonly counters = { accepted: 0, malformed: 0, older: 0 };

  get current(): BridgeState | undefined {
    return this.#current;
  }

  accept(payload: Uint8Array): AcceptVerdict {
    const state = parseBridgeState(payload);
    if (!state) {
      this.counters.malformed += 1;
      return { accepted: false, code: "malformed" };
    }
    if (this.#current && compareIncarnations(state, this.#current) < 0) {
      this.counters.older += 1;
      return { accepted: false, code: "older" };
    }
    this.#current = state;
    this.counters.accepted += 1;
    return { accepted: true, state };
  }
}

/**
 * What our own side does about its topic.
 * `away`: not connected. `announced`: our word stands. `superseded`: a higher incarnation spoke; we are silent from then on
 * (a new connection with a higher session or epoch starts anew). `left`: we said goodbye.
 */
export type PublisherState = "away" | "announced" | "superseded" | "left";
export type PublisherEvent = "connected" | "disconnected" | "changed" | "sawLower" | "sawOwn" | "sawHigher" | "stop";
export type PublisherEffect = "publish" | "publishFarewell" | "reportSuperseded";

interface Cell {
  to: PublisherState;
  do: readonly PublisherEffect[];
}

/** Total: every state answers every event. */
export const PUBLISHER_TABLE = {
  away: {
    connected: { to: "announced", do: ["publish"] },
    disconnected: { to: "away", do: [] },
    changed: { to: "away", do: [] },
    sawLower: { to: "away", do: [] },
    sawOwn: { to: "away", do: [] },
    sawHigher: { to: "superseded", do: ["reportSuperseded"] },
    stop: { to: "left", do: [] },
  },
  announced: {
    connected: { to: "announced", do: ["publish"] },
    disconnected: { to: "away", do: [] },
    changed: { to: "announced", do: ["publish"] },
    sawLower: { to: "announced", do: ["publish"] },
    sawOwn: { to: "announced", do: [] },
    sawHigher: { to: "superseded", do: ["reportSuperseded"] },
    stop: { to: "left", do: ["publishFarewell"] },
  },
  superseded: {
    connected: { to: "announced", do: ["publish"] },
    disconnected: { to: "away", do: [] },
    changed: { to: "superseded", do: [] },
    sawLower: { to: "superseded", do: [] },
    sawOwn: { to: "superseded", do: [] },
    sawHigher: { to: "superseded", do: [] },
    stop: { to: "left", do: [] },
  },
  left: {
    connected: { to: "announced", do: ["publish"] },
    disconnected: { to: "left", do: [] },
    changed: { to: "left", do: [] },
    sawLower: { to: "left", do: [] },
    sawOwn: { to: "left", do: [] },
    sawHigher: { to: "left", do: [] },
    stop: { to: "left", do: [] },
  },
} as const satisfies Record<PublisherState, Record<PublisherEvent, Cell>>;

/** Repetitions after something lower was seen are bounded: two instances that both believe in themselves must not flood the broker. */
const REPEAT_INTERVAL_US = 200_000;

/** The publishing side: feed it what happens, publish what it returns (retained, QoS 1). */
export class BridgeStatePublisher {
  #state: PublisherState = "away";
  #own: BridgeState;
  #repeatedAtUs = -Infinity;
  #repeatDueUs: number | undefined;
  #supersededBy: BridgeState | undefined;
  readonly counters = { published: 0, repeated: 0, superseded: 0, malformed: 0 };

  constructor(own: BridgeState) {
    this.#own = own;
  }

  get state(): PublisherState {
    return this.#state;
  }
  get own(): BridgeState {
    return this.#own;
  }
  /** Who took over, once `superseded`. */
  get supersededBy(): BridgeState | undefined {
    return this.#supersededBy;
  }

  /** A connection stands; `incarnation` must be higher than any used before. Returns what to publish. */
  connected(incarnation: Incarnation): BridgeState | undefined {
    this.#own = { ...this.#own, ...incarnation };
    return this.#step("connected");
  }

  disconnected(): void {
    this.#step("disconnected");
  }

  /** Our state changed. */
  changed(state: BridgeWord, reason: string): BridgeState | undefined {
    this.#own = { ...this.#own, state, reason };
    return this.#step("changed");
  }

  /** Something arrived on our own topic. */
  saw(payload: Uint8Array, nowUs: number): BridgeState | undefined {
    const seen = parseBridgeState(payload);
    if (!seen) this.counters.malformed += 1;
    const order = seen ? compareIncarnations(seen, this.#own) : -1;
    if (order > 0) this.#supersededBy = seen;
    // Our own will, published although we live, is our incarnation but not our word.
    const ownWill = order === 0 && seen?.state === "offline" && this.#own.state !== "offline";
    if (order > 0) return this.#step("sawHigher");
    if (order === 0 && !ownWill) return this.#step("sawOwn");
    this.#repeatDueUs ??= Math.max(nowUs, this.#repeatedAtUs + REPEAT_INTERVAL_US);
    return this.poll(nowUs);
  }

  /** When `poll` has something to say; undefined when nothing is pending. */
  nextDeadlineUs(): number | undefined {
    return this.#repeatDueUs;
  }

  poll(nowUs: number): BridgeState | undefined {
    if (this.#repeatDueUs === undefined || nowUs < this.#repeatDueUs) return undefined;
    this.#repeatDueUs = undefined;
    const repeat = this.#step("sawLower");
    if (!repeat) return undefined;
    this.#repeatedAtUs = nowUs;
    this.counters.repeated += 1;
    return repeat;
  }

  stop(reason: string): BridgeState | undefined {
    this.#own = { ...this.#own, state: "offline", reason };
    return this.#step("stop");
  }

  #step(event: PublisherEvent): BridgeState | undefined {
    const cell: Cell = PUBLISHER_TABLE[this.#state][event];
    this.#state = cell.to;
    let publish = false;
    for (const effect of cell.do) {
      if (effect === "reportSuperseded") this.counters.superseded += 1;
      else publish = true;
    }
    if (!publish) return undefined;
    this.counters.published += 1;
    return this.#own;
  }
}

/**
 * Whether a CAN bus may be trusted with commands: the machine of `core/bus_health.h` (the same one the C bus process runs), for every CAN driver.
 *
 * A driver feeds what it observes and performs the effects it is given, in their order. In short: commands are accepted while our own frames come
 * back as echoes; where they stay away (or the bus goes off) they are refused, the queue is purged, a probe asks whether anybody acknowledges, and only a probe's echo
 * followed by an explicit re-arm opens the bus again. `docs/specs/can-core.md` has the table.
 *
 * Whoever sends a `tick` must first have read everything that had arrived by then: an echo waiting unread is not a missing echo.
 */
import type { DriverState } from "../driver.ts";
import { native, type NativeBusHealth } from "./native.ts";

export interface BusHealthOptions {
  /** Nominal bit rate; undefined where the link does not tell (T is then `deadAfterMs` alone). */
  bitrateBps?: number | undefined;
  dataBitrateBps?: number | undefined;
  fd?: boolean | undefined;
  /** Frames that may wait in front of the wire. Default 16. */
  txQueueFrames?: number | undefined;
  /** No echo for so long = dead; never less than 20, nor than three times what a full queue takes. Default 20. */
  deadAfterMs?: number | undefined;
  /** Default 1000. */
  probeIntervalMs?: number | undefined;
  busOff?: { restartMinMs?: number | undefined; restartMaxMs?: number | undefined; restartBudget?: number | undefined } | undefined;
  /** Whether the link echoes what was really transmitted. Without echoes a silent death cannot be seen, and a foreign frame counts as proof of life. Default true. */
  confirms?: boolean | undefined;
  listenOnly?: boolean | undefined;
  nowUs?: number | undefined;
}

export type BusControllerState = "active" | "warning" | "passive" | "busOff";

export type BusHealthEvent =
  /** Frames handed to the link's queue. Probes are not reported here. */
  | { type: "txQueued"; frames?: number }
  /** Frames confirmed as transmitted. Probes are not reported here. */
  | { type: "txEcho"; frames?: number }
  /** Queued frames that the link removed unsent. */
  | { type: "txDropped"; frames?: number }
  /** A frame was refused because the queue is full; the driver drops it. */
  | { type: "txNoBuffer" }
  /** Somebody else's frame was received. */
  | { type: "rxFrame" }
  /** An error report: Linux's CAN_ERR_* classes, and data[1] (the controller's problem). */
  | { type: "errorFrame"; classes: number; controller: number }
  | { type: "busState"; state: BusControllerState }
  | { type: "linkDown" }
  /** `staleFrames`: found waiting in the link's queue although we did not put them there. */
  | { type: "linkUp"; staleFrames?: number }
  | { type: "purged" }
  | { type: "purgeFailed"; forbidden: boolean }
  | { type: "restartFailed" }
  | { type: "probeEcho" }
  | { type: "probeFailed" }
  | { type: "rearm" }
  /** Received frames were lost (socket or ring overflow, POLLERR). */
  | { type: "overflow"; lostFrames?: number }
  | { type: "tick" };

export const busPhases = [
  "down", "up", "degraded", "suspect", "purging", "probing", "proven", "unpurgeable", "offPurging", "offWaiting", "offRestarting", "offGivenUp",
] as const;
export type BusPhase = (typeof busPhases)[number];

export const busReasons = [
  "none", "starting", "linkDown", "errorWarning", "errorPassive", "noBuffer", "noEcho", "starved", "noAcknowledge", "staleQueue", "probing",
  "awaitingRearm", "purgeForbidden", "purgeFailed", "busOff", "restarting", "restartBudgetSpent",
] as const;
export type BusReason = (typeof busReasons)[number];

export type BusHealthEffect =
  /** From now on nothing but probes may be queued. */
  | { type: "refuseCommands" }
  | { type: "acceptCommands" }
  /** `cause`: why commands were refused in the first place; "none" while they are accepted. */
  | { type: "stateChanged"; state: DriverState; phase: BusPhase; reason: BusReason; cause: BusReason }
  /** Empty every queue to the wire, then answer `purged` or `purgeFailed`. */
  | { type: "purge" }
  /** Queue one frame with an unused identifier, then answer `probeEcho` or `probeFailed`. */
  | { type: "probe" }
  /** Restart the controller after bus-off, then answer `busState` or `restartFailed`. */
  | { type: "restartBus" }
  /** Close, wait for the link by its name, open again, then answer `linkUp`. */
  | { type: "reopen" }
  /** CiA 301 code: 0x8140 recovered from bus-off, 0x8120 error-passive, 0x8110 overrun. */
  | { type: "emergency"; code: number }
  /** Frames dropped for want of buffer since the last report; at most one in 5 s. */
  | { type: "reportDrops"; frames: number };

const states = ["starting", "up", "degraded", "dead", "busOff", "down"] as const satisfies readonly DriverState[];
const controllerStates = { active: 0, warning: 1, passive: 2, busOff: 3 } as const;
const eventKinds = {
  txQueued: 0, txEcho: 1, txDropped: 2, txNoBuffer: 3, rxFrame: 4, errorFrame: 5, busState: 6, linkDown: 7, linkUp: 8, purged: 9, purgeFailed: 10,
  restartFailed: 11, probeEcho: 12, probeFailed: 13, rearm: 14, overflow: 15, tick: 16,
} as const satisfies Record<BusHealthEvent["type"], number>;

const STATUS_DOUBLES = 24;
const at = {
  phase: 0, state: 1, reason: 2, cause: 3, nextDeadlineUs: 4, sinceUs: 5, unconfirmed: 6, accepts: 7, noBuffer: 8, lost: 9, deadTimes: 10,
  busOffTimes: 11, purges: 12, probes: 13, restarts: 14, linkLostTimes: 15, patienceUs: 16,
} as const;
const nothing: BusHealthEffect[] = [];

export class BusHealth {
  readonly #native: NativeBusHealth;
  readonly #status: Float64Array;
  readonly #effects: Uint32Array;

  constructor(options: BusHealthOptions) {
    const addon = native();
    this.#native = new addon.NativeBusHealth({
      frameTimeUs: addon.frameTimeUs(options.bitrateBps ?? 0, options.dataBitrateBps ?? 0, options.fd ?? false),
      txQueueFrames: options.txQueueFrames ?? 16,
      deadAfterUs: Math.round((options.deadAfterMs ?? 20) * 1e3),
      probeIntervalUs: Math.round((options.probeIntervalMs ?? 1000) * 1e3),
      restartMinUs: Math.round((options.busOff?.restartMinMs ?? 100) * 1e3),
      restartMaxUs: Math.round((options.busOff?.restartMaxMs ?? 5000) * 1e3),
      restartBudget: options.busOff?.restartBudget ?? 10,
      confirms: options.confirms ?? true,
      listenOnly: options.listenOnly ?? false,
      nowUs: options.nowUs ?? 0,
    });
    this.#status = new Float64Array(this.#native.memory, 0, STATUS_DOUBLES);
    this.#effects = new Uint32Array(this.#native.memory, STATUS_DOUBLES * 8);
  }

  /** One event in, the effects to perform out, in order. Most steps give none and allocate nothing. The answer must not be changed. */
  step(event: BusHealthEvent, nowUs: number): BusHealthEffect[] {
    const [a, b] = operands(event);
    const count = this.#native.step(eventKinds[event.type], a, b, nowUs);
    if (count === 0) return nothing;
    return Array.from({ length: count }, (_, index) => this.#effect(index * 5));
  }

  /** What became known about the link after it was opened. */
  setLink(link: { bitrateBps?: number | undefined; dataBitrateBps?: number | undefined; fd?: boolean | undefined; txQueueFrames: number }): void {
    this.#native.setLink(native().frameTimeUs(link.bitrateBps ?? 0, link.dataBitrateBps ?? 0, link.fd ?? false), link.txQueueFrames);
  }

  get state(): DriverState {
    return states[this.#status[at.state]!]!;
  }
  get phase(): BusPhase {
    return busPhases[this.#status[at.phase]!]!;
  }
  get reason(): BusReason {
    return busReasons[this.#status[at.reason]!]!;
  }
  /** Why commands were refused in the first place; "none" while they are accepted. */
  get cause(): BusReason {
    return busReasons[this.#status[at.cause]!]!;
  }
  get acceptsCommands(): boolean {
    return this.#status[at.accepts] === 1;
  }
  /** Since when the phase lasts. */
  get sinceUs(): number {
    return this.#status[at.sinceUs]!;
  }
  /** Frames queued and neither echoed nor dropped. */
  get unconfirmedFrames(): number {
    return this.#status[at.unconfirmed]!;
  }
  /** T: how long the next frame to leave may go without an echo. */
  get echoPatienceUs(): number {
    return this.#status[at.patienceUs]!;
  }
  /** When `tick` is due; undefined: never, as things are. */
  nextDeadlineUs(): number | undefined {
    const deadlineUs = this.#status[at.nextDeadlineUs]!;
    return deadlineUs === Infinity ? undefined : deadlineUs;
  }
  /** Counters that only rise. */
  counters(): Record<"droppedNoBufferFrames" | "lostFrames" | "deadTimes" | "busOffTimes" | "purges" | "probes" | "busRestarts" | "linkLostTimes", number> {
    const status = this.#status;
    return {
      droppedNoBufferFrames: status[at.noBuffer]!, lostFrames: status[at.lost]!, deadTimes: status[at.deadTimes]!, busOffTimes: status[at.busOffTimes]!,
      purges: status[at.purges]!, probes: status[at.probes]!, busRestarts: status[at.restarts]!, linkLostTimes: status[at.linkLostTimes]!,
    };
  }

  #effect(index: number): BusHealthEffect {
    const [kind, a, b, c, d] = this.#effects.subarray(index, index + 5) as unknown as [number, number, number, number, number];
    switch (kind) {
      case 0: return { type: "refuseCommands" };
      case 1: return { type: "acceptCommands" };
      case 2: return { type: "stateChanged", state: states[a]!, phase: busPhases[b]!, reason: busReasons[c]!, cause: busReasons[d]! };
      case 3: return { type: "purge" };
      case 4: return { type: "probe" };
      case 5: return { type: "restartBus" };
      case 6: return { type: "reopen" };
      case 7: return { type: "emergency", code: a };
      case 8: return { type: "reportDrops", frames: a };
      default: throw new Error(`the bus health machine gave effect ${kind}, which this file does not know: rebuild the addon`);
    }
  }
}

function operands(event: BusHealthEvent): [number, number] {
  switch (event.type) {
    case "txQueued":
    case "txEcho":
    case "txDropped": return [event.frames ?? 1, 0];
    case "errorFrame": return [event.classes & 0x1fff_ffff, event.controller & 0xff];
    case "busState": return [controllerStates[event.state], 0];
    case "linkUp": return [event.staleFrames ?? 0, 0];
    case "purgeFailed": return [event.forbidden ? 1 : 0, 0];
    case "overflow": return [event.lostFrames ?? 1, 0];
    case "txNoBuffer": case "rxFrame": case "linkDown": case "purged": case "restartFailed": case "probeEcho": case "probeFailed": case "rearm": case "tick": return [0, 0];
    default: return event satisfies never;
  }
}

const sentences: Record<BusReason, string> = {
  none: "",
  starting: "not open yet",
  linkDown: "the interface is down or away",
  errorWarning: "the controller counts many errors (error-warning)",
  errorPassive: "the controller is error-passive",
  noBuffer: "the transmit queue is full and no echo arrived lately",
  noEcho: "nobody acknowledges: no frame of ours was confirmed in time",
  starved: "no frame of ours came through in time although others send",
  noAcknowledge: "nobody acknowledges: error-passive with acknowledge errors",
  staleQueue: "the interface still held frames of an earlier sender",
  probing: "asking with a probe whether anybody acknowledges",
  awaitingRearm: "somebody acknowledges again; waits for an explicit re-arm",
  purgeForbidden: "the transmit queue cannot be emptied: this process lacks the right (CAP_NET_ADMIN)",
  purgeFailed: "the transmit queue cannot be emptied: the adapter refuses",
  busOff: "bus-off: too many transmit errors",
  restarting: "restarting the controller after bus-off",
  restartBudgetSpent: "bus-off: the restart budget is spent; re-arm to try again",
};

/** A reason in words, for `health().reason` and events. Empty for "none". */
export function busReasonText(reason: BusReason, cause: BusReason = "none"): string {
  const why = cause !== "none" && cause !== reason ? ` (first: ${sentences[cause]})` : "";
  return sentences[reason] + why;
}

/**
 * The states of one circuit as one side sees it, as a total table; `core.ts` performs the actions.
 *
 * Each side ends its direction once, with its *final* frame: the last data, an end, or an abort. A circuit is idle again when ours has left
 * and the peer's has come; the next conversation has the other generation, so what is still under way cannot be mistaken.
 */
export type CircuitState =
  | "idle"
  /** We began and still send; the peer has not answered. */
  | "calling"
  /** We began and have ended our direction; the peer has not answered. */
  | "asked"
  /** The peer began and still sends; we have not answered. */
  | "offered"
  /** The peer began and has ended its direction; we have not answered. */
  | "called"
  | "open"
  /** The peer's final frame has come. */
  | "sendOnly"
  /** Ours is queued or has left. */
  | "receiveOnly"
  /** The peer's final frame has come and ours waits to leave. */
  | "draining"
  /** We aborted; what still comes is thrown away until the peer's final frame. */
  | "aborting";

/**
 * Ours: begin … abort, and `left`: our final frame was taken by the transport;
 * retract: an abort before our begin has left, of which the peer need not hear. The peer's: peerBegin … peerAbort. breach: the peer broke a rule that the table does not know of (credit, size…).
 */
export type CircuitEvent = "begin" | "accept" | "send" | "end" | "abort" | "retract" | "left" | "peerBegin" | "peerAccept" | "peerData" | "peerEnd" | "peerAbort" | "breach";

export type CircuitAction =
  | "queueAccept" | "queueData" | "queueEnd" | "queueAbort" | "dropQueue"
  | "tellBegun" | "tellAccepted" | "deliver" | "tellEnded" | "tellAborted" | "tellBreach" | "tellIdle" | "forget"
  /** Counts a violation that there is no conversation to end for. */
  | "countBreach"
  /** If our final frame has left already, that is the `left` that the next state waits for. */
  | "leaveIfSent"
  /** The same; and if it has not, an abort is queued in its place. */
  | "abortUnlessSent";

export interface CircuitCell {
  to: CircuitState;
  do: readonly CircuitAction[];
}

/** Our program asked for what this state does not have: `send` and its kin return "ended". */
export const REFUSED = "refused";

export type CircuitRow = Record<CircuitEvent, CircuitCell | typeof REFUSED>;

const stay = (state: CircuitState, ...actions: CircuitAction[]): CircuitCell => ({ to: state, do: actions });
/** The peer's final frame is still to come. */
const abortAndWait: CircuitCell = { to: "aborting", do: ["dropQueue", "queueAbort"] };
const breachAndWait: CircuitCell = { to: "aborting", do: ["dropQueue", "tellBreach", "queueAbort"] };
/** It has come: only ours must leave. */
const abortAndLeave: CircuitCell = { to: "draining", do: ["dropQueue", "queueAbort"] };
const breachAndLeave: CircuitCell = { to: "draining", do: ["dropQueue", "tellBreach", "queueAbort"] };
const peerAborted: CircuitCell = { to: "draining", do: ["dropQueue", "tellAborted", "abortUnlessSent"] };

export const CIRCUIT_TABLE: Record<CircuitState, CircuitRow> = {
  idle: {
    begin: { to: "calling", do: ["queueData"] }, peerBegin: { to: "offered", do: ["tellBegun"] },
    accept: REFUSED, send: REFUSED, end: REFUSED, abort: REFUSED, retract: REFUSED, left: stay("idle"),
    peerAccept: stay("idle", "countBreach"), peerData: stay("idle", "countBreach"), peerEnd: stay("idle", "countBreach"),
    peerAbort: stay("idle"), // crossed our final frame
    breach: stay("idle", "countBreach"),
  },
  calling: {
    begin: REFUSED, accept: REFUSED, send: stay("calling", "queueData"), end: { to: "asked", do: ["queueEnd"] }, abort: abortAndWait, retract: { to: "idle", do: ["dropQueue", "forget", "tellIdle"] }, left: stay("calling"),
    peerAccept: { to: "open", do: ["tellAccepted"] }, peerData: { to: "open", do: ["tellAccepted", "deliver"] }, peerEnd: { to: "sendOnly", do: ["tellEnded"] }, peerAbort: peerAborted,
    peerBegin: breachAndWait, breach: breachAndWait,
  },
  asked: {
    begin: REFUSED, accept: REFUSED, send: REFUSED, end: REFUSED, abort: abortAndWait, retract: { to: "idle", do: ["dropQueue", "forget", "tellIdle"] }, left: stay("asked"),
    peerAccept: { to: "receiveOnly", do: ["tellAccepted"] }, peerData: { to: "receiveOnly", do: ["tellAccepted", "deliver"] }, peerEnd: { to: "draining", do: ["tellEnded", "leaveIfSent"] }, peerAbort: peerAborted,
    peerBegin: breachAndWait, breach: breachAndWait,
  },
  offered: {
    begin: REFUSED, accept: { to: "open", do: ["queueAccept"] }, send: { to: "open", do: ["queueData"] }, end: { to: "receiveOnly", do: ["queueEnd"] }, abort: abortAndWait, retract: REFUSED, left: stay("offered"),
    peerData: stay("offered", "deliver"), peerEnd: { to: "called", do: ["tellEnded"] }, peerAbort: peerAborted,
    peerAccept: breachAndWait, peerBegin: breachAndWait, breach: breachAndWait,
  },
  called: {
    begin: REFUSED, accept: { to: "sendOnly", do: ["queueAccept"] }, send: { to: "sendOnly", do: ["queueData"] }, end: { to: "draining", do: ["queueEnd"] }, abort: abortAndLeave, retract: REFUSED, left: stay("called"),
    peerAbort: peerAborted, peerAccept: breachAndLeave, peerData: breachAndLeave, peerEnd: breachAndLeave, peerBegin: breachAndLeave, breach: breachAndLeave,
  },
  open: {
    begin: REFUSED, accept: REFUSED, send: stay("open", "queueData"), end: { to: "receiveOnly", do: ["queueEnd"] }, abort: abortAndWait, retract: REFUSED, left: stay("open"),
    peerData: stay("open", "deliver"), peerEnd: { to: "sendOnly", do: ["tellEnded"] }, peerAbort: peerAborted,
    peerAccept: breachAndWait, peerBegin: breachAndWait, breach: breachAndWait,
  },
  sendOnly: {
    begin: REFUSED, accept: REFUSED, send: stay("sendOnly", "queueData"), end: { to: "draining", do: ["queueEnd"] }, abort: abortAndLeave, retract: REFUSED, left: stay("sendOnly"),
    peerAbort: peerAborted, peerAccept: breachAndLeave, peerData: breachAndLeave, peerEnd: breachAndLeave, peerBegin: breachAndLeave, breach: breachAndLeave,
  },
  receiveOnly: {
    begin: REFUSED, accept: REFUSED, send: REFUSED, end: REFUSED, abort: abortAndWait, retract: REFUSED, left: stay("receiveOnly"),
    peerData: stay("receiveOnly", "deliver"), peerEnd: { to: "draining", do: ["tellEnded", "leaveIfSent"] }, peerAbort: peerAborted,
    peerAccept: breachAndWait, peerBegin: breachAndWait, breach: breachAndWait,
  },
  draining: {
    begin: REFUSED, accept: REFUSED, send: REFUSED, end: REFUSED, abort: abortAndLeave, retract: REFUSED, left: { to: "idle", do: ["tellIdle"] },
    peerAbort: peerAborted, peerAccept: breachAndLeave, peerData: breachAndLeave, peerEnd: breachAndLeave, peerBegin: breachAndLeave, breach: breachAndLeave,
  },
  aborting: {
    begin: REFUSED, accept: REFUSED, send: REFUSED, end: REFUSED, abort: REFUSED, retract: REFUSED, left: stay("aborting"),
    peerAccept: stay("aborting"), peerData: stay("aborting"), peerEnd: { to: "draining", do: ["leaveIfSent"] }, peerAbort: { to: "draining", do: ["leaveIfSent"] },
    peerBegin: stay("aborting", "countBreach"), breach: stay("aborting", "countBreach"),
  },
};

/** The table as a Mermaid diagram, for docs/specs/circuits.md: cells that stay and tell nothing are left out, and cells to the same state share an arrow. */
export function circuitDiagram(): string {
  const arrows = new Map<string, string[]>();
  for (const [state, row] of Object.entries(CIRCUIT_TABLE)) {
    for (const [event, cell] of Object.entries(row)) {
      if (cell === REFUSED || cell.to === state) continue;
      const arrow = `${state} --> ${cell.to}`;
      arrows.set(arrow, [...(arrows.get(arrow) ?? []), event]);
    }
  }
  return ["stateDiagram-v2", "  [*] --> idle", ...[...arrows].map(([arrow, events]) => `  ${arrow}: ${events.join(", ")}`)].join("\n");
}

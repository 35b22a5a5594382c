/**
 * What the times of a bus with two hosts must be to each other (docs/specs/claim.md, Times). Whoever owns it lives on a lease: a report of a node that follows it, and the echo of its own beat. The lease must outlast
 * what happens on every good day, and end before the other host claims.
 */
import type { ReflexBusInput, ReflexMessage } from "./compile.ts";

/** A turn of the reflex and of a node each: 1 ms together with the two longest frames at 500 kbit/s (2 × 135 bits, 0.54 ms) that may be in the way, made up to a whole number. */
export const SLACK_MS = 2;
/** From this many missed beats on the other host claims. */
export const BEATS_MISSED = 3;
/** × the rank of the host that claims. */
export const SLOT_MS = 2;
/** One report may be lost: the next one still comes in time. */
const REPORTS = 2;

export interface ClaimTimesFault {
  text: string;
  hint: string;
}

/** `witnesses`: messages of this bus in which nodes say whom they follow. */
export function claimTimesFaults(bus: ReflexBusInput, beatPeriodMs: number, witnesses: readonly ReflexMessage[]): ClaimTimesFault[] {
  const { name, selfFenceMs, host } = bus;
  if (selfFenceMs === undefined) return [];
  if (witnesses.length === 0) {
    return [{ text: `another host is on ${name}, and no message there says whom its node follows: no claim could be confirmed, so this host would never own the bus`, hint: "claims: { epoch: SIGNAL, owner: SIGNAL } in the checks file, and a message of each node that has these signals" }];
  }
  const faults: ClaimTimesFault[] = [];
  for (const { message } of witnesses) {
    if (message.cycleTimeMs === undefined) faults.push({ text: `how often ${message.name} is sent is not known, so nobody can say whether selfFenceMs ${selfFenceMs} is long enough`, hint: `GenMsgCycleTime of ${message.name} in the DBC` });
  }
  const slowest = witnesses.reduce((slow, each) => ((each.message.cycleTimeMs ?? 0) > (slow.message.cycleTimeMs ?? 0) ? each : slow));
  const reportMs = slowest.message.cycleTimeMs ?? 0;
  const leastMs = Math.max(beatPeriodMs + SLACK_MS, REPORTS * reportMs + SLACK_MS);
  const claimMs = BEATS_MISSED * beatPeriodMs + SLOT_MS * (1 - host);
  const fits = leastMs < claimMs ? `selfFenceMs: ${leastMs} to ${claimMs - 1}` : `beatPeriodMs: ${Math.floor(leastMs / BEATS_MISSED) + 1} or more, or nodes that report more often than every ${reportMs} ms`;
  if (selfFenceMs < beatPeriodMs + SLACK_MS) {
    faults.push({ text: `selfFenceMs ${selfFenceMs} ends before an echo of a beat can be there: a beat goes out every ${beatPeriodMs} ms, and ${SLACK_MS} ms are for the bus and the processes`, hint: fits });
  }
  if (selfFenceMs < REPORTS * reportMs + SLACK_MS) {
    faults.push({ text: `selfFenceMs ${selfFenceMs} ends when a single report is lost: ${slowest.message.name} comes every ${reportMs} ms, two of them and ${SLACK_MS} ms are ${REPORTS * reportMs + SLACK_MS}`, hint: fits });
  }
  if (selfFenceMs >= claimMs) {
    faults.push({ text: `with selfFenceMs ${selfFenceMs} the other host claims first: it does so after ${BEATS_MISSED} beats of ${beatPeriodMs} ms${host === 0 ? ` and its slot of ${SLOT_MS}` : ""}, ${claimMs} ms`, hint: fits });
  }
  return faults;
}

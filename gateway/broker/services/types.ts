/** The vocabulary of the services' core: who asks, what is asked, and what is to be done. `P` is what travels along: a body, descriptors. */

import type { Peer } from "../ports.ts";

/** Who calls. */
export interface Caller {
  /** The connection. */
  client: number;
  uid: number;
  /** What limits count by: all connections of one component, or, where none is known, of one user. */
  key: string;
  /** For whoever is asked: kept here, because the caller may be gone before its call is told. */
  peer: Peer;
}

/** What a provider offers. */
export interface OfferTerms {
  service: string;
  /** Providers of one group are alike; a request may name the group it wants. */
  group: string;
  /** Calls at once. */
  capacity: number;
  rateHzMax: number | undefined;
  callsMax: number | undefined;
  description: string;
  /** The provider's own lists. They narrow what the policy allows. */
  admits(caller: Caller): boolean;
  /** Of the gateway itself: outside the users' quotas. */
  internal: boolean;
}

/** A client's part of the services, as a successor needs it; its offers' terms are known to the desk. */
export interface ClientState {
  lastOffer: number;
  leavesAtUs?: number | undefined;
  /** Places that calls have which nobody waits for any more. */
  abandoned: { number: number; offer: number; callerKey: string }[];
}

/** A request that waits for its answer: what does not depend on the process that keeps it. */
export interface PendingCall<P> {
  seq: number;
  terms: RequestTerms;
  payload: P;
  /** Order of arrival. */
  order: number;
  timeoutUs: number;
  deadlineUs: number;
  credit: number;
  /** Part of the answer has been seen: nobody else can go on. */
  seen: boolean;
  deaths: number;
  /** It waits because nobody offers its service yet. */
  early: boolean;
}

/** The same as a successor needs it. */
export interface CallState<P> extends PendingCall<P> {
  /** The provider's place that it has. */
  slot?: { client: number; number: number; offer: number } | undefined;
}

/** Told what has changed, for a successor. */
export interface CoreListener {
  client(client: number): void;
  /** The number of the last call of a provider. */
  lastCall(client: number): void;
  call(client: number, seq: number): void;
}

export interface RequestTerms {
  service: string;
  group: string | undefined;
  timeoutMs: number | undefined;
  /** Items that may come before more credit; undefined: no stream. */
  stream: number | undefined;
  idempotent: boolean;
}

/**
 * What the edge has to do, in this order. A payload is handed over with `reply` and `item` (the edge releases it after sending), lent with `call`,
 * and given up with `drop`: every payload that was put into the core leaves it exactly once by one of the three.
 */
export type Effect<P> =
  | { do: "reply"; client: number; seq: number; status: number; text: string; payload: P | undefined }
  | { do: "item"; client: number; seq: number; payload: P }
  | { do: "call"; client: number; call: number; offer: number; service: string; caller: Caller; timeoutMs: number; stream: number | undefined; payload: P }
  | { do: "callCredit"; client: number; call: number; items: number }
  | { do: "callCancelled"; client: number; call: number; status: number; text: string }
  | { do: "drop"; payload: P }
  /** The client has broken the rules of the protocol: its connection ends. */
  | { do: "expel"; client: number; status: number; text: string };

/** Counters that only rise. */
export interface ServiceCounters {
  requests: number;
  /** Calls handed to providers, those that were handed on again included. */
  calls: number;
  /** Calls that another provider was asked to finish. */
  failovers: number;
  timeouts: number;
  cancelled: number;
  refused: number;
  /** Answers to calls that nobody waited for any more. */
  lateResults: number;
  /** Answers to calls that were never given to whoever answered, or were answered before. */
  unknownResults: number;
  violations: number;
}

export interface ProviderReport {
  client: number;
  offer: number;
  group: string;
  capacity: number;
  /** Calls under way, those that were cancelled and are not yet answered included. */
  running: number;
  leaving: boolean;
  description: string;
}

export interface ServiceReport {
  service: string;
  /** Calls that wait for a free provider. */
  waiting: number;
  providers: ProviderReport[];
}

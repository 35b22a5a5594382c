/** The client API of services and resources: offering, calling, streams, descriptors, leaving. */
import type { Findable, GrantMode } from "../protocol/serviceMessages.ts";
import type { Descriptor } from "../sockets/index.ts";

export type { Findable, GrantMode } from "../protocol/serviceMessages.ts";

export interface ServiceApi {
  /** Tells others about this program (version, description …): for people; it proves nothing and grants nothing. At most 4 KiB. */
  announce(info: Readonly<Record<string, unknown>>): Promise<void>;
  /** Who is there, what can be read, called and asked for, as far as this program may know. `pattern`: `+` one level, `#` the rest; default all. */
  find(what: Findable, pattern?: string): Promise<FoundEntry[]>;
  /**
   * Offers a service: `handler` is called for each call, up to `capacity` at once. What it returns (or resolves with) is the answer; an async iterable is a stream,
   * sent as the caller takes it; an `IpcnetError` that it throws is answered with its status. Resolves when the gateway has accepted. With `reconnect`, offers are renewed over each new
   * connection; without it, `Offer.ended` tells when there is no gateway any more.
   */
  offer(service: string, options: OfferOptions, handler: ServiceHandler): Promise<Offer>;
  /** Calls a service and resolves with its answer. Rejects with an `IpcnetError`: 202 not permitted, 203 nobody offers it, 204 out of time, 302 its provider died, 303 all are busy … */
  request(service: string, body?: unknown, options?: RequestOptions): Promise<unknown>;
  /** The same, with the status and the descriptors of the answer. These are the caller's to close. */
  requestFull(service: string, body?: unknown, options?: RequestOptions): Promise<Answer>;
  /** Calls a service that answers with many items. Leaving the loop early cancels the call. `timeoutMs` holds for each item. */
  stream(service: string, body?: unknown, options?: StreamOptions): AsyncIterable<unknown>;
  /** The same, with the descriptors of each item; they are the caller's to close. */
  streamFull(service: string, body?: unknown, options?: StreamOptions): AsyncIterable<Item>;
  /**
   * Calls a service with one end of a new SEQPACKET connection and resolves with the other end: two programs that talk directly, also when the gateway is gone. The provider finds its
   * end in `call.descriptors`; `SeqpacketConnection.of` makes a connection of an end. The descriptor is the caller's to close.
   */
  channel(service: string, body?: unknown, options?: Omit<RequestOptions, "descriptors">): Promise<{ descriptor: Descriptor; body: unknown }>;
  /** A resource of the configuration as a descriptor: a device, a folder, a file, a connection. The caller's to close. 202 not permitted, 203 no such resource, 302 it cannot be opened. */
  grant(resource: string, mode?: GrantMode): Promise<Descriptor>;
  /** This program goes: its offers get no new calls, those that run may finish until then. */
  leaving(deadlineMs: number, text?: string): Promise<void>;
  /** The gateway goes, and with it perhaps the robot. Without a listener the client says "ready" by itself. Returns a function that removes the listener. */
  onLeaving(listener: (notice: LeavingNotice) => void): () => void;
}

export interface OfferOptions {
  /** Providers of one group are alike; a caller may name the group it wants. Default "". */
  group?: string;
  /** Calls at once; default 1. */
  capacity?: number;
  /** Who alone may call, in the words of the policy: a component or group of it, "user:NAME", "group:NAME", "anyone" … Narrows what the policy allows. */
  allow?: readonly string[];
  deny?: readonly string[];
  /** Calls per second of each caller. */
  rateHzMax?: number;
  /** Calls of each caller at once. */
  callsMax?: number;
  /** For people. */
  description?: string;
}

export interface Offer {
  /**
   * Resolves when this program has withdrawn it (or closed the client). Rejects with an `IpcnetError` 303 when the connection has ended and no call can come any more: every gateway is dead, and the
   * client does not reconnect. A program that looks neither here nor by `Client.onClose` ends with that error, instead of waiting for calls that never come or leaving as if all were well.
   */
  readonly ended: Promise<void>;
  /** Withdraws it; running calls finish. */
  close(): Promise<void>;
}

export type ServiceHandler = (body: unknown, call: Call) => unknown;

/** A call that is being answered. */
export interface Call {
  /** By the kernel's word. `component` is "" where the gateway knows none. */
  readonly caller: { readonly component: string; readonly uid: number; readonly pid: number };
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** CLOCK_MONOTONIC, µs: when the caller's time is over (in a stream: that of the next item). */
  readonly deadlineUs: number;
  /** What came with the call. Closed when the handler has settled: `dup()` what is to stay. */
  readonly descriptors: readonly Descriptor[];
  /** Answers now; what the handler returns afterwards is not sent. Copies of the descriptors go with it. */
  reply(body?: unknown, descriptors?: readonly Descriptor[]): void;
  /** Sends one item of a stream, when the caller has room for it. Rejects when the call was cancelled or is no stream. */
  item(body: unknown, descriptors?: readonly Descriptor[]): Promise<void>;
}

export interface RequestOptions {
  /** Default 5000. */
  timeoutMs?: number;
  /** Cancels the call; the promise rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Copies go with the request (at most 4). */
  descriptors?: readonly Descriptor[];
  /** Whether another provider may be asked if one dies with it. Default true: say false where doing it twice would hurt. */
  idempotent?: boolean;
  /** Only providers of this group. */
  group?: string;
}

export interface StreamOptions extends RequestOptions {
  /** Items that may come before this program has taken them; default 16. */
  credit?: number;
}

export interface Answer {
  status: number;
  body: unknown;
  descriptors: Descriptor[];
}

export interface Item {
  body: unknown;
  descriptors: Descriptor[];
}

/** An entry of `find`; what it has depends on what was looked for: docs/specs/client-socket.md. */
export type FoundEntry = Record<string, unknown>;

export interface LeavingNotice {
  /** From now on, ms. */
  deadlineMs: number;
  text: string;
  /** This program is prepared. */
  ready(): Promise<void>;
  /** Asks for so many ms from now on; resolves with what was given. */
  moreTime(ms: number): Promise<number>;
}

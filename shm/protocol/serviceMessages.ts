/**
 * The control messages of services and resources: announce, find, offer, request, streams, grant, leaving. docs/specs/client-socket.md, section "Services".
 * Descriptors may come with `request` and `result`, and with `reply`, `item` and `call`.
 */
import { seq, status, U32_MAX } from "./commonFields.ts";
import type { Fields } from "./fields.ts";
import {
  COMPONENT_FIELDS_MAX, GROUP_NAME_LENGTH_MAX, LEAVING_MS_MAX, OFFER_CAPACITY_MAX, PRINCIPAL_LENGTH_MAX, PRINCIPALS_PER_LIST_MAX, REQUEST_TIMEOUT_MS_MAX,
  RESOURCE_NAME_LENGTH_MAX, SERVICE_NAME_LENGTH_MAX, STREAM_CREDIT_MAX,
} from "./limits.ts";

export const findables = ["components", "topics", "services", "resources"] as const;
/** What `find` looks for. */
export type Findable = (typeof findables)[number];

export const grantModes = ["read", "write", "readWrite"] as const;
export type GrantMode = (typeof grantModes)[number];

export type ServiceClientMessage =
  /** What the program says about itself, for people: it proves nothing. */
  | { op: "announce"; seq: number; component: Readonly<Record<string, unknown>> }
  | { op: "find"; seq: number; what: Findable; pattern: string }
  | OfferMessage
  | { op: "unoffer"; seq: number; offer: number }
  | RequestMessage
  | { op: "credit"; request: number; items: number }
  | { op: "cancel"; request: number }
  | ResultMessage
  /** `mode` undefined: the first that the resource has. */
  | { op: "grant"; seq: number; resource: string; mode: GrantMode | undefined }
  | { op: "leaving"; seq: number; deadlineMs: number; text: string }
  | { op: "ready"; seq: number }
  | { op: "moreTime"; seq: number; forMs: number };

export interface OfferMessage {
  op: "offer";
  seq: number;
  service: string;
  group: string;
  /** Calls at once. */
  capacity: number;
  /** Who alone may call; undefined: whoever the policy allows. Each in the words of the policy: a component or group of it, "user:NAME", "group:NAME", "anyone" … */
  allow: readonly string[] | undefined;
  /** Who may not, whatever `allow` says. */
  deny: readonly string[];
  /** Per caller. */
  rateHzMax: number | undefined;
  /** Calls of one caller at once. */
  callsMax: number | undefined;
  description: string;
}

export interface RequestMessage {
  op: "request";
  seq: number;
  service: string;
  /** Only providers of this group; undefined: of any. */
  group: string | undefined;
  body: unknown;
  timeoutMs: number | undefined;
  /** Items that may come before more credit is given; undefined: one answer, no stream. */
  stream: number | undefined;
  /** Whether another provider may be asked when one has died with it. */
  idempotent: boolean;
}

export interface ResultMessage {
  op: "result";
  call: number;
  status: number;
  text: string;
  body: unknown;
  /** An item of a stream: others, or the end, follow. */
  more: boolean;
}

/** Who calls, by the kernel's word. `component` is that of the policy, else "uid:1000". */
export interface CallerIdentity {
  component: string;
  uid: number;
  pid: number;
}

export interface CallMessage {
  op: "call";
  call: number;
  offer: number;
  service: string;
  body: unknown;
  /** What is left of the caller's time. */
  timeoutMs: number;
  stream: number | undefined;
  caller: CallerIdentity;
}

export type ServiceServerMessage =
  | { op: "item"; seq: number; body: unknown }
  | CallMessage
  | { op: "callCredit"; call: number; items: number }
  /** Nobody waits for the answer any more. The provider answers all the same (it is dropped): that frees its place. */
  | { op: "callCancelled"; call: number; status: number; text: string }
  | { op: "leaving"; deadlineMs: number; text: string };

type Table<M extends { op: string }> = { readonly [O in M["op"]]: (fields: Fields) => Extract<M, { op: O }> };

export const serviceFromClient: Table<ServiceClientMessage> = {
  announce: (f) => ({ op: "announce", seq: seq(f), component: f.plainMap("component", COMPONENT_FIELDS_MAX) }),
  find: (f) => ({ op: "find", seq: seq(f), what: f.choice("what", findables), pattern: f.optionalText("pattern", SERVICE_NAME_LENGTH_MAX) ?? "#" }),
  offer: (f) => ({
    op: "offer", seq: seq(f), service: f.text("service", SERVICE_NAME_LENGTH_MAX), group: f.optionalText("group", GROUP_NAME_LENGTH_MAX) ?? "", capacity: f.optionalInteger("capacity", 1, OFFER_CAPACITY_MAX) ?? 1,
    allow: f.has("allow") ? f.texts("allow", PRINCIPALS_PER_LIST_MAX, PRINCIPAL_LENGTH_MAX) : undefined, deny: f.has("deny") ? f.texts("deny", PRINCIPALS_PER_LIST_MAX, PRINCIPAL_LENGTH_MAX) : [],
    rateHzMax: f.optionalNumber("rateHzMax", 0.001, 1e6), callsMax: f.optionalInteger("callsMax", 1, OFFER_CAPACITY_MAX), description: f.optionalText("description") ?? "",
  }),
  unoffer: (f) => ({ op: "unoffer", seq: seq(f), offer: f.integer("offer", 1, U32_MAX) }),
  request: (f) => ({
    op: "request", seq: seq(f), service: f.text("service", SERVICE_NAME_LENGTH_MAX), group: f.optionalText("group", GROUP_NAME_LENGTH_MAX), body: f.any("body"),
    timeoutMs: f.optionalNumber("timeoutMs", 0, REQUEST_TIMEOUT_MS_MAX), stream: f.optionalInteger("stream", 0, STREAM_CREDIT_MAX), idempotent: f.boolean("idempotent", true),
  }),
  credit: (f) => ({ op: "credit", request: f.integer("request", 1, U32_MAX), items: f.integer("items", 1, STREAM_CREDIT_MAX) }),
  cancel: (f) => ({ op: "cancel", request: f.integer("request", 1, U32_MAX) }),
  result: (f) => ({ op: "result", call: f.integer("call", 1, U32_MAX), status: status(f), text: f.optionalText("text") ?? "", body: f.any("body"), more: f.boolean("more", false) }),
  grant: (f) => ({ op: "grant", seq: seq(f), resource: f.text("resource", RESOURCE_NAME_LENGTH_MAX), mode: f.has("mode") ? f.choice("mode", grantModes) : undefined }),
  leaving: (f) => ({ op: "leaving", seq: seq(f), deadlineMs: f.number("deadlineMs", 0, LEAVING_MS_MAX), text: f.optionalText("text") ?? "" }),
  ready: (f) => ({ op: "ready", seq: seq(f) }),
  moreTime: (f) => ({ op: "moreTime", seq: seq(f), forMs: f.number("forMs", 0, LEAVING_MS_MAX) }),
};

export const serviceFromGateway: Table<ServiceServerMessage> = {
  item: (f) => ({ op: "item", seq: seq(f), body: f.any("body") }),
  call: (f) => {
    const who = f.map("caller");
    const caller = { component: who.text("component"), uid: who.integer("uid", 0, U32_MAX), pid: who.integer("pid", 0, U32_MAX) };
    f.fault ??= who.fault;
    return {
      op: "call", call: f.integer("call", 1, U32_MAX), offer: f.integer("offer", 1, U32_MAX), service: f.text("service", SERVICE_NAME_LENGTH_MAX), body: f.any("body"),
      timeoutMs: f.number("timeoutMs", 0, REQUEST_TIMEOUT_MS_MAX), stream: f.optionalInteger("stream", 0, STREAM_CREDIT_MAX), caller,
    };
  },
  callCredit: (f) => ({ op: "callCredit", call: f.integer("call", 1, U32_MAX), items: f.integer("items", 1, STREAM_CREDIT_MAX) }),
  callCancelled: (f) => ({ op: "callCancelled", call: f.integer("call", 1, U32_MAX), status: status(f), text: f.optionalText("text") ?? "" }),
  leaving: (f) => ({ op: "leaving", deadlineMs: f.number("deadlineMs", 0, LEAVING_MS_MAX), text: f.optionalText("text") ?? "" }),
};

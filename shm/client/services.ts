/** The client's part in services: what it calls, what it offers, and what it is told when the gateway leaves. Offers are renewed over each new link. */
import { IpcnetError, Status } from "../../schemas/status.ts";
import { Fields } from "../protocol/fields.ts";
import type { Findable, GrantMode, ServiceServerMessage } from "../protocol/serviceMessages.ts";
import { closeAll, Descriptor, noDescriptors } from "../sockets/index.ts";
import { Answering } from "./answering.ts";
import { anEnd, type End } from "./ending.ts";
import type { Link } from "./link.ts";
import type { Answer, FoundEntry, Item, LeavingNotice, Offer, OfferOptions, RequestOptions, ServiceApi, ServiceHandler, StreamOptions } from "./serviceApi.ts";

/** For calls that the gateway answers from memory; also the default of requests. */
const CALL_TIMEOUT_MS = 5_000;
/** The gateway judges a request's deadline; this much later we stop waiting for its word. */
const GRACE_MS = 250;
/** Opening a device or a connection has a deadline of its own at the gateway. */
const GRANT_TIMEOUT_MS = 10_000;
const CREDIT_DEFAULT = 16;

interface ActiveOffer {
  service: string;
  options: OfferOptions;
  handler: ServiceHandler;
  /** The gateway's number for it; undefined while it is not established. */
  id: number | undefined;
  ended: boolean;
  end: End;
}

/** What this needs of the client: the open link, or an exception that says why there is none. */
export interface ServicePort {
  link(): Link;
  notify(error: unknown): void;
}

export class Services implements ServiceApi {
  readonly #port: ServicePort;
  readonly #offers = new Set<ActiveOffer>();
  readonly #leavingListeners = new Set<(notice: LeavingNotice) => void>();
  #byId = new Map<number, ActiveOffer>();
  #answering = new Map<number, Answering>();
  #announced: Readonly<Record<string, unknown>> | undefined;

  constructor(port: ServicePort) {
    this.#port = port;
  }

  async announce(info: Readonly<Record<string, unknown>>): Promise<void> {
    this.#announced = info;
    await this.#port.link().call({ op: "announce", component: info }, CALL_TIMEOUT_MS);
  }

  async find(what: Findable, pattern = "#"): Promise<FoundEntry[]> {
    const { body } = await this.#port.link().call({ op: "find", what, pattern }, CALL_TIMEOUT_MS);
    if (!Array.isArray(body)) throw malformed();
    return body as FoundEntry[];
  }

  async offer(service: string, options: OfferOptions, handler: ServiceHandler): Promise<Offer> {
    const offer: ActiveOffer = { service, options, handler, id: undefined, ended: false, end: anEnd() };
    await this.#establish(offer);
    return { close: () => this.#withdraw(offer), ended: offer.end.promise };
  }

  async request(service: string, body?: unknown, options: RequestOptions = {}): Promise<unknown> {
    const answer = await this.requestFull(service, body, options);
    closeAll(answer.descriptors);
    return answer.body;
  }

  async requestFull(service: string, body?: unknown, options: RequestOptions = {}): Promise<Answer> {
    const { timeoutMs = CALL_TIMEOUT_MS, signal, descriptors = noDescriptors, idempotent = true, group } = options;
    signal?.throwIfAborted();
    const link = this.#port.link();
    let received: Descriptor[] = [];
    const { seq, reply } = link.start({ op: "request", service, group, body, timeoutMs, stream: undefined, idempotent }, timeoutMs + GRACE_MS, {
      descriptors,
      onReply: (_reply, attached) => {
        received = attached;
      },
    });
    const stopListening = cancelOnAbort(link, seq, signal);
    try {
      const { status, body: answer } = await reply;
      return { status, body: answer, descriptors: received };
    } finally {
      stopListening();
    }
  }

  async channel(service: string, body?: unknown, options: Omit<RequestOptions, "descriptors"> = {}): Promise<{ descriptor: Descriptor; body: unknown }> {
    const [descriptor, other] = Descriptor.pair();
    try {
      return { descriptor, body: await this.request(service, body, { ...options, descriptors: [other] }) };
    } catch (error) {
      descriptor.close();
      throw error;
    } finally {
      other.close();
    }
  }

  async *stream(service: string, body?: unknown, options: StreamOptions = {}): AsyncGenerator<unknown, void, void> {
    for await (const { body: item, descriptors } of this.streamFull(service, body, options)) {
      closeAll(descriptors);
      yield item;
    }
  }

  async *streamFull(service: string, body?: unknown, options: StreamOptions = {}): AsyncGenerator<Item, void, void> {
    const { timeoutMs = CALL_TIMEOUT_MS, signal, descriptors = noDescriptors, idempotent = true, group } = options;
    const credit = Math.max(1, options.credit ?? CREDIT_DEFAULT);
    signal?.throwIfAborted();
    const link = this.#port.link();
    const items: Item[] = [];
    let wake = (): void => {};
    const { seq, reply } = link.start({ op: "request", service, group, body, timeoutMs, stream: credit, idempotent }, timeoutMs + GRACE_MS, {
      descriptors,
      onReply: ({ body: last }, attached) => {
        // Whoever answers at once, without a stream, gives one item.
        if (last !== undefined && last !== null) items.push({ body: last, descriptors: attached });
        else closeAll(attached);
      },
      onItem: (item, attached) => {
        items.push({ body: item, descriptors: attached });
        wake();
      },
    });
    let end: { error: unknown } | "good" | undefined;
    reply.then(() => (end = "good"), (error: unknown) => (end = { error })).then(() => wake(), () => wake());
    const stopListening = cancelOnAbort(link, seq, signal);
    let taken = 0;
    try {
      for (;;) {
        const item = items.shift();
        if (item) {
          yield item;
          // Half of the credit at a time: one message for many items.
          if ((taken += 1) * 2 < credit || end !== undefined) continue;
          // Without it nothing more would come: it waits for room if there is none.
          while (link.post({ op: "credit", request: seq, items: taken }) === "full") await link.room();
          link.restart(seq);
          taken = 0;
        } else if (end === "good") {
          return;
        } else if (end) {
          throw end.error;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      stopListening();
      if (end === undefined) abandon(link, seq, new IpcnetError(Status.requestTimeout, "the stream was left"));
      for (const item of items) closeAll(item.descriptors);
    }
  }

  async grant(resource: string, mode?: GrantMode): Promise<Descriptor> {
    let received: Descriptor[] = [];
    await this.#port.link().start({ op: "grant", resource, mode }, GRANT_TIMEOUT_MS, {
      onReply: (_reply, attached) => {
        received = attached;
      },
    }).reply;
    const [descriptor, ...more] = received;
    if (descriptor && more.length === 0) return descriptor;
    closeAll(received);
    throw malformed();
  }

  async leaving(deadlineMs: number, text = ""): Promise<void> {
    await this.#port.link().call({ op: "leaving", deadlineMs, text }, CALL_TIMEOUT_MS);
  }

  onLeaving(listener: (notice: LeavingNotice) => void): () => void {
    this.#leavingListeners.add(listener);
    return () => this.#leavingListeners.delete(listener);
  }

  // --- from the link --------------------------------------------------------------------------------------------------------------

  /** A message for this part of the client. Takes over the descriptors. */
  take(link: Link, message: Exclude<ServiceServerMessage, { op: "item" }>, descriptors: Descriptor[]): void {
    switch (message.op) {
      case "call":
        return this.#call(link, message, descriptors);
      case "callCredit":
        return this.#answering.get(message.call)?.addCredit(message.items);
      case "callCancelled":
        return this.#answering.get(message.call)?.cancel(message.status, message.text);
      case "leaving":
        return this.#gatewayLeaves(link, message.deadlineMs, message.text);
      default:
        return message satisfies never;
    }
  }

  /** The link has ended: nobody waits for the running answers any more. */
  lost(why: string): void {
    for (const answering of this.#answering.values()) answering.cancel(Status.serviceUnavailable, why);
    this.#answering = new Map();
    this.#byId = new Map();
  }

  /** There will be no other link: `end` says how each offer ends. */
  closeAll(end: (service: string, how: End) => void): void {
    for (const { service, end: how } of this.#offers) end(service, how);
    this.#offers.clear();
  }

  /** There is a new link. */
  resume(link: Link): void {
    if (this.#announced) link.call({ op: "announce", component: this.#announced }, CALL_TIMEOUT_MS).catch((error: unknown) => this.#port.notify(error));
    for (const offer of this.#offers) {
      offer.id = undefined;
      this.#establish(offer).catch((error: unknown) => {
        if (link.isOpen) this.#port.notify(error);
      });
    }
  }

  #call(link: Link, message: Extract<ServiceServerMessage, { op: "call" }>, descriptors: Descriptor[]): void {
    const offer = this.#byId.get(message.offer);
    const answering = new Answering(link, message, descriptors);
    this.#answering.set(message.call, answering);
    const handler = offer?.handler ?? withdrawn;
    const ended = (): void => void (this.#answering.get(message.call) === answering && this.#answering.delete(message.call));
    answering.run(message.body, handler).then(ended, (error: unknown) => this.#port.notify(error));
  }

  #gatewayLeaves(link: Link, deadlineMs: number, text: string): void {
    const ready = async (): Promise<void> => void (await link.call({ op: "ready" }, CALL_TIMEOUT_MS));
    // A gateway that is gone before it has heard us does not wait for us either.
    if (this.#leavingListeners.size === 0) return void ready().catch((error: unknown) => link.isOpen && this.#port.notify(error));
    let unready = this.#leavingListeners.size;
    const moreTime = async (ms: number): Promise<number> => {
      const { body } = await link.call({ op: "moreTime", forMs: ms }, CALL_TIMEOUT_MS);
      return new Fields(Object(body)).number("deadlineMs", 0, Number.MAX_VALUE);
    };
    for (const listener of this.#leavingListeners) {
      let said = false;
      const sayReady = async (): Promise<void> => {
        if (said) return;
        said = true;
        // The last of several listeners speaks for the program.
        if ((unready -= 1) === 0) await ready();
      };
      listener({ deadlineMs, text, ready: sayReady, moreTime });
    }
  }

  async #establish(offer: ActiveOffer): Promise<void> {
    const { service, options: { group = "", capacity = 1, allow, deny = [], rateHzMax, callsMax, description = "" } } = offer;
    let malformedAnswer = false;
    await this.#port.link().call({ op: "offer", service, group, capacity, allow, deny, rateHzMax, callsMax, description }, CALL_TIMEOUT_MS, ({ body }) => {
      // At once, because the first call may stand behind the reply in the same read.
      const fields = new Fields(Object(body));
      offer.id = fields.integer("offer", 1, 0xffff_ffff);
      malformedAnswer = fields.fault !== undefined;
      this.#byId.set(offer.id, offer);
      this.#offers.add(offer);
    });
    if (malformedAnswer) throw malformed();
    // Closed while it was being renewed over a new connection.
    if (offer.ended) await this.#withdraw(offer);
  }

  async #withdraw(offer: ActiveOffer): Promise<void> {
    offer.ended = true;
    offer.end.resolve();
    const { id } = offer;
    if (!this.#offers.delete(offer) || id === undefined) return;
    await this.#port.link().call({ op: "unoffer", offer: id }, CALL_TIMEOUT_MS);
    // Calls that were under way to us have come by now.
    this.#byId.delete(id);
  }
}

function withdrawn(): never {
  throw new IpcnetError(Status.serviceUnavailable, "the offer was withdrawn");
}

function malformed(): IpcnetError {
  return new IpcnetError(Status.badGateway, "the gateway's answer is malformed");
}

/** Tells the gateway that nobody waits any more. Without room for the word, its deadline ends the call. */
function abandon(link: Link, seq: number, why: unknown): void {
  link.post({ op: "cancel", request: seq });
  link.forget(seq, why);
}

function cancelOnAbort(link: Link, seq: number, signal: AbortSignal | undefined): () => void {
  if (!signal) return () => {};
  const abort = (): void => abandon(link, seq, signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  return () => signal.removeEventListener("abort", abort);
}

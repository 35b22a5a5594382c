/** The services' edge: asks the policy, hands to the core what clients say, and carries out what it answers. One for all sessions of a broker. */
import type { Clock } from "../../../schemas/clock.ts";
import { Status } from "../../../schemas/status.ts";
import { topicPatternFault } from "../../../schemas/topics/topicName.ts";
import { cutText } from "../../../shm/protocol/control.ts";
import type { ServerMessage } from "../../../shm/protocol/messages.ts";
import type { OfferMessage, RequestMessage, ResultMessage, ServiceClientMessage } from "../../../shm/protocol/serviceMessages.ts";
import { closeAll, type Descriptor, noDescriptors } from "../../../shm/sockets/index.ts";
import type { Quota } from "../quota/quota.ts";
import type { TopicSource } from "../../topics/topicSource.ts";
import type { AccessPolicy, Peer, ResourceTable, ServiceAnswer, ServiceTable } from "../ports.ts";
import { SharedCallQuota } from "./callQuota.ts";
import { ServiceCore } from "./core.ts";
import { find, type Present } from "./directory.ts";
import { Farewell } from "./farewell.ts";
import type { ServiceLimits } from "./limits.ts";
import type { CallState, Caller, ClientState, CoreListener, Effect, OfferTerms, ServiceCounters } from "./types.ts";

/** What the desk needs of a session. */
export interface ServiceClient {
  readonly peer: Peer;
  /** What it calls itself; "" before its hello. */
  readonly name: string;
  /** Whether it may be sent something: after its hello, before its goodbye. */
  readonly isGreeted: boolean;
  /** Sends, or ends the session if there is no room. Copies of the descriptors go with it. */
  tell(message: ServerMessage, descriptors?: readonly Descriptor[]): void;
  reply(seq: number, answer: ServiceAnswer, descriptors?: readonly Descriptor[]): void;
  leave(status: number, text: string): void;
}

/** What travels with a call or an answer. Whoever holds it closes the descriptors. */
export interface Payload {
  readonly body: unknown;
  /** Of the message it came in, for the quota. */
  readonly bytes: number;
  readonly descriptors: readonly Descriptor[];
}

/** A client at the desk as a successor needs it. */
export interface DeskState extends ClientState {
  announced?: Readonly<Record<string, unknown>> | undefined;
  leaving?: { atUs: number; text: string } | undefined;
  offers: OfferMessage[];
}

/** Told what has changed, for a successor. */
export interface DeskListener extends CoreListener {
  /** A resource is being opened for a client, or no longer. */
  grant(client: number, message: Of<"grant">, ended: boolean): void;
}

interface Desked {
  readonly session: ServiceClient;
  /** What it offers, by number. */
  readonly offers: Map<number, OfferMessage>;
  announced: Readonly<Record<string, unknown>> | undefined;
  leaving: { atUs: number; text: string } | undefined;
  /** Resources that are being opened for it. */
  opening: number;
}

type Of<O extends ServiceClientMessage["op"]> = Extract<ServiceClientMessage, { op: O }>;

export interface ServiceDeskOptions {
  clock: Clock;
  policy: AccessPolicy;
  services: ServiceTable;
  topics: TopicSource;
  resources: ResourceTable;
  quota: Quota;
  limits: ServiceLimits;
  listener?: DeskListener;
}

/** The gateway itself, as the provider of its own services. */
const GATEWAY = 0;

export class ServiceDesk {
  readonly #options: ServiceDeskOptions;
  readonly #core: ServiceCore<Payload>;
  readonly #clients = new Map<number, Desked>();
  #lastClient = GATEWAY;
  #running = false;
  #timer: { atUs: number; cancel: () => void } | undefined;
  #farewell: { farewell: Farewell; end: () => void; cancel: () => void } | undefined;

  constructor(options: ServiceDeskOptions) {
    this.#options = options;
    const { clock, limits, services, quota } = options;
    this.#core = new ServiceCore<Payload>(limits, new SharedCallQuota(quota), { returnsUntilUs: clock.nowUs() + limits.returnMs * 1e3, listener: options.listener });
    // A stop must always get through: the gateway's own services have no capacity to run out of, and take nothing of what users share.
    const terms = { group: "", capacity: Number.POSITIVE_INFINITY, rateHzMax: undefined, callsMax: undefined, description: "", admits: () => true, internal: true };
    for (const service of services.names) this.#core.offer(GATEWAY, { ...terms, service });
  }

  get counters(): Readonly<ServiceCounters> {
    return this.#core.counters;
  }

  /** What a client said when it announced that it leaves. */
  leavingOf(client: number): string | undefined {
    return this.#clients.get(client)?.leaving?.text;
  }

  /** A session begins; returns its number, which is the one that a predecessor gave it if that is said. */
  join(session: ServiceClient, number = this.#lastClient + 1): number {
    this.#lastClient = Math.max(this.#lastClient, number);
    this.#clients.set(number, { session, offers: new Map(), announced: undefined, leaving: undefined, opening: 0 });
    return number;
  }

  // --- a successor ----------------------------------------------------------------------------------------------------------------

  /** What a successor needs of a client; undefined: it has said nothing, or is gone. */
  clientState(client: number): DeskState | undefined {
    const desked = this.#clients.get(client);
    if (!desked) return undefined;
    const state = this.#core.clientState(client) ?? { lastOffer: 0, abandoned: [] };
    const { announced, leaving, offers } = desked;
    return { ...state, announced, leaving, offers: [...offers].filter(([offer]) => this.#core.offersOf(client).some((each) => each.offer === offer)).map(([offer, message]) => ({ ...message, seq: offer })) };
  }

  lastCallOf(client: number): number | undefined {
    return this.#core.lastCallOf(client);
  }

  callState(client: number, seq: number): CallState<Payload> | undefined {
    return this.#core.callState(client, seq);
  }

  /** A client as a predecessor had it. In `offers` the field `seq` is the offer's number. */
  restoreClient(client: number, state: DeskState | undefined, lastCall: number): void {
    const desked = this.#clients.get(client)!;
    // Whoever comes after us needs it as much as we did.
    const { listener } = this.#options;
    listener?.client(client);
    if (!state) return;
    desked.announced = state.announced;
    desked.leaving = state.leaving;
    const offers = state.offers.map((message) => {
      desked.offers.set(message.seq, message);
      return { offer: message.seq, terms: this.#terms(message) };
    });
    this.#core.restoreClient(client, state, { lastCall, offers }, this.#options.clock.nowUs());
    listener?.lastCall(client);
  }

  /** A request as a predecessor had it, when all clients are there. Takes over the payload. */
  restoreCall(client: number, state: CallState<Payload>): void {
    this.#core.restoreCall(this.#callerOf(client), state, this.#options.clock.nowUs());
    this.#options.listener?.call(client, state.seq);
  }

  /** When everything is restored: what can go on does. */
  settle(): void {
    this.#core.settleAll(this.#options.clock.nowUs());
    this.#run();
  }

  #callerOf(client: number): Caller {
    const { peer } = this.#clients.get(client)!.session;
    return { client, uid: peer.uid, key: peer.component, peer };
  }

  #terms({ service, group, capacity, allow, deny, rateHzMax, callsMax, description }: OfferMessage): OfferTerms {
    const { policy } = this.#options;
    const admits = ({ peer: asking }: Caller): boolean => {
      const isAny = (list: readonly string[]): boolean => list.some((principal) => policy.isOneOf(asking, principal));
      return (allow === undefined || isAny(allow)) && !isAny(deny);
    };
    return { service, group, capacity, rateHzMax, callsMax, description, admits, internal: false };
  }

  // --------------------------------------------------------------------------------------------------------------------------------

  /** It has ended. */
  left(client: number): void {
    if (!this.#clients.delete(client)) return;
    this.#options.listener?.client(client);
    this.#core.gone(client, this.#options.clock.nowUs());
    this.#run();
    this.#farewell?.farewell.ready(client);
    this.#checkFarewell();
  }

  announce(client: number, { seq, component }: Of<"announce">, bytes: number): void {
    const { session } = this.#clients.get(client)!;
    const { announceBytesMax } = this.#options.limits;
    if (bytes > announceBytesMax) return session.reply(seq, { status: Status.payloadTooLarge, text: `a component may say ${announceBytesMax} bytes about itself` });
    this.#clients.get(client)!.announced = component;
    this.#options.listener?.client(client);
    session.reply(seq, { status: Status.ok });
  }

  find(client: number, { seq, what, pattern }: Of<"find">): void {
    const { session } = this.#clients.get(client)!;
    const fault = topicPatternFault(pattern);
    if (fault) return session.reply(seq, { status: Status.badRequest, text: `the pattern is not one: ${fault}` });
    const { topics, resources, policy, clock } = this.#options;
    const sources = { present: () => this.#present(), services: () => this.#core.report(), topics, resources, policy };
    session.reply(seq, { status: Status.ok, body: find(sources, what, pattern, session.peer, clock.nowUs()) });
  }

  #present(): Present[] {
    return [...this.#clients].flatMap(([client, { session: { peer, name, isGreeted }, announced, leaving }]) => (isGreeted ? [{ client, peer, name, announced, leaving }] : []));
  }

  /** Takes over the payload. */
  request(client: number, { seq, service, group, timeoutMs, stream, idempotent }: RequestMessage, payload: Payload): void {
    const who = this.#clients.get(client)!.session;
    const { peer } = who;
    if (!this.#options.policy.mayCall(peer, service)) {
      closeAll(payload.descriptors);
      return who.reply(seq, { status: Status.forbidden, text: `${peer.component} may not call ${service}` });
    }
    this.#core.request(this.#callerOf(client), seq, { service, group, timeoutMs, stream, idempotent }, payload, this.#options.clock.nowUs());
    this.#run();
  }

  cancel(client: number, { request }: Of<"cancel">): void {
    this.#core.cancel(client, request);
    this.#run();
  }

  credit(client: number, { request, items }: Of<"credit">): void {
    this.#core.credit(client, request, items, this.#options.clock.nowUs());
    this.#run();
  }

  offer(client: number, message: OfferMessage): void {
    const { seq, service, allow, deny } = message;
    const who = this.#clients.get(client)!.session;
    const { peer } = who;
    const { policy, services } = this.#options;
    if (services.names.includes(service) || !policy.mayOffer(peer, service)) return who.reply(seq, { status: Status.forbidden, text: `${peer.component} may not offer ${service}` });
    const stranger = [...(allow ?? []), ...deny].find((principal) => !policy.isKnown(principal));
    if (stranger !== undefined) return who.reply(seq, { status: Status.badRequest, text: `there is no component, group or local user "${stranger}"; others by number: uid:N, gid:N` });
    const result = this.#core.offer(client, this.#terms(message));
    if (!result.ok) return who.reply(seq, { status: result.status, text: result.text });
    this.#clients.get(client)!.offers.set(result.offer, message);
    // The number is told before the first call names it.
    who.reply(seq, { status: Status.ok, body: { offer: result.offer } });
    this.#core.offered(service, this.#options.clock.nowUs());
    this.#run();
  }

  unoffer(client: number, { seq, offer }: Of<"unoffer">): void {
    const found = this.#core.unoffer(client, offer, this.#options.clock.nowUs());
    this.#clients.get(client)!.offers.delete(offer);
    this.#clients.get(client)!.session.reply(seq, found ? { status: Status.ok } : { status: Status.notFound, text: `there is no offer ${offer}` });
    this.#run();
  }

  /** Takes over the payload. */
  result(client: number, { call, status, text, more }: ResultMessage, payload: Payload): void {
    this.#core.result(client, { call, status, text, more }, payload, this.#options.clock.nowUs());
    this.#run();
  }

  /** Opens a resource and sends its descriptor; whatever becomes of the client meanwhile, it is closed here. */
  async grant(client: number, message: Of<"grant">): Promise<void> {
    const { seq, resource, mode: asked } = message;
    const who = this.#clients.get(client)!;
    const { session } = who;
    const { resources, policy, limits } = this.#options;
    const found = resources.list().find(({ name }) => name === resource);
    const mode = asked ?? found?.modes[0] ?? "read";
    // Whether there is such a resource is nothing for who may not have it.
    if (!policy.mayGrant(session.peer, resource, mode)) return session.reply(seq, { status: Status.forbidden, text: `${session.peer.component} may not be granted ${resource} (${mode})` });
    if (!found) return session.reply(seq, { status: Status.notFound, text: `there is no resource ${resource}` });
    if (!found.modes.includes(mode)) return session.reply(seq, { status: Status.unprocessableContent, text: `${resource} is granted as ${found.modes.join(" or ")}, not as ${mode}` });
    if (who.opening >= limits.grantsPerClient) return session.reply(seq, { status: Status.tooManyRequests, text: `${who.opening} resources are being opened for this program already` });
    who.opening += 1;
    this.#options.listener?.grant(client, message, false);
    try {
      const { status, text, descriptor } = await resources.open(resource, mode);
      try {
        // The rules may have changed while it was opened.
        if (descriptor && !policy.mayGrant(session.peer, resource, mode)) this.#session(client)?.reply(seq, { status: Status.forbidden, text: "the access rules have changed" });
        else this.#session(client)?.reply(seq, { status, text, ...(descriptor ? { body: { kind: found.kind, mode } } : {}) }, descriptor ? [descriptor] : noDescriptors);
      } finally {
        descriptor?.close();
      }
    } catch (error) {
      this.#session(client)?.reply(seq, { status: Status.internalError, text: error instanceof Error ? error.message : String(error) });
    } finally {
      who.opening -= 1;
      this.#options.listener?.grant(client, message, true);
    }
  }

  /** A program goes: no new calls for it. */
  leaving(client: number, { seq, deadlineMs, text }: Of<"leaving">): void {
    const who = this.#clients.get(client)!;
    const nowUs = this.#options.clock.nowUs();
    who.leaving = { atUs: nowUs + deadlineMs * 1e3, text };
    this.#core.leaving(client, nowUs + deadlineMs * 1e3, nowUs);
    who.session.reply(seq, { status: Status.ok });
    this.#run();
  }

  /** The policy's answers may have changed: offers and requests that it does not allow any more end. */
  recheck(client: number): void {
    const who = this.#clients.get(client)?.session;
    if (!who) return;
    this.#core.recheck(client, (service) => this.#options.policy.mayCall(who.peer, service));
    for (const { offer, service } of this.#core.offersOf(client)) if (!this.#options.policy.mayOffer(who.peer, service)) this.#core.unoffer(client, offer, this.#options.clock.nowUs());
    this.#run();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#endFarewell();
  }

  // --- the gateway leaves ---------------------------------------------------------------------------------------------------------

  /** Tells everybody that the gateway goes in `deadlineMs`; resolves when all are ready or gone, at the latest when their time is over. Says who was not ready. */
  async sayFarewell(deadlineMs: number, text: string): Promise<{ told: number; late: string[] }> {
    const { clock, limits } = this.#options;
    const told = [...this.#clients].filter(([, { session }]) => session.isGreeted);
    const farewell = new Farewell({ clients: told.map(([client]) => client), untilUs: clock.nowUs() + deadlineMs * 1e3, moreMsMax: limits.farewellMoreMsMax });
    const ended = new Promise<void>((resolve) => {
      this.#farewell = { farewell, end: resolve, cancel: () => {} };
    });
    for (const [, { session }] of told) session.tell({ op: "leaving", deadlineMs, text: cutText(text) });
    this.#checkFarewell();
    await ended;
    return { told: told.length, late: farewell.late.map((client) => this.#session(client)?.name ?? "") };
  }

  ready(client: number, { seq }: Of<"ready">): void {
    this.#session(client)?.reply(seq, { status: Status.ok });
    this.#farewell?.farewell.ready(client);
    this.#checkFarewell();
  }

  moreTime(client: number, { seq, forMs }: Of<"moreTime">): void {
    const session = this.#session(client);
    if (!this.#farewell) return session?.reply(seq, { status: Status.preconditionFailed, text: "nobody leaves" });
    session?.reply(seq, { status: Status.ok, body: { deadlineMs: this.#farewell.farewell.moreTime(client, forMs, this.#options.clock.nowUs()) } });
    this.#checkFarewell();
  }

  #checkFarewell(): void {
    const waiting = this.#farewell;
    if (!waiting) return;
    const { clock } = this.#options;
    waiting.cancel();
    const { untilUs } = waiting.farewell;
    if (untilUs === undefined || waiting.farewell.over(clock.nowUs())) this.#endFarewell();
    else waiting.cancel = clock.at(untilUs, () => this.#checkFarewell());
  }

  #endFarewell(): void {
    const waiting = this.#farewell;
    this.#farewell = undefined;
    waiting?.cancel();
    waiting?.end();
  }

  #session(client: number): ServiceClient | undefined {
    return this.#clients.get(client)?.session;
  }

  // --- carrying out ---------------------------------------------------------------------------------------------------------------

  /** What is carried out may end sessions, which asks for more to be carried out: the outermost call sees to all of it, in order. */
  #run(): void {
    if (this.#running) return;
    this.#running = true;
    try {
      for (let effects = this.#core.take(); effects.length > 0; effects = this.#core.take()) for (const effect of effects) this.#perform(effect);
    } finally {
      this.#running = false;
    }
    this.#schedule();
  }

  #perform(effect: Effect<Payload>): void {
    switch (effect.do) {
      case "call":
        return this.#call(effect);
      case "reply": {
        const { client, seq, status, text, payload } = effect;
        this.#session(client)?.reply(seq, { status, text, body: payload?.body }, payload?.descriptors);
        return closeAll(payload?.descriptors ?? noDescriptors);
      }
      case "item":
        this.#session(effect.client)?.tell({ op: "item", seq: effect.seq, body: effect.payload.body }, effect.payload.descriptors);
        return closeAll(effect.payload.descriptors);
      case "callCredit":
        return this.#session(effect.client)?.tell({ op: "callCredit", call: effect.call, items: effect.items });
      case "callCancelled":
        return this.#session(effect.client)?.tell({ op: "callCancelled", call: effect.call, status: effect.status, text: effect.text });
      case "expel":
        return this.#session(effect.client)?.leave(effect.status, effect.text);
      case "drop":
        return closeAll(effect.payload.descriptors);
      default:
        return effect satisfies never;
    }
  }

  #call({ client, call, offer, service, caller, timeoutMs, stream, payload }: Extract<Effect<Payload>, { do: "call" }>): void {
    const { peer } = caller;
    // Also when the caller is gone by now: a place that was given is only freed by an answer.
    if (client === GATEWAY) return this.#callGateway(call, service, payload.body, peer, timeoutMs);
    const { uid, pid } = peer;
    this.#session(client)?.tell({ op: "call", call, offer, service, body: payload.body, timeoutMs, stream, caller: { component: peer.component, uid, pid } }, payload.descriptors);
  }

  #callGateway(call: number, service: string, body: unknown, peer: Peer, timeoutMs: number): void {
    const finish = ({ status, text = "", body: answer }: ServiceAnswer): void => {
      this.#core.result(GATEWAY, { call, status, text, more: false }, { body: answer, bytes: 0, descriptors: noDescriptors }, this.#options.clock.nowUs());
      this.#run();
    };
    this.#options.services.call(service, body, peer, timeoutMs).then(finish, (error: unknown) => finish({ status: Status.internalError, text: error instanceof Error ? error.message : String(error) }));
  }

  #schedule(): void {
    const dueUs = this.#core.nextDeadlineUs;
    if (dueUs === this.#timer?.atUs) return;
    if (dueUs !== undefined && this.#timer && this.#timer.atUs < dueUs) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (dueUs === undefined) return;
    this.#timer = {
      atUs: dueUs,
      cancel: this.#options.clock.at(dueUs, () => {
        this.#timer = undefined;
        this.#core.poll(this.#options.clock.nowUs());
        this.#run();
      }),
    };
  }
}

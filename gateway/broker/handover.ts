/**
 * The broker and its successor: what changes is noted for the keeper, under keys that say whose it is, and what a predecessor has noted becomes sessions, lanes and calls again.
 *
 * | key | state |
 * |---|---|
 * | session:N | a connection with its subscriptions |
 * | owed:N | what client N was not given yet of its subscriptions: lost with this gateway, and told by the next one |
 * | lanes:N | what client N writes and reads by lanes; 0 is the gateway's own reader |
 * | desk:N, last:N | what client N offers; the number of its last call |
 * | call:N:S, grant:N:S | request S of client N that waits for its answer |
 * | origin:N | the name of an origin |
 */
import type { HandedConnections } from "../../failsafe/failover/connections.ts";
import type { HandedConnection } from "../../failsafe/failover/handedConnection.ts";
import type { Inheritance } from "../../failsafe/failover/inheritance.ts";
import type { Keeper } from "../../failsafe/failover/keeper.ts";
import { topicMatcher } from "../../schemas/topics/topicName.ts";
import type { ServiceClientMessage } from "../../shm/protocol/serviceMessages.ts";
import type { ProcessFacts } from "../identity/facts.ts";
import type { Guard } from "./guard.ts";
import type { ClientLanesState, LaneBroker, LaneClient } from "./lanes/laneBroker.ts";
import type { OriginTable } from "./origins.ts";
import type { Owed } from "./outbox.ts";
import type { DeskListener, DeskState, Payload, ServiceDesk } from "./services/desk.ts";
import type { CallState } from "./services/types.ts";
import type { RestoredSession, Session, SessionState } from "./session.ts";

export interface BrokerHandover {
  keeper: Keeper;
  connections: HandedConnections;
  /** Keeps out who killed a predecessor. */
  guard: Guard;
  /** What a predecessor has left. */
  inheritance?: Inheritance | undefined;
}

type SavedCall = Omit<CallState<Payload>, "payload"> & { client: number; body: unknown; bytes: number; descriptors: number[] };
type GrantMessage = Extract<ServiceClientMessage, { op: "grant" }>;

/** The number under which the gateway itself is known to the desk. */
const GATEWAY = 0;

/** Notes for the keeper. */
export class StateNotes {
  readonly #keeper: Keeper;
  readonly #connections: HandedConnections;
  readonly #handed = new WeakMap<Session, HandedConnection>();

  constructor({ keeper, connections }: BrokerHandover) {
    this.#keeper = keeper;
    this.#connections = connections;
  }

  began(session: Session, connection: HandedConnection): void {
    this.#handed.set(session, connection);
    this.session(session);
  }

  session(session: Session): void {
    const connection = this.#handed.get(session);
    if (connection) this.#keeper.note(sessionKey(connection.number), (name) => session.state(this.#connections.stateOf(connection, name)));
  }

  owed(session: Session): void {
    const connection = this.#handed.get(session);
    if (!connection) return;
    const key = owedKey(session.client);
    if (session.owed()) this.#keeper.note(key, () => session.owed() ?? []);
    else this.#keeper.forget(key);
  }

  ended(session: Session): void {
    const connection = this.#handed.get(session);
    if (!connection) return;
    this.#keeper.forget(sessionKey(connection.number));
    this.#keeper.forget(owedKey(session.client));
  }

  origin(id: number, name: string): void {
    this.#keeper.note(`origin:${id}`, () => ({ id, name }));
  }

  lanes(lanes: LaneBroker, client: LaneClient): void {
    const key = `lanes:${client.number}`;
    if (lanes.has(client)) this.#keeper.note(key, (name) => lanes.state(client, name));
    else this.#keeper.forget(key);
  }

  desk(desk: () => ServiceDesk): DeskListener {
    const keeper = this.#keeper;
    return {
      client: (client) => {
        // The gateway offers its own services anew.
        if (client === GATEWAY) return;
        if (desk().clientState(client)) return keeper.note(`desk:${client}`, () => desk().clientState(client));
        keeper.forget(`desk:${client}`);
        keeper.forget(`last:${client}`);
      },
      lastCall: (client) => {
        if (client !== GATEWAY) keeper.note(`last:${client}`, () => desk().lastCallOf(client) ?? 0);
      },
      call: (client, seq) => {
        const key = `call:${client}:${seq}`;
        if (!desk().callState(client, seq)) return keeper.forget(key);
        keeper.note(key, (name) => {
          const { payload, ...state } = desk().callState(client, seq)!;
          return { client, ...state, body: payload.body, bytes: payload.bytes, descriptors: payload.descriptors.map(name) };
        });
      },
      grant: (client, message, ended) => (ended ? keeper.forget(`grant:${client}:${message.seq}`) : keeper.note(`grant:${client}:${message.seq}`, () => ({ client, message }))),
    };
  }
}

export interface RestoreParts {
  handover: BrokerHandover;
  lanes: LaneBroker;
  desk: ServiceDesk;
  origins: OriginTable;
  notes: StateNotes;
  /** Makes the session of a connection that goes on; undefined: it may not. */
  begin(connection: HandedConnection, facts: ProcessFacts | undefined, restored: RestoredSession): Session | undefined;
}

/** Goes on where a predecessor has left off. Returns how many sessions go on, and how many did not come over whole. */
export function restoreBroker(inheritance: Inheritance, parts: RestoreParts): { restored: number; lost: number } {
  const { handover, lanes, desk, origins, notes } = parts;
  for (const { id, name } of statesOf<{ id: number; name: string }>(inheritance, "origin:").values()) {
    origins.restore(id, name);
    notes.origin(id, name);
  }
  const sessions = new Map<number, { session: Session; state: SessionState }>();
  let lost = 0;
  for (const state of statesOf<SessionState>(inheritance, "session:").values()) {
    const session = beginSession(inheritance, parts, state);
    if (session) sessions.set(state.client, { session, state });
    else lost += 1;
  }
  restoreDesk(inheritance, desk, sessions);
  restoreLanes(inheritance, lanes, sessions);
  for (const { session, state } of sessions.values()) session.restoreSubscriptions(state.subscriptions);
  for (const [client, owed] of statesOf<Owed[]>(inheritance, "owed:")) sessions.get(Number(client))?.session.restoreOwed(owed);
  desk.settle();
  for (const { client, message } of statesOf<{ client: number; message: GrantMessage }>(inheritance, "grant:").values()) if (sessions.has(client)) void desk.grant(client, { ...message, mode: message.mode });
  handover.keeper.commit();
  for (const { session } of sessions.values()) session.listen();
  return { restored: sessions.size, lost };
}

function beginSession(inheritance: Inheritance, { handover, notes, begin }: RestoreParts, state: SessionState): Session | undefined {
  const inherited = inheritance.connection(state.connection);
  if (!inherited) return undefined;
  const connection = handover.connections.inherit(inherited);
  const { given: sent, taken: received } = connection.counts;
  const session = begin(connection, state.facts as ProcessFacts | undefined, { state, sent, received });
  if (!session) {
    connection.close();
    return undefined;
  }
  notes.began(session, connection);
  const { handling } = inheritance;
  // Only what the predecessor had not finished: everything else was not what it died over.
  const isSuspect = handling?.connection === connection.number && handling.counter === connection.counts.taken;
  handover.guard.watch(session, connection, isSuspect ? handling.counter : undefined);
  return session;
}

function restoreDesk(inheritance: Inheritance, desk: ServiceDesk, sessions: ReadonlyMap<number, unknown>): void {
  const states = statesOf<DeskState>(inheritance, "desk:");
  const last = statesOf<number>(inheritance, "last:");
  for (const client of sessions.keys()) desk.restoreClient(client, states.get(String(client)), last.get(String(client)) ?? 0);
  for (const saved of statesOf<SavedCall>(inheritance, "call:").values()) {
    const { client, body, bytes, descriptors, ...state } = saved;
    if (!sessions.has(client)) continue;
    desk.restoreCall(client, { ...state, payload: { body, bytes, descriptors: descriptors.flatMap((number) => inheritance.take(number) ?? []) } });
  }
}

function restoreLanes(inheritance: Inheritance, lanes: LaneBroker, sessions: ReadonlyMap<number, { session: Session; state: SessionState }>): void {
  const states = new Map([...statesOf<ClientLanesState>(inheritance, "lanes:")].map(([client, state]) => [Number(client), state]));
  const clients = new Map<number, LaneClient>([...sessions].flatMap(([client, { session }]) => (session.lanes ? [[client, session.lanes]] : [])));
  lanes.restore(states, {
    clients, take: (number) => inheritance.take(number),
    subscriptionsOf: (client) => sessions.get(client)!.state.subscriptions.list.filter(({ readsLanes }) => readsLanes).map(({ id, policy, pattern }) => ({ id, policy, matches: topicMatcher(pattern) })),
  });
}

/** A predecessor's states of one kind, by what their keys say behind `prefix`. */
function statesOf<State>(inheritance: Inheritance, prefix: string): Map<string, State> {
  return new Map([...inheritance.states(prefix)].map(({ key, state }) => [key.slice(prefix.length), state as State]));
}

function owedKey(client: number): string {
  return `owed:${client}`;
}

function sessionKey(number: number): string {
  return `session:${number}`;
}

/**
 * Two gateways, one client with a few requests, small enough to try every interleaving: the real table of roles decides who is active, commit-then-send-then-consume what is done with a request. Killed between any two
 * steps and started again; the link cut; the standby slow; lock and deaths as the kernel tells them. Time is left out: whatever a timer could do may happen at any moment, as long as the standby runs.
 *
 * Checked: never two that serve; each answer comes once, in order, and says that every request before it was handled once; an active's death with a standby at its post costs the client nothing; and from every state, when
 * nothing goes wrong any more, there is a way to all requests answered.
 */
import { nextRole, type Role, type RoleEffect, type RoleEvent } from "../failover/roles.ts";

/** Rules that can be broken, to see that the model finds it. */
export interface PairRules {
  /** Answers go out behind the journal; else before. */
  commitsFirst: boolean;
  /** Packets are taken from the socket when they are written; else when they are looked at. */
  consumesLast: boolean;
  /** A successor takes a packet that is handled already without handling it again. */
  skipsHandled: boolean;
  /** A successor sends what was written and not sent; exactly that. */
  countsSent: boolean;
  /** Takes over on the proof alone; else on a sign too. */
  waitsForProof: boolean;
  /** A standby that was let go knows that it is no heir any more. */
  knowsHeir: boolean;
}

export const pairRules: PairRules = { commitsFirst: true, consumesLast: true, skipsHandled: true, countsSent: true, waitsForProof: true, knowsHeir: true };

export interface PairModelOptions {
  requests: number;
  kills: number;
}

export interface PairModelResult {
  states: number;
  unsafe: string | undefined;
  stuck: string | undefined;
}

/** Of a turn of the active. */
const phases = ["idle", "handled", "written", "sent"] as const;

interface Instance {
  role: Role;
  isAlive: boolean;
  /** The process that it follows is dead and it has not been told. */
  isOwed: boolean;
  /** SIGKILL is on its way to it: it may still do a few things. */
  isDoomed: boolean;
  /** It serves: it has what it needs, or begins from nothing. */
  serves: boolean;
  phase: (typeof phases)[number];
  /** In its memory: requests handled, answers given or to be given. */
  handled: number;
  given: number;
  /** Packets that the turn has looked at. */
  looked: number;
}

interface State {
  instances: [Instance, Instance];
  lock: 0 | 1 | 2;
  /** What is written for the heir; of whom (2: nobody), and who that heir is. */
  journal: { of: 0 | 1 | 2; handled: number; given: number };
  /** The active's own word on who its heir is. */
  heir: 0 | 1 | 2;
  /** There is a link between them. */
  isLinked: boolean;
  /** The gateway's end of the client's connection: who holds it. */
  holds: [boolean, boolean];
  client: { isConnected: boolean; asked: number; answered: number; taken: number; sent: number };
  kills: number;
  /** A standby was at its post when the active died: the connection must not end. */
  mustSurvive: boolean;
}

export function checkPair(rules: PairRules, options: PairModelOptions): PairModelResult {
  const model = new Model(rules, options);
  const first = model.first;
  const seen = new Map<string, State>([[JSON.stringify(first), first]]);
  const queue = [first];
  const before = new Map<string, string[]>();
  const good: string[] = [];
  for (let next = 0; next < queue.length; next++) {
    const state = queue[next]!;
    const key = JSON.stringify(state);
    if (state.client.isConnected && state.client.answered === options.requests) good.push(key);
    for (const { to, isFault } of model.moves(state)) {
      if (model.unsafe !== undefined) return { states: seen.size, unsafe: `${model.unsafe} after ${key}`, stuck: undefined };
      const toKey = JSON.stringify(to);
      if (!isFault) before.set(toKey, [...(before.get(toKey) ?? []), key]);
      if (seen.has(toKey)) continue;
      seen.set(toKey, to);
      queue.push(to);
    }
  }
  // Backwards from the good ends, by what happens when nothing goes wrong.
  const ends = new Set(good);
  for (let next = 0; next < good.length; next++) {
    for (const key of before.get(good[next]!) ?? []) {
      if (ends.has(key)) continue;
      ends.add(key);
      good.push(key);
    }
  }
  return { states: seen.size, unsafe: undefined, stuck: [...seen.keys()].find((key) => !ends.has(key)) };
}

interface Move {
  to: State;
  isFault: boolean;
}

const begun = (): Instance => ({ role: "looking", isAlive: true, isOwed: false, isDoomed: false, serves: false, phase: "idle", handled: 0, given: 0, looked: 0 });

class Model {
  unsafe: string | undefined;
  readonly #rules: PairRules;
  readonly #options: PairModelOptions;
  #moves: Move[] = [];

  constructor(rules: PairRules, options: PairModelOptions) {
    this.#rules = rules;
    this.#options = options;
  }

  get first(): State {
    return {
      instances: [begun(), begun()], lock: 2, journal: { of: 2, handled: 0, given: 0 }, heir: 2, isLinked: false, holds: [false, false],
      client: { isConnected: false, asked: 0, answered: 0, taken: 0, sent: 0 }, kills: this.#options.kills, mustSurvive: false,
    };
  }

  moves(state: State): Move[] {
    this.#moves = [];
    for (const i of [0, 1] as const) this.#movesOf(state, i);
    this.#clientMoves(state);
    return this.#moves;
  }

  #add(state: State, isFault: boolean, change: (copy: State) => void): void {
    const to = structuredClone(state);
    change(to);
    const both = to.instances.every((one) => one.isAlive && one.serves);
    if (both) this.unsafe ??= "two serve";
    this.#moves.push({ to, isFault });
  }

  #movesOf(state: State, i: 0 | 1): void {
    const one = state.instances[i];
    const twin = i === 0 ? 1 : 0;
    const other = state.instances[twin];
    if (!one.isAlive) {
      this.#add(state, false, (copy) => (copy.instances[i] = begun()));
      return;
    }
    if (state.kills > 0) {
      this.#add(state, true, (copy) => {
        copy.kills -= 1;
        this.#die(copy, i);
      });
    }
    if (one.isDoomed) this.#add(state, false, (copy) => this.#die(copy, i));
    const tell = (event: RoleEvent, isFault = false): void => {
      if (nextRole(one.role, event)) this.#add(state, isFault, (copy) => this.#tell(copy, i, event));
    };
    if (one.role === "looking") tell(state.lock === 2 || state.lock === i ? "lockTaken" : "lockHeld");
    if (one.role === "joining") tell(other.isAlive && other.serves && !state.isLinked ? "linked" : "notLinked");
    // The snapshot has been read.
    if (one.role === "following" && state.isLinked && state.heir === i) tell("inSync");
    if (state.isLinked && (one.role === "standby" || one.role === "following")) tell("twinLate", true);
    if (!state.isLinked && !one.isOwed && (one.role === "standby" || one.role === "following")) {
      const isHeir = state.heir === i || !this.#rules.knowsHeir;
      tell(isHeir || one.role === "following" ? "twinGone" : "refused");
    }
    if (one.isOwed) tell("twinDead");
    if (one.role === "active" && !one.serves && (state.lock === 2 || state.lock === i || !this.#rules.waitsForProof)) this.#add(state, false, (copy) => this.#begin(copy, i));
    if (one.role === "active" && one.serves && other.role === "standby" && state.isLinked && one.phase === "idle") tell("switchAsked", true);
    if (one.role === "handingOver") this.#add(state, false, (copy) => this.#die(copy, i));
    if (one.serves && one.role === "active") this.#serveMoves(state, i);
  }

  #serveMoves(state: State, i: 0 | 1): void {
    const one = state.instances[i];
    const twin = i === 0 ? 1 : 0;
    // It lets a standby in, or a slow one go: between two turns.
    if (one.phase === "idle" && state.isLinked && state.heir === 2) {
      this.#add(state, false, (copy) => {
        copy.heir = twin;
        copy.journal = { of: i, handled: one.handled, given: one.given };
      });
    }
    if (state.isLinked) this.#add(state, true, (copy) => this.#cut(copy));
    if (!state.isLinked && state.heir === twin) this.#add(state, false, (copy) => (copy.heir = 2));
    if (!state.client.isConnected || !state.holds[i]) return;
    switch (one.phase) {
      case "idle":
        if (state.client.asked > state.client.taken) this.#add(state, false, (copy) => this.#handle(copy, i));
        break;
      case "handled":
        this.#add(state, false, (copy) => this.#write(copy, i));
        break;
      case "written":
        if (one.given > state.client.sent) this.#add(state, false, (copy) => this.#send(copy, i));
        else this.#add(state, false, (copy) => (copy.instances[i].phase = "sent"));
        break;
      case "sent":
        this.#add(state, false, (copy) => {
          if (this.#rules.consumesLast) copy.client.taken += copy.instances[i].looked;
          copy.instances[i].looked = 0;
          copy.instances[i].phase = "idle";
        });
        break;
    }
  }

  #handle(state: State, i: 0 | 1): void {
    const one = state.instances[i];
    const counter = state.client.taken;
    one.looked = 1;
    if (!this.#rules.consumesLast) state.client.taken += 1;
    // Packets are counted: whoever has handled more than this one has it done already.
    const isDone = this.#rules.skipsHandled && counter < one.handled;
    if (!isDone) {
      one.handled += 1;
      one.given += 1;
    }
    one.phase = "handled";
    if (!this.#rules.commitsFirst) while (one.given > state.client.sent) this.#send(state, i);
  }

  #write(state: State, i: 0 | 1): void {
    const one = state.instances[i];
    if (state.heir !== 2 && state.journal.of === i) state.journal = { of: i, handled: one.handled, given: one.given };
    one.phase = "written";
  }

  /** The kernel counts what it takes. */
  #send(state: State, i: 0 | 1): void {
    const { client } = state;
    const answer = client.sent + 1;
    client.sent += 1;
    if (answer <= client.answered) this.unsafe ??= `answer ${answer} comes twice`;
    if (state.instances[i].handled < answer) this.unsafe ??= `answer ${answer} after ${state.instances[i].handled} requests: an acknowledged one is lost`;
    if (state.instances[i].handled > client.asked) this.unsafe ??= `${state.instances[i].handled} handled of ${client.asked}: one was handled twice`;
    if (answer > client.asked) this.unsafe ??= "an answer comes twice";
    client.answered = Math.max(client.answered, answer);
  }

  #clientMoves(state: State): void {
    const { client } = state;
    const server = state.instances.findIndex((one) => one.isAlive && one.serves);
    if (!client.isConnected && server >= 0) {
      this.#add(state, false, (copy) => {
        copy.client = { isConnected: true, asked: 0, answered: 0, taken: 0, sent: 0 };
        copy.holds = [server === 0, server === 1];
        Object.assign(copy.instances[server]!, { handled: 0, given: 0, looked: 0, phase: "idle" });
        // Its descriptor goes over before anything that names it.
        if (copy.heir !== 2) {
          copy.holds[copy.heir] = copy.isLinked;
          copy.journal = { of: server as 0 | 1, handled: 0, given: 0 };
        }
      });
    }
    if (client.isConnected && client.asked < this.#options.requests) this.#add(state, false, (copy) => (copy.client.asked += 1));
  }

  // ---- Roles ----------------------------------------------------------------------------------------------------------------------------------

  #tell(state: State, i: 0 | 1, event: RoleEvent): void {
    const cell = nextRole(state.instances[i].role, event)!;
    state.instances[i].role = cell.to;
    const twin = i === 0 ? 1 : 0;
    for (const effect of cell.do as readonly RoleEffect[]) {
      if (effect === "startCold") {
        const other = state.instances[twin];
        // One that was started while its twin was about to take over finds the clients' socket alive, and ends.
        if (other.isAlive && (other.isOwed || (other.role === "active" && !other.serves))) return this.#die(state, i);
        state.lock = i;
        state.instances[i].serves = true;
        // Its page is a new one.
        state.heir = 2;
        state.journal = { of: 2, handled: 0, given: 0 };
        this.#closeFor(state, i);
      } else if (effect === "lookLater") {
        state.isLinked = false;
        state.instances[i].isOwed = false;
        state.holds[i] = false;
        this.#closed(state);
      } else if (effect === "fence") {
        if (!state.instances[i].isOwed) state.instances[twin].isDoomed = true;
        if (!this.#rules.waitsForProof) this.#tell(state, i, "twinDead");
      } else if (effect === "leave" || effect === "die" || effect === "stop") this.#die(state, i);
    }
    if (event === "linked") state.isLinked = true;
    if (event === "inSync" && state.client.isConnected && state.instances[twin].serves) state.holds[i] = state.holds[twin];
    if (event === "twinDead") state.instances[i].isOwed = false;
  }

  /** Has the proof and the lock: goes on with what is left, or begins anew. */
  #begin(state: State, i: 0 | 1): void {
    const one = state.instances[i];
    const twin = i === 0 ? 1 : 0;
    state.lock = i;
    one.serves = true;
    const isHeir = state.heir === i && state.journal.of === twin;
    const knows = isHeir || (!this.#rules.knowsHeir && state.journal.of === twin);
    if (!knows || !state.holds[i]) this.#closeFor(state, i);
    else {
      // What was not counted as sent is sent once more.
      if (!this.#rules.countsSent) state.client.sent = Math.min(state.client.sent, Math.max(0, state.journal.given - 1));
      Object.assign(one, { handled: state.journal.handled, given: Math.max(state.client.sent, state.journal.given), looked: 0, phase: "idle" });
      if (one.handled < state.client.answered && this.#rules.commitsFirst) this.unsafe ??= `a successor knows of ${one.handled} requests, ${state.client.answered} are answered: acknowledged ones are lost`;
      while (one.given > state.client.sent) this.#send(state, i);
      state.mustSurvive = false;
    }
    state.heir = 2;
    state.journal = { of: 2, handled: 0, given: 0 };
  }

  #closeFor(state: State, i: 0 | 1): void {
    state.holds[i] = false;
    this.#closed(state);
    Object.assign(state.instances[i], { handled: 0, given: 0, looked: 0, phase: "idle" });
  }

  #cut(state: State): void {
    state.isLinked = false;
  }

  #die(state: State, i: 0 | 1): void {
    const twin = i === 0 ? 1 : 0;
    const one = state.instances[i];
    const other = state.instances[twin];
    const follows = other.isAlive && (other.role === "joining" || other.role === "following" || other.role === "standby" || other.role === "fencing");
    const isAtPost = (other.role === "standby" || other.role === "fencing") && state.heir === twin && state.holds[twin];
    if (one.serves) state.mustSurvive = other.isAlive && isAtPost && state.client.isConnected;
    else if (!(other.isAlive && other.serves)) state.mustSurvive = false;
    one.isAlive = one.serves = one.isDoomed = false;
    one.role = "looking";
    one.isOwed = false;
    Object.assign(one, { handled: 0, given: 0, looked: 0, phase: "idle" });
    if (state.lock === i) state.lock = 2;
    if (follows && other.role !== "joining") other.isOwed = true;
    if (follows || state.isLinked) state.isLinked = false;
    if (other.isAlive && other.serves && state.heir === i) state.heir = 2;
    state.holds[i] = false;
    this.#closed(state);
  }

  /** The client's connection ends when nobody has the other end. */
  #closed(state: State): void {
    if (!state.client.isConnected || state.holds[0] || state.holds[1]) return;
    if (state.mustSurvive) this.unsafe ??= "the connection ends although a standby was at its post";
    state.client = { isConnected: false, asked: 0, answered: 0, taken: 0, sent: 0 };
    state.mustSurvive = false;
  }
}

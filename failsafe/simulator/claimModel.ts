/**
 * Two hosts, two nodes, one wire that may be split: the rules of docs/specs/claim.md small enough to try every interleaving. Frames are lost at any receiver, hosts die and come back with what they stored,
 * claim too early, go on talking when they should be silent; nodes are switched off or lose patience, or say that they follow nobody while they do. Time is left out: whatever a timer could do may
 * happen at any moment; so a host may claim whatever the nodes report, and however short its patience is.
 *
 * Checked: a node never accepts two owners in one epoch, nor an older epoch after a newer; and from every state, once nothing goes wrong any more, there is a way to one owner whom both nodes follow.
 */

export interface ClaimRules {
  /** Each host has epochs of its own (even, odd). Without it the second check fails: the model shows why the rule is there. */
  ownEpochs: boolean;
  /** Nodes look at the epoch of a command; and at its owner. Without both the first check fails. */
  nodesCheckEpoch: boolean;
  nodesCheckOwner: boolean;
}

const OFF = 0;
const WATCHING = 1;
const CLAIMED = 2;
const OWNER = 3;

interface Host {
  role: number;
  /** The last it used: on disk. */
  epoch: number;
  heard: number;
}
interface Node {
  epoch: number;
  owner: number;
  isFollowing: boolean;
  /** Of the command it accepted last; owner 2: none since it was switched on. */
  acceptedEpoch: number;
  acceptedOwner: number;
}
interface State {
  hosts: [Host, Host];
  nodes: [Node, Node];
  isSplit: boolean;
}

/** Claims that may go wrong use epochs up to here; those that put it right a few more. */
const WRONG_EPOCHS = 3;
const EPOCHS = 9;

export interface ModelResult {
  states: number;
  /** A command that a node must not have accepted. */
  unsafe: string | undefined;
  /** A state from which there is no way back. */
  stuck: string | undefined;
}

export function checkClaims(rules: ClaimRules): ModelResult {
  const model = new Model(rules);
  const first: State = { hosts: [host(), host()], nodes: [node(), node()], isSplit: false };
  const seen = new Set<number>([pack(first)]);
  const queue = [pack(first)];
  for (let next = 0; next < queue.length; next++) {
    for (const state of model.everything(unpack(queue[next]!))) {
      if (model.unsafe !== undefined) return { states: seen.size, unsafe: model.unsafe, stuck: undefined };
      const key = pack(state);
      if (seen.has(key)) continue;
      seen.add(key);
      queue.push(key);
    }
  }
  const stuck = model.stuckOf(queue);
  return { states: seen.size, unsafe: undefined, stuck: stuck === undefined ? undefined : JSON.stringify(unpack(stuck)) };
}

class Model {
  unsafe: string | undefined;
  readonly #rules: ClaimRules;

  constructor(rules: ClaimRules) {
    this.#rules = rules;
  }

  /** All that may happen next, right or wrong. */
  everything(state: State): State[] {
    const after: State[] = [];
    const add = (change: (copy: State) => void): void => {
      const copy = structured(state);
      change(copy);
      after.push(copy);
    };
    add((copy) => (copy.isSplit = !copy.isSplit));
    for (const h of [0, 1]) {
      const one = state.hosts[h]!;
      if (one.role === OFF) add((copy) => (copy.hosts[h]!.role = WATCHING));
      else add((copy) => Object.assign(copy.hosts[h]!, { role: OFF, heard: 0 }));
      if (one.role === OWNER || one.role === CLAIMED) add((copy) => (copy.hosts[h]!.role = WATCHING));
      // Frames that reach any part of who could hear them.
      for (let lost = 0; lost < 8; lost++) {
        const reaches = (bit: number): boolean => (lost & (1 << bit)) === 0;
        if (one.role === WATCHING && this.#next(one, h) <= WRONG_EPOCHS) add((copy) => this.#claim(copy, h, reaches));
        if (one.role === OWNER || one.role === CLAIMED) add((copy) => this.#beat(copy, h, reaches));
        if (one.role === OWNER) add((copy) => this.#command(copy, h, reaches));
      }
    }
    for (const n of [0, 1]) {
      add((copy) => (copy.nodes[n] = node()));
      add((copy) => (copy.nodes[n]!.isFollowing = false));
      for (let lost = 0; lost < 4; lost++) {
        add((copy) => this.#report(copy, n, (bit) => (lost & (1 << bit)) === 0));
        // It has not heard its owner for a moment: it obeys him still, and does not vouch for him.
        add((copy) => this.#report(copy, n, (bit) => (lost & (1 << bit)) === 0, false));
      }
    }
    return after;
  }

  /** A state from which what must happen when nothing goes wrong cannot lead to one owner whom both nodes follow. Backwards from the good ones. */
  stuckOf(all: readonly number[]): number | undefined {
    const before = new Map<number, number[]>(all.map((key) => [key, []]));
    const queue = [...all];
    const good: number[] = [];
    for (let next = 0; next < queue.length; next++) {
      const key = queue[next]!;
      const state = unpack(key);
      if (isGood(state)) {
        good.push(key);
        continue;
      }
      for (const after of this.#rightThings(state).map(pack)) {
        const known = before.get(after);
        if (known) known.push(key);
        else {
          before.set(after, [key]);
          queue.push(after);
        }
      }
    }
    const ends = new Set(good);
    for (let next = 0; next < good.length; next++) {
      for (const key of before.get(good[next]!)!) {
        if (ends.has(key)) continue;
        ends.add(key);
        good.push(key);
      }
    }
    return all.find((key) => !ends.has(key));
  }

  #rightThings(state: State): State[] {
    if (state.isSplit) return [{ ...structured(state), isSplit: false }];
    const after: State[] = [];
    const add = (change: (copy: State) => void): void => {
      const copy = structured(state);
      change(copy);
      after.push(copy);
    };
    const all = (): boolean => true;
    for (const h of [0, 1]) {
      const [one, other] = [state.hosts[h]!, state.hosts[1 - h]!];
      if (one.role === OFF) add((copy) => (copy.hosts[h]!.role = WATCHING));
      // No automatic return: who works is left alone.
      if (one.role === WATCHING && other.role !== OWNER && other.role !== CLAIMED && this.#next(one, h) < EPOCHS) add((copy) => this.#claim(copy, h, all));
      if (one.role === OWNER || one.role === CLAIMED) add((copy) => this.#beat(copy, h, all));
      // Nobody confirms; or no node reports our epoch any more.
      const isFollowed = state.nodes.some(({ epoch, isFollowing }) => isFollowing && epoch === one.epoch);
      if ((one.role === OWNER || one.role === CLAIMED) && !isFollowed) add((copy) => (copy.hosts[h]!.role = WATCHING));
    }
    for (const n of [0, 1]) add((copy) => this.#report(copy, n, all));
    return after;
  }

  #next({ epoch, heard }: Host, h: number): number {
    const next = Math.max(epoch, heard) + 1;
    return this.#rules.ownEpochs && next % 2 !== h ? next + 1 : next;
  }

  #claim(state: State, h: number, reaches: (bit: number) => boolean): void {
    const one = state.hosts[h]!;
    one.epoch = this.#next(one, h);
    one.role = CLAIMED;
    this.#beat(state, h, reaches);
  }

  /** CLAIM and BEAT are heard alike. */
  #beat(state: State, h: number, reaches: (bit: number) => boolean): void {
    const { epoch } = state.hosts[h]!;
    for (const [n, one] of state.nodes.entries()) {
      if (!reaches(n) || (state.isSplit && n !== h)) continue;
      if (epoch > one.epoch) Object.assign(one, { epoch, owner: h, isFollowing: true });
      else if (epoch === one.epoch && h === one.owner) one.isFollowing = true;
    }
    const other = state.hosts[1 - h]!;
    if (!reaches(2) || state.isSplit || other.role === OFF) return;
    other.heard = Math.max(other.heard, epoch);
    if (other.role !== WATCHING && epoch > other.epoch) other.role = WATCHING;
  }

  #command(state: State, h: number, reaches: (bit: number) => boolean): void {
    const { epoch } = state.hosts[h]!;
    for (const [n, one] of state.nodes.entries()) {
      if (!reaches(n) || (state.isSplit && n !== h) || !one.isFollowing) continue;
      if (this.#rules.nodesCheckEpoch && one.epoch !== epoch) continue;
      if (this.#rules.nodesCheckOwner && one.owner !== h) continue;
      if (one.acceptedOwner !== 2 && epoch < one.acceptedEpoch) this.unsafe = `node ${n} accepts epoch ${epoch} after ${one.acceptedEpoch}`;
      if (one.acceptedOwner !== 2 && epoch === one.acceptedEpoch && h !== one.acceptedOwner) this.unsafe = `node ${n} accepts both hosts in epoch ${epoch}`;
      one.acceptedEpoch = epoch;
      one.acceptedOwner = h;
    }
  }

  #report(state: State, n: number, reaches: (bit: number) => boolean, vouches = true): void {
    const { epoch, isFollowing } = state.nodes[n]!;
    for (const [h, one] of state.hosts.entries()) {
      if (!reaches(h) || (state.isSplit && n !== h) || one.role === OFF) continue;
      one.heard = Math.max(one.heard, epoch);
      if (one.role !== WATCHING && epoch > one.epoch) one.role = WATCHING;
      else if (one.role === CLAIMED && isFollowing && vouches && epoch === one.epoch) one.role = OWNER;
    }
  }
}

function isGood({ hosts, nodes }: State): boolean {
  const owner = hosts.findIndex(({ role }) => role === OWNER);
  return owner >= 0 && hosts[1 - owner]!.role < CLAIMED && nodes.every((one) => one.isFollowing && one.owner === owner && one.epoch === hosts[owner]!.epoch);
}

function host(): Host {
  return { role: WATCHING, epoch: 0, heard: 0 };
}

function node(): Node {
  return { epoch: 0, owner: 0, isFollowing: false, acceptedEpoch: 0, acceptedOwner: 2 };
}

function structured({ hosts: [a, b], nodes: [c, d], isSplit }: State): State {
  return { hosts: [{ ...a }, { ...b }], nodes: [{ ...c }, { ...d }], isSplit };
}

/** 51 bits: exact in a number. */
function pack({ hosts, nodes, isSplit }: State): number {
  let key = isSplit ? 1 : 0;
  for (const { role, epoch, heard } of hosts) key = ((key * 4 + role) * 10 + epoch) * 10 + heard;
  for (const { epoch, owner, isFollowing, acceptedEpoch, acceptedOwner } of nodes) key = ((((key * 10 + epoch) * 2 + owner) * 2 + (isFollowing ? 1 : 0)) * 10 + acceptedEpoch) * 3 + acceptedOwner;
  return key;
}

function unpack(packed: number): State {
  let key = packed;
  const take = (base: number): number => {
    const digit = key % base;
    key = Math.floor(key / base);
    return digit;
  };
  const takeNode = (): Node => {
    const [acceptedOwner, acceptedEpoch, following, owner, epoch] = [take(3), take(10), take(2), take(2), take(10)];
    return { epoch, owner, isFollowing: following === 1, acceptedEpoch, acceptedOwner };
  };
  const takeHost = (): Host => {
    const [heard, epoch, role] = [take(10), take(10), take(4)];
    return { role, epoch, heard };
  };
  const [second, first] = [takeNode(), takeNode()];
  const [other, one] = [takeHost(), takeHost()];
  return { hosts: [one, other], nodes: [first, second], isSplit: key === 1 };
}

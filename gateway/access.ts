/**
 * Who may do what on the client socket, from the configuration's lists of users and groups and the kernel's word on the caller.
 * Default deny: root and the gateway's own user may do everything, others what a list names.
 */
import type { Principal } from "../schemas/messages/config.ts";
import type { GrantMode } from "./broker/ports.ts";
import { isReserved } from "../schemas/messages/check/topics.ts";
import { topicMatcher } from "../schemas/topics/topicName.ts";

/** A peer's credentials as the kernel reports them at connect time (SO_PEERCRED, SO_PEERGROUPS). */
export interface Credentials {
  pid: number;
  uid: number;
  gid: number;
  groups: readonly number[];
}

/** Looks up ids by name; undefined = no such user or group on this machine. Numbers in quotes stand for themselves. */
export interface NameLookup {
  uid(user: string): number | undefined;
  gid(group: string): number | undefined;
}

export interface Allows {
  allows(who: Credentials): boolean;
}

export class AccessList implements Allows {
  readonly #uids = new Set<number>();
  readonly #gids = new Set<number>();

  /** Unknown names grant nothing; `onUnknown` reports them. */
  constructor(principals: readonly Principal[], lookup: NameLookup, ownUid: number, onUnknown: (name: string) => void) {
    this.#uids.add(0).add(ownUid);
    for (const principal of principals) {
      const [set, id, name] = "user" in principal ? [this.#uids, lookup.uid(principal.user), principal.user] as const : [this.#gids, lookup.gid(principal.group), principal.group] as const;
      if (id === undefined) onUnknown(name);
      else set.add(id);
    }
  }

  allows(who: Credentials): boolean {
    return this.#uids.has(who.uid) || this.#gids.has(who.gid) || who.groups.some((gid) => this.#gids.has(gid));
  }
}

export interface AccessRules {
  /** Root and the gateway's own user. */
  owner: AccessList;
  readers: AccessList;
  operators: AccessList;
  /** Who may publish a topic; a topic without an entry is not writable by anybody. */
  writers: ReadonlyMap<string, Allows>;
}

/** All others are for operators. */
const operatorServices = topicMatcher("gateway/+");
const readerServices = new Set(["gateway/status", "gateway/events", "gateway/rejects", "gateway/config"]);

export class AccessPolicy {
  #rules: AccessRules;

  constructor(rules: AccessRules) {
    this.#rules = rules;
  }

  /** For whoever asks from now on. */
  replace(rules: AccessRules): void {
    this.#rules = rules;
  }

  mayConnect(who: Credentials): boolean {
    if (this.#rules.readers.allows(who) || this.#rules.operators.allows(who)) return true;
    for (const list of this.#rules.writers.values()) if (list.allows(who)) return true;
    return false;
  }

  mayRead(who: Credentials, _topic: string): boolean {
    return this.#rules.readers.allows(who) || this.#rules.operators.allows(who);
  }

  mayWrite(who: Credentials, topic: string): boolean {
    const list = this.#rules.writers.get(topic);
    return list ? list.allows(who) : !isReserved(topic) && this.#rules.owner.allows(who);
  }

  /**
   * Anybody who may connect may ask for the safe pose: whoever can see that something goes wrong must be able to stop it.
   * Everything else that changes the gateway is for operators.
   */
  mayCall(who: Credentials, service: string): boolean {
    if (service === "gateway/safe-pose") return this.mayConnect(who);
    if (readerServices.has(service)) return this.mayRead(who, service);
    if (operatorServices(service)) return this.#rules.operators.allows(who);
    return !isReserved(service) && this.#rules.owner.allows(who);
  }

  mayOffer(who: Credentials, service: string): boolean {
    return !isReserved(service) && this.#rules.owner.allows(who);
  }

  mayGrant(who: Credentials, _resource: string, _mode: GrantMode): boolean {
    return this.#rules.owner.allows(who);
  }

  isOneOf(who: Credentials, principal: string): boolean {
    const uid = /^uid:(\d+)$/.exec(principal)?.[1];
    return principal === "anyone" || (uid !== undefined && Number(uid) === who.uid);
  }
}

/** The broker's questions, answered by the engine in force. */
import type { AccessPolicy, GrantMode, Peer } from "../broker/ports.ts";
import type { Action } from "../../schemas/messages/policyWords.ts";
import type { Engine, Profile } from "./engine.ts";

export class Access implements AccessPolicy {
  #engine: Engine;
  #known = new WeakMap<Peer, { name: string; profile: Profile }>();
  /** Told of each refusal to write, call, offer or be granted something; not of reading, where patterns are asked about topic by topic. */
  onDenied: ((who: Peer, what: string) => void) | undefined;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get engine(): Engine {
    return this.#engine;
  }

  /** For whoever asks from now on; whoever has asked already must be asked about again (`Broker.recheck`). */
  replace(engine: Engine): void {
    this.#engine = engine;
    this.#known = new WeakMap();
  }

  mayConnect(who: Peer): boolean {
    return this.#of(who).profile.mayConnect;
  }

  mayRead(who: Peer, topic: string): boolean {
    return this.#may(who, "read", topic);
  }

  mayWrite(who: Peer, topic: string): boolean {
    return this.#may(who, "write", topic);
  }

  /** Anybody who may connect may ask for the safe pose: whoever can see that something goes wrong must be able to stop it. */
  mayCall(who: Peer, service: string): boolean {
    return service === SAFE_POSE ? this.mayConnect(who) : this.#may(who, "execute", service);
  }

  mayOffer(who: Peer, service: string): boolean {
    return this.#may(who, "offer", service);
  }

  mayGrant(who: Peer, resource: string, mode: GrantMode): boolean {
    return (mode === "write" || this.#may(who, "grantRead", resource)) && (mode === "read" || this.#may(who, "grantWrite", resource));
  }

  isOneOf(who: Peer, principal: string): boolean {
    return this.#engine.means(principal, this.#of(who).profile.subject);
  }

  isKnown(principal: string): boolean {
    return this.#engine.knows(principal);
  }

  nameOf(who: Peer): string {
    return this.#of(who).name;
  }

  #may(who: Peer, action: Action, name: string): boolean {
    const { allowed } = this.#engine.decide(this.#of(who).profile, action, name);
    if (!allowed && action !== "read") this.onDenied?.(who, `${action} ${name}`);
    return allowed;
  }

  #of(who: Peer): { name: string; profile: Profile } {
    const known = this.#known.get(who);
    if (known) return known;
    const { uid, gid, groups } = who;
    const { name, components } = this.#engine.components.identify(uid, who.facts);
    const entry = { name, profile: this.#engine.profileOf({ uid, gid, groups, components }) };
    this.#known.set(who, entry);
    return entry;
  }
}

export const SAFE_POSE = "gateway/safe-pose";

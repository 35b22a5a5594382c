/** A peer with its name. The name follows the policy in force, what the kernel said stays as it was at connect time. */
import type { Descriptor, PeerIdentity } from "../../shm/sockets/index.ts";
import type { Peer } from "../broker/ports.ts";
import type { ProcessFacts } from "./facts.ts";
import { factsOf, type ProcessSource } from "./process.ts";

export class IdentifiedPeer implements Peer {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly startTime: number | undefined;
  /** The connection's. */
  readonly pidfd: Descriptor | undefined;
  readonly facts: ProcessFacts | undefined;
  readonly #nameOf: (peer: Peer) => string;

  /** `facts`: what was found when it connected, if that was by another process. */
  constructor(peer: PeerIdentity, { source, nameOf, facts }: { source: ProcessSource; nameOf: (peer: Peer) => string; facts?: ProcessFacts | undefined }) {
    this.pid = peer.pid;
    this.uid = peer.uid;
    this.gid = peer.gid;
    this.groups = peer.groups;
    this.startTime = peer.startTime;
    this.pidfd = peer.pidfd;
    this.facts = facts ?? factsOf(peer, source);
    this.#nameOf = nameOf;
  }

  get component(): string {
    return this.#nameOf(this);
  }
}

/** What the broker needs of the gateway; the gateway hands it in. */
import type { ProcessFacts } from "../identity/facts.ts";
import type { GrantMode } from "../../shm/protocol/serviceMessages.ts";
import type { PacketTransport } from "../../shm/protocol/channel.ts";
import type { CloseReason, Descriptor, PacketListener, PeerIdentity } from "../../shm/sockets/index.ts";

/** Who asks: what the kernel says about it, and the name that follows from that alone (gateway/identity). */
export interface Peer extends PeerIdentity {
  /** The component of the policy that this process is, else "uid:1000". May change when the policy does. */
  readonly component: string;
  /** Absent: nothing is known beyond the user. */
  readonly facts?: ProcessFacts | undefined;
}

/** A client's connection: a socket's, or one that a twin process can go on with (failsafe/failover). */
export interface ClientConnection extends PacketTransport {
  readonly peer: PeerIdentity;
  /** Bytes that wait for the client to read. */
  readonly pendingBytes: number;
  onPacket(listener: PacketListener): void;
  onDrain(listener: () => void): void;
  onClose(listener: (reason: CloseReason) => void): void;
  pauseReading(): void;
  resumeReading(): void;
  /** Closes when all is sent. */
  end(): void;
  close(): void;
}

export type { GrantMode } from "../../shm/protocol/serviceMessages.ts";

export interface PublishMeta {
  /** native: bytes in the topic's own encoding, borrowed until the call returns; value: decoded, to be encoded by the topic's schema. */
  form: "native" | "value";
  ttlMs: number | undefined;
  /** When the client handed it over, CLOCK_MONOTONIC µs; undefined: it has not said. */
  sentUs: number | undefined;
  /** The sender's own name for it. */
  id: string | undefined;
  who: Peer;
  /** What the client calls itself: for people, proves nothing. */
  clientName: string;
}

export interface Publisher {
  /** Checks and publishes; answers with a status (100…199 it worked) and a sentence. The broker has asked the policy already. */
  publish(topic: string, value: unknown, meta: PublishMeta): { status: number; text: string };
}

export interface ServiceAnswer {
  status: number;
  body?: unknown;
  text?: string;
}

/** The gateway's own services. */
export interface ServiceTable {
  readonly names: readonly string[];
  /** Calls a service; an unknown one answers 203. Nobody waits for the answer longer than `timeoutMs`. */
  call(service: string, body: unknown, who: Peer, timeoutMs: number): Promise<ServiceAnswer>;
}

/** Who may do what. Asked each time; answers are remembered behind it. `Broker.recheck` is called when they may have changed. */
export interface AccessPolicy {
  mayConnect(who: Peer): boolean;
  mayRead(who: Peer, topic: string): boolean;
  /** To publish a topic, or to own a lane for it. */
  mayWrite(who: Peer, topic: string): boolean;
  mayCall(who: Peer, service: string): boolean;
  mayOffer(who: Peer, service: string): boolean;
  mayGrant(who: Peer, resource: string, mode: GrantMode): boolean;
  /** Whether `principal` (a component or group of the policy, user:NAME, group:NAME, uid:N, gid:N, anyone) means `who`: for a provider's own lists. Unknown names mean nobody. */
  isOneOf(who: Peer, principal: string): boolean;
  /** Whether there is anybody of that name: a provider's list with a name that means nobody is a mistake, and one that denies must not go unnoticed. */
  isKnown(principal: string): boolean;
}

export interface ResourceDescription {
  name: string;
  kind: "device" | "directory" | "file" | "connect";
  /** The first is given when nothing is said. */
  modes: readonly GrantMode[];
  description: string;
}

export interface GrantResult {
  status: number;
  text: string;
  /** The receiver's to close; there if the status says that it worked. */
  descriptor?: Descriptor;
}

/** What can be granted: descriptors of devices, folders, files and connections that the configuration names. */
export interface ResourceTable {
  list(): readonly ResourceDescription[];
  /** Opens it. The policy was asked, and the mode is one of the resource's. */
  open(name: string, mode: GrantMode): Promise<GrantResult>;
}

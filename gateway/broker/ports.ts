/** What the broker needs of the gateway; the gateway hands it in. */
import type { GrantMode } from "../../shm/protocol/serviceMessages.ts";
import type { PeerIdentity } from "../../shm/sockets/index.ts";

/** Who asks: kernel identity only. */
export type Peer = PeerIdentity;

export interface PublishMeta {
  /** native: bytes in the topic's own encoding, borrowed until the call returns; value: decoded, to be encoded by the topic's schema. */
  form: "native" | "value";
  ttlMs: number | undefined;
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
  /** Calls a service; an unknown one answers 203. */
  call(service: string, body: unknown, who: Peer): Promise<ServiceAnswer>;
}

export interface AccessPolicy {
  mayConnect(who: Peer): boolean;
  mayRead(who: Peer, topic: string): boolean;
  mayWrite(who: Peer, topic: string): boolean;
  mayCall(who: Peer, service: string): boolean;
  mayOffer(who: Peer, service: string): boolean;
  mayGrant(who: Peer, resource: string, mode: GrantMode): boolean;
}

/** What can be granted: descriptors of devices, folders, files and connections that the configuration names. */
export interface ResourceTable {
  list(): readonly { name: string; kind: string; modes: readonly GrantMode[]; description: string }[];
}

/** The component a peer belongs to, by the kernel's word; "" where none is known. */
export function componentOf(who: Peer & { readonly component?: string }): string {
  return who.component ?? "";
}

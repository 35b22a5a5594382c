/** What a transport has to be able to do to be compared: one hub sends to its leaves, each leaf sends to the hub. */

export interface Endpoint {
  /** Sends a message. false: it was taken, but wait for `drained()` before the next; "refused": it was not taken. */
  send(bytes: Uint8Array): boolean | "refused";
  drained(): Promise<void>;
  /** Resolves when the other side is there; absent: it is when the endpoint exists. */
  ready?(): Promise<void>;
  close(): Promise<void>;
}

export type MessageListener = (bytes: Uint8Array, leaf: number) => void;

export interface PeerAddress {
  /** Folder of this run, for sockets. */
  folder: string;
  /** What `start` returned. */
  at: string;
  payloadBytes: number;
  leaves: number;
}

/** What stands between the two ends: a broker, a daemon. */
export interface Middle {
  at: string;
  pids: readonly number[];
  stop(): Promise<void>;
}

export interface Peer {
  name: string;
  /** What pushes back on a sender that is too fast: the transport itself, or a window of acknowledgements that the bench adds. */
  flow: "own" | "window";
  payloadBytesMax: number;
  /** Why it cannot be had on this machine, in one line; undefined = it can. */
  missing(): string | undefined;
  start(folder: string): Promise<Middle>;
  hub(address: PeerAddress, listener: MessageListener): Promise<Endpoint>;
  /** Absent: the hub starts its leaves itself (`childIpc`). */
  leaf?(address: PeerAddress, index: number, listener: MessageListener): Promise<Endpoint>;
  /** Of a transport whose leaves the hub starts: calls `name` of `LeafRole` in each. */
  askLeaves?(name: string, argument: unknown): Promise<unknown[]>;
}

export const nothingBetween: Middle = { at: "", pids: [], stop: () => Promise.resolve() };

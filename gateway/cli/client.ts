/** The part of the client (`shm/client`) that the verbs use; a fake with the same shape stands in for it in tests. */
export interface ConnectOptions {
  socketPath?: string;
  name?: string;
  timeoutMs?: number;
}

export interface Client {
  readonly gateway: { robot: string; version: string; instance: string; boot: string };
  topics(pattern?: string): Promise<readonly TopicDescription[]>;
  subscribe(pattern: string, options: SubscribeOptions, listener: (message: Message) => void): Promise<{ close(): Promise<void> }>;
  publish(topic: string, value: unknown, options?: PublishOptions): Promise<void>;
  query(topic: string): Promise<Message | undefined>;
  query(topic: string, options: { last: number }): Promise<readonly Message[]>;
  request(service: string, body?: unknown, options?: { timeoutMs?: number }): Promise<unknown>;
  find(what: "components" | "topics" | "services" | "resources", pattern?: string): Promise<readonly FoundEntry[]>;
  stream(service: string, body?: unknown, options?: CallOptions): AsyncIterable<unknown>;
  onClose(listener: (why: string) => void): () => void;
  close(): Promise<void>;
}

export type FoundEntry = Record<string, unknown>;

export interface CallOptions {
  timeoutMs?: number;
  signal?: AbortSignal;
  idempotent?: boolean;
  group?: string;
}

export interface SubscribeOptions {
  policy?: "latest" | { queue: number };
  rateHzMax?: number;
  lastValue?: boolean;
}

export interface PublishOptions {
  ttlMs?: number;
  id?: string;
  acknowledge?: boolean;
}

export interface TopicDescription {
  name: string;
  encoding: string;
  schemaHash?: string;
  writable?: boolean;
  rateHz?: number;
  quality?: string;
  /** Programs that write it by lanes of their own. */
  writers?: number;
}

export interface Message {
  topic: string;
  bytes: Uint8Array;
  value: unknown;
  sequence: number;
  timeUs: number;
  wallTimeNs: bigint;
  quality: string;
  lostBefore: number;
  origin: string;
  /** What it was made from: hashes of origin and topic, and the number. */
  lineage?: readonly { origin: bigint; topic: bigint; sequence: bigint }[];
}

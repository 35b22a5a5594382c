/** A terminal and a gateway in memory, for tests of the verbs: real streams, a client with the same shape as `shm/client`'s. */
import { PassThrough } from "node:stream";
import { IpcnetError, Status } from "../../schemas/status.ts";
import type { CallOptions, Client, FoundEntry, Message, PublishOptions, SubscribeOptions, TopicDescription } from "./client.ts";
import type { CliContext } from "./command.ts";
import type { CliServices } from "./services.ts";
import { MemoryOutput } from "../view/memoryOutput.ts";

export interface MemoryContext extends CliContext {
  stdin: PassThrough;
  stdout: MemoryOutput;
  stderr: MemoryOutput;
  abort(reason: string): void;
}

export function memoryContext(options: { services?: Partial<CliServices>; env?: Record<string, string>; terminal?: { columns: number; rows: number } } = {}): MemoryContext {
  const controller = new AbortController();
  return {
    stdin: new PassThrough(), stdout: new MemoryOutput(options.terminal), stderr: new MemoryOutput(), env: options.env ?? {}, exitCode: 0,
    signal: controller.signal, abort: (reason) => controller.abort(reason), ...(options.services ? { services: options.services } : {}),
  };
}

export function memoryMessage(topic: string, value: unknown, changes: Partial<Message> = {}): Message {
  return {
    topic, value, bytes: value instanceof Uint8Array ? value : new Uint8Array(), sequence: 1, timeUs: 1_000_000,
    wallTimeNs: 1_700_000_000_123_456_000n, quality: "good", lostBefore: 0, origin: "test", ...changes,
  };
}

/** A gateway's client without a gateway. Tests set what it answers and read what it was asked. */
export class MemoryClient implements Client {
  readonly gateway = { robot: "demo-arm", version: "0.1.0", instance: "a", boot: "4f1c" };
  readonly descriptions: TopicDescription[] = [];
  readonly lastValues = new Map<string, Message>();
  /** What is kept of a topic, oldest first, where it is more than its last value. */
  readonly histories = new Map<string, readonly Message[]>();
  readonly services = new Map<string, (body: unknown) => unknown>();
  readonly published: { topic: string; value: unknown; options: PublishOptions | undefined }[] = [];
  readonly subscriptions: { pattern: string; options: SubscribeOptions; listener: (message: Message) => void }[] = [];
  onPublish: (topic: string) => void = () => undefined;
  closed = 0;
  readonly #closeListeners = new Set<(why: string) => void>();
  #subscribed: (() => void)[] = [];

  readonly connect = (): Promise<Client> => Promise.resolve(this);

  topics(pattern = "#"): Promise<readonly TopicDescription[]> {
    return Promise.resolve(this.descriptions.filter(({ name }) => matches(pattern, name)));
  }

  subscribe(pattern: string, options: SubscribeOptions, listener: (message: Message) => void): Promise<{ close(): Promise<void> }> {
    this.subscriptions.push({ pattern, options, listener });
    for (const wake of this.#subscribed.splice(0)) wake();
    return Promise.resolve({ close: () => Promise.resolve() });
  }

  /** Resolves when there are `count` subscriptions. */
  async untilSubscribed(count = 1): Promise<void> {
    while (this.subscriptions.length < count) await new Promise<void>((resolve) => this.#subscribed.push(resolve));
  }

  emit(message: Message): void {
    for (const { pattern, listener } of this.subscriptions) if (matches(pattern, message.topic)) listener(message);
  }

  async publish(topic: string, value: unknown, options?: PublishOptions): Promise<void> {
    await Promise.resolve();
    this.onPublish(topic);
    this.published.push({ topic, value, options });
  }

  query(topic: string): Promise<Message | undefined>;
  query(topic: string, options: { last: number }): Promise<Message[]>;
  query(topic: string, options?: { last: number }): Promise<Message | Message[] | undefined> {
    const last = this.lastValues.get(topic);
    return Promise.resolve(options ? [...(this.histories.get(topic) ?? (last ? [last] : []))].slice(-options.last) : last);
  }

  async request(service: string, body?: unknown): Promise<unknown> {
    await Promise.resolve();
    const answer = this.services.get(service);
    if (!answer) throw new IpcnetError(Status.notFound, `no service ${service}`);
    return answer(body);
  }

  readonly found = new Map<string, FoundEntry[]>();
  readonly calls: { service: string; options: CallOptions | undefined }[] = [];

  find(what: string, pattern = "#"): Promise<readonly FoundEntry[]> {
    return Promise.resolve((this.found.get(what) ?? []).filter((entry) => matches(pattern, String(entry["service"] ?? entry["name"]))));
  }

  async *stream(service: string, body?: unknown, options?: CallOptions): AsyncGenerator {
    this.calls.push({ service, options });
    const answer = await this.request(service, body);
    if (typeof answer === "object" && answer !== null && Symbol.asyncIterator in answer) yield* answer as AsyncIterable<unknown>;
    else if (answer !== undefined) yield answer;
  }

  onClose(listener: (why: string) => void): () => void {
    this.#closeListeners.add(listener);
    return () => this.#closeListeners.delete(listener);
  }

  lose(why: string): void {
    for (const listener of this.#closeListeners) listener(why);
  }

  close(): Promise<void> {
    this.closed += 1;
    return Promise.resolve();
  }
}

function matches(pattern: string, name: string): boolean {
  const words = pattern.split("/");
  const levels = name.split("/");
  for (const [i, word] of words.entries()) {
    if (word === "#") return true;
    if (levels[i] === undefined || (word !== "+" && word !== levels[i])) return false;
  }
  return words.length === levels.length;
}

/**
 * Requests, streams and services over one transport, both ways: each side may ask and serve.
 *
 *     const circuits = new Circuits({ transport, role: "initiator" });
 *     circuits.serve("compress", async (call, body) => deflate(body));
 *     const { body } = await circuits.request("compress", bytes, { timeoutMs: 500 });
 */
import type { StatusCode } from "../../schemas/status.ts";
import { IpcnetError, Status, isSuccess } from "../../schemas/status.ts";
import { Conversation, duplicates, refusal } from "./conversation.ts";
import type { CircuitMessage, Ending } from "./conversation.ts";
import type { CoreEvent } from "./coreApi.ts";
import type { EndpointOptions } from "./endpoint.ts";
import { Endpoint } from "./endpoint.ts";
import type { TransportEnd } from "./reasons.ts";
import type { CircuitDescriptor } from "./transport.ts";
import type { HelloFrame } from "./wire.ts";

export interface AskOptions {
  /** No deadline without it. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Duplicated: the caller still owns its own. */
  descriptors?: readonly CircuitDescriptor[];
  /** 0 (background) to 3 (urgent); 1. */
  priority?: number;
}

export interface Reply extends CircuitMessage {
  status: StatusCode;
}

/** What a handler answers: one message, a stream of them, or nothing but the end. */
export type Answer = Uint8Array | CircuitMessage | AsyncIterable<Uint8Array> | Iterable<Uint8Array> | undefined | void;

/**
 * Serves one conversation. `body` is its first message; further ones are read from `call`. What it returns is sent and ends the conversation well;
 * an `IpcnetError` ends it with its status, anything else thrown with 300. `call.signal` fires when nobody waits any more. The descriptors of the
 * first message are closed when the handler is done, unless it has taken them with `descriptors.splice(0)`.
 */
export type Handler = (call: Conversation, body: Uint8Array, descriptors: CircuitDescriptor[]) => Answer | Promise<Answer>;

export interface Down {
  reason: TransportEnd;
  status: StatusCode;
  text: string;
}

export interface CircuitsOptions extends EndpointOptions {
  /** Told of what a handler threw that was not an `IpcnetError`. */
  onHandlerError?: (error: unknown, protocol: number | string) => void;
}

/** Asks which protocols the peer serves: one message each, a name or "#" and a number. */
export const DISCOVERY_PROTOCOL = 1;

export class Circuits {
  readonly #endpoint: Endpoint;
  readonly #onHandlerError: (error: unknown, protocol: number | string) => void;
  readonly #conversations = new Map<number, Conversation>();
  readonly #handlers = new Map<number | string, Handler>();
  #peer: { hello: HelloFrame; maxCircuits: number } | undefined;
  #down: Down | undefined;
  #whenUp: (() => void)[] = [];
  #whenDown: (() => void)[] = [];

  constructor(options: CircuitsOptions) {
    this.#onHandlerError = options.onHandlerError ?? (() => undefined);
    this.#handlers.set(DISCOVERY_PROTOCOL, () => this.#served());
    this.#endpoint = new Endpoint(options, (event) => this.#on(event));
  }

  /** Resolves when the peer has said hello; rejects when the transport ends first. */
  async ready(): Promise<{ name: string; maxCircuits: number; carriesDescriptors: boolean }> {
    if (!this.#peer && !this.#down) await new Promise<void>((resolve) => void this.#whenUp.push(resolve));
    if (!this.#peer || this.#down) throw new IpcnetError(this.#down!.status, this.#down!.text, this.#down);
    return { name: this.#peer.hello.name, maxCircuits: this.#peer.maxCircuits, carriesDescriptors: this.#peer.hello.carriesDescriptors };
  }

  /** Resolves when the transport has ended, with why. */
  async closed(): Promise<Down> {
    if (!this.#down) await new Promise<void>((resolve) => void this.#whenDown.push(resolve));
    return this.#down!;
  }

  get counters(): Endpoint["core"]["counters"] {
    return this.#endpoint.core.counters;
  }

  get busyCircuits(): number {
    return this.#endpoint.core.busyCircuits;
  }

  /** Units of received messages that nobody has read. */
  get heldUnits(): number {
    return this.#endpoint.core.heldUnits;
  }

  /** Begins a conversation whose first message is `body`; with `last` we send nothing more. Rejects with an `IpcnetError` if that cannot be. */
  async open(protocol: number | string, body: Uint8Array, options: AskOptions & { last?: boolean; discovery?: boolean } = {}): Promise<Conversation> {
    await this.ready();
    if (options.signal?.aborted) throw cancelled();
    const { clock, core } = this.#endpoint;
    const nowUs = clock.nowUs();
    const deadlineUs = options.timeoutMs === undefined ? Infinity : nowUs + options.timeoutMs * 1e3;
    const descriptors = duplicates(options.descriptors ?? []);
    const { last = false, discovery = false, priority = 1 } = options;
    const begun = core.begin({ protocol, body, descriptors, last, deadlineUs, priority, discovery }, nowUs);
    if ("refused" in begun) {
      for (const descriptor of descriptors) descriptor.close();
      throw refusal(begun.refused);
    }
    const conversation = new Conversation(this.#endpoint, begun.circuit, protocol, deadlineUs);
    this.#conversations.set(begun.circuit, conversation);
    const { signal } = options;
    if (signal) {
      const onAbort = (): void => conversation.abort(Status.gone, "cancelled");
      signal.addEventListener("abort", onAbort, { once: true });
      void conversation.ended().then(() => signal.removeEventListener("abort", onAbort));
    }
    this.#endpoint.kick();
    return conversation;
  }

  /** One message there, one back. Rejects with an `IpcnetError` that carries the status: the peer's, 204 when the deadline passed, 211 when cancelled. */
  async request(protocol: number | string, body: Uint8Array, options: AskOptions = {}): Promise<Reply> {
    const conversation = await this.open(protocol, body, { ...options, last: true });
    const first = await conversation.next();
    const reply: CircuitMessage = first.done ? { bytes: new Uint8Array(0), descriptors: [] } : first.value;
    conversation.discard();
    const ending = await conversation.ended();
    if (isSuccess(ending.status)) return { ...reply, status: ending.status };
    for (const descriptor of reply.descriptors) descriptor.close();
    throw new IpcnetError(ending.status, ending.text);
  }

  /** One message there, any number back. Leaving the loop early cancels it. */
  async *stream(protocol: number | string, body: Uint8Array, options: AskOptions = {}): AsyncGenerator<CircuitMessage, void, undefined> {
    yield* await this.open(protocol, body, { ...options, last: true });
  }

  /** Serves `protocol` from now on. Returns a function that ends that; conversations that are on go on. */
  serve(protocol: number | string, handler: Handler): () => void {
    if (this.#handlers.has(protocol)) throw new IpcnetError(Status.conflict, `${protocol} is served already`);
    this.#handlers.set(protocol, handler);
    return () => void this.#handlers.delete(protocol);
  }

  /** The protocols that the peer serves. */
  async list(options: AskOptions = {}): Promise<string[]> {
    const names: string[] = [];
    const conversation = await this.open(DISCOVERY_PROTOCOL, new Uint8Array(0), { ...options, last: true, discovery: true });
    for await (const { bytes } of conversation) names.push(new TextDecoder().decode(bytes));
    return names;
  }

  /** Cuts all conversations short, says goodbye and ends the transport. */
  close(status: StatusCode = Status.gone, text = "closed"): void {
    this.#endpoint.core.close(status, text);
    this.#endpoint.run();
  }

  *#served(): Iterable<Uint8Array> {
    for (const protocol of this.#handlers.keys()) {
      if (protocol !== DISCOVERY_PROTOCOL) yield new TextEncoder().encode(typeof protocol === "number" ? `#${protocol}` : protocol);
    }
  }

  #on(event: CoreEvent<CircuitDescriptor>): void {
    switch (event.event) {
      case "up":
        this.#peer = { hello: event.peer, maxCircuits: event.maxCircuits };
        for (const wake of this.#whenUp.splice(0)) wake();
        return;
      case "begun": {
        const conversation = new Conversation(this.#endpoint, event.circuit, event.protocol, event.deadlineUs);
        this.#conversations.set(event.circuit, conversation);
        void this.#handle(conversation);
        return;
      }
      case "accepted":
        return this.#conversations.get(event.circuit)?.gotAccepted();
      case "message":
        return this.#conversations.get(event.circuit)!.gotMessage(event);
      case "ended":
        return this.#conversations.get(event.circuit)?.gotEnd(event);
      case "aborted":
        return this.#conversations.get(event.circuit)?.gotAbort(event);
      case "space":
        return this.#conversations.get(event.circuit)?.gotSpace();
      case "idle":
        this.#conversations.get(event.circuit)?.gotIdle();
        this.#conversations.delete(event.circuit);
        return;
      case "down":
        this.#down = { reason: event.reason, status: event.status, text: event.text };
        for (const conversation of this.#conversations.values()) conversation.gotIdle();
        this.#conversations.clear();
        for (const wake of [...this.#whenUp.splice(0), ...this.#whenDown.splice(0)]) wake();
        return;
      default:
        event satisfies never;
    }
  }

  async #handle(call: Conversation): Promise<void> {
    const ending = await this.#answer(call).catch((error: unknown): Ending => {
      if (error instanceof IpcnetError) return { status: error.status, text: error.message.replace(/^\d+ [^:]*: /, "") };
      this.#onHandlerError(error, call.protocol);
      return { status: Status.internalError, text: "the handler failed" };
    });
    call.end(ending.status, ending.text);
    // What the caller still sends has no reader; it keeps its credit so that it can come to its end.
    call.discard();
  }

  async #answer(call: Conversation): Promise<Ending> {
    const handler = this.#handlers.get(call.protocol);
    if (!handler) return { status: Status.notFound, text: `nobody serves ${call.protocol}` };
    const first = await call.next();
    if (first.done) return { status: Status.badRequest, text: "no message" };
    const descriptors = [...first.value.descriptors];
    try {
      await this.#send(call, await handler(call, first.value.bytes, descriptors));
    } finally {
      for (const descriptor of descriptors) descriptor.close();
    }
    return { status: Status.ok, text: "" };
  }

  async #send(call: Conversation, answer: Answer): Promise<void> {
    if (answer === undefined) return;
    if (answer instanceof Uint8Array) return call.send(answer, { last: true });
    if ("bytes" in answer) {
      try {
        return await call.send(answer.bytes, { last: true, descriptors: answer.descriptors });
      } finally {
        for (const descriptor of answer.descriptors) descriptor.close();
      }
    }
    for await (const item of answer) await call.send(item);
  }
}

function cancelled(): IpcnetError {
  return new IpcnetError(Status.gone, "cancelled");
}

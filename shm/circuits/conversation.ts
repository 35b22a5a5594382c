/** One conversation as a program sees it: messages in as an async iterable, messages out with back-pressure, one end. */
import type { StatusCode } from "../../schemas/status.ts";
import { IpcnetError, Status, isSuccess } from "../../schemas/status.ts";
import type { Received, SendRefusal } from "./coreApi.ts";
import { REFUSAL_STATUS } from "./coreApi.ts";
import type { Endpoint } from "./endpoint.ts";
import type { CircuitDescriptor } from "./transport.ts";

/** The descriptors are the reader's: close them. */
export interface CircuitMessage {
  bytes: Uint8Array;
  descriptors: readonly CircuitDescriptor[];
}

export interface Ending {
  status: StatusCode;
  text: string;
}

interface Reader {
  resolve(result: IteratorResult<CircuitMessage, undefined>): void;
  reject(error: IpcnetError): void;
}

export function refusal(refused: SendRefusal): IpcnetError {
  return new IpcnetError(REFUSAL_STATUS[refused], refused, { refused });
}

export class Conversation implements AsyncIterableIterator<CircuitMessage> {
  readonly circuit: number;
  readonly protocol: number | string;
  /** Monotonic; Infinity for none. */
  readonly deadlineUs: number;
  readonly #endpoint: Endpoint;
  readonly #cancelled = new AbortController();
  readonly #inbox: Received<CircuitDescriptor>[] = [];
  #readers: Reader[] = [];
  #spaceWaiters: (() => void)[] = [];
  #peerEnded: Ending | undefined;
  #aborted: Ending | undefined;
  #accepted = false;
  #over = false;
  #discarding = false;
  #whenOver: (() => void)[] = [];
  #whenAccepted: (() => void)[] = [];

  constructor(endpoint: Endpoint, circuit: number, protocol: number | string, deadlineUs: number) {
    this.#endpoint = endpoint;
    this.circuit = circuit;
    this.protocol = protocol;
    this.deadlineUs = deadlineUs;
  }

  /** Fires when the conversation is cut short: by the peer, the deadline, a breach, or with the transport. */
  get signal(): AbortSignal {
    return this.#cancelled.signal;
  }

  /** Resolves when the peer has taken up what we began: true; or ended it without: false. */
  async accepted(): Promise<boolean> {
    if (!this.#accepted && !this.ending) await new Promise<void>((resolve) => void this.#whenAccepted.push(resolve));
    return this.#accepted;
  }

  /** How the peer ended it, once it has. */
  get ending(): Ending | undefined {
    return this.#aborted ?? this.#peerEnded;
  }

  /**
   * Sends a message; resolves when it is queued, which is at once unless too much waits. `last`: the final one. The bytes are not copied, the
   * descriptors are duplicated. Rejects with an `IpcnetError`: 208 larger than the peer takes, 301 no descriptors there, 211 this direction is over.
   */
  async send(bytes: Uint8Array, { last = false, descriptors = [] }: { last?: boolean; descriptors?: readonly CircuitDescriptor[] } = {}): Promise<void> {
    const copies = duplicates(descriptors);
    for (;;) {
      const verdict = this.#over ? "ended" : this.#endpoint.core.send(this.circuit, bytes, { last, descriptors: copies }, this.#endpoint.clock.nowUs());
      this.#endpoint.kick();
      if (verdict === "queued") return;
      if (verdict !== "full") {
        for (const copy of copies) copy.close();
        throw this.#aborted ? cut(this.#aborted) : refusal(verdict);
      }
      await new Promise<void>((resolve) => void this.#spaceWaiters.push(resolve));
    }
  }

  /** Tells the peer that its request was taken up, before there is anything to send. */
  accept(): void {
    if (this.#over) return;
    this.#endpoint.core.accept(this.circuit, this.#endpoint.clock.nowUs());
    this.#endpoint.kick();
  }

  /** Ends our direction. Nothing happens if it is over. */
  end(status: StatusCode = Status.ok, text = ""): void {
    if (this.#over) return;
    this.#endpoint.core.end(this.circuit, status, text, this.#endpoint.clock.nowUs());
    this.#endpoint.kick();
  }

  /** Ends both directions now; unread messages are dropped. Nothing happens if it is over. */
  abort(status: StatusCode = Status.gone, text = "cancelled"): void {
    if (this.#over) return;
    this.#endpoint.core.abort(this.circuit, status, text, this.#endpoint.clock.nowUs());
    this.#endpoint.kick();
  }

  /** The next message; `done` when the peer has ended well. Rejects with an `IpcnetError` when it ended otherwise. */
  next(): Promise<IteratorResult<CircuitMessage, undefined>> {
    const message = this.#inbox.shift();
    if (message) return Promise.resolve({ value: this.#taken(message), done: false });
    const ending = this.ending;
    if (ending) return isSuccess(ending.status) && !this.#aborted ? Promise.resolve({ value: undefined, done: true }) : Promise.reject(cut(ending));
    return new Promise((resolve, reject) => void this.#readers.push({ resolve, reject }));
  }

  /** Leaving a `for await` early ends the conversation. */
  return(): Promise<IteratorResult<CircuitMessage, undefined>> {
    if (!this.ending) this.abort();
    this.discard();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Resolves when the peer has ended its direction or the conversation was cut short. */
  async ended(): Promise<Ending> {
    if (!this.ending) await new Promise<void>((resolve) => void this.#whenOver.push(resolve));
    return this.ending!;
  }

  /** Drops what is unread and what still comes. */
  discard(): void {
    this.#discarding = true;
    for (const message of this.#inbox.splice(0)) this.#drop(message);
  }

  // ── events of the core, for `Circuits` alone ──

  gotAccepted(): void {
    this.#accepted = true;
    for (const wake of this.#whenAccepted.splice(0)) wake();
  }

  gotMessage(message: Received<CircuitDescriptor>): void {
    if (this.#discarding) return this.#drop(message);
    const reader = this.#readers.shift();
    if (reader) reader.resolve({ value: this.#taken(message), done: false });
    else this.#inbox.push(message);
  }

  gotEnd(ending: Ending): void {
    this.#peerEnded = ending;
    this.#finish();
  }

  gotAbort(ending: Ending): void {
    this.#aborted = ending;
    // After a good end the messages stand: only our own direction was cut.
    if (!this.#peerEnded) this.discard();
    this.#cancelled.abort(cut(ending));
    this.gotSpace();
    this.#finish();
  }

  gotSpace(): void {
    for (const wake of this.#spaceWaiters.splice(0)) wake();
  }

  /** The circuit belongs to somebody else from here. */
  gotIdle(): void {
    this.#over = true;
    this.gotSpace();
  }

  #finish(): void {
    const readers = this.#readers;
    this.#readers = [];
    const ending = this.ending!;
    for (const { resolve, reject } of readers) {
      if (isSuccess(ending.status) && !this.#aborted) resolve({ value: undefined, done: true });
      else reject(cut(ending));
    }
    for (const wake of [...this.#whenAccepted.splice(0), ...this.#whenOver.splice(0)]) wake();
  }

  #taken(message: Received<CircuitDescriptor>): CircuitMessage {
    this.#endpoint.core.consumed(this.circuit, message);
    this.#endpoint.kick();
    return { bytes: message.bytes, descriptors: message.descriptors };
  }

  #drop(message: Received<CircuitDescriptor>): void {
    for (const descriptor of message.descriptors) descriptor.close();
    this.#endpoint.core.consumed(this.circuit, message);
    this.#endpoint.kick();
  }
}

/** Duplicates of all, or of none: an `IpcnetError` (305) when the process has no room for more. */
export function duplicates(descriptors: readonly CircuitDescriptor[]): CircuitDescriptor[] {
  const copies: CircuitDescriptor[] = [];
  try {
    for (const descriptor of descriptors) copies.push(descriptor.dup());
    return copies;
  } catch (error) {
    for (const copy of copies) copy.close();
    throw new IpcnetError(Status.insufficientStorage, `cannot duplicate a descriptor: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function cut({ status, text }: Ending): IpcnetError {
  return new IpcnetError(status, text || "ended by the peer");
}

/** The calls that this program is answering: one `Answering` per call, from its arrival to its last word. */
import { systemClock } from "../../schemas/clock.ts";
import { IpcnetError, Status, statusText } from "../../schemas/status.ts";
import { cutText } from "../protocol/control.ts";
import type { CallMessage } from "../protocol/serviceMessages.ts";
import { closeAll, type Descriptor, noDescriptors } from "../sockets/index.ts";
import type { Link, Post } from "./link.ts";
import type { Call, ServiceHandler } from "./serviceApi.ts";

type Result = Extract<Post, { op: "result" }>;

export class Answering implements Call {
  readonly caller: Call["caller"];
  readonly deadlineUs: number;
  readonly descriptors: readonly Descriptor[];
  readonly #link: Link;
  readonly #number: number;
  readonly #service: string;
  readonly #abort = new AbortController();
  /** undefined: the caller wants no stream. */
  #credit: number | undefined;
  /** Items that wait for credit. */
  readonly #waiting: (() => void)[] = [];
  #answered = false;

  constructor(link: Link, { call, service, caller, timeoutMs, stream }: CallMessage, descriptors: readonly Descriptor[]) {
    this.#link = link;
    this.#number = call;
    this.#service = service;
    this.caller = caller;
    this.deadlineUs = systemClock.nowUs() + timeoutMs * 1e3;
    this.descriptors = descriptors;
    this.#credit = stream;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  addCredit(items: number): void {
    this.#credit = (this.#credit ?? 0) + items;
    this.#wake();
  }

  /** Nobody waits for the answer any more. */
  cancel(status: number, text: string): void {
    this.#abort.abort(new IpcnetError(status, text));
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Runs the handler and says the last word, whatever happens: the gateway keeps this call's place until then. Never rejects. */
  async run(body: unknown, handler: ServiceHandler): Promise<void> {
    try {
      const answer = await handler(body, this);
      if (isAsyncIterable(answer)) await this.#stream(answer);
      else if (!this.#answered) await this.#last({ status: Status.ok, text: "", body: answer });
    } catch (error) {
      if (!this.#answered) await this.#last(failure(error));
    } finally {
      closeAll(this.descriptors);
    }
  }

  reply(body?: unknown, descriptors: readonly Descriptor[] = noDescriptors): void {
    if (this.#answered) return;
    this.#answered = true;
    const verdict = this.#link.post(this.#result({ status: Status.ok, text: "", body }), descriptors);
    if (verdict === "full") {
      this.#answered = false;
      throw new IpcnetError(Status.tooManyRequests, "the gateway does not read as fast as this program writes");
    }
  }

  async item(body: unknown, descriptors: readonly Descriptor[] = noDescriptors): Promise<void> {
    if (this.#credit === undefined) throw new IpcnetError(Status.badRequest, `${this.#service} answers with a stream: call it by stream()`);
    while (this.#credit === 0 && !this.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
    this.signal.throwIfAborted();
    this.#credit -= 1;
    await this.#post({ ...this.#result({ status: Status.ok, text: "", body }), more: true }, descriptors);
  }

  async #stream(items: AsyncIterable<unknown>): Promise<void> {
    // Leaving the loop, also by an error, ends the generator.
    for await (const item of items) await this.item(item);
    await this.#last({ status: Status.ok, text: "", body: undefined });
  }

  async #last(answer: { status: number; text: string; body: unknown }): Promise<void> {
    this.#answered = true;
    try {
      await this.#post(this.#result(answer));
    } catch (error) {
      // The answer has no encoding or is too large: that is what the caller gets to know.
      await this.#post(this.#result({ ...failure(error), body: undefined }));
    }
  }

  async #post(result: Result, descriptors: readonly Descriptor[] = noDescriptors): Promise<void> {
    while (this.#link.post(result, descriptors) === "full") await this.#link.room();
  }

  #result({ status, text, body }: { status: number; text: string; body: unknown }): Result {
    return { op: "result", call: this.#number, status, text: cutText(text), body, more: false };
  }
}

function failure(error: unknown): { status: number; text: string; body: unknown } {
  if (error instanceof IpcnetError) return { status: error.status, text: reason(error), body: error.details };
  return { status: Status.internalError, text: error instanceof Error ? error.message : String(error), body: undefined };
}

/** The sentence without the status in front, which travels beside it. */
function reason({ status, message }: IpcnetError): string {
  const prefix = `${status} ${statusText(status)}: `;
  return message.startsWith(prefix) ? message.slice(prefix.length) : message;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

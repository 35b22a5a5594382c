/**
 * Messages waiting for the line: each message at most once, with its latest value, in the order in which they first came.
 * Bounded in frames and bytes; what does not fit is refused, what is too late is dropped when its turn comes.
 */
export interface SerialOutgoing {
  /** 0 … 0xFFFE. */
  id: number;
  /** Copied when it is queued. */
  body: Uint8Array;
  /** CLOCK_MONOTONIC µs; never sent after it. */
  deadlineUs: number;
}

export class SendQueue {
  readonly #waiting = new Map<number, SerialOutgoing>();
  readonly #framesMax: number;
  readonly #bytesMax: number;
  #bytes = 0;

  constructor({ queueFrames, queueBytes }: { queueFrames: number; queueBytes: number }) {
    this.#framesMax = queueFrames;
    this.#bytesMax = queueBytes;
  }

  get frames(): number {
    return this.#waiting.size;
  }
  get bytes(): number {
    return this.#bytes;
  }

  /** "replaced": an older value of the same message will not be sent. */
  put({ id, body, deadlineUs }: SerialOutgoing): "queued" | "replaced" | "full" {
    const old = this.#waiting.get(id);
    const bytes = this.#bytes - (old?.body.length ?? 0) + body.length;
    if (bytes > this.#bytesMax || (!old && this.#waiting.size >= this.#framesMax)) return "full";
    this.#bytes = bytes;
    this.#waiting.set(id, { id, body: body.slice(), deadlineUs });
    return old ? "replaced" : "queued";
  }

  take(): SerialOutgoing | undefined {
    const first = this.#waiting.values().next();
    if (first.done) return undefined;
    this.#waiting.delete(first.value.id);
    this.#bytes -= first.value.body.length;
    return first.value;
  }

  /** Empties the queue; returns how many were in it. */
  clear(): number {
    const frames = this.#waiting.size;
    this.#waiting.clear();
    this.#bytes = 0;
    return frames;
  }
}

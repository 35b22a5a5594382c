/**
 * What waits to be handed to an MQTT driver that has enough to do: a burst of samples comes all at once, the broker takes some thousand at a time.
 * Bounded in messages and bytes; when full the oldest goes, counted. Order is kept. Pure but for `send`.
 */
import type { SendVerdict } from "../../drivers/driver.ts";
import type { MqttOutgoing } from "../../drivers/mqtt/message.ts";

/** A full 1 Mbit/s bus for two seconds, as JSON of some 200 bytes. */
export const OUT_QUEUE_LIMITS = { messages: 16_384, bytes: 8 << 20 } as const;
/** How soon to try again, ms: the driver takes more as soon as its sockets do. */
const RETRY_MS = 1;

export class MqttOutQueue {
  readonly counters = { sent: 0, dropped: 0, refused: 0 };
  readonly #send: (outgoing: MqttOutgoing) => SendVerdict;
  #waiting: MqttOutgoing[] = [];
  /** Index of the oldest; the array is cut when half of it is used up. */
  #first = 0;
  #bytes = 0;
  #retryUs = 0;

  constructor(send: (outgoing: MqttOutgoing) => SendVerdict) {
    this.#send = send;
  }

  get length(): number {
    return this.#waiting.length - this.#first;
  }

  push(outgoing: MqttOutgoing, nowUs: number): void {
    if (this.length === 0 && this.#offer(outgoing)) return;
    while (this.length > 0 && (this.length >= OUT_QUEUE_LIMITS.messages || this.#bytes + outgoing.payload.length > OUT_QUEUE_LIMITS.bytes)) {
      this.#take();
      this.counters.dropped += 1;
    }
    if (this.length === 0) this.#retryUs = nowUs + RETRY_MS * 1e3;
    this.#waiting.push(outgoing);
    this.#bytes += outgoing.payload.length;
  }

  /** Hands over as much as the driver takes. */
  poll(nowUs: number): void {
    if (nowUs < this.#retryUs) return;
    while (this.length > 0 && this.#offer(this.#waiting[this.#first]!)) this.#take();
    this.#retryUs = nowUs + RETRY_MS * 1e3;
  }

  nextDeadlineUs(): number | undefined {
    return this.length === 0 ? undefined : this.#retryUs;
  }

  /** False: try again later. What is refused for good counts as done. */
  #offer(outgoing: MqttOutgoing): boolean {
    const verdict = this.#send(outgoing);
    if (verdict === "queueFull") return false;
    if (verdict === "queued") this.counters.sent += 1;
    else this.counters.refused += 1;
    return true;
  }

  #take(): void {
    this.#bytes -= this.#waiting[this.#first]!.payload.length;
    this.#first += 1;
    if (this.#first * 2 < this.#waiting.length) return;
    this.#waiting = this.#waiting.slice(this.#first);
    this.#first = 0;
  }
}

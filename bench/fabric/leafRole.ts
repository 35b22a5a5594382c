/** What a leaf does with messages: sends them back, acknowledges each, or counts them. */
import type { Endpoint } from "./peer.ts";

export type LeafMode = "echo" | "acknowledge" | "count";

export interface LeafCounts {
  messages: number;
  bytes: number;
  /** CPU time of this process so far, µs. */
  cpuUs: number;
}

/** In the window mode one acknowledgement answers so many messages of a full window. */
const ACKNOWLEDGEMENTS_PER_WINDOW = 4;

export class LeafRole {
  #endpoint: Endpoint | undefined;
  #mode: LeafMode = "count";
  #every = 0;
  #messages = 0;
  #bytes = 0;
  readonly #answer = new Uint8Array(16);

  attach(endpoint: Endpoint): void {
    this.#endpoint = endpoint;
  }

  /** `window`: messages that the hub may have under way; 0 = nothing is acknowledged while counting. */
  begin({ mode, window }: { mode: LeafMode; window: number }): void {
    this.#mode = mode;
    this.#every = window === 0 ? 0 : Math.max(1, Math.floor(window / ACKNOWLEDGEMENTS_PER_WINDOW));
    this.#messages = 0;
    this.#bytes = 0;
  }

  take(bytes: Uint8Array): void {
    this.#messages += 1;
    this.#bytes += bytes.length;
    if (this.#mode === "echo") this.#endpoint!.send(bytes);
    else if (this.#mode === "acknowledge" || (this.#every > 0 && this.#messages % this.#every === 0)) this.#acknowledge();
  }

  counts(): LeafCounts {
    const { user, system } = process.cpuUsage();
    return { messages: this.#messages, bytes: this.#bytes, cpuUs: user + system };
  }

  #acknowledge(): void {
    new DataView(this.#answer.buffer).setFloat64(0, this.#messages, true);
    this.#endpoint!.send(this.#answer);
  }
}

/** How many messages a hub may have under way when the transport itself does not push back. */
export function windowFor(payloadBytes: number): number {
  // 1024 small ones, and never more than 8 MiB.
  return Math.max(8, Math.min(1024, Math.floor(8_388_608 / payloadBytes)));
}

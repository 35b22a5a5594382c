/** What makes the daemon stop: a signal, or the end of whoever started it. The first is the reason; each further signal is told as well, because nothing may cut a safe pose short. */
import type { EventEmitter } from "node:events";

export interface StopAsked {
  /** For people. */
  why: string;
  /** SIGTERM, as a service manager sends it; only then is it asked whether the whole system stops. */
  byManager: boolean;
  /** Whoever started it is gone: nobody shall go on in its place. */
  starterGone: boolean;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** Under `npm start` a Ctrl-C may arrive twice, once from the terminal and once passed on; two of a person's are farther apart. */
const SAME_MS = 100;

export class StopSignals {
  /** Never rejects. */
  readonly asked: Promise<StopAsked>;
  readonly #again: ((why: string) => void)[] = [];
  #resolve!: (asked: StopAsked) => void;
  #last: { signal: string; atMs: number } | undefined;

  /** The handlers stay for good. `starter`: its end counts as well. */
  constructor({ signals, starter, nowMs }: { signals: Pick<EventEmitter, "on">; starter: NodeJS.ReadableStream | undefined; nowMs: () => number }) {
    this.asked = new Promise((resolve) => (this.#resolve = resolve));
    for (const signal of SIGNALS) signals.on(signal, () => this.#signalled(signal, nowMs()));
    const gone = (): void => this.#resolve({ why: "the program that started the gateway is gone", byManager: false, starterGone: true });
    starter?.on("end", gone);
    starter?.on("error", gone);
    starter?.resume();
  }

  /** Told of each signal after the first. */
  onAgain(listener: (why: string) => void): void {
    this.#again.push(listener);
  }

  #signalled(signal: (typeof SIGNALS)[number], atMs: number): void {
    const last = this.#last;
    this.#last = { signal, atMs };
    const why = signal === "SIGINT" ? "interrupted (Ctrl-C)" : `stopped (${signal})`;
    if (!last) return this.#resolve({ why, byManager: signal === "SIGTERM", starterGone: false });
    if (last.signal === signal && atMs - last.atMs < SAME_MS) return;
    for (const listener of this.#again) listener(why);
  }
}

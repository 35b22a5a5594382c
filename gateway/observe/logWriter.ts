/**
 * Writes log lines without ever waiting for whoever reads them. Node's own stderr writes to pipes and sockets synchronously: a journal or a supervisor
 * that stands still would stand the gateway still. Here pipes and sockets are written as streams; what piles up is bounded, what does not fit is
 * dropped and counted. Files and terminals take what they are given at once.
 */
import { fstatSync, writeSync } from "node:fs";
import { Socket } from "node:net";

/** What may wait for a reader: thousands of lines, some seconds of a storm of events, which are limited themselves. */
export const WAITING_BYTES_MAX = 256 << 10;

export class LogWriter {
  readonly #fd: number;
  readonly #stream: Socket | undefined;
  #dropped = 0;
  #broken = false;

  constructor(fd: number) {
    this.#fd = fd;
    const kind = fstatSync(fd);
    if (!kind.isFIFO() && !kind.isSocket()) return;
    this.#stream = new Socket({ fd, readable: false, writable: true });
    // A reader that is gone: there is nobody left to tell.
    this.#stream.on("error", () => (this.#broken = true));
    // The log alone keeps no process alive.
    this.#stream.unref();
  }

  /** Lines that nobody took. */
  get dropped(): number {
    return this.#dropped;
  }

  line(text: string): void {
    if (this.#broken || (this.#stream && this.#stream.writableLength + text.length > WAITING_BYTES_MAX)) {
      this.#dropped += 1;
      return;
    }
    if (this.#stream) this.#stream.write(text);
    else writeSync(this.#fd, text);
  }

  /** Resolves when everything was taken, or after `timeoutMs` if nobody reads. */
  flush(timeoutMs: number): Promise<void> {
    const stream = this.#stream;
    if (!stream || this.#broken || stream.writableLength === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      stream.write("", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

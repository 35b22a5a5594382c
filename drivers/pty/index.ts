/**
 * A pseudo-terminal as a stream: whoever opens `path` (serialport, slcand, minicom) talks to `stream`. It stands in for a serial device in tests
 * and carries the emulated CAN bus's slcan port.
 *
 * The other end is in raw mode from the start and held open by us: bytes written before anybody opened `path` wait there (about 4 KiB; serialport
 * discards them when it opens), and a program that closes it is no error here. `close()` is the unplugged cable: who reads `path` then gets an end of
 * file, who writes EIO. (serialport notices only if it was waiting in a poll; a read that began just after the hang-up returns 0 for ever.)
 */
import { closeSync, writeSync } from "node:fs";
import { Duplex } from "node:stream";
import { ReadStream } from "node:tty";
import { DriverError } from "../driver.ts";
import { native } from "../can/native.ts";

export interface Pty {
  /** What the other side opens, e.g. /dev/pts/7. */
  readonly path: string;
  readonly stream: Duplex;
  /** Hangs up. May be called any number of times; bytes not yet taken by the other side are lost. */
  close(): void;
}

/** How long a writer waits before it offers its bytes again to a reader that does not keep up. */
const RETRY_MS = 1;

/** Opens a pseudo-terminal. Rejects with a DriverError "ptyUnavailable" where the system gives none. */
export async function openPty(): Promise<Pty> {
  const addon = native();
  try {
    const { masterFd, slaveFd, path } = addon.openPty();
    const stream = new PtyStream(masterFd, slaveFd);
    return { path, stream, close: () => void stream.destroy() };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DriverError("ptyUnavailable", why, "mount -t devpts devpts /dev/pts", { cause });
  }
}

/**
 * Reading goes through Node's own terminal stream, which polls. Writing does not: that stream writes to a master end in blocking mode, and
 * one that waits for a reader in the same process waits for ever. So writes are offered non-blockingly, and again when the kernel's buffer was full.
 */
class PtyStream extends Duplex {
  readonly #masterFd: number;
  readonly #slaveFd: number;
  readonly #reader: ReadStream;
  #retry: NodeJS.Timeout | undefined;

  constructor(masterFd: number, slaveFd: number) {
    super({ allowHalfOpen: false });
    this.#masterFd = masterFd;
    this.#slaveFd = slaveFd;
    this.#reader = new ReadStream(masterFd);
    this.#reader.on("data", (bytes: Buffer) => {
      if (!this.push(bytes)) this.#reader.pause();
    });
    this.#reader.on("error", (error) => this.destroy(error));
    this.#reader.on("end", () => this.destroy());
  }

  override _read(): void {
    this.#reader.resume();
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    let written = 0;
    try {
      written = writeSync(this.#masterFd, bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") {
        done(error as Error);
        return;
      }
    }
    if (written === bytes.length) done();
    else this.#retry = setTimeout(() => this._write(bytes.subarray(written), "binary", done), RETRY_MS);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#retry);
    this.#reader.once("close", () => {
      closeSync(this.#slaveFd);
      done(error);
    });
    this.#reader.destroy(); // closes the master
  }
}

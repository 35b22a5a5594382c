/**
 * A file descriptor that this thread owns: received with a packet, opened, or to be sent. Whoever holds the object closes it, exactly once, or hands it on.
 *
 * The safety net: one that was forgotten is closed when it is collected, and counted in `Descriptor.leaked`; those of a thread that ends are closed with it. A test that wants 0 leaks
 * looks at the count; a program must not rely on the net, because a descriptor costs the collector nothing and the process a lot.
 */
import { hub, SocketError } from "./native.ts";

const EBADF = 9;
let leaked = 0;
const forgotten = new FinalizationRegistry<number>((fd) => {
  leaked += 1;
  hub().native.descriptorClose(fd);
});

export class Descriptor {
  #fd: number;

  /** Of a number that the addon holds for us; others take `open` and `adopt`. */
  private constructor(fd: number) {
    this.#fd = fd;
    forgotten.register(this, fd, this);
  }

  /** Opens `path` with `flags` (node:fs constants; O_CLOEXEC is added; O_CREAT gives mode 0600), or throws a `SocketError`. */
  static open(path: string, flags: number): Descriptor {
    const fd = hub().native.descriptorOpen(path, flags);
    if (fd < 0) throw new SocketError(-fd, `cannot open ${path}`);
    return new Descriptor(fd);
  }

  /** Takes over an open descriptor that nobody else will close: one that was inherited, or node:fs's. Throws a `SocketError`: EBADF it is not open, EBUSY somebody holds it already. */
  static adopt(fd: number): Descriptor {
    const status = hub().native.descriptorAdopt(fd);
    if (status < 0) throw new SocketError(-status, `cannot adopt descriptor ${fd}`);
    return new Descriptor(fd);
  }

  /** A descriptor of the same open file as `fd`, which stays whose it is: for what Node holds. Throws a `SocketError`: EBADF, EMFILE. */
  static copyOf(fd: number): Descriptor {
    const copy = hub().native.descriptorCopy(fd);
    if (copy < 0) throw new SocketError(-copy, `cannot copy descriptor ${fd}`);
    return new Descriptor(copy);
  }

  /** Both ends of a SEQPACKET connection, to hand on; `SeqpacketConnection.of` makes a connection of one. */
  static pair(): [Descriptor, Descriptor] {
    const fds = new Uint32Array(2);
    const status = hub().native.descriptorPair(fds);
    if (status < 0) throw new SocketError(-status, "cannot make a socket pair");
    return [new Descriptor(fds[0]!), new Descriptor(fds[1]!)];
  }

  /** For shm/ alone: wraps a number that the addon has just handed out as held. */
  static ofHeld(fd: number): Descriptor {
    return new Descriptor(fd);
  }

  /** Descriptors of this thread that were never closed and had to be collected. */
  static get leaked(): number {
    return leaked;
  }

  /** The number, for system calls that only use it. Throws a `SocketError` (EBADF) once it is closed. */
  get fd(): number {
    if (this.#fd < 0) throw new SocketError(EBADF, "the descriptor is closed");
    return this.#fd;
  }

  get isOpen(): boolean {
    return this.#fd >= 0;
  }

  /**
   * Closes it; again does nothing. One that was received is closed by another thread, a moment later, unless it is memory, a pipe or a Unix socket: closing a file of somebody
   * else's file system may take as long as that likes.
   */
  close(): void {
    if (this.#fd < 0) return;
    hub().native.descriptorClose(this.release());
  }

  /** Another descriptor of the same open file, or throws a `SocketError` (EMFILE). */
  dup(): Descriptor {
    const fd = hub().native.descriptorDup(this.fd);
    if (fd < 0) throw new SocketError(-fd, "cannot duplicate a descriptor");
    return new Descriptor(fd);
  }

  /** For shm/ alone: gives the number to native code that owns it from now on. */
  release(): number {
    const fd = this.fd;
    this.#fd = -1;
    forgotten.unregister(this);
    return fd;
  }
}

/** What a packet without descriptors comes with. */
export const noDescriptors: Descriptor[] = Object.freeze([]) as unknown as Descriptor[];

export function closeAll(descriptors: readonly Descriptor[]): void {
  for (const descriptor of descriptors) descriptor.close();
}

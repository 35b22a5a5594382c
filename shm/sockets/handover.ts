/** What a pair of processes needs of the kernel: the page that one writes and the other reads, a lock, a sure kill, a file without a name, systemd's socket. */
import { closeAll, Descriptor } from "./descriptor.ts";
import { type Hub, hub, type Pollable, Ready, SocketError } from "./native.ts";

/** Slots of a page: connections at a time. As IPCNET_HANDOVER_SLOTS. */
export const HANDOVER_SLOTS = 2048;

function checked(status: number, what: string): number {
  if (status < 0) throw new SocketError(-status, what);
  return status;
}

/** This process's own page: 256 words that only it writes. Once per thread. */
export class OwnPage {
  /** Sealed and read-only, to hand over. */
  readonly descriptor: Descriptor;
  readonly words: Uint32Array;

  constructor() {
    const { native } = hub();
    this.descriptor = Descriptor.ofHeld(checked(native.handoverMake(), "cannot make the handover page"));
    const words = native.handoverWords();
    if (typeof words === "number") throw new SocketError(-words, "cannot map the handover page");
    this.words = new Uint32Array(words);
  }

  /** From now on a fatal signal of this process's own making (a fault, abort) writes `value` to word `word` before it kills. Once a process. */
  markCrash(word: number, value: number): void {
    checked(hub().native.handoverMarkCrash(word, value), "cannot watch for fatal signals");
  }
}

/** The twin's page. Its words change under the reader's eyes; writing them would end this process. */
export class TwinPage {
  readonly words: Uint32Array;

  /** Replaces an earlier twin's. Throws a `SocketError`: EINVAL it is no such page. */
  constructor(descriptor: Descriptor) {
    const words = hub().native.handoverOpen(descriptor.fd);
    if (typeof words === "number") throw new SocketError(-words, "this is no handover page");
    this.words = new Uint32Array(words);
  }

  /** undefined: the descriptor is no such page. */
  static of(descriptor: Descriptor): TwinPage | undefined {
    try {
      return new TwinPage(descriptor);
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      return undefined;
    }
  }

  /** How many packets the connection in `slot` was given. Exact once the twin is dead. */
  sent(slot: number): number {
    return checked(hub().native.handoverSent(slot), "cannot read the handover page");
  }
}

/** Takes the lock at `path` for as long as the descriptor is open; undefined: somebody else has it. Throws a `SocketError` when there can be none. */
export function lockFile(path: string): Descriptor | undefined {
  const fd = hub().native.lockFile(path);
  return fd === -EWOULDBLOCK ? undefined : Descriptor.ofHeld(checked(fd, `cannot lock ${path}`));
}

/** SIGKILL to the process behind a pidfd: stopped ones die too, and nothing of theirs runs any more. It is dead when `onDeath` says so. Throws a `SocketError` (EPERM). */
export function killBehind(pidfd: Descriptor): void {
  const status = hub().native.killBehind(pidfd.fd);
  if (status !== -ESRCH) checked(status, "cannot end the twin");
}

/** An empty file in memory. Throws a `SocketError`. */
export function memoryFile(name: string): Descriptor {
  return Descriptor.ofHeld(checked(hub().native.memoryFile(name), "cannot make a file in memory"));
}

/** One datagram to systemd's notification socket, with a descriptor. Throws a `SocketError`. */
export function notifySystemd(path: string, text: string, descriptor?: Descriptor): void {
  checked(hub().native.notify(path, Buffer.from(text), descriptor === undefined ? 0 : descriptor.fd + 1), `cannot notify ${path}`);
}

/** Calls `listener` once when the process behind `pidfd` has died; returns how to stop waiting. The pidfd stays the caller's. */
export function onDeath(pidfd: Descriptor, listener: () => void): () => void {
  const watch = new Watch(pidfd, listener);
  return () => watch.stop();
}

/**
 * What becomes of the maker of the twin's page. `dying` is a sign: its main thread has begun to die, milliseconds before the kernel calls the process dead. It is killed then in any case.
 * `over` is a proof: none of its threads will ever do anything again, although its memory may still be there and its descriptors open. It may not come (where /proc is hidden); `onDeath`
 * always does.
 *
 * From `dying` or `kill` on all threads of both processes are scheduled before everybody else's, where that is allowed: until `end`, at the longest half a second.
 */
export class TwinLife {
  /** Whether priorities may be raised here (RLIMIT_RTPRIO, RLIMIT_NICE, CAP_SYS_NICE). */
  readonly mayRaise: boolean;
  readonly #events: Descriptor[];
  readonly #watches: (() => void)[];
  #isOpen = true;

  /** Of the process `pid`, known by `pidfd` too, which made the page that was opened last. One at a time. Throws a `SocketError` without resources. */
  constructor({ pid, pidfd }: { pid: number; pidfd: Descriptor }, { dying, over }: { dying(): void; over(): void }) {
    const result = new Uint32Array(3);
    checked(hub().native.lifeWatch(pid, pidfd.fd, result), "cannot watch the twin's life");
    this.mayRaise = result[2] === 1;
    this.#events = [Descriptor.ofHeld(result[0]!), Descriptor.ofHeld(result[1]!)];
    this.#watches = [onDeath(this.#events[0]!, dying), onDeath(this.#events[1]!, over)];
  }

  /** SIGKILL: stopped ones die too, and nothing of theirs runs any more. Throws a `SocketError` (EPERM). */
  kill(): void {
    const status = hub().native.lifeKill();
    if (status !== -ESRCH) checked(status, "cannot end the twin");
  }

  /** Gives the priorities back, and watches no longer. */
  end(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    for (const stop of this.#watches) stop();
    closeAll(this.#events);
    hub().native.lifeEnd();
  }
}

class Watch implements Pollable {
  readonly id: number;
  readonly #hub: Hub;
  readonly #listener: () => void;
  #open = true;

  constructor(descriptor: Descriptor, listener: () => void) {
    this.#hub = hub();
    this.#listener = listener;
    this.id = checked(this.#hub.native.watch(descriptor.fd), "cannot watch a descriptor");
    this.#hub.add(this);
    this.#hub.arm(this);
  }

  interest(): number {
    return Ready.read;
  }

  ready(): void {
    if (!this.#open) return;
    this.stop();
    this.#listener();
  }

  stop(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#hub.close(this);
  }
}

const EWOULDBLOCK = 11;
const ESRCH = 3;

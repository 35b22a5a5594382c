/** A listening SEQPACKET socket. It appears at its path only when it listens and has its mode, and never takes the place of a live one. */
import { type ConnectionOptions, SeqpacketConnection } from "./connection.ts";
import { Descriptor } from "./descriptor.ts";
import { type Hub, hub, type Pollable, Ready, SocketError } from "./native.ts";

export interface ListenOptions {
  /** File mode of the socket: who may connect. Default 0o600. */
  mode?: number;
  /** Group id of the file. Default: as the process's. */
  group?: number;
  /** Connections that may wait to be accepted; more are told to try again. */
  backlog?: number;
  connection?: ConnectionOptions;
}

/** Accepting more than this in one turn would make the clients that are there wait. */
const ACCEPTS_PER_TURN = 16;
/** When the process has no descriptor left: the connection waits, and asking more often would only burn time. */
const RETRY_MS = 100;
const NO_GROUP = 0xffff_ffff;
const EAGAIN = 11;
const ECONNABORTED = 103;

export class SeqpacketServer implements Pollable {
  readonly id: number;
  readonly path: string;
  readonly #hub: Hub;
  readonly #options: ConnectionOptions | undefined;
  #connection: ((connection: SeqpacketConnection) => void) | undefined;
  #error: ((error: SocketError) => void) | undefined;
  #perConnection: () => ConnectionOptions = () => ({});
  #waiting = false;
  #open = true;

  private constructor(id: number, path: string, options: ConnectionOptions | undefined) {
    this.id = id;
    this.path = path;
    this.#options = options;
    this.#hub = hub();
    this.#hub.add(this);
  }

  /** Listens at `path`, or throws a `SocketError`: EADDRINUSE somebody alive listens there, ENOTSOCK the path is another kind of file, EACCES, ENAMETOOLONG (99 bytes). */
  static listen(path: string, { mode = 0o600, group = NO_GROUP, backlog = 128, connection }: ListenOptions = {}): SeqpacketServer {
    const id = hub().native.listen(path, mode, group, backlog);
    if (id < 0) throw new SocketError(-id, `cannot listen on ${path}`);
    return new SeqpacketServer(id, path, connection);
  }

  /** Goes on with a listening socket that was handed over (`descriptor` is taken) and is known at `path`. Throws a `SocketError`. */
  static of(descriptor: Descriptor, path: string, { connection }: Pick<ListenOptions, "connection"> = {}): SeqpacketServer {
    const id = hub().native.listenerOf(descriptor.release(), path);
    if (id < 0) throw new SocketError(-id, `cannot go on listening on ${path}`);
    return new SeqpacketServer(id, path, connection);
  }

  /** A copy of the listening socket's descriptor, to hand on. Throws a `SocketError`. */
  descriptor(): Descriptor {
    const fd = this.#hub.native.descriptorOf(this.id);
    if (fd < 0) throw new SocketError(-fd, "cannot copy a listener's descriptor");
    return Descriptor.ofHeld(fd);
  }

  /** Somebody else goes on listening here: the socket file stays when this is closed. */
  keepPath(): void {
    this.#hub.native.keepPath(this.id);
  }

  /** What accepted connections get from now on. */
  connectionOptions(options: () => ConnectionOptions): void {
    this.#perConnection = options;
  }

  /** Sets the listener for accepted connections and starts accepting. */
  onConnection(listener: (connection: SeqpacketConnection) => void): void {
    this.#connection = listener;
    if (this.#open) this.#hub.arm(this);
  }

  /** Sets the listener for failures to accept (out of descriptors, mostly); accepting goes on by itself. */
  onError(listener: (error: SocketError) => void): void {
    this.#error = listener;
  }

  /** Stops listening and removes the socket file. Accepted connections live on. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#hub.close(this);
  }

  interest(): number {
    return this.#connection && !this.#waiting ? Ready.read : 0;
  }

  ready(): void {
    for (let i = 0; i < ACCEPTS_PER_TURN && this.#open; i++) {
      const id = this.#hub.native.accept(this.id);
      if (id === -EAGAIN) break;
      if (id === -ECONNABORTED) continue;
      if (id < 0) return this.#later(new SocketError(-id, "cannot accept a connection"));
      this.#accepted(id);
    }
  }

  #accepted(id: number): void {
    const connection = new SeqpacketConnection(id, { pidfd: "wanted", ...this.#options, ...this.#perConnection() });
    if (this.#connection) this.#connection(connection);
    else connection.close();
  }

  #later(error: SocketError): void {
    this.#waiting = true;
    setTimeout(() => {
      this.#waiting = false;
      if (this.#open) this.#hub.arm(this);
    }, RETRY_MS).unref();
    this.#error?.(error);
  }
}

/**
 * One SEQPACKET connection at the edge. Nothing blocks: what the peer does not read at once waits in a bounded queue, and reading can be paused, which
 * pushes back on the peer alone. Listeners are called on the thread that made the connection, never from within `send`.
 */
import type { PacketTransport, SendVerdict } from "../protocol/channel.ts";
import { PACKET_BYTES_MAX } from "../protocol/limits.ts";
import { closeAll, Descriptor, noDescriptors } from "./descriptor.ts";
import { DESCRIPTORS_PER_PACKET_MAX, type Hub, hub, type Pollable, Ready, ReceiveInfo, ReceiveState, SocketError } from "./native.ts";
import { PacketQueue, writeDescriptors } from "./packetQueue.ts";

/** Who is at the other end, by the kernel's word at connect time. */
export interface PeerIdentity {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
  /** When the process started, in clock ticks since boot: with the pid it names a process for good. Only with a pidfd, and where /proc shows that process. */
  readonly startTime?: number | undefined;
  /**
   * The process itself: becomes readable when it dies, and is never another process's. The connection's, closed with it. Accepted connections have it, unless the process was gone by then
   * or its number may have passed to another one (kernels before 6.5): such a peer is known by its user alone.
   */
  readonly pidfd?: Descriptor | undefined;
}

/** Whether the process behind a pidfd still lives. */
export function isAlive(pidfd: Descriptor): boolean {
  return pidfd.isOpen && hub().native.isAlive(pidfd.fd) === 1;
}

/** peerClosed: an orderly end; local: `close()` was called; the others are faults of the peer or the system. */
export type CloseCode = "peerClosed" | "local" | "packetTooLarge" | "tooManyDescriptors" | "system";

export interface CloseReason {
  code: CloseCode;
  text: string;
}

export interface ConnectionOptions {
  /** What may wait while the peer does not read. Beyond it `send` says "full": nothing is ever dropped here, because packets are numbered. */
  queue?: { capacityBytes: number; whenFull: "refuse" };
  /** Larger packets from the peer end the connection. */
  packetBytesMax?: number;
  /** Whether `peer` gets its pidfd: "byNumber" as on kernels before 6.5, for tests. Costs a descriptor. */
  pidfd?: "none" | "wanted" | "byNumber";
  /**
   * For a connection that a twin process can take over: packets are only looked at when they come, and taken by `consume`; those that go out are counted in this slot of the handover
   * page (shm/sockets/handover.ts), in which `sentBefore` stands already. Closing it ends it for the peer although the twin has a copy.
   */
  handover?: { slot: number; sentBefore: number };
  /** Instead of asking the kernel: for a connection that was taken over. The pidfd becomes the connection's. */
  peer?: PeerIdentity;
}

const pidfdCode = { none: 0, wanted: 1, byNumber: 2 } as const;

/** 1 MiB: 16 of the largest packets; a reply to "list all topics" of a large robot (≈ 600 KB) fits. */
const QUEUE_BYTES_DEFAULT = 1_048_576;
/** The kernel doubles it and caps it by net.core.wmem_max: six of the largest packets in flight instead of three. */
const SEND_BUFFER_BYTES = 212_992;
const PACKETS_PER_CALL = 16;
/** When this user has too many descriptors on their way (ETOOMANYREFS): nothing tells when others have read theirs. */
const RETRY_MS = 20;

/** Called with a packet: the bytes are borrowed until it returns, the descriptors (at most 4, mostly none) belong to it. */
export type PacketListener = (bytes: Uint8Array, at: number, lengthBytes: number, descriptors: Descriptor[]) => void;

export class SeqpacketConnection implements Pollable, PacketTransport {
  readonly id: number;
  readonly peer: PeerIdentity;
  readonly #hub: Hub;
  readonly #queue: PacketQueue;
  readonly #packetBytesMax: number;
  /** Slot of the handover page; undefined: it is not handed over. */
  readonly #mark: number | undefined;
  readonly #spans = new Uint32Array(2 * PACKETS_PER_CALL);
  readonly #attached = new Uint32Array((1 + DESCRIPTORS_PER_PACKET_MAX) * PACKETS_PER_CALL);
  #packet: PacketListener | undefined;
  #drain: (() => void) | undefined;
  #closing: (() => void) | undefined;
  #close: ((reason: CloseReason) => void) | undefined;
  #paused = false;
  #hungUp = false;
  #ending = false;
  /** Nothing can be sent any more; what the peer had sent is still to be read. */
  #broken = false;
  /** Packets wait although the socket takes some: this user has too many descriptors on their way. */
  #crowded = false;
  #open = true;

  /** Takes over the socket `id` of this thread's hub. */
  constructor(id: number, { queue, packetBytesMax = PACKET_BYTES_MAX, pidfd = "none", handover, peer }: ConnectionOptions = {}) {
    this.id = id;
    this.#hub = hub();
    this.#queue = new PacketQueue(queue?.capacityBytes ?? QUEUE_BYTES_DEFAULT);
    this.#packetBytesMax = packetBytesMax;
    this.#hub.native.setSendBuffer(id, SEND_BUFFER_BYTES);
    this.peer = peer ?? readPeer(this.#hub, id, pidfd);
    this.#mark = handover?.slot;
    if (handover) {
      this.#hub.native.handoverBegin(handover.slot, handover.sentBefore);
      this.#hub.native.peekFromStart(id);
    }
    this.#hub.add(this);
  }

  /** Both ends of a connection without a name, for tests and for children that inherit one. */
  static pair(options?: ConnectionOptions): [SeqpacketConnection, SeqpacketConnection] {
    const ids = new Uint32Array(2);
    const status = hub().native.pair(ids);
    if (status < 0) throw new SocketError(-status, "cannot make a socket pair");
    return [new SeqpacketConnection(ids[0]!, options), new SeqpacketConnection(ids[1]!, options)];
  }

  /** A connection from one end of a `Descriptor.pair`, which it takes over. Throws a `SocketError`. `peer` is whoever made the pair. */
  static of(descriptor: Descriptor, options?: ConnectionOptions): SeqpacketConnection {
    const id = hub().native.socketOf(descriptor.release());
    if (id < 0) throw new SocketError(-id, "cannot use this descriptor as a connection");
    return new SeqpacketConnection(id, options);
  }

  /** Connects, or throws a `SocketError`: ENOENT and ECONNREFUSED nobody listens, EACCES not permitted, EAGAIN the backlog is full (try again later). */
  static connect(path: string, options?: ConnectionOptions): SeqpacketConnection {
    const id = hub().native.connect(path);
    if (id < 0) throw new SocketError(-id, `cannot connect to ${path}`);
    return new SeqpacketConnection(id, options);
  }

  /** Sets the listener for packets and starts reading. */
  onPacket(listener: PacketListener): void {
    this.#packet = listener;
    if (this.#open) this.#hub.arm(this);
  }

  /** Sets the listener that is called when everything queued has been sent. */
  onDrain(listener: () => void): void {
    this.#drain = listener;
  }

  /** Sets the listener that is called once at the end, whoever ended it; after it nothing is delivered. */
  onClose(listener: (reason: CloseReason) => void): void {
    this.#close = listener;
  }

  /** Sets the listener that is called when this end is about to close the connection, and before the peer can see it: for what the peer has to find then. Nothing can be sent any more. Not called when the process ends. */
  onClosing(listener: () => void): void {
    this.#closing = listener;
  }

  /**
   * Sends `bytes[at … at+lengthBytes)` as one packet, in the order of the calls. Keeps nothing of `bytes`. With it go duplicates of up to 4 descriptors: the caller's own stay the
   * caller's to close, also when the packet waits. Throws a `SocketError` for a closed descriptor, or when the process can have no more (EMFILE).
   */
  send(bytes: Uint8Array, at = 0, lengthBytes = bytes.length - at, descriptors: readonly Descriptor[] = noDescriptors): SendVerdict {
    if (descriptors.length > DESCRIPTORS_PER_PACKET_MAX) throw new RangeError(`a packet takes ${DESCRIPTORS_PER_PACKET_MAX} descriptors`);
    if (!this.#open || this.#ending || this.#broken) return "closed";
    if (this.#queue.packets === 0) {
      const status = this.#sendNow(bytes, at, lengthBytes, descriptors);
      if (status === 1) return "sent";
      if (!this.#mayRetry(status)) return "closed";
    }
    if (!this.#queue.push(bytes, at, lengthBytes, descriptors)) return "full";
    if (this.#queue.packets === 1) this.#hub.arm(this);
    return "queued";
  }

  #sendNow(bytes: Uint8Array, at: number, lengthBytes: number, descriptors: readonly Descriptor[]): number {
    this.#spans[0] = at;
    this.#spans[1] = lengthBytes;
    if (descriptors.length === 0) return this.#give(bytes, 1, undefined);
    writeDescriptors(descriptors, this.#attached, 0);
    return this.#give(bytes, 1, this.#attached);
  }

  /** Gives the kernel the packets at `#spans`. */
  #give(bytes: Uint8Array, count: number, attached: Uint32Array | undefined): number {
    const { native } = this.#hub;
    if (this.#mark !== undefined) return native.send(this.id, bytes, this.#spans, count, attached, this.#mark);
    return attached ? native.send(this.id, bytes, this.#spans, count, attached) : native.send(this.id, bytes, this.#spans, count);
  }

  /** With `handover`: takes away the `count` oldest packets that the listener has seen. */
  consume(count: number): void {
    if (this.#open) this.#hub.native.consume(this.id, count);
  }

  /** A copy of the socket's descriptor, to hand on. Throws a `SocketError`. */
  descriptor(): Descriptor {
    const fd = this.#hub.native.descriptorOf(this.id);
    if (fd < 0) throw new SocketError(-fd, "cannot copy a connection's descriptor");
    return Descriptor.ofHeld(fd);
  }

  hasRoomFor(bytes: number, packets: number, descriptors = 0): boolean {
    // Sent or queued: in the worst case all of them are queued.
    return packets > 0 && this.#queue.hasRoomFor(bytes, descriptors);
  }

  /** Bytes that wait for the peer to read. */
  get pendingBytes(): number {
    return this.#queue.pendingBytes;
  }

  /** Copies of the packets that wait, oldest first; the descriptors stay the queue's. */
  waiting(): { bytes: Uint8Array; descriptors: readonly Descriptor[] }[] {
    return this.#queue.all();
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Stops reading: the peer's packets wait in the kernel, and then at the peer. */
  pauseReading(): void {
    this.#paused = true;
  }

  resumeReading(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#open) this.#hub.arm(this);
  }

  /** Closes once everything queued has been sent; nothing more is read or taken. */
  end(): void {
    this.#ending = true;
    this.#packet = undefined;
    if (this.#open && this.#queue.packets === 0) this.close();
  }

  /** Closes now; what was queued is lost. */
  close(reason: CloseReason = { code: "local", text: "closed" }): void {
    if (!this.#open) return;
    this.#open = false;
    this.#closing?.();
    if (this.#mark !== undefined) this.#hub.native.shutDown(this.id);
    this.#hub.close(this);
    this.#queue.clear();
    this.peer.pidfd?.close();
    this.#packet = undefined;
    this.#close?.(reason);
  }

  interest(): number {
    const mask = (this.#isReading ? Ready.read : 0) | (this.#queue.packets > 0 && !this.#crowded ? Ready.write : 0);
    // Once known it would be reported again and again.
    return this.#hungUp ? mask : mask | Ready.hangup;
  }

  /** A pause holds back a peer, not the last words of a dead one. */
  get #isReading(): boolean {
    return this.#packet !== undefined && (!this.#paused || this.#broken);
  }

  ready(events: number): void {
    if (events & Ready.hangup) this.#hungUp = true;
    if (this.#queue.packets > 0 && !this.#crowded && events & (Ready.write | Ready.hangup)) this.#flush();
    if (this.#open && this.#isReading && events & (Ready.read | Ready.hangup)) this.#receive();
    else if (this.#open && this.#hungUp && this.#packet === undefined) this.close({ code: "peerClosed", text: "the peer closed the connection" });
  }

  /** Everything that has come is handed on before this returns: for a peer that is dead, but whose end of the socket is still open. */
  receiveAll(): void {
    while (this.#open && this.#isReading && this.#receive() === ReceiveState.more);
  }

  /** Returns the state of the socket (`ReceiveState`). */
  #receive(): number | undefined {
    const { native, receiveInfo } = this.#hub;
    const stride = this.#packetBytesMax;
    const buffer = this.#hub.receiveBuffer(stride);
    const count = this.#mark === undefined ? native.receive(this.id, buffer, stride, receiveInfo) : native.peek(this.id, buffer, stride, receiveInfo);
    const state = receiveInfo[ReceiveInfo.state];
    // Readiness is dispatched from the event loop alone, so no other receive can overwrite buffer and info while the listener runs.
    let next = 0;
    try {
      while (next < count && this.#packet) this.#packet(buffer, next * stride, receiveInfo[ReceiveInfo.lengths + next]!, descriptorsOf(receiveInfo, next++));
    } finally {
      // The listener closed the connection, or threw: nobody asks for the rest.
      while (next < count) closeAll(descriptorsOf(receiveInfo, next++));
    }
    if (!this.#open) return undefined;
    if (count < 0) this.close(lost(count));
    else if (state === ReceiveState.end) this.close({ code: "peerClosed", text: "the peer closed the connection" });
    else if (state === ReceiveState.tooManyDescriptors) this.close({ code: "tooManyDescriptors", text: `the peer sent more than ${DESCRIPTORS_PER_PACKET_MAX} descriptors with a packet` });
    else if (state === ReceiveState.descriptorsLost) this.close({ code: "system", text: "this process has no room for the descriptors that came with a packet (EMFILE)" });
    else if (state === ReceiveState.truncated) this.close({ code: "packetTooLarge", text: `the peer sent a packet of more than ${stride} bytes` });
    return state;
  }

  #flush(): void {
    while (this.#open && this.#queue.packets > 0) {
      const count = this.#queue.peek(this.#spans);
      const sent = this.#give(this.#queue.bytes, count, this.#queue.peekDescriptors(count, this.#attached) ? this.#attached : undefined);
      if (sent < 0 && !this.#mayRetry(sent)) return;
      if (sent > 0) this.#queue.shift(sent);
      if (sent < count) return;
    }
    if (this.#ending) this.close();
    else this.#drain?.();
  }

  #retryLater(): void {
    this.#crowded = true;
    setTimeout(() => {
      this.#crowded = false;
      if (this.#open) this.#hub.arm(this);
    }, RETRY_MS).unref();
  }

  /** Somebody may have begun to listen in the same turn: then the end comes by reading, after what a dead peer had sent. */
  #endUnlessRead(status: number): void {
    if (!this.#open) return;
    if (isGone(status) && this.#packet) this.#hub.arm(this);
    else this.close(lost(status));
  }

  /** Whether a failed send is just a peer that is behind. Otherwise the connection ends, but never from within `send`, and not before what a dead peer had sent was read. */
  #mayRetry(status: number): boolean {
    if (status === -EAGAIN) return true;
    if (status === -ETOOMANYREFS) {
      this.#retryLater();
      return true;
    }
    if (this.#broken) return false;
    this.#broken = true;
    this.#queue.clear();
    if (isGone(status) && this.#packet) this.#hub.arm(this);
    else setImmediate(() => this.#endUnlessRead(status));
    return false;
  }
}

/** The descriptors that came with packet `index`. */
function descriptorsOf(info: Uint32Array, index: number): Descriptor[] {
  const count = info[ReceiveInfo.descriptorCounts + index]!;
  if (count === 0) return noDescriptors;
  const from = ReceiveInfo.descriptors + DESCRIPTORS_PER_PACKET_MAX * index;
  return Array.from(info.subarray(from, from + count), (fd) => Descriptor.ofHeld(fd));
}

const EAGAIN = 11;
const ETOOMANYREFS = 109;
const EPIPE = 32;
const ECONNRESET = 104;

function isGone(status: number): boolean {
  return status === -EPIPE || status === -ECONNRESET;
}

function lost(status: number): CloseReason {
  if (isGone(status)) return { code: "peerClosed", text: "the peer closed the connection" };
  return { code: "system", text: new SocketError(-status, "the connection failed").message };
}

const peerWords = new Uint32Array(262);

function readPeer(shared: Hub, id: number, pidfd: keyof typeof pidfdCode): PeerIdentity {
  const groupCount = shared.native.peer(id, peerWords, pidfdCode[pidfd]);
  if (groupCount < 0) throw new SocketError(-groupCount, "cannot read who the peer is");
  const [pid, uid, gid, pidfdPlusOne, ticksLow, ticksHigh] = peerWords as unknown as [number, number, number, number, number, number];
  const identity = { pid, uid, gid, groups: Array.from(peerWords.subarray(6, 6 + groupCount)) };
  const startTime = ticksHigh * 2 ** 32 + ticksLow;
  return pidfdPlusOne === 0 ? identity : { ...identity, ...(startTime === 0 ? {} : { startTime }), pidfd: Descriptor.ofHeld(pidfdPlusOne - 1) };
}

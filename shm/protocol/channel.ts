/**
 * One end of a connection above the packets: numbers and seals what goes out, opens and checks what comes in, splits and joins control messages.
 *
 * Invariant: the counter advances exactly when the transport has taken a packet, so "full" leaves no hole. A fault on the way in is final:
 * the transport loses and repeats nothing, so a bad header means a broken or hostile peer, and the owner closes the connection.
 */
import { Buffer } from "node:buffer";
import type { Descriptor } from "../sockets/descriptor.ts";
import { CONTROL_BODY_AT, claimedDataId, dataId, type Direction, FLAG_MORE, type PacketFault, type PacketKind, type PacketSeal } from "./packet.ts";
import { HEADER_BYTES, PACKET_BYTES_MAX } from "./limits.ts";

/** What became of a packet: "queued" = taken, but the peer is behind; "full" = not taken; "closed" = nobody is there any more. */
export type SendVerdict = "sent" | "queued" | "full" | "closed";

/** The packets' way out. Takes a packet whole or not at all and keeps nothing of `bytes`. */
export interface PacketTransport {
  send(bytes: Uint8Array, at: number, lengthBytes: number, descriptors?: readonly Descriptor[]): SendVerdict;
  /** Whether `bytes` more in up to `packets` packets, with `descriptors` descriptors, would be taken now. */
  hasRoomFor(bytes: number, packets: number, descriptors?: number): boolean;
}

/** Where another process has left off. */
export interface ResumedChannel {
  /** Packets of each direction. */
  sent: number;
  received: number;
  /** What has come of a message whose end has not. */
  fragments: Uint8Array;
}

const noBytes = new Uint8Array(0);

/** Payload of one control fragment. */
const FRAGMENT_BYTES_MAX = PACKET_BYTES_MAX - CONTROL_BODY_AT;

export class Channel {
  readonly #seal: PacketSeal;
  readonly #transport: PacketTransport;
  readonly #outIds: Readonly<Record<PacketKind, number>>;
  readonly #inIds: Readonly<Record<PacketKind, number>>;
  readonly #controlBytesMax: number;
  readonly #scratch: Uint8Array;
  #sent = 0;
  #received = 0;
  #fragments: Uint8Array[] = [];
  #fragmentBytes = 0;
  /** After `receive` said "control" or "handshake": the CBOR, borrowed until the next call. */
  body: Uint8Array = new Uint8Array(0);
  bodyAt = 0;
  bodyBytes = 0;
  /** After `receive` said "control": what came with the message. Closed with the next packet unless they were taken. */
  #descriptors: Descriptor[] = [];

  /** `controlBytesMax` bounds a received control message; `scratch` (at least one packet) may be shared by channels of one thread. */
  constructor({ role, seal, transport, controlBytesMax, scratch, resumed }: { role: "gateway" | "client"; seal: PacketSeal; transport: PacketTransport; controlBytesMax: number; scratch: Uint8Array; resumed?: ResumedChannel | undefined }) {
    const [out, into]: [Direction, Direction] = role === "gateway" ? ["toClient", "toGateway"] : ["toGateway", "toClient"];
    const ids = (direction: Direction): Record<PacketKind, number> => ({ handshake: dataId(direction, "handshake"), control: dataId(direction, "control"), data: dataId(direction, "data") });
    this.#outIds = ids(out);
    this.#inIds = ids(into);
    this.#seal = seal;
    this.#transport = transport;
    this.#controlBytesMax = controlBytesMax;
    this.#scratch = scratch;
    if (!resumed) return;
    this.#sent = resumed.sent;
    this.#received = resumed.received;
    if (resumed.fragments.length > 0) this.#fragments.push(resumed.fragments);
    this.#fragmentBytes = resumed.fragments.length;
  }

  /** What has come of a message whose end has not. */
  get fragments(): Uint8Array {
    return this.#fragmentBytes === 0 ? noBytes : Buffer.concat(this.#fragments);
  }

  /** Seals the data packet `bytes[at … at+lengthBytes)` in place (its first 20 bytes are the header's) and sends it. */
  sendData(bytes: Uint8Array, at: number, lengthBytes: number): SendVerdict {
    return this.#send("data", bytes, at, lengthBytes);
  }

  /**
   * Sends one control message, in as many packets as it takes: all of them or, with "full", none. Copies of the descriptors (at most 4; the message's field `fds`
   * must say how many) go with the last packet; the caller's own stay its own.
   */
  sendControl(cbor: Uint8Array, kind: "control" | "handshake" = "control", descriptors: readonly Descriptor[] = []): SendVerdict {
    const packets = Math.max(1, Math.ceil(cbor.length / FRAGMENT_BYTES_MAX));
    if (!this.#transport.hasRoomFor(cbor.length + packets * CONTROL_BODY_AT, packets, descriptors.length)) return "full";
    let verdict: SendVerdict = "sent";
    for (let i = 0; i < packets; i++) {
      const part = cbor.subarray(i * FRAGMENT_BYTES_MAX, (i + 1) * FRAGMENT_BYTES_MAX);
      this.#scratch.fill(0, HEADER_BYTES, CONTROL_BODY_AT);
      this.#scratch[HEADER_BYTES] = i < packets - 1 ? FLAG_MORE : 0;
      this.#scratch.set(part, CONTROL_BODY_AT);
      verdict = this.#send(kind, this.#scratch, 0, CONTROL_BODY_AT + part.length, i === packets - 1 && descriptors.length > 0 ? descriptors : undefined);
      if (verdict === "closed" || verdict === "full") return verdict;
    }
    return verdict;
  }

  /**
   * Checks a received packet. "more" = a fragment was kept; with "control" and "handshake" the message stands in `body`; anything else than these and "data" is a fault.
   * Takes over the descriptors that came with it: those of a whole control message wait in `takeDescriptors`, all others are closed.
   */
  receive(bytes: Uint8Array, at: number, lengthBytes: number, descriptors?: Descriptor[]): PacketKind | "more" | PacketFault {
    this.closeDescriptors();
    const result = this.#check(bytes, at, lengthBytes);
    if (descriptors === undefined || descriptors.length === 0) return result;
    this.#descriptors = descriptors;
    if (result === "control") return result;
    this.closeDescriptors();
    return result === "data" || result === "more" || result === "handshake" ? "descriptors" : result;
  }

  /** The descriptors of the message that stands in `body`, mostly none; they are the caller's from now on. */
  takeDescriptors(): Descriptor[] {
    const taken = this.#descriptors;
    if (taken.length > 0) this.#descriptors = [];
    return taken;
  }

  /** Closes what was not taken: to be called when the connection ends. */
  closeDescriptors(): void {
    if (this.#descriptors.length === 0) return;
    for (const descriptor of this.#descriptors) descriptor.close();
    this.#descriptors = [];
  }

  #check(bytes: Uint8Array, at: number, lengthBytes: number): PacketKind | "more" | PacketFault {
    if (lengthBytes < CONTROL_BODY_AT) return "tooShort";
    const claimed = claimedDataId(bytes, at);
    const ids = this.#inIds;
    const kind: PacketKind | undefined = claimed === ids.data ? "data" : claimed === ids.control ? "control" : claimed === ids.handshake ? "handshake" : undefined;
    if (kind === undefined) return "dataId";
    const verdict = this.#seal.open(bytes, at, lengthBytes, claimed, this.#received);
    if (verdict !== "ok") return verdict;
    this.#received = (this.#received + 1) >>> 0;
    return kind === "data" ? "data" : this.#join(kind, bytes, at, lengthBytes);
  }

  #join(kind: "control" | "handshake", bytes: Uint8Array, at: number, lengthBytes: number): "control" | "handshake" | "more" | "fragment" {
    const flags = bytes[at + HEADER_BYTES]!;
    if (flags > FLAG_MORE || bytes[at + 21] !== 0 || bytes[at + 22] !== 0 || bytes[at + 23] !== 0) return "fragment";
    const partBytes = lengthBytes - CONTROL_BODY_AT;
    if (flags === 0 && this.#fragmentBytes === 0) {
      this.body = bytes;
      this.bodyAt = at + CONTROL_BODY_AT;
      this.bodyBytes = partBytes;
      return kind;
    }
    // An empty fragment would never reach the limit below; a handshake fits one packet.
    if (kind === "handshake" || partBytes === 0 || this.#fragmentBytes + partBytes > this.#controlBytesMax) return "fragment";
    this.#fragments.push(bytes.slice(at + CONTROL_BODY_AT, at + lengthBytes));
    this.#fragmentBytes += partBytes;
    if (flags === FLAG_MORE) return "more";
    this.body = new Uint8Array(Buffer.concat(this.#fragments));
    this.bodyAt = 0;
    this.bodyBytes = this.#fragmentBytes;
    this.#fragments = [];
    this.#fragmentBytes = 0;
    return kind;
  }

  #send(kind: PacketKind, bytes: Uint8Array, at: number, lengthBytes: number, descriptors?: readonly Descriptor[]): SendVerdict {
    this.#seal.seal(bytes, at, lengthBytes, this.#outIds[kind], this.#sent);
    const verdict = this.#transport.send(bytes, at, lengthBytes, descriptors);
    if (verdict === "sent" || verdict === "queued") this.#sent = (this.#sent + 1) >>> 0;
    return verdict;
  }
}

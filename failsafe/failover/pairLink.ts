/**
 * One message of the link between two instances: an E2E P07 header (20 bytes; each direction counts from 0), four zero bytes, CBOR; at most 4 descriptors. docs/specs/pair.md.
 */
import { decodeCbor } from "../../shm/protocol/cborReader.ts";
import { CborWriter } from "../../shm/protocol/cborWriter.ts";
import type { PacketSeal } from "../../shm/protocol/packet.ts";
import { closeAll, type Descriptor, type SeqpacketConnection } from "../../shm/sockets/index.ts";

const HEADER_BYTES = 24;
const MESSAGE_BYTES_MAX = 16_384;
/** "PL" and the direction; the version is the hello's matter, so that two ends of any age can tell each other theirs. */
const DATA_ID = { toStandby: 0x504c_0001, toActive: 0x504c_0002 } as const;

export type LinkMessage =
  /** From the standby, first. `topics`: what its configuration's topics are. */
  | { op: "hello"; major: number; minor: number; instance: string; topics: string; lock?: boolean }
  /** From the active, with its page and the listening socket, and its lock if the hello asked for that. */
  | { op: "welcome"; major: number; minor: number; instance: string; path: string }
  /** From the active, and the end. */
  | { op: "refused"; text: string }
  /** With a journal, whose first transaction is a snapshot. */
  | { op: "journal" }
  /** With as many descriptors: these are their numbers. */
  | { op: "descriptors"; numbers: number[] }
  /** Everything that was there when the standby came has been handed over. */
  | { op: "synced" }
  /** From a standby that was told to end. The active lets it go by ending the link, unless it is handing over just then: then it ends itself, and the standby goes on. */
  | { op: "leaving" };

export class PairLink {
  readonly connection: SeqpacketConnection;
  readonly #seal: PacketSeal;
  readonly #writer = new CborWriter({ lengthMax: MESSAGE_BYTES_MAX });
  readonly #out: number;
  readonly #in: number;
  #sent = 0;
  #received = 0;

  constructor(connection: SeqpacketConnection, { role, seal }: { role: "active" | "standby"; seal: PacketSeal }) {
    this.connection = connection;
    this.#seal = seal;
    this.#out = role === "active" ? DATA_ID.toStandby : DATA_ID.toActive;
    this.#in = role === "active" ? DATA_ID.toActive : DATA_ID.toStandby;
  }

  /** False: there is no room now. The descriptors stay the caller's. */
  send(message: LinkMessage, descriptors: readonly Descriptor[] = []): boolean {
    this.#writer.reset().value(message);
    const bytes = new Uint8Array(HEADER_BYTES + this.#writer.length);
    bytes.set(this.#writer.bytes.subarray(0, this.#writer.length), HEADER_BYTES);
    this.#seal.seal(bytes, 0, bytes.length, this.#out, this.#sent);
    const verdict = this.connection.send(bytes, 0, bytes.length, descriptors);
    if (verdict === "full") return false;
    this.#sent = (this.#sent + 1) >>> 0;
    return true;
  }

  /** `fault`: what came is not the twin's protocol, and the link ends. The descriptors are the listener's. */
  onMessage(listener: (message: LinkMessage, descriptors: Descriptor[]) => void, fault: (text: string) => void): void {
    this.connection.onPacket((bytes, at, lengthBytes, descriptors) => {
      const message = this.#read(bytes, at, lengthBytes);
      if (typeof message !== "string") return listener(message, descriptors);
      closeAll(descriptors);
      fault(message);
      this.connection.close();
    });
  }

  #read(bytes: Uint8Array, at: number, lengthBytes: number): LinkMessage | string {
    if (lengthBytes < HEADER_BYTES) return "a message is too short";
    const verdict = this.#seal.open(bytes, at, lengthBytes, this.#in, this.#received);
    if (verdict !== "ok") return `a message failed its integrity check (${verdict})`;
    this.#received = (this.#received + 1) >>> 0;
    return decodeLinkMessage(bytes, at + HEADER_BYTES, lengthBytes - HEADER_BYTES);
  }
}

/** The message in a packet whose header has been checked, or why it is none. */
export function decodeLinkMessage(bytes: Uint8Array, at: number, lengthBytes: number): LinkMessage | string {
  const decoded = decodeCbor(bytes, { at, lengthBytes, limits: { depthMax: 4, itemsMax: 100 } });
  if (!decoded.ok) return `a message is not CBOR (${decoded.code})`;
  return isMessage(decoded.value) ? decoded.value : "a message is none of the protocol's";
}

function isMessage(value: unknown): value is LinkMessage {
  if (typeof value !== "object" || value === null) return false;
  const { op, major, minor, instance, topics, path, text, numbers } = value as Record<string, unknown>;
  const isVersion = Number.isInteger(major) && Number.isInteger(minor) && typeof instance === "string";
  switch (op) {
    case "hello":
      return isVersion && typeof topics === "string";
    case "welcome":
      return isVersion && typeof path === "string";
    case "refused":
      return typeof text === "string";
    case "descriptors":
      return Array.isArray(numbers) && numbers.every((each) => Number.isInteger(each));
    case "journal":
    case "synced":
    case "leaving":
      return true;
    default:
      return false;
  }
}

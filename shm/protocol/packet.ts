/**
 * What a packet on the client socket is: an E2E P07 header (20 bytes, big-endian, docs/specs/client-socket.md), then a body of one kind.
 *
 * The Data ID of the header names protocol, version, direction and kind, so that a packet of another version, or one sent back to its sender, fails
 * its integrity check. Only the handshake is outside of any version, so that two ends of different age can still tell each other so.
 *
 * | offset | handshake and control | data |
 * |---|---|---|
 * | 0 | P07: u64 CRC-64, u32 length, u32 counter, u32 Data ID | the same |
 * | 20 | u8 flags (1 = more fragments follow), u8[3] 0 | u16 LE count of samples, u16 0 |
 * | 24 | CBOR, or a fragment of it | f64 LE wall time − monotonic time, µs |
 * | 32 | | samples (samples.ts) |
 */
import { HEADER_BYTES } from "./limits.ts";

export const PROTOCOL_VERSION = 1;

/** Where the CBOR of a handshake or control packet begins. */
export const CONTROL_BODY_AT = HEADER_BYTES + 4;
export const FLAG_MORE = 1;

export type PacketKind = "handshake" | "control" | "data";
export type Direction = "toGateway" | "toClient";

const PROTOCOL = 0x4950_0000; // "IP"
const kindCode = { handshake: 1, control: 2, data: 3 } as const satisfies Record<PacketKind, number>;
const directionCode = { toGateway: 0, toClient: 8 } as const satisfies Record<Direction, number>;

/** The P07 Data ID of packets of `kind` in `direction`. */
export function dataId(direction: Direction, kind: PacketKind, version: number = PROTOCOL_VERSION): number {
  return PROTOCOL | ((kind === "handshake" ? 0 : version) << 8) | directionCode[direction] | kindCode[kind];
}

/** Why a packet failed its check: the codes of AUTOSAR's P07, "dataId" for a header that names a packet which may not come here, "descriptors" for some where none may be. */
export type PacketFault = "tooShort" | "length" | "crc" | "counter" | "dataId" | "fragment" | "descriptors";

/**
 * Writes and checks P07 headers in place; implemented in C (shm/addon) and, for tests, in TypeScript. `counter` is the exact counter expected: a SEQPACKET socket
 * neither loses nor repeats, so the first packet of a direction has 0 and each further one 1 more (modulo 2^32).
 */
export interface PacketSeal {
  seal(bytes: Uint8Array, at: number, lengthBytes: number, id: number, counter: number): void;
  open(bytes: Uint8Array, at: number, lengthBytes: number, id: number, counter: number): "ok" | "length" | "crc" | "counter" | "dataId";
}

/** The Data ID a header claims; the caller has checked that there are 20 bytes. Not trustworthy before `open` said "ok". */
export function claimedDataId(bytes: Uint8Array, at: number): number {
  return ((bytes[at + 16]! << 24) | (bytes[at + 17]! << 16) | (bytes[at + 18]! << 8) | bytes[at + 19]!) >>> 0;
}

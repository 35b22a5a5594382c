/**
 * What protects a frame where the transport does not: CRC-32C and a counter, 6 bytes, little-endian. The CRC also covers who sends and the
 * version, so that an echo of our own frames is not taken for the peer's. A line protects its frames itself (profile 8): `bareSeal`.
 */
import { crc32Iscsi } from "../../schemas/crc/index.ts";
import type { Role } from "./wire.ts";
import { CIRCUITS_VERSION } from "./wire.ts";

/** repeated: seen before; harmless, dropped. lost: frames are missing in front of this one. */
export type SealVerdict = "ok" | "tooShort" | "crcMismatch" | "repeated" | "lost";

export interface FrameSeal {
  /** Bytes that a frame has in front for it. */
  readonly headerBytes: number;
  /** Protects `frame` in place, as the next one that we send. */
  seal(frame: Uint8Array): void;
  /** Judges the next one received. Only "ok" moves the counter. */
  open(frame: Uint8Array): SealVerdict;
}

const HEADER_BYTES = 6;

export function crc32cSeal(role: Role): FrameSeal {
  const tag = (sender: Role): number => crc32Iscsi(Uint8Array.of(0x49, 0x50, 0x43, CIRCUITS_VERSION, sender === "initiator" ? 0 : 1));
  const ours = tag(role);
  const theirs = tag(role === "initiator" ? "acceptor" : "initiator");
  let sent = 0;
  let received = 0;
  return {
    headerBytes: HEADER_BYTES,
    seal(frame) {
      frame[4] = sent;
      frame[5] = sent >>> 8;
      const crc = crc32Iscsi(frame, 4, frame.length, ours);
      for (let i = 0; i < 4; i++) frame[i] = crc >>> (8 * i);
      sent = (sent + 1) & 0xffff;
    },
    open(frame) {
      if (frame.length < HEADER_BYTES) return "tooShort";
      const crc = (frame[0]! | (frame[1]! << 8) | (frame[2]! << 16) | (frame[3]! << 24)) >>> 0;
      if (crc32Iscsi(frame, 4, frame.length, theirs) !== crc) return "crcMismatch";
      const ahead = ((frame[4]! | (frame[5]! << 8)) - received) & 0xffff;
      if (ahead !== 0) return ahead < 0x8000 ? "lost" : "repeated";
      received = (received + 1) & 0xffff;
      return "ok";
    },
  };
}

/** For transports that check, order and repeat by themselves. */
export const bareSeal: FrameSeal = { headerBytes: 0, seal: () => undefined, open: () => "ok" };

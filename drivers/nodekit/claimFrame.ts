/** CLAIM frames (docs/specs/claim.md): who commands the bus. 8 bytes: AUTOSAR E2E profile 5 · version and kind · epoch · owner · one byte by kind. */
import { e2eCodec, Verdict } from "../../schemas/e2e/index.ts";

export const CLAIM_BYTES = 8;
export const CLAIM_DATA_ID = 0xc1a1;
export const CLAIM_VERSION = 1;
/** Owners: host × 2 + instance. */
export const CLAIM_OWNERS = 4;

export const claimKinds = ["claim", "beat", "handover", "splitProbe", "release"] as const;
export type ClaimKind = (typeof claimKinds)[number];

export interface ClaimFrame {
  kind: ClaimKind;
  /** 1…65535. */
  epoch: number;
  /** 0…3. */
  owner: number;
  /** handover: the owner that shall take over; else flags: 1 armed. */
  last: number;
  /** Of the E2E header, 0…255. */
  counter: number;
}

const codec = e2eCodec({ profile: "P05", dataId: CLAIM_DATA_ID, lengthBytes: CLAIM_BYTES });

export function encodeClaim({ kind, epoch, owner, last, counter }: ClaimFrame): Uint8Array {
  const bytes = Uint8Array.of(0, 0, 0, (CLAIM_VERSION << 4) | claimKinds.indexOf(kind), epoch & 0xff, epoch >>> 8, owner, last);
  codec.protect(bytes, 0, CLAIM_BYTES, 0, counter);
  return bytes;
}

/** undefined: not to be heard (length, CRC, version, kind, epoch 0, no such owner). */
export function decodeClaim(bytes: Uint8Array): ClaimFrame | undefined {
  if (codec.inspect(bytes, 0, bytes.length, 0) !== Verdict.ok) return undefined;
  const kind = claimKinds[bytes[3]! & 0x0f];
  const epoch = bytes[4]! | (bytes[5]! << 8);
  const owner = bytes[6]!;
  if (bytes[3]! >>> 4 !== CLAIM_VERSION || kind === undefined || epoch === 0 || owner >= CLAIM_OWNERS) return undefined;
  return { kind, epoch, owner, last: bytes[7]!, counter: codec.counterOf(bytes, 0, bytes.length, 0) };
}

/** RFC 1982, 16 bits: whether `a` is newer than `b`. Exactly half way round is not. */
export function epochNewer(a: number, b: number): boolean {
  const ahead = (a - b) & 0xffff;
  return ahead !== 0 && ahead < 0x8000;
}

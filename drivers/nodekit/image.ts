/** The image of a node's firmware (docs/specs/node-update.md): a header of 128 bytes, then the program. Pure, but for the hash. */
import { createHash } from "node:crypto";
import { crc32IsoHdlc } from "../../schemas/crc/index.ts";

export const IMAGE_HEADER_BYTES = 128;
/** What the header's CRC covers, and what a signature signs (with the CRC): the hash in it stands for the program. */
export const IMAGE_SIGNED_BYTES = 64;
export const SIGNATURE_BYTES = 64;
const MAGIC = 0x314e5049; // "IPN1"

export interface ImageInfo {
  vendor: number;
  product: number;
  /** major << 24 | minor << 16 | patch. */
  version: number;
  /** Raised when older images must not come back. */
  securityCounter: number;
}

export interface Image extends ImageInfo {
  program: Uint8Array;
  sha256: Uint8Array;
  signature: Uint8Array;
}

export type ImageFault = "tooShort" | "notAnImage" | "headerCrc" | "length" | "programCrc" | "hash";

/** `sign` gets the first 64 bytes and returns 64 (ed25519, for one); without it there are 0xFF in their place. */
export function encodeImage({ vendor, product, version, securityCounter }: ImageInfo, program: Uint8Array, sign?: (header: Uint8Array) => Uint8Array): Uint8Array {
  const bytes = new Uint8Array(IMAGE_HEADER_BYTES + program.length).fill(0xff, 0, IMAGE_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of [MAGIC, vendor, product, version, securityCounter, program.length, crc32IsoHdlc(program)].entries()) view.setUint32(i * 4, value, true);
  bytes.set(createHash("sha256").update(program).digest(), 28);
  view.setUint32(60, crc32IsoHdlc(bytes, 0, 60), true);
  const signature = sign?.(bytes.slice(0, IMAGE_SIGNED_BYTES));
  if (signature && signature.length !== SIGNATURE_BYTES) throw new RangeError(`a signature has ${SIGNATURE_BYTES} bytes`);
  if (signature) bytes.set(signature, IMAGE_SIGNED_BYTES);
  bytes.set(program, IMAGE_HEADER_BYTES);
  return bytes;
}

/** All that a node would check, but for the signature. */
export function decodeImage(bytes: Uint8Array): Image | { fault: ImageFault } {
  if (bytes.length <= IMAGE_HEADER_BYTES) return { fault: "tooShort" };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const [magic, vendor, product, version, securityCounter, length, crc] = Array.from({ length: 7 }, (_, i) => view.getUint32(i * 4, true)) as [number, number, number, number, number, number, number];
  if (magic !== MAGIC) return { fault: "notAnImage" };
  if (view.getUint32(60, true) !== crc32IsoHdlc(bytes, 0, 60)) return { fault: "headerCrc" };
  if (length !== bytes.length - IMAGE_HEADER_BYTES) return { fault: "length" };
  const program = bytes.slice(IMAGE_HEADER_BYTES);
  const sha256 = bytes.slice(28, 60);
  if (crc !== crc32IsoHdlc(program)) return { fault: "programCrc" };
  if (!createHash("sha256").update(program).digest().equals(sha256)) return { fault: "hash" };
  return { vendor, product, version, securityCounter, program, sha256, signature: bytes.slice(IMAGE_SIGNED_BYTES, IMAGE_HEADER_BYTES) };
}

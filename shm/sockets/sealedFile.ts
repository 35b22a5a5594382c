/** Files as descriptors: bytes in a sealed memfd that nobody can change any more (shm/core/sealed_file.h), and the payload that names them (schemas/media/file.ts). */
import { createHash } from "node:crypto";
import { isFileContent, mediaCodec, type FilePayload } from "../../schemas/media/index.ts";
import { Descriptor } from "./descriptor.ts";
import { hub, SocketError } from "./native.ts";

/** A sealed copy of `bytes`, to be sent along and closed by the caller. Throws a `SocketError` (EMFILE, ENOMEM, EFBIG beyond 4 GiB, ENOTSUP). */
export function sealBytes(bytes: Uint8Array): Descriptor {
  const fd = hub().native.sealBytes(bytes);
  if (fd < 0) throw new SocketError(-fd, `cannot seal ${bytes.length} bytes`);
  return Descriptor.ofHeld(fd);
}

/** A received descriptor that was found to be sealed: what it holds cannot change, so that what was checked once stays so. */
export interface SealedFile {
  readonly sizeBytes: number;
  /** Copies up to `lengthBytes` bytes from `at` on; fewer at the end. Throws a `SocketError`. */
  read(at?: number, lengthBytes?: number): Uint8Array;
}

/** Checks the seals; throws a `SocketError`: EPERM somebody could still change it. The descriptor stays the caller's, and must be open while the file is read. */
export function openSealed(descriptor: Descriptor): SealedFile {
  const { native } = hub();
  const sizeBytes = native.sealedSize(descriptor.fd);
  if (sizeBytes < 0) throw new SocketError(-sizeBytes, "not a sealed file");
  return {
    sizeBytes,
    read(at = 0, lengthBytes = sizeBytes - at) {
      const bytes = new Uint8Array(Math.max(0, Math.min(lengthBytes, sizeBytes - at)));
      const count = native.readSealed(descriptor.fd, at, bytes);
      if (count < 0) throw new SocketError(-count, "cannot read a sealed file");
      return bytes.subarray(0, count);
    },
  };
}

/** The payload that goes with a sealed file of these bytes: name, MIME type, size, SHA-256. Throws a RangeError for a name that is no file's. */
export function sealedFilePayload(name: string, type: string, bytes: Uint8Array): Uint8Array {
  const encoded = mediaCodec("file").encode({ name, type, sizeBytes: bytes.length, sha256: createHash("sha256").update(bytes).digest() });
  if (!encoded.ok) throw new RangeError(encoded.text);
  return encoded.value;
}

/** The content of a received file, inline or in the descriptor that came with it; undefined when its bytes are not those that the payload names. Throws a `SocketError` as `openSealed` does. */
export function fileContent(file: FilePayload, descriptor: Descriptor | undefined): Uint8Array | undefined {
  const content = file.content ?? (descriptor && readWhole(file, descriptor));
  return content && isFileContent(file, content) ? content : undefined;
}

/** Of the size that was named alone: a descriptor of another size is not read. */
function readWhole({ sizeBytes }: FilePayload, descriptor: Descriptor): Uint8Array | undefined {
  const sealed = openSealed(descriptor);
  return sealed.sizeBytes === sizeBytes ? sealed.read() : undefined;
}

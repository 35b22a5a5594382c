/** What can be wrong with a lane. The code is stable; the sentence is for people. */
import { SocketError } from "../sockets/native.ts";

/**
 * notALane: seals, size or header are not those of a lane (or of a reader's page, or of a bell); otherSchema: the lane carries another schema (206); badOptions: a number out of range, or a policy
 * beyond the lane's; tooManyReaders: it has 256; notSupported: this kernel cannot seal memory; noExternalBuffers: this runtime allows no buffers over foreign memory: use copies instead of leases and
 * loans; busy: one lease or loan at a time; transferred: the buffer of a lease or loan was transferred away; closed: it is closed; system: out of memory or descriptors.
 */
export type LaneErrorCode = "notALane" | "otherSchema" | "badOptions" | "tooManyReaders" | "notSupported" | "noExternalBuffers" | "busy" | "transferred" | "closed" | "system";

export class LaneError extends Error {
  readonly code: LaneErrorCode;
  constructor(code: LaneErrorCode, text: string) {
    super(text);
    this.name = "LaneError";
    this.code = code;
  }
}

export const Errno = { perm: 1, badf: 9, again: 11, busy: 16, inval: 22, nospc: 28, proto: 71, msgsize: 90, protonosupport: 93, notsup: 95, stale: 116 } as const;

const codes: Readonly<Record<number, LaneErrorCode>> = {
  [Errno.proto]: "notALane", [Errno.protonosupport]: "otherSchema", [Errno.inval]: "badOptions", [Errno.nospc]: "tooManyReaders", [Errno.notsup]: "notSupported", [Errno.busy]: "busy", [Errno.badf]: "closed",
};

const sentences: Readonly<Record<LaneErrorCode, string>> = {
  notALane: "what came is not sealed, sized or marked as it must be", otherSchema: "it has another schema", badOptions: "an option is out of range", tooManyReaders: "it has 256 readers",
  notSupported: "this kernel cannot seal memory (Linux 5.1 is needed)", noExternalBuffers: "this runtime allows no buffers over foreign memory: read and publish by copy", busy: "there is one already",
  transferred: "its buffer was transferred away", closed: "it is closed", system: "the system refused",
};

/** The error for a negative errno of the addon. */
export function laneError(status: number, what: string): LaneError {
  const code = codes[-status] ?? "system";
  return new LaneError(code, `${what}: ${code === "system" ? new SocketError(-status, sentences.system).message : sentences[code]}`);
}

export function externalError(status: number, what: string): LaneError {
  return status === -Errno.notsup ? new LaneError("noExternalBuffers", `${what}: ${sentences.noExternalBuffers}`) : laneError(status, what);
}

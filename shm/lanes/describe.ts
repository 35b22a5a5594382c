/** For whoever passes descriptors on: bells, and what a descriptor is before it is believed. */
import { Descriptor } from "../sockets/descriptor.ts";
import { Errno, laneError } from "./errors.ts";
import { lanesMemory } from "./memory.ts";
import { type LanePolicy, policyNames } from "./policy.ts";

/** What a lane says of itself, after seals, size and header were checked. */
export interface LaneDescription {
  /** 16 bytes. */
  laneId: Uint8Array;
  schemaHash: bigint;
  fileBytes: number;
  firstSequence: bigint;
  slots: number;
  inlineBytes: number;
  largeBytes: number;
  policy: LanePolicy;
}

/** A bell: hand one end to the reader and the other to the writer, and keep none. Throws a `LaneError`. */
export function makeBell(): { reader: Descriptor; writer: Descriptor } {
  const fds = new Uint32Array(2);
  const status = lanesMemory().native.laneBell(fds);
  if (status < 0) throw laneError(status, "cannot make a bell");
  return { reader: Descriptor.ofHeld(fds[0]!), writer: Descriptor.ofHeld(fds[1]!) };
}

/** What lane `descriptor` is, or undefined: it is none. Nothing stays mapped. */
export function describeLane(descriptor: Descriptor): LaneDescription | undefined {
  const words = new BigUint64Array(9);
  const status = lanesMemory().native.laneDescribe(descriptor.fd, words);
  if (status === -Errno.proto) return undefined;
  if (status < 0) throw laneError(status, "cannot look at a lane");
  const [, , schemaHash, fileBytes, firstSequence, slots, inlineBytes, largeBytes, policy] = words as unknown as bigint[];
  return {
    laneId: new Uint8Array(words.buffer.slice(0, 16)), schemaHash: schemaHash!, fileBytes: Number(fileBytes), firstSequence: firstSequence!, slots: Number(slots), inlineBytes: Number(inlineBytes),
    largeBytes: Number(largeBytes), policy: policyNames[Number(policy)] ?? "latest",
  };
}

/** Whether `descriptor` is a reader's page for that lane. */
export function checkReaderPage(descriptor: Descriptor, laneId: Uint8Array): boolean {
  return laneId.length === 16 && lanesMemory().native.laneCheckPage(descriptor.fd, laneId) === 0;
}

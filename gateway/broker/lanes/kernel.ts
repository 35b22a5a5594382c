/** What descriptors turn out to be, and new bells. */
import { fstatSync } from "node:fs";
import { checkReaderPage, describeLane, LaneError, makeBell } from "../../../shm/lanes/index.ts";
import type { Descriptor } from "../../../shm/sockets/index.ts";
import type { LaneFacts } from "./registry.ts";

/** undefined = not a lane: not sealed as one, or its header does not fit its size. */
export function describeFacts(lane: Descriptor): LaneFacts | undefined {
  const description = quietly(() => describeLane(lane), undefined);
  if (!description) return undefined;
  const { laneId, schemaHash, policy, fileBytes, firstSequence } = description;
  return { laneId: Buffer.from(laneId).toString("hex"), schemaHash, policy, fileBytes, firstSequence };
}

/** Whether this user made the memory. Only for what is a lane: a file of somebody's own file system may take as long as it likes to answer. Nobody else can write it, and nobody but root can give it away. Root may bring anybody's. */
export function isMadeBy(lane: Descriptor, uid: number): boolean {
  return uid === 0 || fstatSync(lane.fd).uid === uid;
}

export function isPageOf(page: Descriptor, laneId: string): boolean {
  return quietly(() => checkReaderPage(page, Buffer.from(laneId, "hex")), false);
}

/** undefined = this process has no descriptors left. */
export function newBell(): { reader: Descriptor; writer: Descriptor } | undefined {
  return quietly(makeBell, undefined);
}

/** What the kernel refuses (no descriptors, no memory) is as good as nothing to whoever asked for it. */
function quietly<T, U>(ask: () => T, otherwise: U): T | U {
  try {
    return ask();
  } catch (error) {
    if (error instanceof LaneError) return otherwise;
    throw error;
  }
}

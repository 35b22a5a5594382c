/** What descriptors turn out to be, and new bells. */
import { checkReaderPage, describeLane, makeBell } from "../../../shm/lanes/index.ts";
import { type Descriptor, SocketError } from "../../../shm/sockets/index.ts";
import type { LaneFacts } from "./registry.ts";

/** undefined = not a lane: not sealed as one, or its header does not fit its size. */
export function describeFacts(lane: Descriptor): LaneFacts | undefined {
  const description = describeLane(lane);
  if (!description) return undefined;
  const { laneId, schemaHash, policy, fileBytes, firstSequence } = description;
  return { laneId: Buffer.from(laneId).toString("hex"), schemaHash, policy, fileBytes: Number(fileBytes), firstSequence };
}

export function isPageOf(page: Descriptor, laneId: string): boolean {
  return checkReaderPage(page, Buffer.from(laneId, "hex"));
}

/** undefined = this process has no descriptors left. */
export function newBell(): { reader: Descriptor; writer: Descriptor } | undefined {
  try {
    return makeBell();
  } catch (error) {
    if (error instanceof SocketError) return undefined;
    throw error;
  }
}

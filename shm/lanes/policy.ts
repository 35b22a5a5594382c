/**
 * What a reader does when it cannot have all. latest: jumps to the newest message; queue: all that is still in the ring, in order, and told how many it lost; lossless: the writer does not overwrite
 * what it has not read, until its deadline.
 */
export type LanePolicy = "latest" | "queue" | "lossless";

export const policyCode = { latest: 0, queue: 1, lossless: 2 } as const satisfies Record<LanePolicy, number>;
export const policyNames: readonly LanePolicy[] = ["latest", "queue", "lossless"];

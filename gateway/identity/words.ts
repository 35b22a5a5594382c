import type { Peer } from "../broker/ports.ts";

/** A peer for people, in logs and as the origin of samples: "planner, pid 4711", or "uid 1000, pid 4711" when it is no component. */
export function peerWords({ component, pid, uid }: Pick<Peer, "component" | "pid" | "uid">): string {
  return `${component === `uid:${uid}` ? `uid ${uid}` : component}, pid ${pid}`;
}

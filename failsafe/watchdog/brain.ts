/** What the gateway's own tasks have to do, for `Supervision`. */
import type { EntityRules, SupervisionOptions } from "./supervision.ts";

/** Between two calls of `cycle`, ms. */
export const SUPERVISION_CYCLE_MS = 100;

/**
 * The crank of the gateway (gateway/gateway.ts) and the turns of the pair (failover/keeper.ts). Bounds with the arithmetic:
 * - the crank turns at least every 50 ms and at most as often as something is due: commands at 500 Hz for 20 joints are 10,000/s; doubled. On a machine that starves it, one turn in two seconds;
 * - a turn, or what a turn of the pair has in hand, takes milliseconds; a second is a hang, garbage collection included (0.9 s was the worst that was ever measured under load).
 */
const crank: EntityRules = {
  alive: { checkpoint: "end", cycles: 20, min: 1, max: 40_000, tolerance: 2 },
  deadlines: [{ from: "begin", to: "end", minMs: 0, maxMs: 2_000 }],
  logical: { begin: ["begin"], end: ["end"], next: { begin: ["links"], links: ["nodes"], nodes: ["safety"], safety: ["end"] } },
};

const turns: EntityRules = {
  deadlines: [{ from: "opened", to: "written", minMs: 0, maxMs: 2_000 }],
  logical: { begin: ["opened"], end: ["written"], next: { opened: ["written"] } },
};

export const brainSupervision: SupervisionOptions = { entities: { crank, turns }, graceCycles: 5 };

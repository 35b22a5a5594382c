/** Runs the comparison: rounds in which all peers take turns, each with its own processes; medians over the rounds. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Child } from "../children/rpc.ts";
import { quantile } from "../harness.ts";
import { cpuUsOf } from "../procfs.ts";
import type { Flow, RoundTrips } from "./end.ts";
import { type LeafCounts, type LeafMode, windowFor } from "./leafRole.ts";
import type { Middle, Peer, PeerAddress } from "./peer.ts";

export interface Situation {
  payloadBytes: number;
  leaves: number;
}

/** One peer in one situation and round. */
export interface Measured extends Situation {
  peer: string;
  roundTripUs: { p50: number; p99: number };
  /** With 2 ms between rounds: the sleeping case. */
  pacedRoundTripUs: { p50: number; p99: number };
  /** Delivered to each leaf, per second. */
  messagesPerSecond: number;
  bytesPerSecond: number;
  /** All processes, per message delivered to a leaf. */
  cpuUsPerMessage: number;
  lost: number;
}

export interface Durations {
  hotMs: number;
  pacedMs: number;
  flowMs: number;
}

const ARRIVAL_DEADLINE_MS = 20_000;

/** All measures of one peer in one situation. */
export async function measure(peer: Peer, situation: Situation, durations: Durations): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-fabric-"));
  const middle = await peer.start(folder);
  const stage = new Stage(peer, middle, { folder, at: middle.at, ...situation });
  try {
    await stage.open();
    const mode: LeafMode = situation.leaves === 1 ? "echo" : "acknowledge";
    await stage.begin(mode);
    await stage.hub.call<RoundTrips>("roundTrips", { durationMs: durations.hotMs / 2, pauseMs: 0, roundsMax: Infinity }); // warm
    const hot = await stage.hub.call<RoundTrips>("roundTrips", { durationMs: durations.hotMs, pauseMs: 0, roundsMax: Infinity });
    const paced = await stage.hub.call<RoundTrips>("roundTrips", { durationMs: durations.pacedMs, pauseMs: 2, roundsMax: Infinity });
    await stage.begin("count");
    const cpuBefore = await stage.cpuUs();
    const flow = await stage.hub.call<Flow>("flow", { durationMs: durations.flowMs });
    const delivered = await stage.arrival(flow.sent);
    const cpuUs = (await stage.cpuUs()) - cpuBefore;
    const perLeaf = delivered / situation.leaves;
    return {
      peer: peer.name, ...situation, roundTripUs: quantiles(hot), pacedRoundTripUs: quantiles(paced),
      messagesPerSecond: perLeaf / (flow.elapsedUs / 1e6), bytesPerSecond: (perLeaf * situation.payloadBytes) / (flow.elapsedUs / 1e6),
      cpuUsPerMessage: cpuUs / delivered, lost: flow.sent * situation.leaves - delivered,
    };
  } finally {
    await stage.close();
    await middle.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

class Stage {
  readonly hub = new Child(new URL("./end.js", import.meta.url));
  readonly #leaves: Child[];
  readonly #peer: Peer;
  readonly #middle: Middle;
  readonly #address: PeerAddress;

  constructor(peer: Peer, middle: Middle, address: PeerAddress) {
    this.#peer = peer;
    this.#middle = middle;
    this.#address = address;
    this.#leaves = peer.leaf ? Array.from({ length: address.leaves }, () => new Child(new URL("./end.js", import.meta.url))) : [];
  }

  /** The hub first (somebody has to listen), then the leaves; then until each leaf has answered once. */
  async open(): Promise<void> {
    const argument = { peer: this.#peer.name, address: this.#address };
    await this.hub.call("open", { ...argument, index: undefined });
    await Promise.all(this.#leaves.map((leaf, index) => leaf.call("open", { ...argument, index })));
    await this.hub.call("ready");
    await Promise.all(this.#leaves.map((leaf) => leaf.call("ready")));
  }

  async begin(mode: LeafMode): Promise<void> {
    await this.#ask("begin", { mode, window: this.#peer.flow === "window" && mode === "count" ? windowFor(this.#address.payloadBytes) : 0 });
  }

  async counts(): Promise<LeafCounts[]> {
    return (await this.#ask("counts", undefined)) as LeafCounts[];
  }

  async cpuUs(): Promise<number> {
    const leaves = await this.counts();
    const middle = this.#middle.pids.reduce((sum, pid) => sum + cpuUsOf(pid), 0);
    return leaves.reduce((sum, { cpuUs }) => sum + cpuUs, await this.hub.call<number>("cpuUs")) + middle;
  }

  /** How many messages all leaves have together, when they have all or no more come. */
  async arrival(sent: number): Promise<number> {
    const untilMs = performance.now() + ARRIVAL_DEADLINE_MS;
    let before = -1;
    for (;;) {
      const total = (await this.counts()).reduce((sum, { messages }) => sum + messages, 0);
      if (total >= sent * this.#address.leaves || performance.now() > untilMs || total === before) return total;
      before = total;
      await delay(300);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.hub, ...this.#leaves].map((child) => child.stop()));
  }

  #ask(name: string, argument: unknown): Promise<unknown[]> {
    return this.#leaves.length > 0 ? Promise.all(this.#leaves.map((leaf) => leaf.call(name, argument))) : this.hub.call<unknown[]>("askLeaves", { name, argument });
  }
}

function quantiles({ timesUs }: RoundTrips): { p50: number; p99: number } {
  const sorted = timesUs.slice().sort();
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) };
}

/** Median by each measure over the rounds of one peer and situation. */
export function medianOf(rounds: readonly Measured[]): Measured {
  const pick = (of: (round: Measured) => number): number => quantile(rounds.map(of).sort((a, b) => a - b), 0.5);
  const first = rounds[0]!;
  return {
    peer: first.peer, payloadBytes: first.payloadBytes, leaves: first.leaves,
    roundTripUs: { p50: pick((r) => r.roundTripUs.p50), p99: pick((r) => r.roundTripUs.p99) },
    pacedRoundTripUs: { p50: pick((r) => r.pacedRoundTripUs.p50), p99: pick((r) => r.pacedRoundTripUs.p99) },
    messagesPerSecond: pick((r) => r.messagesPerSecond), bytesPerSecond: pick((r) => r.bytesPerSecond), cpuUsPerMessage: pick((r) => r.cpuUsPerMessage),
    lost: Math.max(...rounds.map((r) => r.lost)),
  };
}

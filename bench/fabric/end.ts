/** One process of the comparison: the hub, which measures, or a leaf. */
import { once } from "node:events";
import { serve } from "../children/rpc.ts";
import { LeafRole, windowFor } from "./leafRole.ts";
import type { Endpoint, Peer, PeerAddress } from "./peer.ts";
import { findPeer } from "./peers.ts";

interface OpenArgument {
  peer: string;
  address: PeerAddress;
  /** Undefined: this is the hub. */
  index: number | undefined;
}

export interface RoundTrips {
  /** Each round's time, µs. */
  timesUs: Float64Array;
}

export interface Flow {
  sent: number;
  elapsedUs: number;
}

let peer: Peer;
let address: PeerAddress;
let endpoint: Endpoint;
const role = new LeafRole();
/** Messages from each leaf since the last `begin`, and what each says it has counted. */
let answers = new Float64Array(0);
let counted = new Float64Array(0);
let answered: (() => void) | undefined;

function take(bytes: Uint8Array, leaf: number): void {
  answers[leaf]! += 1;
  if (bytes.length === 16) counted[leaf] = new DataView(bytes.buffer, bytes.byteOffset, 16).getFloat64(0, true);
  answered?.();
}

async function open({ peer: name, address: where, index }: OpenArgument): Promise<void> {
  peer = findPeer(name);
  address = where;
  answers = new Float64Array(where.leaves);
  counted = new Float64Array(where.leaves);
  if (index === undefined) endpoint = await peer.hub(where, take);
  else {
    endpoint = await peer.leaf!(where, index, (bytes) => role.take(bytes));
    role.attach(endpoint);
  }
}

function payload(): Uint8Array {
  const bytes = new Uint8Array(address.payloadBytes);
  for (let i = 0; i < bytes.length; i++) bytes[i] = i & 0x3f;
  return bytes;
}

/** Sends one message and waits for the answer of every leaf, for `durationMs`; `pauseMs` between rounds. */
async function roundTrips({ durationMs, pauseMs, roundsMax }: { durationMs: number; pauseMs: number; roundsMax: number }): Promise<RoundTrips> {
  const bytes = payload();
  const times: number[] = [];
  const untilMs = performance.now() + durationMs;
  let missing = 0;
  let done: () => void = () => {};
  answered = () => {
    missing -= 1;
    if (missing === 0) done();
  };
  for (let round = 0; round < roundsMax && performance.now() < untilMs; round++) {
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    missing = address.leaves;
    const complete = new Promise<void>((resolve) => (done = resolve));
    const startMs = performance.now();
    let endMs = 0;
    const finish = done;
    done = () => {
      endMs = performance.now();
      finish();
    };
    endpoint.send(bytes);
    await complete;
    times.push((endMs - startMs) * 1e3);
  }
  answered = undefined;
  return { timesUs: Float64Array.from(times) };
}

/** Sends as fast as it is let for `durationMs`, then waits until every leaf has said that it has everything. */
async function flow({ durationMs }: { durationMs: number }): Promise<Flow> {
  const bytes = payload();
  const window = peer.flow === "window" ? windowFor(address.payloadBytes) : 0;
  counted.fill(0);
  let sent = 0;
  const startMs = performance.now();
  const untilMs = startMs + durationMs;
  const perTurn = Math.max(1, Math.min(256, Math.floor(1_048_576 / address.payloadBytes)));
  while (performance.now() < untilMs) {
    if (window > 0 && sent - Math.min(...counted) >= window) {
      await new Promise<void>((resolve) => (answered = resolve));
      answered = undefined;
      continue;
    }
    let room = true;
    const turnMax = window === 0 ? perTurn : Math.min(perTurn, window - (sent - Math.min(...counted)));
    for (let i = 0; i < turnMax && room; i++) {
      const verdict = endpoint.send(bytes);
      if (verdict !== "refused") sent += 1;
      room = verdict === true;
    }
    if (room) await new Promise((resolve) => setImmediate(resolve));
    else await endpoint.drained();
  }
  return { sent, elapsedUs: (performance.now() - startMs) * 1e3 };
}

serve({
  open,
  ready: () => endpoint.ready?.(),
  roundTrips,
  flow,
  begin: (argument: Parameters<LeafRole["begin"]>[0]) => role.begin(argument),
  counts: () => role.counts(),
  askLeaves: ({ name, argument }: { name: string; argument: unknown }) => peer.askLeaves!(name, argument),
  cpuUs: () => {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
  close: async () => {
    await Promise.race([endpoint.close(), once(process, "disconnect")]);
  },
});

/** A local program that subscribes and counts. */
import { connect as connectSocket, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "../../schemas/clock.ts";
import { connect, type Client, type Message } from "../../shm/client/index.ts";
import { LatencyLog } from "./latencyLog.ts";
import { serve } from "./rpc.ts";

export interface Counts {
  received: number;
  lost: number;
  /** Sequence numbers that did not follow the one before them and were not announced as lost. */
  disorder: number;
  cpuUs: number;
  nowUs: number;
}

let client: Client | undefined;
let received = 0;
let lost = 0;
let disorder = 0;
const sequences = new Map<string, number>();
/** Who is told how far we are. */
let credit: Socket | undefined;
const CREDIT_EVERY = 512;
/** Waiting for `received` to reach a count. */
let goal: { count: number; resolve: () => void } | undefined;
let latencies: (LatencyLog & { offsetBytes: number }) | undefined;
let tellFirst: (atUs: number) => void;
const first = new Promise<number>((resolve) => {
  tellFirst = resolve;
});

serve({
  /** Connects as soon as the gateway listens, and subscribes. `creditPath`: where the sender wants to know how far we are. */
  async subscribe({ socketPath, pattern, queue, name, creditPath }: { socketPath: string; pattern: string; queue: number; name: string; creditPath?: string }) {
    if (creditPath !== undefined) credit = connectSocket(creditPath);
    client = await connectWhenThere(socketPath, name);
    await client.subscribe(pattern, { policy: { queue } }, receive);
  },
  counts: (): Counts => {
    const { user, system } = process.cpuUsage();
    return { received, lost, disorder, cpuUs: user + system, nowUs: systemClock.nowUs() };
  },
  /** Resolves when so many messages have been received or lost in all. */
  reach({ count, timeoutMs }: { count: number; timeoutMs: number }) {
    if (received + lost >= count) return Promise.resolve();
    return new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${received} received and ${lost} lost after ${timeoutMs} ms, not ${count}`)), timeoutMs);
      goal = {
        count,
        resolve() {
          clearTimeout(timer);
          resolve();
        },
      };
    });
  },
  /** When the first message came, CLOCK_MONOTONIC µs. */
  first: () => first,
  /** Begins to keep latencies; `offsetBytes` is where the record has the time of sending (f64 or u32 µs, modulo 2^32). */
  record(offsetBytes: number) {
    latencies = Object.assign(new LatencyLog(), { offsetBytes });
  },
  /** Ends it: quantiles in µs. */
  latencies() {
    const result = latencies?.quantiles();
    latencies = undefined;
    return result;
  },
  request: (service: string) => client?.request(service),
  async close() {
    await client?.close();
  },
});

async function connectWhenThere(socketPath: string, name: string): Promise<Client> {
  for (const endUs = systemClock.nowUs() + 20e6; ; await delay(2)) {
    try {
      return await connect({ socketPath, name });
    } catch (error) {
      if (systemClock.nowUs() > endUs) throw error;
    }
  }
}

function receive(message: Message): void {
  if (received === 0) tellFirst(systemClock.nowUs());
  received += 1;
  lost += message.lostBefore;
  const last = sequences.get(message.topic);
  if (last !== undefined && message.sequence !== last + 1 + message.lostBefore) disorder += 1;
  sequences.set(message.topic, message.sequence);
  if (latencies) {
    const nowUs = systemClock.nowUs();
    const { bytes } = message;
    latencies.add(new DataView(bytes.buffer, bytes.byteOffset).getUint32(latencies.offsetBytes, true), message.timeUs, nowUs);
  }
  if (credit && received % CREDIT_EVERY === 0) {
    const count = Buffer.alloc(8);
    count.writeDoubleLE(received + lost, 0);
    credit.write(count);
  }
  if (goal && received + lost >= goal.count) {
    goal.resolve();
    goal = undefined;
  }
}

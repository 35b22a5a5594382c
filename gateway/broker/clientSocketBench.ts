/**
 * Figures of the client socket: `node dist/ts/gateway/broker/clientSocketBench.js` prints one JSON object.
 * The subscriber is a process of its own and looks at every message; the broker's cost is the CPU time of this process, per sample delivered.
 */
import { loadavg } from "node:os";
import { pathToFileURL } from "node:url";
import { SampleBatchWriter } from "../../shm/protocol/samples.ts";
import { BrokerRig } from "./testRig.ts";

const RECORD_BYTES = 40;

export interface ClientSocketFigures {
  encodeNsPerSample: number;
  /** As fast as one process can publish, the other receive, without loss. */
  samplesPerSecond: number;
  brokerCpuNsPerSample: number;
  subscriberCpuNsPerSample: number;
  /** At 10,000 samples a second, one per packet, from publishing to the listener. */
  latencyUs: { p50: number; p99: number; p999: number };
  requestUs: { p50: number; p99: number };
  load: number;
}

function percentile(sorted: readonly number[], share: number): number {
  return Math.round(10 * sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!) / 10;
}

function encodeNsPerSample(): number {
  const batch = new SampleBatchWriter();
  const payload = new Uint8Array(RECORD_BYTES);
  const rounds = 2_000_000;
  const cpuNs = (): number => process.cpuUsage().user * 1e3 + process.cpuUsage().system * 1e3;
  let startNs = 0;
  for (let i = 0; i < rounds; i++) {
    // The first tenth is for the compiler.
    if (i === rounds / 10) startNs = cpuNs();
    if (!batch.append(7, 1, i, i, 0, 1, 0, 0, payload, 0, RECORD_BYTES)) batch.reset();
  }
  return Math.round((cpuNs() - startNs) / (rounds * 0.9));
}

const subscriber = `
  let count = 0, lost = 0, latencies = [];
  const now = () => { const [s, ns] = process.hrtime(); return s * 1e6 + ns / 1e3; };
  await client.subscribe("data/x", { policy: { queue: 65536 } }, (m) => { count += 1; lost += m.lostBefore; if (latencies.length < 100000) latencies.push(now() - m.timeUs); if (m.bytes[0] === 1) report(); });
  const report = () => { say({ count, lost, cpuUs: process.cpuUsage().user + process.cpuUsage().system, latencies: latencies.sort((a, b) => a - b) }); latencies = []; };
  say("ready");`;

interface Report { count: number; lost: number; cpuUs: number; latencies: number[] }

export async function measure({ samples = 2_000_000, requests = 20_000 }: { samples?: number; requests?: number } = {}): Promise<ClientSocketFigures> {
  const rig = new BrokerRig();
  try {
    const topic = rig.topic("data/x");
    const program = rig.program(subscriber);
    await program.next();
    const payload = new Uint8Array(RECORD_BYTES);
    const last = new Uint8Array(RECORD_BYTES).fill(1);
    const nowUs = (): number => Number(process.hrtime.bigint()) / 1e3;
    const send = (bytes: Uint8Array): void => rig.table.publish(topic, bytes, 0, RECORD_BYTES, nowUs(), 0, "bench", 0);
    const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

    for (let i = 0; i < 20_000; i++) {
      send(payload);
      if (i % 100 === 0) await turn();
    }
    send(last);
    const warm = await program.next<Report>();
    const cpuBefore = process.cpuUsage();
    const startUs = nowUs();
    for (let sent = 0; sent < samples;) {
      // Held back by what is pending, as a bus is by its bit rate: the figure is what goes through, not what can be dropped.
      if (rig.broker.clients()[0]!.pendingBytes > 262_144) {
        await turn();
        continue;
      }
      for (let i = 0; i < 256; i++) send(payload);
      sent += 256;
      await turn();
    }
    send(last);
    const through = await program.next<Report>();
    const seconds = (nowUs() - startUs) / 1e6;
    const cpu = process.cpuUsage(cpuBefore);
    const busyUs = cpu.user + cpu.system;
    if (through.lost > 0) throw new Error(`${through.lost} samples were lost: the figures mean nothing`);
    const delivered = through.count - warm.count;

    for (let i = 0, nextUs = nowUs(); i < 20_000;) {
      const now = nowUs();
      if (now >= nextUs) {
        send(payload);
        nextUs += 100;
        i += 1;
      }
      await turn();
    }
    send(last);
    const paced = await program.next<Report>();

    const client = rig.program(`
      const times = [];
      for (let i = 0; i < ${requests}; i++) { const t = process.hrtime.bigint(); await client.request("echo", i); if (i >= ${requests} / 10) times.push(Number(process.hrtime.bigint() - t) / 1e3); }
      say(times.sort((a, b) => a - b));`);
    const times = await client.next<number[]>();
    return {
      encodeNsPerSample: encodeNsPerSample(),
      samplesPerSecond: Math.round(delivered / seconds),
      brokerCpuNsPerSample: Math.round((busyUs * 1e3) / delivered),
      subscriberCpuNsPerSample: Math.round(((through.cpuUs - warm.cpuUs) * 1e3) / delivered),
      latencyUs: { p50: percentile(paced.latencies, 0.5), p99: percentile(paced.latencies, 0.99), p999: percentile(paced.latencies, 0.999) },
      requestUs: { p50: percentile(times, 0.5), p99: percentile(times, 0.99) },
      load: loadavg()[0]!,
    };
  } finally {
    await rig.close();
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) process.stdout.write(`${JSON.stringify(await measure(), undefined, 2)}\n`);

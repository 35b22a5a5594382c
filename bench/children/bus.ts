/**
 * A process with emulated buses and whoever sends on them. Buses "bench" and "direct" are unpaced and carry the traffic, the one to the
 * gateway, the other to whoever compares; bus "noisy" has 1 Mbit/s and a node that can be made to babble.
 */
import { createServer } from "node:net";
import { BusHost } from "../../drivers/can/emulator/host.ts";
import type { BusNode } from "../../drivers/can/emulator/node.ts";
import { HEAD_BYTES, Kind, RECORD_BYTES, viewOf } from "../../drivers/can/emulator/protocol.ts";
import { seededRandom } from "../../schemas/random.ts";
import { serveBuses, type BusServer } from "../../drivers/can/emulator/server.ts";
import { FRAME_OFFSET, FRAME_STRIDE_BYTES, type CanFrame } from "../../drivers/can/frame.ts";
import { systemClock } from "../../schemas/clock.ts";
import { definitionsOf, PROBE_IDS, probeDefinitions, trafficByName } from "../traffic.ts";
import { serve } from "./rpc.ts";

/**
 * Frames under way at most. A driver that reads a real bus never waits, and so loses what this process gets no time to take (its ring has 8,192 frames):
 * no bus is faster than that, an unpaced one is.
 */
const UNDER_WAY_FRAMES = 4_096;
/** Nothing seen for so long: what is under way is lost. */
const STALL_MS = 500;
/** One write to the gateway's socket: enough to be worth a system call, far below what the bus holds for it. */
const CHUNK_FRAMES = 64;

const host = new BusHost({ name: "bench", bitrateBps: 0, queueFrames: 4096 });
const direct = new BusHost({ name: "direct", bitrateBps: 0, queueFrames: 4096 });
const noisy = new BusHost({ name: "noisy", bitrateBps: 1_000_000 });
const sender = host.attach({ name: "sender", echoes: false }, (outbox) => outbox.clear());
const directSender = direct.attach({ name: "sender", echoes: false }, (outbox) => outbox.clear());
const babbler = noisy.attach({ name: "babbler", echoes: false }, (outbox) => outbox.clear());
// Without a second node nobody would acknowledge before the gateway is there.
noisy.attach({ name: "listener" }, (outbox) => outbox.clear());

let servers: BusServer[] = [];
let sent = 0;
let ending = new AbortController();
let running: Promise<number> | undefined;
/** Frames that a subscriber has seen, by its own word, and what is known to be lost on the way. */
let seen = 0;
let leaked = 0;
let onSeen: (() => void) | undefined;
/** For naps shorter than a timer's millisecond. */
const nap = new Int32Array(new SharedArrayBuffer(4));

serve({
  /** The noisy bus has a socket of its own, as two buses have two interfaces. */
  async listen({ socketPath, noisyPath }: { socketPath: string; noisyPath: string }) {
    servers = [await serveBuses({ socketPath, buses: [host, direct] }), await serveBuses({ socketPath: noisyPath, buses: [noisy] })];
  },
  /** Listens for a subscriber's word on how far it is: 8 bytes each time, the count as f64. */
  credit(path: string) {
    const credits = createServer((socket) => {
      socket.on("data", (bytes) => {
        // Counts only rise: the last whole one tells all.
        const whole = bytes.length - (bytes.length % 8);
        if (whole >= 8) seen = bytes.readDoubleLE(whole - 8);
        onSeen?.();
      });
    });
    return new Promise<void>((resolve) => credits.listen(path, resolve));
  },
  attached: () => servers.reduce((sum, { clients }) => sum + clients.size, 0),
  /** Sends the traffic, for ever or `frames` frames, as fast as gateway and subscriber take it. */
  flood({ traffic, frames = Number.POSITIVE_INFINITY }: { traffic: string; frames?: number }) {
    begin((signal) => flood(trafficRecords(traffic), frames, signal));
  },
  /** Sends probes at a rate on one bus until stopped. */
  probe({ rateHz, bus }: { rateHz: number; bus: "bench" | "direct" }) {
    begin((signal) => (bus === "bench" ? probe(rateHz, host, sender, signal) : probe(rateHz, direct, directSender, signal)));
  },
  /** Ends the sending; resolves with the number of frames sent. */
  stop() {
    ending.abort();
    return running;
  },
  sent: () => sent,
  babble(on: boolean) {
    noisy.babble(babbler, on ? garbage() : undefined);
  },
  /** Frames that were on the noisy bus, and its load. */
  noise: () => ({ frames: noisy.statistics().frames, load: noisy.statistics().load }),
  usage: () => process.cpuUsage(),
});

function begin(send: (signal: AbortSignal) => Promise<number>): void {
  if (running) throw new Error("it sends already");
  ending = new AbortController();
  running = send(ending.signal).finally(() => {
    running = undefined;
  });
}

async function flood(records: Buffer, frames: number, signal: AbortSignal): Promise<number> {
  const count = records.length / RECORD_BYTES;
  const seenBefore = seen;
  let next = 0;
  sent = 0;
  leaked = 0;
  while (!signal.aborted && sent < frames) {
    const underWay = sent - leaked - (seen - seenBefore);
    if (underWay > UNDER_WAY_FRAMES - CHUNK_FRAMES) {
      if (!(await moreSeen())) leaked += underWay;
      continue;
    }
    for (const end = sent + Math.min(CHUNK_FRAMES, frames - sent); sent < end; sent++) {
      host.accept(sender, records, next * RECORD_BYTES);
      next = (next + 1) % count;
    }
    host.run();
    await new Promise(setImmediate);
  }
  return sent;
}

/** False when nothing was seen for too long. */
function moreSeen(): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), STALL_MS);
    onSeen = () => {
      clearTimeout(timer);
      onSeen = undefined;
      resolve(true);
    };
  });
}

/** Frames at equal distances, each with the time of its sending in it. Sleeps in between: a spinning sender would take a core away from those that are measured. */
async function probe(rateHz: number, host: BusHost, sender: BusNode, signal: AbortSignal): Promise<number> {
  const { messages, checks } = definitionsOf(probeDefinitions);
  const protectors = messages.map((message) => checks.protectorFor(message)!);
  const record = Buffer.alloc(RECORD_BYTES);
  const view = viewOf(record);
  record[0] = Kind.frame;
  record[HEAD_BYTES + FRAME_OFFSET.lengthBytes] = 8;
  const data = HEAD_BYTES + FRAME_OFFSET.data;
  const startUs = systemClock.nowUs();
  sent = 0;
  while (!signal.aborted) {
    const dueUs = startUs + (sent * 1e6) / rateHz;
    const nowUs = systemClock.nowUs();
    if (nowUs < dueUs) {
      Atomics.wait(nap, 0, 0, Math.min(1, (dueUs - nowUs) / 1e3));
      await new Promise(setImmediate);
      continue;
    }
    const which = sent % PROBE_IDS;
    view.setUint32(HEAD_BYTES + FRAME_OFFSET.canId, messages[which]!.canId, true);
    view.setUint32(data + 3, nowUs >>> 0, true);
    protectors[which]!.protect(record, data, 8, messages[which]!.canId);
    host.accept(sender, record, 0);
    host.run();
    sent += 1;
  }
  return sent;
}

function trafficRecords(name: string): Buffer {
  const { frames } = trafficByName(name);
  const records = Buffer.alloc(frames.count * RECORD_BYTES);
  for (let i = 0; i < frames.count; i++) {
    records[i * RECORD_BYTES] = Kind.frame;
    records.set(frames.bytes.subarray(i * FRAME_STRIDE_BYTES, (i + 1) * FRAME_STRIDE_BYTES), i * RECORD_BYTES + HEAD_BYTES);
  }
  return records;
}

/** Half of it on identifiers nobody knows, half on known ones with wrong contents. */
function garbage(): () => CanFrame {
  const random = seededRandom(11);
  const data = new Uint8Array(8);
  return () => {
    for (let i = 0; i < 8; i++) data[i] = Math.floor(random() * 256);
    return { timeUs: 0, canId: random() < 0.5 ? 0x200 + Math.floor(random() * PROBE_IDS) : Math.floor(random() * 0x700), flags: 0, data };
  };
}

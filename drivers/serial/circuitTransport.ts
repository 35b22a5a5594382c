/** Circuits over a serial line: a port, repetition, and the transport interface of shm/circuits. */
import { randomInt } from "node:crypto";
import type { Clock } from "../../schemas/clock.ts";
import { systemClock } from "../../schemas/clock.ts";
import type { FrameTransport, TransportListeners } from "../../shm/circuits/index.ts";
import { CircuitLine } from "./circuitLine.ts";
import type { SerialRole } from "./frame.ts";
import { SERIAL_LIMITS } from "./limits.ts";
import type { BytePort } from "./port.ts";
import { LINE_HEADER_BYTES } from "./repetition.ts";

export interface SerialCircuitOptions {
  port: BytePort;
  role: SerialRole;
  dataId: number;
  baudBps: number;
  /** Longest circuit frame, 72 to 507; both ends agree on the smaller. 224 by default: with all headers one COBS block of 254. */
  frameBytesMax?: number;
  clock?: Clock;
  newSession?: () => number;
}

export interface SerialCircuitTransport extends FrameTransport {
  readonly counters: CircuitLine["counters"];
}

const FRAME_BYTES = 224;
/** How long `end` waits for the peer to have everything. */
const FLUSH_MS = 1000;

/** Opens the port; rejects with a `DriverError`. Frames go from when the peer has joined. A line that ended is not joined again: make a new transport. */
export async function serialCircuitTransport({ port, role, dataId, baudBps, frameBytesMax = FRAME_BYTES, clock = systemClock, newSession = () => randomInt(1, 2 ** 32) }: SerialCircuitOptions): Promise<SerialCircuitTransport> {
  // Whatever the peer may send: our own limit is told by the circuits' hello.
  const line = new CircuitLine({ role, dataId, baudBps, payloadBytesMax: SERIAL_LIMITS.bodyBytes - LINE_HEADER_BYTES, session: newSession() }, clock.nowUs());
  let listeners: TransportListeners | undefined;
  let writing = false;
  let over = false;
  let endByUs = Infinity;
  let hadRoom = true;
  let cancelTimer: (() => void) | undefined;

  const open = await port.open({
    data(bytes) {
      line.receivedBytes(bytes, clock.nowUs());
      run();
    },
    closed: (why) => finish(why),
  });

  function finish(why: string): void {
    if (over) return;
    over = true;
    cancelTimer?.();
    void open.close();
    if (endByUs === Infinity) queueMicrotask(() => listeners?.ended(why));
  }

  function run(): void {
    if (over || !listeners) return;
    const nowUs = clock.nowUs();
    line.poll(nowUs);
    for (const frame of line.takeDelivered()) if (endByUs === Infinity) listeners.frame(frame, []);
    if (line.ended) return finish(line.ended);
    if (endByUs !== Infinity && (line.isFlushed || nowUs >= endByUs)) return finish("closed");
    write();
    if (!hadRoom && line.hasRoom) {
      hadRoom = true;
      listeners.room();
    }
    cancelTimer?.();
    const deadlineUs = Math.min(line.deadlineUs, endByUs);
    cancelTimer = deadlineUs === Infinity || writing ? undefined : clock.at(deadlineUs, run);
  }

  function write(): void {
    const bytes = writing || over ? undefined : line.takeWire(clock.nowUs());
    if (!bytes) return;
    writing = true;
    open.write(bytes, (fault) => {
      writing = false;
      if (fault === undefined) run();
      else finish(fault);
    });
  }

  return {
    frameBytesMax,
    carriesDescriptors: false,
    protects: true,
    get counters() {
      return line.counters;
    },
    get hasRoom() {
      hadRoom = line.hasRoom && endByUs === Infinity && !over;
      return hadRoom;
    },
    send(frame) {
      line.send(frame);
      write();
    },
    start(given) {
      listeners = given;
      if (over) queueMicrotask(() => given.ended("the port was closed"));
      else queueMicrotask(run);
    },
    end() {
      endByUs = Math.min(endByUs, clock.nowUs() + FLUSH_MS * 1e3);
      queueMicrotask(run);
    },
  };
}

/**
 * One bus of the C core: its memory with names, its numbers as words. Nothing is decided here; `nativeDriver.ts` does that.
 */
import type { SendVerdict } from "../driver.ts";
import type { CanFrame } from "./frame.ts";
import { CanFrameBatch, FRAME_STRIDE_BYTES, writeFrame } from "./frame.ts";
import { native, type NativeCanBus, type NativeCanBusOptions, type NativeLink } from "./native.ts";

const STATUS_DOUBLES = 64;
const OUTGOING_AT = STATUS_DOUBLES * 8;
const BATCH_AT = OUTGOING_AT + FRAME_STRIDE_BYTES;
const FEATURE_ECHO = 0x02;
const request = { purge: 2, restart: 4, sync: 8 } as const;
/** enum ipcnet_can_verdict */
const verdicts = ["queued", "notStarted", "expired", "queueFull", "linkDown", "badLength", "listenOnly", "unsupported"] as const satisfies readonly SendVerdict[];
/** enum ipcnet_can_link_event_kind */
const eventKinds = ["changed", "up", "down", "gone", "busState", "purged", "purgeFailed", "restartFailed", "dropped", "overflow", "synced"] as const;
export const nativeCounters = [
  "nativeReceivedFrames", "nativeEchoedFrames", "nativeErrorFrames", "kernelLostFrames", "receiveErrors", "malformedFrames", "nativeSentFrames", "unmatchedEchoes",
  "missedEchoes", "nativeExpiredFrames", "queueFullFrames", "linkDownFrames", "nativeRefusedFrames", "ringLostFrames", "wakeUps",
] as const;

export interface LinkEvent {
  kind: (typeof eventKinds)[number];
  /** up: frames found in the queue; busState: 0…3; …Failed: errno; overflow: lost frames; synced: number of the barrier. */
  a: number;
  /** Own frames that left the queue unsent by it. */
  leftFrames: number;
}

/** What the batch of the last `drain` holds. */
export interface BatchSummary {
  receivedFrames: number;
  echoes: number;
  probeEchoes: number;
  errors: number;
  lostFrames: number;
  lastReceivedUs: number;
  lastEchoUs: number;
  lastProbeEchoUs: number;
}

export class NativeBus {
  readonly #native: NativeCanBus;
  readonly #status: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** Where `drain` puts frames. Valid until the next `drain`. */
  readonly batch: CanFrameBatch;
  readonly summary: BatchSummary = { receivedFrames: 0, echoes: 0, probeEchoes: 0, errors: 0, lostFrames: 0, lastReceivedUs: 0, lastEchoUs: 0, lastProbeEchoUs: 0 };

  /** `onWake` is called once per burst; it must call `woken` first, then `eventsWaiting`, `drain` until 0, and `nextEvent` so often. */
  constructor(options: NativeCanBusOptions, onWake: () => void) {
    this.#native = new (native().NativeCanBus)(options, onWake);
    this.#status = new Float64Array(this.#native.memory, 0, STATUS_DOUBLES);
    this.#bytes = new Uint8Array(this.#native.memory);
    this.#view = new DataView(this.#native.memory);
    this.batch = new CanFrameBatch(options.batchFrames, this.#native.memory, BATCH_AT);
  }

  /** Opens the socket; code "ok", or what is wrong. Whether the link is up comes as an event. */
  open(): { code: string; message: string; remedy: string } {
    return this.#native.open();
  }
  /** Closes the socket and goes on watching for changes of interfaces. */
  closeSocket(): void {
    this.#native.closeSocket();
  }
  /** The end: thread joined, descriptors closed. Nothing may be called afterwards but this. */
  dispose(): void {
    this.#native.dispose();
  }
  query(): NativeLink {
    return this.#native.query();
  }
  mayPurge(): boolean {
    return this.#native.mayPurge();
  }
  get givesEchoes(): boolean {
    return (this.#status[13]! & FEATURE_ECHO) !== 0;
  }
  get receiveBufferBytes(): number {
    return this.#status[14]!;
  }
  get inFlightFrames(): number {
    return this.#status[12]!;
  }

  /** Hands a frame to the kernel now or says why not. `frame.data` has at most 64 bytes. */
  send(frame: CanFrame): (typeof verdicts)[number] {
    writeFrame(this.#bytes, this.#view, OUTGOING_AT, frame);
    return verdicts[this.#native.send()]!;
  }

  /** Fills `batch` and `summary`; returns how many frames. */
  drain(): number {
    const count = this.#native.drain();
    const status = this.#status;
    const { summary } = this;
    this.batch.count = count;
    summary.receivedFrames = status[0]!;
    summary.echoes = status[1]!;
    summary.probeEchoes = status[2]!;
    summary.errors = status[3]!;
    summary.lostFrames = status[4]!;
    summary.lastReceivedUs = status[5]!;
    summary.lastEchoUs = status[6]!;
    summary.lastProbeEchoUs = status[7]!;
    return count;
  }

  woken(): void {
    this.#native.woken();
  }
  eventsWaiting(): number {
    return this.#native.eventsWaiting();
  }
  nextEvent(): LinkEvent | undefined {
    if (!this.#native.nextEvent()) return undefined;
    return { kind: eventKinds[this.#status[8]!]!, a: this.#status[9]!, leftFrames: this.#status[11]! };
  }

  /** Answered by "purged" or "purgeFailed". */
  requestPurge(): void {
    this.#native.request(request.purge, 0);
  }
  /** Refusal is answered by "restartFailed"; success shows as "busState" or an error frame. */
  requestRestart(): void {
    this.#native.request(request.restart, 0);
  }
  /** A barrier: answered by "synced" when everything that has arrived by now was read. */
  requestSync(number: number): void {
    this.#native.request(request.sync, number);
  }

  counters(): Record<(typeof nativeCounters)[number], number> {
    this.#native.refresh();
    return Object.fromEntries(nativeCounters.map((name, index) => [name, this.#status[16 + index]!])) as Record<(typeof nativeCounters)[number], number>;
  }
}

/**
 * A node's own end of the emulated bus, whatever carries the records: a socket (client.ts) or a function call (inProcess.ts).
 * What listeners are handed as a batch is borrowed until they return.
 */
import type { SendVerdict } from "../../driver.ts";
import type { CanFrame } from "../frame.ts";
import { CanFlag, CanFrameBatch, FRAME_OFFSET, FRAME_STRIDE_BYTES, readFrame, writeFrame } from "../frame.ts";
import type { NodeState } from "./protocol.ts";
import { Control, HEAD_BYTES, Kind, NODE_STATES, RecordBuffer, RecordReader } from "./protocol.ts";

export interface DroppedFrame {
  token: number;
  /** `DropReason`. */
  reason: number;
}

/** What the port needs from its carrier. */
export interface Carrier {
  /** Takes whole records; the bytes are the carrier's from then on. */
  write(records: Buffer): void;
  close(): Promise<void>;
}

export interface PortFacts {
  bitrateBps: number;
  fd: boolean;
  queueFrames: number;
  listenOnly: boolean;
  /** Whether own frames come back; without it the port cannot count what is in flight. */
  echoes: boolean;
}

const BATCH_FRAMES = 256;

export class NodePort {
  readonly facts: PortFacts;
  /** Own frames not yet echoed or dropped. Only with echoes. */
  inFlight = 0;
  linkUp = true;
  state: NodeState = "errorActive";
  tec = 0;
  rec = 0;

  readonly #carrier: Carrier;
  readonly #reader = new RecordReader();
  readonly #batch = new CanFrameBatch(BATCH_FRAMES);
  readonly #out = new RecordBuffer();
  #flushDue = false;
  #closed = false;
  readonly #onBatch = new Set<(batch: CanFrameBatch) => void>();
  readonly #onDropped = new Set<(dropped: DroppedFrame) => void>();
  readonly #onChange = new Set<() => void>();
  readonly #onClose = new Set<(why: string) => void>();

  constructor(facts: PortFacts, carrier: Carrier) {
    this.facts = facts;
    this.#carrier = carrier;
  }

  /** For the carrier: how the link and the controller are at the start. */
  begin({ linkUp, state, tec, rec }: Pick<NodePort, "linkUp" | "state" | "tec" | "rec">): void {
    Object.assign(this, { linkUp, state, tec, rec });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Queues a frame for the bus. "queued" says that the bus will answer with an echo or a drop, not that it was sent. */
  send(frame: CanFrame): SendVerdict {
    if (this.#closed || !this.linkUp) return "linkDown";
    if (this.facts.listenOnly) return "listenOnly";
    if (this.state === "busOff") return "busOff";
    if (this.facts.echoes && this.inFlight >= this.facts.queueFrames) return "queueFull";
    const at = this.#out.append(Kind.frame, 0, 0);
    writeFrame(this.#out.bytes, this.#out.view, at, frame);
    if (this.facts.echoes) this.inFlight += 1;
    this.#flushSoon();
    return "queued";
  }

  control(what: keyof typeof Control): void {
    if (this.#closed) return;
    this.#out.appendBlank(Kind.control, Control[what], 0);
    this.#flushSoon();
  }

  /** Received frames, echoes (`CanFlag.echo`) and error reports (`CanFlag.error`), in order. */
  onBatch(listener: (batch: CanFrameBatch) => void): () => void {
    return register(this.#onBatch, listener);
  }

  /** Frames of other nodes as objects; for simulated nodes, which send little. */
  onFrame(listener: (frame: CanFrame) => void): () => void {
    return this.#onFlagged(0, listener);
  }

  onEcho(listener: (frame: CanFrame) => void): () => void {
    return this.#onFlagged(CanFlag.echo, listener);
  }

  onError(listener: (frame: CanFrame) => void): () => void {
    return this.#onFlagged(CanFlag.error, listener);
  }

  onDropped(listener: (dropped: DroppedFrame) => void): () => void {
    return register(this.#onDropped, listener);
  }

  /** `linkUp`, `state`, `tec` or `rec` have changed. */
  onChange(listener: () => void): () => void {
    return register(this.#onChange, listener);
  }

  /** The bus has gone; nothing comes any more. Not called for an own `close`. */
  onClose(listener: (why: string) => void): () => void {
    return register(this.#onClose, listener);
  }

  async close(): Promise<void> {
    this.#flush();
    this.#closed = true;
    this.#forget();
    await this.#carrier.close();
  }

  /** For the carrier: bytes from the bus. */
  consume(chunk: Uint8Array): void {
    this.#reader.push(chunk, (bytes, view, at) => {
      const kind = bytes[at]!;
      if (kind === Kind.frame || kind === Kind.echo) {
        if (kind === Kind.echo) this.inFlight -= 1;
        this.#collect(bytes, at + HEAD_BYTES);
        return;
      }
      this.#handOver();
      if (kind === Kind.dropped) {
        if (this.facts.echoes) this.inFlight -= 1;
        const dropped = { token: view.getUint32(at + HEAD_BYTES + FRAME_OFFSET.token, true), reason: bytes[at + 1]! };
        for (const listener of this.#onDropped) listener(dropped);
      } else if (kind === Kind.link || kind === Kind.state) {
        if (kind === Kind.link) this.linkUp = bytes[at + 1] === 1;
        else this.#setState(bytes[at + 1]!, view.getUint32(at + 4, true));
        for (const listener of this.#onChange) listener();
      }
    });
    this.#handOver();
  }

  /** For the carrier: the bus is gone. */
  lost(why: string): void {
    if (this.#closed) return;
    this.#closed = true;
    const listeners = [...this.#onClose];
    this.#forget();
    for (const listener of listeners) listener(why);
  }

  #setState(index: number, counters: number): void {
    this.state = NODE_STATES[index] ?? "errorActive";
    this.tec = counters >>> 16;
    this.rec = counters & 0xffff;
  }

  #collect(bytes: Buffer, at: number): void {
    if (this.#batch.count === BATCH_FRAMES) this.#handOver();
    bytes.copy(this.#batch.bytes, this.#batch.count * FRAME_STRIDE_BYTES, at, at + FRAME_STRIDE_BYTES);
    this.#batch.count += 1;
  }

  #handOver(): void {
    if (this.#batch.count === 0) return;
    for (const listener of this.#onBatch) listener(this.#batch);
    this.#batch.clear();
  }

  #onFlagged(wanted: number, listener: (frame: CanFrame) => void): () => void {
    return this.onBatch((batch) => {
      for (let index = 0; index < batch.count; index++) {
        if ((batch.flags(index) & (CanFlag.echo | CanFlag.error)) === wanted) listener(readFrame(batch.bytes, batch.view, index * FRAME_STRIDE_BYTES));
      }
    });
  }

  /** All frames of one turn travel in one write. */
  #flushSoon(): void {
    if (this.#flushDue) return;
    this.#flushDue = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#flushDue = false;
    if (!this.#closed && this.#out.count > 0) this.#carrier.write(this.#out.take());
  }

  #forget(): void {
    for (const listeners of [this.#onBatch, this.#onDropped, this.#onChange, this.#onClose]) listeners.clear();
  }
}

function register<Listener>(listeners: Set<Listener>, listener: Listener): () => void {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

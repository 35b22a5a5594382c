/**
 * One controller and those who share it, as sockets share an interface of the kernel: one queue, one error state, one acknowledge.
 *
 * What one of them sends, the others receive when the bus has taken it (as SocketCAN loops frames back), and only other controllers acknowledge it.
 * A link change, an error report and a bus-off concern all. A frame whose sender has gone stays in the queue. The controller itself stays on the bus
 * when its last participant leaves, and acknowledges, as an interface that is up does.
 * Pure: it only moves records from the controller's outbox to those of its participants.
 */
import { CanFlag, FRAME_OFFSET, FRAME_STRIDE_BYTES } from "../frame.ts";
import type { BusNode } from "./node.ts";
import { DropReason, HEAD_BYTES, Kind, OWNER_OFFSET, RECORD_BYTES, RecordBuffer } from "./protocol.ts";

/** Receives an outbox when there is something in it, and must empty it. */
export type Sink = (outbox: RecordBuffer) => void;

/** One who takes part in a bus: with a controller of its own (number 0, no `shared`), or through a shared one. */
export interface Participant {
  readonly node: BusNode;
  readonly shared: SharedController | undefined;
  /** By which the controller knows its frames; 1…65535, 0 for the only one. */
  readonly number: number;
  readonly sink: Sink;
}

interface Sharer extends Participant {
  readonly outbox: RecordBuffer;
  readonly fd: boolean;
  readonly echoes: boolean;
}

export class SharedController {
  readonly node: BusNode;
  readonly #sharers = new Map<number, Sharer>();

  /** `node` must want echoes, and FD wherever the bus has it: each participant then gets what it asked for. */
  constructor(node: BusNode) {
    this.node = node;
  }

  get participants(): number {
    return this.#sharers.size;
  }

  join({ fd = false, echoes = true }: { fd?: boolean; echoes?: boolean }, sink: Sink): Participant {
    let number = 1;
    while (this.#sharers.has(number)) number += 1;
    const sharer: Sharer = { node: this.node, shared: this, number, sink, outbox: new RecordBuffer(), fd, echoes };
    this.#sharers.set(number, sharer);
    return sharer;
  }

  leave({ number }: Participant): void {
    this.#sharers.delete(number);
    this.node.disown(number);
  }

  /** Whether the frame record at `at` is one that this participant may send here; if not, it has been told so. */
  admits({ number }: Participant, bytes: Buffer, at: number): boolean {
    if ((bytes[at + FRAME_OFFSET.flags]! & CanFlag.fd) === 0 || this.#sharers.get(number)?.fd) return true;
    this.node.refuse(bytes, at, DropReason.refused, number);
    return false;
  }

  /** Hands out what the controller's outbox holds. */
  deliver(): void {
    const { outbox } = this.node;
    for (let index = 0; index < outbox.count; index++) this.#deal(outbox, index * RECORD_BYTES);
    outbox.clear();
    for (const { outbox: own, sink } of this.#sharers.values()) if (own.count > 0) sink(own);
  }

  /** One of them took the interface down and up: the others see that. */
  interrupted({ number }: Participant): void {
    this.deliver();
    for (const sharer of this.#sharers.values()) {
      if (sharer.number === number) continue;
      sharer.outbox.appendBlank(Kind.link, 0, 0);
      sharer.outbox.appendBlank(Kind.link, 1, 0);
      sharer.sink(sharer.outbox);
    }
  }

  #deal(from: RecordBuffer, at: number): void {
    const kind = from.bytes[at]!;
    const owner = from.view.getUint16(at + OWNER_OFFSET, true);
    const isFd = (from.bytes[at + HEAD_BYTES + FRAME_OFFSET.flags]! & CanFlag.fd) !== 0;
    for (const sharer of this.#sharers.values()) {
      const isOwn = sharer.number === owner;
      if (kind === Kind.dropped ? !isOwn : kind === Kind.echo && isOwn && !sharer.echoes) continue;
      if (isFd && !sharer.fd && (kind === Kind.frame || kind === Kind.echo)) continue;
      const looped = kind === Kind.echo && !isOwn;
      const to = sharer.outbox.append(looped ? Kind.frame : kind, from.bytes[at + 1]!, from.view.getUint32(at + 4, true));
      from.bytes.copy(sharer.outbox.bytes, to, at + HEAD_BYTES, at + HEAD_BYTES + FRAME_STRIDE_BYTES);
      if (!looped) continue;
      sharer.outbox.bytes[to + FRAME_OFFSET.flags]! &= ~CanFlag.echo;
      sharer.outbox.view.setUint32(to + FRAME_OFFSET.token, 0, true);
    }
  }
}

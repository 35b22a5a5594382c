/**
 * Frames passed from bus to bus as they are: `can/<bus>/raw` to `can/<bus>/raw`, for the listed identifiers only. The list is the allow-list;
 * a frame is passed at once or not at all, and only while the gateway is armed, because what it may move is not known here.
 */
import { CanFlag, FRAME_STRIDE_BYTES, readFrame } from "../../drivers/can/frame.ts";
import type { CanDriver } from "../../drivers/can/driver.ts";
import type { SampleSink, TopicEntry } from "../topics/topicSource.ts";

/** A frame that could not be sent within this is worth nothing on the other bus, ms. */
export const FRAME_ROUTE_TTL_MS = 20;

export interface FrameRouteParts {
  to: CanDriver;
  passes(canId: number, extended: boolean): boolean;
  gate(): boolean;
  nowUs(): number;
}

export class FrameRoute implements SampleSink {
  readonly counters = { passed: 0, filtered: 0, refused: 0, notArmed: 0 };
  readonly #parts: FrameRouteParts;

  constructor(parts: FrameRouteParts) {
    this.#parts = parts;
  }

  sample(_topic: TopicEntry, bytes: Uint8Array, at: number, lengthBytes: number): void {
    if (lengthBytes !== FRAME_STRIDE_BYTES) return;
    const frame = readFrame(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at);
    // Echoes are our own frames: passing them on would be the first half of a loop.
    if ((frame.flags & (CanFlag.echo | CanFlag.error)) !== 0 || !this.#parts.passes(frame.canId, (frame.flags & CanFlag.extended) !== 0)) {
      this.counters.filtered += 1;
      return;
    }
    if (!this.#parts.gate()) {
      this.counters.notArmed += 1;
      return;
    }
    const verdict = this.#parts.to.send({ ...frame, timeUs: this.#parts.nowUs() + FRAME_ROUTE_TTL_MS * 1e3, token: 0 });
    if (verdict === "queued") this.counters.passed += 1;
    else this.counters.refused += 1;
  }
}

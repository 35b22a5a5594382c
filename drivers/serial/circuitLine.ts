/**
 * A line of its own for circuits: go-back-N repetition (`repetition.ts`) in serial frames (COBS, E2E profile 8). Pure: bytes and time in; frames, bytes for
 * the port and the next deadline out. See docs/specs/circuits.md, "On a serial line".
 */
import { CobsDecoder } from "./cobs.ts";
import { FRAME_BYTES_MAX, SerialFrameWriter, bodyOf, frameFault, idOf, serialCodec } from "./frame.ts";
import type { SerialRole } from "./frame.ts";
import { CIRCUIT_ID, Repetition } from "./repetition.ts";
import type { RepetitionOptions } from "./repetition.ts";

export interface CircuitLineOptions extends RepetitionOptions {
  role: SerialRole;
  dataId: number;
}

export class CircuitLine extends Repetition {
  readonly #decoder = new CobsDecoder({ maxFrameBytes: FRAME_BYTES_MAX });
  readonly #writer: SerialFrameWriter;
  readonly #peerCodec;

  constructor({ role, dataId, ...options }: CircuitLineOptions, nowUs: number) {
    super(options, nowUs);
    this.#writer = new SerialFrameWriter(serialCodec(dataId, role));
    this.#peerCodec = serialCodec(dataId, role === "gateway" ? "device" : "gateway");
  }

  /** Bytes from the port, in chunks of any size. */
  receivedBytes(bytes: Uint8Array, nowUs: number): void {
    this.#decoder.push(bytes, {
      frame: (frame) => this.received(frameFault(this.#peerCodec, frame) === undefined && idOf(frame) === CIRCUIT_ID ? bodyOf(frame) : undefined, nowUs),
      bad: () => this.received(undefined, nowUs),
    });
  }

  /** Bytes for the port, one frame of them, or undefined. */
  takeWire(nowUs: number): Uint8Array | undefined {
    const body = this.takeBody(nowUs);
    return body && this.#writer.write(CIRCUIT_ID, body);
  }
}

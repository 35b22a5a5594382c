/**
 * A CAN frame as the drivers hand it up: one 88-byte record in a batch, no object per frame.
 *
 * The same layout is `struct ipcnet_can_frame` in `core/ipcnet_can.h`; a test compares the two. Little-endian.
 *
 * | offset | type | field |
 * |---|---|---|
 * | 0 | f64 | received: CLOCK_MONOTONIC time of reception, µs; to send: deadline, µs (after it the frame is dropped, not sent) |
 * | 8 | u32 | canId, the 11- or 29-bit identifier alone |
 * | 12 | u8 | flags (`CanFlag`) |
 * | 13 | u8 | lengthBytes 0…64 |
 * | 14 | u16 | bus index within the gateway |
 * | 16 | u32 | token: the sender's own number for the frame, returned with its echo |
 * | 20 | u32 | lostBefore: frames lost (kernel or ring overflow) just before this one |
 * | 24 | u8[64] | data, zero beyond lengthBytes |
 */
export const FRAME_STRIDE_BYTES = 88;
export const FRAME_OFFSET = { timeUs: 0, canId: 8, flags: 12, lengthBytes: 13, bus: 14, token: 16, lostBefore: 20, data: 24 } as const;

export const CanFlag = {
  /** 29-bit identifier. */
  extended: 0x01,
  /** CAN FD frame. */
  fd: 0x02,
  /** FD: data phase at the higher bit rate. */
  bitRateSwitch: 0x04,
  /** FD: the sender is error-passive. */
  errorStateIndicator: 0x08,
  /** Remote request: lengthBytes says what is asked for, there is no data. */
  remote: 0x10,
  /** Not a frame from the wire but an error report: canId holds Linux's CAN_ERR_* classes, data their details (linux/can/error.h). */
  error: 0x20,
  /** Our own frame, confirmed as transmitted on the bus; `token` says which. */
  echo: 0x40,
} as const;

/** The flags of a message's frames (`Message` of schemas/dbc). */
export function canFlagsOf({ extended, fd, bitRateSwitch }: { extended: boolean; fd: boolean; bitRateSwitch: boolean }): number {
  return (extended ? CanFlag.extended : 0) | (fd ? CanFlag.fd : 0) | (bitRateSwitch ? CanFlag.bitRateSwitch : 0);
}

/** The payload lengths CAN FD can carry. */
export const FD_LENGTHS_BYTES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64] as const;

/**
 * A run of frames. Whoever is handed one may read it until the call returns; the memory is reused afterwards.
 * Reading a field costs a few nanoseconds and allocates nothing.
 */
export class CanFrameBatch {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly capacityFrames: number;
  /** Frames that are valid now. */
  count = 0;

  constructor(capacityFrames: number, buffer: ArrayBufferLike = new ArrayBuffer(capacityFrames * FRAME_STRIDE_BYTES), byteOffset = 0) {
    this.capacityFrames = capacityFrames;
    this.bytes = new Uint8Array(buffer, byteOffset, capacityFrames * FRAME_STRIDE_BYTES);
    this.view = new DataView(buffer, byteOffset, capacityFrames * FRAME_STRIDE_BYTES);
  }

  timeUs(index: number): number {
    return this.view.getFloat64(index * FRAME_STRIDE_BYTES, true);
  }
  canId(index: number): number {
    return this.view.getUint32(index * FRAME_STRIDE_BYTES + 8, true);
  }
  flags(index: number): number {
    return this.bytes[index * FRAME_STRIDE_BYTES + 12]!;
  }
  lengthBytes(index: number): number {
    return this.bytes[index * FRAME_STRIDE_BYTES + 13]!;
  }
  token(index: number): number {
    return this.view.getUint32(index * FRAME_STRIDE_BYTES + 16, true);
  }
  lostBefore(index: number): number {
    return this.view.getUint32(index * FRAME_STRIDE_BYTES + 20, true);
  }
  /** Where the payload starts in `bytes`. */
  dataOffset(index: number): number {
    return index * FRAME_STRIDE_BYTES + 24;
  }

  /** Appends a frame; returns false when the batch is full (nothing is written). */
  push(frame: CanFrame): boolean {
    if (this.count >= this.capacityFrames) return false;
    writeFrame(this.bytes, this.view, this.count * FRAME_STRIDE_BYTES, frame);
    this.count += 1;
    return true;
  }

  /** Copies frame `index` out into an object of its own (for tests, tools and cold paths). */
  get(index: number): CanFrame {
    return readFrame(this.bytes, this.view, index * FRAME_STRIDE_BYTES);
  }

  clear(): void {
    this.count = 0;
  }
}

/** A frame as an object: for tests, tools, commands. `timeUs` is the reception time, or the deadline of a frame to send. */
export interface CanFrame {
  timeUs: number;
  canId: number;
  flags: number;
  data: Uint8Array;
  /** For a remote request: the length asked for. Otherwise data.length. */
  lengthBytes?: number;
  token?: number;
  lostBefore?: number;
}

export function writeFrame(bytes: Uint8Array, view: DataView, at: number, frame: CanFrame): void {
  view.setFloat64(at, frame.timeUs, true);
  view.setUint32(at + 8, frame.canId, true);
  bytes[at + 12] = frame.flags;
  bytes[at + 13] = frame.lengthBytes ?? frame.data.length;
  view.setUint16(at + 14, 0, true);
  view.setUint32(at + 16, frame.token ?? 0, true);
  view.setUint32(at + 20, frame.lostBefore ?? 0, true);
  bytes.fill(0, at + 24, at + FRAME_STRIDE_BYTES);
  bytes.set(frame.data.length > 64 ? frame.data.subarray(0, 64) : frame.data, at + 24);
}

export function readFrame(bytes: Uint8Array, view: DataView, at: number): CanFrame {
  const lengthBytes = Math.min(bytes[at + 13]!, 64);
  const flags = bytes[at + 12]!;
  const remote = (flags & CanFlag.remote) !== 0;
  return {
    timeUs: view.getFloat64(at, true),
    canId: view.getUint32(at + 8, true),
    flags,
    lengthBytes,
    data: remote ? new Uint8Array(0) : bytes.slice(at + 24, at + 24 + lengthBytes),
    token: view.getUint32(at + 16, true),
    lostBefore: view.getUint32(at + 20, true),
  };
}

/** One number for an identifier of either width, usable as a map key: bit 31 says "29-bit", as in DBC files and SocketCAN. */
export function canKey(canId: number, extended: boolean): number {
  return extended ? (canId | 0x8000_0000) >>> 0 : canId;
}

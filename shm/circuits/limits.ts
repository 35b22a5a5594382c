/** The bounds of circuits, with the arithmetic behind them. What one side states at the handshake binds the other. */
export interface CircuitLimits {
  /** Conversations at one time over one transport, both directions together. The smaller of the two sides' holds. */
  maxCircuits: number;
  /** What the peer may have sent on one circuit without our program having read it, in credit units (see `costOf`). Must hold one largest message. */
  windowUnits: number;
  /** Largest message taken. */
  messageBytesMax: number;
  /** Units that all circuits of a transport may hold unread: beyond it the circuit whose frame comes is refused, not the transport. */
  poolUnits: number;
  /** Units that may wait to be sent on one circuit; then `send` says "full". One message is always taken by an empty queue. */
  queueUnits: number;
  /** Nothing heard for so long: the transport is dead. A third of it without hearing anything: ping. */
  silenceMs: number;
  helloTimeoutMs: number;
  /** A peer's core answers an abort by itself; one that does not is broken, not busy. */
  abortTimeoutMs: number;
  /** Violations on circuits of one transport, after which it ends: a peer with a bug loses circuits, one that attacks loses its connection. */
  violationsMax: number;
}

export const CIRCUIT_LIMITS: Readonly<CircuitLimits> = {
  // 2-byte ids at most, and 256 states of about 300 bytes.
  maxCircuits: 256,
  // A largest message in frames of 1 KiB: 256 KiB + 256 × 16, and as much again so that the next can be under way.
  windowUnits: 524_288 + 16_384,
  messageBytesMax: 262_144,
  // 30 circuits that are full at once; a component's fair share of memory.
  poolUnits: 16_777_216,
  queueUnits: 524_288 + 16_384,
  silenceMs: 15_000,
  helloTimeoutMs: 5_000,
  abortTimeoutMs: 10_000,
  violationsMax: 64,
};

/** For microcontrollers and slow lines: 8 circuits × 1 KiB fit 8 KiB of RAM; 512 bytes are 45 ms at 115,200 baud. */
export const SMALL_CIRCUIT_LIMITS: Readonly<CircuitLimits> = { ...CIRCUIT_LIMITS, maxCircuits: 8, windowUnits: 1024, messageBytesMax: 512, poolUnits: 8192, queueUnits: 2048 };

export const FIRST_CIRCUIT = 16;
/** Ids stay within two varint bytes: 16 + 16,368 = 16,384. */
export const MAX_CIRCUITS = 16_368;
/** As many as a packet of shm/sockets takes. */
export const DESCRIPTORS_MAX = 4;
/** A frame costs what its bookkeeping does, so that empty messages are not free. */
export const FRAME_UNITS = 16;
/** A descriptor is a kernel object (about 256 bytes of file and inode reference), and the process has only 1,024 by default. */
export const DESCRIPTOR_UNITS = 256;
/** Smallest frame that both sides must take: a hello with the longest name (2 + 3 + 5 × 5 + 1 + 32 = 63) and the seal (6). */
export const FRAME_BYTES_MIN = 72;
export const FRAME_BYTES_MAX = 65_536;
export const NAME_BYTES_MAX = 32;
/** With id, head and deadline: 64 + 13 would not fit the smallest frame; 40 does. */
export const PROTOCOL_NAME_BYTES_MAX = 40;
export const TEXT_BYTES_MAX = 48;
/** Grants listed in one frame; 32 × 7 bytes. More wait for the next. */
export const GRANTS_PER_FRAME = 32;
/** Deadlines travel in 30 bits of milliseconds: 12 days. */
export const DEADLINE_MS_MAX = 2 ** 30 - 1;

/** What one frame takes from its circuit's credit. */
export const costOf = (payloadBytes: number, descriptors: number): number => payloadBytes + FRAME_UNITS + descriptors * DESCRIPTOR_UNITS;

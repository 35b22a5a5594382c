/** The bounds of a serial link, with the arithmetic behind them. Times are defaults; a link's options may change them. */
export const SERIAL_LIMITS = {
  /** 64 fields of 8 bytes, the most the configuration allows. */
  bodyBytes: 512,
  /** Different messages waiting to be sent; each waits once, with its latest value. */
  queueFrames: 64,
  /** 8 KiB is 0.7 s of a 115,200 baud line: whatever lies deeper would be stale before it is sent. */
  queueBytes: 8192,
  /** How far ahead of the line bytes may be handed to the kernel: more than a timer's 1 ms, less than a command's life. */
  aheadMs: 4,
  /** Nothing taken by the port for so long: it is stuck, and opened anew. */
  writeTimeoutMs: 1000,
  /** Opening a device that hangs. */
  openTimeoutMs: 5000,
  /** While the peer has not answered. */
  helloIntervalMs: 200,
  /** An Arduino's boot loader holds the line for up to 2 s after each opening: reopening sooner would keep it there. */
  reopenAfterMs: 5000,
  /** A timer that comes so late was not late by itself (they are 1 – 2 ms): this process stood still. */
  lateMs: 10,
  /** What then waits in the kernel is read within some turns of the loop, however many links there are. */
  catchUpMs: 50,
  /** Attempts in a row before they become rare. */
  reopenBudget: 20,
  restMs: 10_000,
  /** A link that was up for so long has earned its budget back. */
  stableMs: 5000,
} as const;

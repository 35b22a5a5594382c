/** What slcan needs from a serial line, whatever it is made of: a device (port.ts), memory (memoryPort.ts). */
export interface SlcanPort {
  /** Hands bytes to the line; never blocks. */
  write(bytes: Uint8Array): void;
  /** Bytes handed over and not yet taken by the system. */
  readonly backlogBytes: number;
  /** One listener each. */
  onData(listener: (bytes: Uint8Array) => void): void;
  /** The line is gone: unplugged, hung up. Not called for an own `close`. */
  onLost(listener: (why: string) => void): void;
  close(): Promise<void>;
}

/** Opens the line; rejects with a `DriverError`. */
export type OpenSlcanPort = () => Promise<SlcanPort>;

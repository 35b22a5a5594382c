/** A serial line in memory: bytes written at one end are read at the other, at the next turn of the event loop, in order. */
import type { SlcanPort } from "./ports.ts";

export interface MemoryLine {
  /** The driver's end. */
  port: SlcanPort;
  /** The adapter's end: what it sends, and where it listens. */
  adapter: { write(bytes: Uint8Array): void; onData(listener: (bytes: Uint8Array) => void): void };
  /** Pulls the cable. */
  cut(): void;
}

export function memoryLine(): MemoryLine {
  let up = true;
  let toPort: ((bytes: Uint8Array) => void) | undefined;
  let toAdapter: ((bytes: Uint8Array) => void) | undefined;
  let lost: ((why: string) => void) | undefined;
  let backlogBytes = 0;
  const carry = (bytes: Uint8Array, receiver: () => ((bytes: Uint8Array) => void) | undefined, done = () => {}) => {
    const copy = Uint8Array.from(bytes);
    setImmediate(() => {
      done();
      if (up) receiver()?.(copy);
    });
  };
  return {
    port: {
      write(bytes) {
        backlogBytes += bytes.length;
        carry(bytes, () => toAdapter, () => {
          backlogBytes -= bytes.length;
        });
      },
      get backlogBytes() {
        return backlogBytes;
      },
      onData(listener) {
        toPort = listener;
      },
      onLost(listener) {
        lost = listener;
      },
      close() {
        toPort = undefined;
        lost = undefined;
        return Promise.resolve();
      },
    },
    adapter: {
      write: (bytes) => carry(bytes, () => toPort),
      onData(listener) {
        toAdapter = listener;
      },
    },
    cut() {
      up = false;
      lost?.("the cable was pulled");
    },
  };
}

/** Two transports joined in memory: between parts of one process, and the fake for tests. Frames arrive in later turns of the event loop. */
import type { CircuitDescriptor, FrameTransport, TransportListeners } from "./transport.ts";

export interface MemoryOptions {
  frameBytesMax?: number;
  /** Frames under way in one direction. */
  capacityFrames?: number;
  /** Calls back later, in order. */
  defer?: (callback: () => void) => void;
}

interface UnderWay {
  frame: Uint8Array;
  descriptors: readonly CircuitDescriptor[];
}

class MemoryEnd implements FrameTransport {
  readonly frameBytesMax: number;
  readonly carriesDescriptors = true;
  readonly protects = false;
  readonly #capacityFrames: number;
  readonly #defer: (callback: () => void) => void;
  readonly #waiting: UnderWay[] = [];
  #listeners: TransportListeners | undefined;
  #far: MemoryEnd | undefined;
  #over = false;
  #deferred = false;

  constructor({ frameBytesMax = 4096, capacityFrames = 16, defer = (callback) => void setImmediate(callback) }: MemoryOptions) {
    this.frameBytesMax = frameBytesMax;
    this.#capacityFrames = capacityFrames;
    this.#defer = defer;
  }

  join(far: MemoryEnd): void {
    this.#far = far;
  }

  get hasRoom(): boolean {
    return !this.#over && this.#far!.#waiting.length < this.#capacityFrames;
  }

  send(frame: Uint8Array, descriptors: readonly CircuitDescriptor[]): void {
    const far = this.#far!;
    if (far.#over) for (const descriptor of descriptors) descriptor.close();
    else far.#waiting.push({ frame, descriptors });
    far.#wake();
  }

  start(listeners: TransportListeners): void {
    this.#listeners = listeners;
    this.#wake();
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#dropWaiting();
    this.#far!.#wake();
  }

  #dropWaiting(): void {
    for (const { descriptors } of this.#waiting.splice(0)) for (const descriptor of descriptors) descriptor.close();
  }

  #wake(): void {
    if (this.#deferred || !this.#listeners) return;
    this.#deferred = true;
    this.#defer(() => {
      this.#deferred = false;
      this.#deliver(this.#listeners!);
    });
  }

  #deliver(listeners: TransportListeners): void {
    const wasFull = this.#waiting.length >= this.#capacityFrames;
    for (let next = this.#waiting.shift(); next && !this.#over; next = this.#waiting.shift()) listeners.frame(next.frame, next.descriptors);
    if (this.#over) return this.#dropWaiting();
    if (this.#far!.#over) {
      this.#over = true;
      listeners.ended("the other end is gone");
    } else if (wasFull) this.#far!.#listeners?.room();
  }
}

export function memoryTransports(options: MemoryOptions = {}): [FrameTransport, FrameTransport] {
  const ends: [MemoryEnd, MemoryEnd] = [new MemoryEnd(options), new MemoryEnd(options)];
  ends[0].join(ends[1]);
  ends[1].join(ends[0]);
  return ends;
}

/**
 * Circuits beside the messages of a serial link: one line (`repetition.ts`) after another while the link is up, each handed to the program as a transport of shm/circuits. A line ends with the link's session, or when
 * it is broken; the next begins at once.
 */
import type { Clock } from "../../schemas/clock.ts";
import type { FrameTransport, TransportListeners } from "../../shm/circuits/index.ts";
import type { CircuitSource } from "./link.ts";
import { Repetition } from "./repetition.ts";

export interface LinkCircuitsOptions {
  baudBps: number;
  /** Longest circuit frame. */
  frameBytesMax: number;
  clock: Clock;
  newSession: () => number;
  /** There may be something to send. */
  wake(): void;
  /** A line begins. It is used until it ends; without `start` nobody hears what comes. */
  begun(transport: FrameTransport): void;
}

/** How long an end waits for the peer to have everything. */
const FLUSH_MS = 1000;

export class LinkCircuits implements CircuitSource {
  readonly #options: LinkCircuitsOptions;
  #line: Line | undefined;
  readonly counters = { lines: 0, delivered: 0, repeated: 0, duplicates: 0, gaps: 0, refused: 0 };

  constructor(options: LinkCircuitsOptions) {
    this.#options = options;
  }

  /** The link is up, in a session of its own. */
  begin(): void {
    this.end("the link has begun a new session");
    this.#next();
    this.#options.wake();
  }

  /** The link is down, or the peer another. */
  end(why: string): void {
    const line = this.#line;
    this.#line = undefined;
    if (!line) return;
    this.#count(line);
    line.finish(why);
  }

  received(body: Uint8Array): void {
    this.#line?.received(body);
  }

  get dueUs(): number {
    return this.#line?.dueUs ?? Infinity;
  }

  take(nowUs: number): Uint8Array | undefined {
    const line = this.#line;
    const body = line?.take(nowUs);
    if (!line?.isFinished) return body;
    this.#count(line);
    this.#next();
    return this.#line!.take(nowUs);
  }

  /** Counters of all lines together. */
  count(): LinkCircuits["counters"] {
    const total = { ...this.counters };
    if (this.#line) for (const [name, value] of Object.entries(this.#line.repetition.counters)) total[name as keyof Repetition["counters"]] += value;
    return total;
  }

  #next(): void {
    this.#line = new Line(this.#options);
    this.counters.lines += 1;
    this.#options.begun(this.#line.transport);
  }

  #count({ repetition }: Line): void {
    for (const [name, value] of Object.entries(repetition.counters)) this.counters[name as keyof Repetition["counters"]] += value;
  }
}

class Line {
  readonly repetition: Repetition;
  readonly transport: FrameTransport;
  readonly #clock: Clock;
  readonly #wake: () => void;
  #listeners: TransportListeners | undefined;
  #endByUs = Infinity;
  #hadRoom = true;
  #finished: string | undefined;

  constructor({ baudBps, frameBytesMax, clock, newSession, wake }: LinkCircuitsOptions) {
    this.repetition = new Repetition({ baudBps, payloadBytesMax: frameBytesMax, session: newSession() }, clock.nowUs());
    this.#clock = clock;
    this.#wake = wake;
    const hasRoom = (): boolean => {
      this.#hadRoom = this.repetition.hasRoom && this.#endByUs === Infinity && this.#finished === undefined;
      return this.#hadRoom;
    };
    this.transport = {
      frameBytesMax, carriesDescriptors: false, protects: true,
      get hasRoom() {
        return hasRoom();
      },
      send: (frame) => {
        this.repetition.send(frame);
        this.#wake();
      },
      start: (listeners) => {
        this.#listeners = listeners;
        const why = this.#finished;
        if (why !== undefined) queueMicrotask(() => listeners.ended(why));
        else queueMicrotask(() => this.#hand());
      },
      end: () => {
        this.#endByUs = Math.min(this.#endByUs, clock.nowUs() + FLUSH_MS * 1e3);
        this.#wake();
      },
    };
  }

  get isFinished(): boolean {
    return this.#finished !== undefined;
  }

  get dueUs(): number {
    return this.repetition.ended || this.#isFlushed ? -Infinity : Math.min(this.repetition.dueUs, this.#endByUs);
  }

  /** Ended by its program, and all is said. */
  get #isFlushed(): boolean {
    return this.#endByUs !== Infinity && this.repetition.isFlushed;
  }

  received(body: Uint8Array): void {
    this.repetition.received(body, this.#clock.nowUs());
    this.#hand();
    this.#wake();
  }

  take(nowUs: number): Uint8Array | undefined {
    const { repetition } = this;
    if (this.#finished !== undefined) return undefined;
    repetition.poll(nowUs);
    if (repetition.ended || this.#isFlushed || nowUs >= this.#endByUs) {
      this.finish(repetition.ended ?? "closed");
      return undefined;
    }
    return repetition.takeBody(nowUs);
  }

  finish(why: string): void {
    if (this.#finished !== undefined) return;
    this.#finished = why;
    // Whoever ended it is not told.
    if (this.#endByUs === Infinity) queueMicrotask(() => this.#listeners?.ended(why));
  }

  /** What came, and that there is room again, to the program. */
  #hand(): void {
    if (!this.#listeners) return;
    for (const frame of this.repetition.takeDelivered()) if (this.#endByUs === Infinity && this.#finished === undefined) this.#listeners.frame(frame, []);
    if (this.#hadRoom || this.#finished !== undefined || !this.repetition.hasRoom) return;
    this.#hadRoom = true;
    this.#listeners.room();
  }
}

/** The edge: joins a core to a transport and a clock. It decides nothing. */
import type { Clock } from "../../schemas/clock.ts";
import { systemClock } from "../../schemas/clock.ts";
import type { CoreEvent } from "./coreApi.ts";
import { CircuitCore } from "./core.ts";
import type { CircuitLimits } from "./limits.ts";
import type { CircuitDescriptor, FrameTransport } from "./transport.ts";
import { FLUSH_MS, sealOf } from "./transport.ts";
import type { Role } from "./wire.ts";

export interface EndpointOptions {
  transport: FrameTransport;
  role: Role;
  name?: string;
  limits?: Partial<CircuitLimits>;
  clock?: Clock;
}

export class Endpoint {
  readonly core: CircuitCore<CircuitDescriptor>;
  readonly clock: Clock;
  readonly #transport: FrameTransport;
  readonly #listener: (event: CoreEvent<CircuitDescriptor>) => void;
  #cancelTimer: (() => void) | undefined;
  #timerUs = Infinity;
  #leaveByUs = Infinity;
  #running = false;
  #again = false;
  #kicked = false;
  #ended = false;

  constructor({ transport, role, name = "", limits = {}, clock = systemClock }: EndpointOptions, listener: (event: CoreEvent<CircuitDescriptor>) => void) {
    this.clock = clock;
    this.#transport = transport;
    this.#listener = listener;
    const { frameBytesMax, carriesDescriptors } = transport;
    this.core = new CircuitCore({ role, name, frameBytesMax, carriesDescriptors, seal: sealOf(transport, role), limits }, clock.nowUs());
    transport.start({
      frame: (bytes, descriptors) => {
        this.core.receive(bytes, descriptors, clock.nowUs());
        this.run();
      },
      room: () => this.run(),
      ended: (why) => {
        this.#ended = true;
        this.core.lost(why);
        this.run();
      },
    });
    this.kick();
  }

  /** Lets what was just asked of the core go its way, at the end of this turn. */
  kick(): void {
    if (this.#kicked) return;
    this.#kicked = true;
    queueMicrotask(() => {
      this.#kicked = false;
      this.run();
    });
  }

  run(): void {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#again) {
        this.#again = false;
        this.#round();
      }
    } finally {
      this.#running = false;
    }
    this.#setTimer();
  }

  #round(): void {
    const { core } = this;
    core.poll(this.clock.nowUs());
    while (!this.#ended && this.#transport.hasRoom) {
      const frame = core.take(this.clock.nowUs());
      if (!frame) break;
      this.#transport.send(frame.bytes, frame.descriptors);
    }
    for (const descriptor of core.discarded.splice(0)) descriptor.close();
    for (const event of core.takeEvents()) {
      this.#again = true;
      this.#listener(event);
    }
    if (core.isDown && !this.#ended) this.#leave();
  }

  /** Ends the transport once the goodbye has left, or when a peer that does not read has had its time. */
  #leave(): void {
    const nowUs = this.clock.nowUs();
    this.#leaveByUs = Math.min(this.#leaveByUs, nowUs + FLUSH_MS * 1e3);
    if (this.core.hasFrames && nowUs < this.#leaveByUs) return;
    this.#ended = true;
    this.#transport.end();
  }

  #setTimer(): void {
    const deadlineUs = this.#ended ? Infinity : Math.min(this.core.deadlineUs, this.#leaveByUs);
    if (deadlineUs === this.#timerUs) return;
    this.#cancelTimer?.();
    this.#timerUs = deadlineUs;
    this.#cancelTimer = deadlineUs === Infinity ? undefined : this.clock.at(deadlineUs, () => {
      this.#timerUs = Infinity;
      this.run();
    });
  }
}

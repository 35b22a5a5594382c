/**
 * The one contract of all drivers (CAN, serial, MQTT): start, stop, send, frames, health.
 * `contract.ts` holds the tests that every implementation passes.
 *
 * Rules: nothing blocks; `send` answers at once with a verdict; what `onFrames` hands out is borrowed until the listener returns;
 * a lost link, dead bus or unplugged device is an event and a health state, never an exception; after `stop()` resolved nothing more is delivered.
 */

/** What became of a call to `send`. Anything but "queued" means: this frame will never reach the wire. */
export type SendVerdict =
  | "queued"
  /** `start` has not completed, or `stop` was called. */
  | "notStarted"
  /** Its deadline had passed. */
  | "expired"
  /** The transmit queue is full: the frame is dropped, never retried by the driver. */
  | "queueFull"
  /** Nobody acknowledges on the bus; commands are refused until purge, probe and re-arm succeeded. */
  | "busDead"
  | "busOff"
  /** The interface, port or connection is away; the driver is trying to get it back. */
  | "linkDown"
  /** Longer than the link can carry, or not a length it can carry. */
  | "badLength"
  /** Opened for listening only. */
  | "listenOnly"
  /** The link cannot carry this kind of frame (FD on a classic bus, remote requests over some adapters). */
  | "unsupported";

/** Where a driver is. `degraded`: works, but errors are counted (error-warning, error-passive with echoes). */
export type DriverState = "stopped" | "starting" | "up" | "degraded" | "dead" | "busOff" | "down";

export interface DriverHealth {
  state: DriverState;
  /** Since when, CLOCK_MONOTONIC µs. */
  sinceUs: number;
  /** Why, for people; empty when up. */
  reason: string;
  /** Counters that only rise; names are stable and unit-suffixed where they have a unit. */
  counters: Readonly<Record<string, number>>;
}

/** Something that happened on the link. `code` is stable and goes on the wire, `text` is for people. */
export interface DriverEvent {
  atUs: number;
  code:
    | "stateChanged" | "linkLost" | "linkRestored" | "busDead" | "busOff" | "busRecovered" | "purged" | "purgeImpossible"
    | "receiveOverflow" | "transmitDropped" | "errorFrames" | "resynchronised" | "silence" | "refused";
  text: string;
  /** For stateChanged. */
  state?: DriverState;
  /** Numbers behind the sentence. */
  details?: Readonly<Record<string, number | string>>;
}

/** A driver could not start. `remedy` is one sentence with the command that mends it. */
export class DriverError extends Error {
  readonly code: string;
  readonly remedy: string;
  constructor(code: string, message: string, remedy: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "DriverError";
    this.code = code;
    this.remedy = remedy;
  }
}

export interface Driver<Received, Outgoing> {
  /** "socketcan", "emulator", "slcan", "socketcand", "npm-socketcan", "serial", "mqtt". */
  readonly kind: string;
  /** The configured name of the bus, port or connection. */
  readonly name: string;
  /** Resolves when the link is open or, where the configuration allows a missing device, when the search for it has begun. Rejects with a `DriverError`. A second call is refused with code "alreadyStarted". */
  start(): Promise<void>;
  /** Closes the link; resolves when nothing more will be delivered. May be called in any state, any number of times. */
  stop(): Promise<void>;
  send(outgoing: Outgoing): SendVerdict;
  /** Registers a listener for received frames; returns a function that removes it. Several listeners are called in the order of registration. */
  onFrames(listener: (received: Received) => void): () => void;
  onEvent(listener: (event: DriverEvent) => void): () => void;
  health(): DriverHealth;
}

/**
 * What a serial device serves to local programs: each request is a conversation over the circuits of its link (docs/specs/circuits.md), bytes there and bytes back. Which names there are says the configuration, who may
 * call them the policy; the device has the last word on what it makes of a request.
 */
import type { Clock } from "../../schemas/clock.ts";
import { IpcnetError, Status } from "../../schemas/status.ts";
import type { SerialDriver } from "../../drivers/serial/driver.ts";
import { Circuits } from "../../shm/circuits/index.ts";
import type { FrameTransport } from "../../shm/circuits/index.ts";
import type { ServiceAnswer } from "../broker/ports.ts";

/** Calls it; nobody waits longer than `timeoutMs`. */
export type DeviceService = (body: unknown, timeoutMs: number) => Promise<ServiceAnswer>;

export interface DeviceServicesOptions {
  driver: Pick<SerialDriver, "name" | "onCircuits">;
  names: readonly string[];
  clock: Clock;
}

const LIMITS = {
  /** More than a microcontroller serves at a time; it says how many it has. */
  maxCircuits: 64,
  /** A log or a table of parameters: 3 s at 115,200 baud. In frames of 72 bytes half as many units again. */
  messageBytesMax: 32_768, windowUnits: 49_152, queueUnits: 49_152,
  poolUnits: 4 * 49_152,
};

/** Requests that wait for a place or a line; each has its time. */
const WAITING_MAX = 64;
/** As long as a request waits for programs that come back (docs/specs/client-socket.md): a link that was just opened, or lost for a moment, is there by then. */
const WAIT_MS = 2500;

export class DeviceServices {
  readonly byName: ReadonlyMap<string, DeviceService>;
  readonly #options: DeviceServicesOptions;
  #circuits: Circuits | undefined;
  /** Conversations that the device has memory for, and those that are on. */
  #capacity = 0;
  #running = 0;
  /** Requests that find no place. */
  #waiting: (() => void)[] = [];

  constructor(options: DeviceServicesOptions) {
    this.#options = options;
    this.byName = new Map(options.names.map((name) => [name, (body, timeoutMs) => this.#call(name, body, timeoutMs)]));
    options.driver.onCircuits((transport) => void this.#use(transport));
  }

  /** From when the device has said what it takes until the line ends. */
  async #use(transport: FrameTransport): Promise<void> {
    const circuits = new Circuits({ transport, role: "initiator", name: "ipcnet", limits: LIMITS, clock: this.#options.clock });
    try {
      // Half of them are the device's own to begin.
      this.#capacity = Math.floor((await circuits.ready()).maxCircuits / 2);
    } catch {
      // It ended before that: the driver has begun the next one, and counts them (circuitLines).
      return;
    }
    this.#circuits = circuits;
    this.#changed();
    await circuits.closed();
    if (this.#circuits === circuits) this.#circuits = undefined;
  }

  async #call(name: string, body: unknown, timeoutMs: number): Promise<ServiceAnswer> {
    const bytes = body === undefined || body === null ? new Uint8Array(0) : body;
    if (!(bytes instanceof Uint8Array)) return { status: Status.badRequest, text: "a device is sent bytes" };
    const { clock, driver } = this.#options;
    const beganUs = clock.nowUs();
    const untilUs = beganUs + timeoutMs * 1e3;
    // Copied: what the caller sent is its own memory, and the line may have to say it again.
    const request = bytes.slice();
    for (;;) {
      const nowUs = clock.nowUs();
      const circuits = this.#circuits;
      if (circuits && this.#running < this.#capacity && nowUs < untilUs) return this.#ask(circuits, name, request, (untilUs - nowUs) / 1e3);
      const waitsUntilUs = circuits ? untilUs : Math.min(untilUs, beganUs + WAIT_MS * 1e3);
      if (nowUs >= waitsUntilUs) return circuits ? { status: Status.requestTimeout, text: `the device at ${driver.name} is busy` } : { status: Status.serviceUnavailable, text: `the device at ${driver.name} does not answer` };
      if (this.#waiting.length >= WAITING_MAX) return { status: Status.tooManyRequests, text: `${WAITING_MAX} requests wait for the device at ${driver.name}` };
      await this.#change(waitsUntilUs);
    }
  }

  async #ask(circuits: Circuits, name: string, request: Uint8Array, timeoutMs: number): Promise<ServiceAnswer> {
    this.#running += 1;
    try {
      const { status, bytes } = await circuits.request(name, request, { timeoutMs });
      return { status, body: bytes };
    } catch (error) {
      if (!(error instanceof IpcnetError)) throw error;
      return { status: error.status, text: error.message.replace(/^\d+ [^:]*: /, "") };
    } finally {
      this.#running -= 1;
      this.#changed();
    }
  }

  #changed(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves when there is a line or a place on it, or at this time. */
  #change(atUs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.at(atUs, () => {
        this.#waiting = this.#waiting.filter((each) => each !== wake);
        resolve();
      });
      const wake = (): void => {
        cancel();
        resolve();
      };
      this.#waiting.push(wake);
    });
  }
}

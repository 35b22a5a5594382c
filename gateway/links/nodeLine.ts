/**
 * The way of frames for the care of nodes onto one bus: SDO and NMT, a few at a time, each confirmed before it makes room for another, so that no queue below fills with them. What the time needs goes
 * its own way (`nodeTime.ts`), and commands theirs. Whether anything may be said at all is not known here; with a reflex it is judged there once more.
 */
import type { CanDriver } from "../../drivers/can/driver.ts";
import type { NodeFrame } from "../../drivers/nodekit/canopen.ts";

/** Tokens from here on are of this line: a command's are below. The lowest 24 bits count. */
export const LINE_TOKENS = 0x8000_0000;
const TOKENS = 0x0100_0000;
/** Through the reflex one of a kind waits at a time; a bus of our own takes a few without filling its queue (16 by default). */
const WINDOW_REFLEX = 1;
const WINDOW = 4;
/** A frame that nobody has confirmed for so long is given up: whoever needs it asks again. */
const LIFE_US = 250_000;

export class NodeLine {
  readonly #driver: CanDriver;
  readonly #inFlight = new Map<number, number>();
  #next = 0;

  constructor(driver: CanDriver) {
    this.#driver = driver;
  }

  /** How many frames it takes now. */
  room(nowUs: number): number {
    for (const [token, sentUs] of this.#inFlight) if (nowUs - sentUs >= LIFE_US) this.#inFlight.delete(token);
    return Math.max(0, (this.#driver.kind === "reflex" ? WINDOW_REFLEX : WINDOW) - this.#inFlight.size);
  }

  /** Hands a frame over; false: the link did not take it, and it is lost. */
  send({ id, data }: NodeFrame, nowUs: number): boolean {
    const token = LINE_TOKENS + this.#next;
    if (this.#driver.send({ timeUs: nowUs + LIFE_US, canId: id, flags: 0, data, token }) !== "queued") return false;
    this.#next = (this.#next + 1) % TOKENS;
    if (this.#driver.confirmsTransmission) this.#inFlight.set(token, nowUs);
    return true;
  }

  /** The frame with this token was on the bus, or will never be. Returns whether it was one of this line. */
  settled(token: number): boolean {
    return this.#inFlight.delete(token);
  }

  clear(): void {
    this.#inFlight.clear();
  }
}

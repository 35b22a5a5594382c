/**
 * A machine's place on a bus that is not its own: a USB CAN adapter (slcan), with what can happen to it and to the machine behind it. The adapter's bytes go over the machine's serial port.
 *
 * Its cable to the bus is out: nobody acknowledges, so it keeps what it is given, as much as its queue takes, and sends that when the cable is back. The machine stands still: of what arrives
 * meanwhile it gets what a controller's memory holds, and nothing of what came later.
 */
import type { BusHost } from "../../drivers/can/emulator/host.ts";
import { SlcanAdapter } from "../../drivers/can/slcan/adapter.ts";

/** Lines of an adapter's queue. */
const QUEUE_LINES = 16;
/** Frames in a controller's memory: 64 bytes, as the SJA1000 has. */
const MEMORY_FRAMES = 5;
const isFrame = (line: string): boolean => /^[tTrR]/.test(line);

export interface CanEndOptions {
  host: BusHost;
  name: string;
  /** To the machine. */
  write(bytes: Buffer): void;
}

export class CanEnd {
  /** Frames of the bus that the machine has not got since it stood still. */
  missed = 0;
  readonly #adapter: SlcanAdapter;
  /** While the cable is out: the lines that wait. */
  #waiting: string[] | undefined;
  /** Of a line that is still on its way. */
  #rest = "";
  /** While the machine stands still: frames that it will still get. */
  #room: number | undefined;

  constructor({ host, name, write }: CanEndOptions) {
    this.#adapter = new SlcanAdapter({ host, name, write: (bytes) => {
      const text = this.#passing(bytes.toString("latin1"));
      if (text !== "") write(Buffer.from(text, "latin1"));
    } });
  }

  /** Bytes of the machine. */
  push(bytes: Buffer): void {
    if (!this.#waiting) {
      this.#adapter.push(bytes);
      return;
    }
    const lines = (this.#rest + bytes.toString("latin1")).split("\r");
    this.#rest = lines.pop()!;
    for (const line of lines) this.#keep(line);
  }

  /** Closing the channel empties the queue. */
  #keep(line: string): void {
    const waiting = this.#waiting!;
    if (!isFrame(line)) {
      if (line === "C") waiting.splice(0);
      this.#adapter.push(Buffer.from(`${line}\r`, "latin1"));
    } else if (waiting.length < QUEUE_LINES) waiting.push(line);
  }

  #passing(text: string): string {
    if (!this.#waiting && this.#room === undefined) return text;
    return text.split(/(?<=[\r\x07])/).filter((line) => !isFrame(line) || this.#passes()).join("");
  }
  #passes(): boolean {
    if (this.#waiting) return false;
    if (this.#room === undefined) return true;
    if (this.#room > 0) return this.#room-- > 0;
    this.missed += 1;
    return false;
  }

  cut(): void {
    this.#waiting ??= [];
  }
  mend(): void {
    const lines = this.#waiting?.splice(0) ?? [];
    this.#waiting = undefined;
    this.#adapter.push(Buffer.from([...lines, this.#rest].join("\r"), "latin1"));
    this.#rest = "";
  }
  /** Frames that wait for the cable. */
  get waiting(): readonly string[] {
    return this.#waiting ?? [];
  }

  freeze(): void {
    this.#room = MEMORY_FRAMES;
    this.missed = 0;
  }
  thaw(): void {
    this.#room = undefined;
  }

  /** Its power is gone. */
  close(): Promise<void> {
    return this.#adapter.close();
  }
}

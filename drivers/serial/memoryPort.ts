/**
 * Two ports joined by a line in memory: the fake for tests and for simulated devices, with the faults that real lines have.
 * All of it runs on the clock and the random numbers it is given, so that a run can be repeated.
 */
import type { Clock } from "../../schemas/clock.ts";
import { DriverError } from "../driver.ts";
import type { BytePort, OpenPort, PortHandlers } from "./port.ts";

export interface LineFaults {
  /** Probability for each byte that one of its bits arrives inverted. */
  flip: number;
  /** Probability for each byte to get lost. */
  drop: number;
  /** Bytes arrive in random chunks of 1 to so many. */
  chunkBytesMax: number;
}

export interface MemoryLine {
  readonly a: BytePort;
  readonly b: BytePort;
  faults: LineFaults;
  /** Takes the device away: open ends are closed, opening fails until `plug`. */
  unplug(): void;
  plug(): void;
  /** Like a cut wire: both ends stay open, nothing arrives. */
  cut: boolean;
  /** Writes never finish, as with a hung adapter. */
  stuck: boolean;
}

const LATENCY_US = 100;

export function memoryLine({ clock, random, faults = { flip: 0, drop: 0, chunkBytesMax: 64 } }: { clock: Clock; random: () => number; faults?: LineFaults }): MemoryLine {
  let plugged = true;
  const ends = new Map<"a" | "b", PortHandlers>();
  const line: MemoryLine = {
    a: end("a", "b"),
    b: end("b", "a"),
    faults,
    cut: false,
    stuck: false,
    unplug() {
      plugged = false;
      const open = [...ends.values()];
      ends.clear();
      for (const handlers of open) handlers.closed("unplugged");
    },
    plug() {
      plugged = true;
    },
  };

  function end(own: "a" | "b", far: "a" | "b"): BytePort {
    return {
      path: `memory:${own}`,
      async open(handlers): Promise<OpenPort> {
        if (!plugged) throw new DriverError("portMissing", `memory:${own} is unplugged`, "plug it in");
        if (ends.has(own)) throw new DriverError("portBusy", `memory:${own} is open already`, "close it first");
        ends.set(own, handlers);
        return {
          write(bytes, done) {
            if (line.stuck) return;
            if (ends.get(own) !== handlers) {
              done("the port is closed");
              return;
            }
            const arriving = distort(bytes);
            clock.at(clock.nowUs() + LATENCY_US, () => {
              done(undefined);
              if (!line.cut) for (const chunk of arriving) ends.get(far)?.data(chunk);
            });
          },
          async close() {
            if (ends.get(own) === handlers) ends.delete(own);
          },
        };
      },
    };
  }

  function distort(bytes: Uint8Array): Uint8Array[] {
    const { flip, drop, chunkBytesMax } = line.faults;
    const left: number[] = [];
    for (const byte of bytes) {
      if (drop > 0 && random() < drop) continue;
      left.push(flip > 0 && random() < flip ? byte ^ (1 << Math.floor(random() * 8)) : byte);
    }
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < left.length;) {
      const size = 1 + Math.floor(random() * chunkBytesMax);
      chunks.push(Uint8Array.from(left.slice(at, at + size)));
      at += size;
    }
    return chunks;
  }

  return line;
}

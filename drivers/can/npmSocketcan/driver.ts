/**
 * A CAN driver over npm `socketcan`, for those who have it already. Not the path for anything that moves: see README.md.
 *
 * Opened non-blocking, always: a blocking send with nobody on the bus would stop the process. A channel that ends by itself (POLLERR, interface gone) is
 * opened anew. `send` gives −1 without a reason; the frame is then lost and counted as "queue full".
 */
import { DriverError } from "../../driver.ts";
import type { Clock } from "../../../schemas/clock.ts";
import { systemClock } from "../../../schemas/clock.ts";
import type { CanFrame } from "../frame.ts";
import { CanFlag } from "../frame.ts";
import type { CanLink, LinkDriverOptions, LinkSink } from "../linkDriver.ts";
import { LinkDriver } from "../linkDriver.ts";
import type { RawChannel, ReceivedMessage, SocketcanPackage } from "./package.ts";
import { loadPackage } from "./package.ts";

export interface NpmSocketcanOptions extends LinkDriverOptions {
  /** can0, vcan0, … */
  interface: string;
  /** The interface is FD. Of received frames the package tells neither FD nor bit-rate switch: those longer than 8 bytes are marked FD. */
  fd?: boolean;
  /** Where the package comes from; default: `import("socketcan")`. */
  load?: () => Promise<SocketcanPackage>;
}

export function createNpmSocketcan(options: NpmSocketcanOptions): LinkDriver {
  return new LinkDriver(
    {
      kind: "npm-socketcan",
      confirms: false,
      fd: options.fd ?? false,
      async open(sink) {
        const npm = await (options.load ?? loadPackage)();
        let channel: RawChannel;
        try {
          channel = npm.createRawChannelWithOptions(options.interface, { timestamps: false, non_block_send: true });
        } catch (cause) {
          throw new DriverError("cannotOpen", `${options.interface}: ${(cause as Error).message}`, `sudo ip link set ${options.interface} up type can bitrate ${options.health?.bitrateBps ?? 500_000}`, { cause });
        }
        return new Session(channel, sink, options.clock ?? systemClock, options.health?.bitrateBps);
      },
    },
    options,
  );
}

class Session implements CanLink {
  readonly bitrateBps: number | undefined;
  /** The interface's txqueuelen is not told; this is the kernel's default. */
  readonly txQueueFrames = 10;
  readonly canPurge = false;
  readonly #channel: RawChannel;
  readonly #sink: LinkSink;
  readonly #clock: Clock;
  #ended = false;
  #flushDue = false;

  constructor(channel: RawChannel, sink: LinkSink, clock: Clock, bitrateBps: number | undefined) {
    this.#channel = channel;
    this.#sink = sink;
    this.#clock = clock;
    this.bitrateBps = bitrateBps;
    channel.addListener("onMessage", (message) => this.#received(message));
    channel.addListener("onStopped", () => {
      if (this.#ended) return;
      this.#ended = true;
      sink.lost("the channel ended (interface gone, or an error on its socket)");
    });
    channel.start();
  }

  transmit(frame: CanFrame): "queued" | "queueFull" | "linkDown" {
    if (this.#ended) return "linkDown";
    const remote = (frame.flags & CanFlag.remote) !== 0;
    const data = remote ? Buffer.alloc(frame.lengthBytes ?? 0) : Buffer.from(frame.data);
    const message = { id: frame.canId, ext: (frame.flags & CanFlag.extended) !== 0, rtr: remote, data };
    const written = (frame.flags & CanFlag.fd) === 0 ? this.#channel.send(message)
      : this.#channel.sendFD({ ...message, fd_brs: (frame.flags & CanFlag.bitRateSwitch) !== 0 });
    return written < 0 ? "queueFull" : "queued";
  }

  purge(): ReturnType<CanLink["purge"]> {
    return Promise.resolve({ purged: false, code: "unsupported", text: "npm socketcan cannot empty the interface's queue; use the driver socketcan" });
  }

  restart(): Promise<boolean> {
    return Promise.resolve(false);
  }

  close(): Promise<void> {
    const running = !this.#ended;
    this.#ended = true;
    if (running) this.#channel.stop();
    return Promise.resolve();
  }

  #received({ id, ext, rtr, err, data }: ReceivedMessage): void {
    if (this.#ended) return;
    const flags = (ext ? CanFlag.extended : 0) | (rtr ? CanFlag.remote : 0) | (err ? CanFlag.error : 0) | (data.length > 8 ? CanFlag.fd : 0);
    this.#sink.push({ timeUs: this.#clock.nowUs(), canId: id, flags, lengthBytes: data.length, data: rtr ? new Uint8Array(0) : data });
    if (this.#flushDue) return;
    // The package calls once for each frame and up to a hundred times in a row; the batch is handed over behind the last.
    this.#flushDue = true;
    setImmediate(() => {
      this.#flushDue = false;
      if (!this.#ended) this.#sink.flush();
    });
  }
}

/** A serial device or pseudo-terminal, over the `serialport` package; the only file of this folder that knows it. */
import { SerialPort } from "serialport";
import { DriverError } from "../../driver.ts";
import type { OpenSlcanPort, SlcanPort } from "./ports.ts";

export interface SerialLineOptions {
  /** /dev/serial/by-id/… keeps its meaning over a re-plug; /dev/ttyACM0 may not. */
  path: string;
  /** USB adapters ignore it. Default 115200: 523 eight-byte frames a second. */
  baudBps?: number;
}

/** A port that was just closed may stay locked for a moment, until a read of the closed one has returned. */
const LOCK_TRIES = 20;
const LOCK_RETRY_MS = 10;

export function serialLine(options: SerialLineOptions): OpenSlcanPort {
  return async () => {
    for (let tries = 1; ; tries++) {
      const port = new SerialPort({ path: options.path, baudRate: options.baudBps ?? 115_200, autoOpen: false });
      const error = await new Promise<Error | null>((resolve) => port.open(resolve));
      if (!error) return lineOf(port);
      if (tries >= LOCK_TRIES || !error.message.includes("lock")) {
        throw new DriverError("cannotOpen", `${options.path}: ${error.message}`, "plug the adapter in, or: sudo usermod -aG dialout $USER, and log in again", { cause: error });
      }
      await new Promise((resolve) => setTimeout(resolve, LOCK_RETRY_MS));
    }
  };
}

function lineOf(port: SerialPort): SlcanPort {
  let closing = false;
  let lost: ((why: string) => void) | undefined;
  port.on("close", (disconnected: Error | null) => {
    if (!closing) lost?.(disconnected?.message ?? "the port was closed");
  });
  port.on("error", (failure) => {
    if (!closing) lost?.(failure.message);
  });
  return {
    write: (bytes) => void port.write(bytes),
    get backlogBytes() {
      return port.writableLength;
    },
    onData: (listener) => void port.on("data", listener),
    onLost(listener) {
      lost = listener;
    },
    close: () =>
      new Promise((closed) => {
        closing = true;
        if (!port.isOpen) {
          closed();
          return;
        }
        // An adapter that was pulled out cannot be closed properly; closed it is all the same.
        port.close(() => closed());
      }),
  };
}

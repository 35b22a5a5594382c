/** A port over any duplex stream: the device's side of a pseudo-terminal, a TCP connection to a serial server. The stream stays its owner's: closing the port only lets go of it, and it can be opened again while the stream lives. */
import type { Duplex } from "node:stream";
import { DriverError } from "../driver.ts";
import type { BytePort } from "./port.ts";

export function streamPort(name: string, stream: Duplex): BytePort {
  let why = "";
  // For good: an error that nobody listens to would end the process.
  stream.on("error", (error: Error) => (why = error.message));
  return {
    path: name,
    async open(handlers) {
      if (stream.destroyed) throw new DriverError("portMissing", `${name} is closed`, "connect it again");
      let ended = false;
      const onData = (bytes: Uint8Array): void => {
        if (!ended) handlers.data(bytes);
      };
      const onClose = (): void => {
        ended = true;
        handlers.closed(why || `${name} was closed`);
      };
      stream.on("data", onData);
      stream.once("close", onClose);
      return {
        write(bytes, done) {
          stream.write(bytes, (error) => done(error?.message));
        },
        async close() {
          ended = true;
          stream.off("data", onData);
          stream.off("close", onClose);
        },
      };
    },
  };
}

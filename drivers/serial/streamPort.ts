/** A port over any duplex stream: the device's side of a pseudo-terminal, a TCP connection to a serial server. It can be opened once. */
import type { Duplex } from "node:stream";
import { DriverError } from "../driver.ts";
import type { BytePort } from "./port.ts";

export function streamPort(name: string, stream: Duplex): BytePort {
  return {
    path: name,
    async open(handlers) {
      if (stream.destroyed) throw new DriverError("portMissing", `${name} is closed`, "connect it again");
      let ended = false;
      const end = (why: string): void => {
        if (ended) return;
        ended = true;
        handlers.closed(why);
      };
      const onData = (bytes: Uint8Array): void => {
        if (!ended) handlers.data(bytes);
      };
      stream.on("data", onData);
      stream.on("error", (error: Error) => end(error.message));
      stream.on("close", () => end(`${name} was closed`));
      return {
        write(bytes, done) {
          stream.write(bytes, (error) => done(error?.message));
        },
        async close() {
          ended = true;
          stream.off("data", onData);
          stream.destroy();
        },
      };
    },
  };
}

/** NATS: the server of Debian and the client library for Node. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { library, missingLibrary, missingProgram } from "../library.ts";
import type { Endpoint, MessageListener, Peer } from "../peer.ts";
import { freePort, runBroker } from "./process.ts";

interface Connection {
  publish(subject: string, bytes: Uint8Array): void;
  subscribe(subject: string, options: { callback(error: Error | null, message: { subject: string; data: Uint8Array }): void }): unknown;
  flush(): Promise<void>;
  close(): Promise<void>;
}

async function member(port: string, { reads, writes }: { reads: string; writes: string }, listener: MessageListener): Promise<Endpoint> {
  const { connect } = library("@nats-io/transport-node") as { connect(options: object): Promise<Connection> };
  const connection = await connect({ servers: `127.0.0.1:${port}` });
  connection.subscribe(reads, { callback: (_error, { subject, data }) => listener(data, Number(subject.slice(subject.lastIndexOf(".") + 1)) || 0) });
  await connection.flush();
  return {
    send: (bytes) => {
      connection.publish(writes, bytes);
      return true;
    },
    drained: () => connection.flush(),
    close: () => connection.close(),
  };
}

export const nats: Peer = {
  name: "NATS",
  flow: "window",
  payloadBytesMax: Infinity,
  missing: () => missingProgram("nats-server", "nats-server") ?? missingLibrary("@nats-io/transport-node"),
  async start(folder) {
    const port = await freePort();
    const file = join(folder, "nats.conf");
    writeFileSync(file, `listen: "127.0.0.1:${port}"\nmax_payload: 8388608\n`);
    return runBroker("nats-server", ["-c", file], port);
  },
  hub: ({ at }, listener) => member(at, { reads: "up.*", writes: "down" }, listener),
  leaf: ({ at }, index, listener) => member(at, { reads: "down", writes: `up.${index}` }, listener),
};

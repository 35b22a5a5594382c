/** IPCNet as a program uses it: identity from the kernel, policy asked, CRC and schema checked on each message, lossless by the readers' cursors. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { gatewayProgram } from "../../paths.ts";
import { connect, type Client, type TopicWriter } from "../../../shm/client/index.ts";
import type { Endpoint, MessageListener, Peer, PeerAddress } from "../peer.ts";

const SMALL_BYTES = 64;

async function member({ at, payloadBytes }: PeerAddress, { reads, writes, readers }: { reads: string; writes: string; readers: number }, listener: MessageListener): Promise<Endpoint> {
  const client: Client = await connect({ socketPath: at, name: `bench ${writes}`, timeoutMs: 20_000 });
  const writer: TopicWriter = await client.advertise(writes, {
    // Small messages are records of eight numbers, checked against their layout on arrival; large ones are bytes.
    ...(payloadBytes === SMALL_BYTES && writes === "bench/down" ? { layout: Array.from({ length: 8 }, (_, i) => ({ name: `x${i}`, type: "f64" as const })) } : { encoding: "bytes" as const }),
    policy: "lossless", queue: payloadBytes > 65_536 ? 16 : 1024, payloadBytesMax: payloadBytes, deadlineMs: 30_000,
  });
  await client.subscribe(reads, { policy: "lossless" }, (message) => listener(message.bytes, Number(message.topic.slice(message.topic.lastIndexOf("/") + 1)) || 0));
  return {
    send: (bytes) => writer.publish(bytes) || "refused",
    drained: () => writer.space(),
    close: () => client.close(),
    ready: async () => {
      while (writer.readers < readers) await delay(5);
    },
  };
}

export const ipcnet: Peer = {
  name: "ipcnet",
  flow: "own",
  payloadBytesMax: Infinity,
  missing: () => undefined,
  async start(folder) {
    const socketPath = join(folder, "ipcnet.sock");
    const file = join(folder, "ipcnet.yaml");
    writeFileSync(file, `version: 1\nrobot: bench\nsocket: { path: "${socketPath}", mode: "0600" }\n`);
    const child = spawn(process.execPath, [gatewayProgram, "--config", file], { stdio: "ignore" });
    for (let attempt = 0; attempt < 400 && !existsSync(socketPath); attempt++) await delay(25);
    return {
      at: socketPath,
      pids: [child.pid!],
      async stop() {
        child.kill("SIGKILL");
        await once(child, "exit");
      },
    };
  },
  hub: (address, listener) => member(address, { reads: "bench/up/+", writes: "bench/down", readers: address.leaves }, listener),
  leaf: (address, index, listener) => member(address, { reads: "bench/down", writes: `bench/up/${index}`, readers: 1 }, listener),
};

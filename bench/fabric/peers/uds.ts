/** Node's own Unix stream sockets with a length before each message: what one writes without any library. */
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { type Endpoint, nothingBetween, type MessageListener, type Peer } from "../peer.ts";

function send(socket: Socket, bytes: Uint8Array): boolean {
  const head = Buffer.allocUnsafe(4);
  head.writeUInt32LE(bytes.length);
  socket.cork();
  socket.write(head);
  const room = socket.write(bytes);
  socket.uncork();
  return room;
}

/** Cuts the stream into messages. */
function read(socket: Socket, listener: (bytes: Uint8Array) => void): void {
  let parts: Buffer[] = [];
  let held = 0;
  let wanted = 4;
  let inBody = false;
  socket.on("data", (chunk: Buffer) => {
    parts.push(chunk);
    held += chunk.length;
    while (held >= wanted) {
      const whole = parts.length === 1 ? parts[0]! : Buffer.concat(parts, held);
      const taken = whole.subarray(0, wanted);
      const rest = whole.subarray(wanted);
      held = rest.length;
      parts = held > 0 ? [rest] : [];
      if (inBody) {
        inBody = false;
        wanted = 4;
        listener(taken);
      } else {
        inBody = true;
        wanted = taken.readUInt32LE();
      }
    }
  });
}

async function drain(sockets: readonly Socket[]): Promise<void> {
  await Promise.all(sockets.filter((socket) => socket.writableNeedDrain).map((socket) => new Promise<void>((resolve) => socket.once("drain", resolve))));
}

export const uds: Peer = {
  name: "Node UDS",
  flow: "own",
  payloadBytesMax: Infinity,
  missing: () => undefined,
  start: (folder) => Promise.resolve({ ...nothingBetween, at: join(folder, "uds.sock") }),
  async hub({ at, leaves }, listener: MessageListener): Promise<Endpoint> {
    const sockets: Socket[] = [];
    let server: Server | undefined;
    const complete = new Promise<void>((resolve) => {
      server = createServer((socket) => {
        const leaf = sockets.push(socket) - 1;
        read(socket, (bytes) => listener(bytes, leaf));
        if (sockets.length === leaves) resolve();
      }).listen(at);
    });
    return {
      send(bytes) {
        if (sockets.length < leaves) throw new Error("not all leaves are there");
        let room = true;
        for (const socket of sockets) room = send(socket, bytes) && room;
        return room;
      },
      drained: async () => {
        await complete;
        await drain(sockets);
      },
      close: () => {
        for (const socket of sockets) socket.destroy();
        server?.close();
        return Promise.resolve();
      },
    };
  },
  async leaf({ at }, _index, listener: MessageListener): Promise<Endpoint> {
    const socket = createConnection(at);
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    read(socket, (bytes) => listener(bytes, 0));
    return {
      send: (bytes) => send(socket, bytes),
      drained: () => drain([socket]),
      close: () => {
        socket.destroy();
        return Promise.resolve();
      },
    };
  },
};

/**
 * Serves emulated buses on a Unix stream socket (docs/specs/bus-emulator.md): the C core, the TypeScript client and other processes attach here.
 *
 * One client costs only itself: what it does not read is held up to a limit, then it is cut. On an unpaced bus, where the traffic would
 * outrun any reader, the bus first waits for it a moment.
 */
import { chmodSync, linkSync, renameSync, unlinkSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { isMainThread } from "node:worker_threads";
import { DriverError } from "../../driver.ts";
import { FRAME_OFFSET } from "../frame.ts";
import type { Participant } from "./controller.ts";
import type { BusHost } from "./host.ts";
import type { BusNode } from "./node.ts";
import { getTexts, HEAD_BYTES, HelloFlag, Kind, NODE_STATES, PROTOCOL_VERSION, putTexts, RecordBuffer, RecordReader, WELCOME_STATE_OFFSET, WelcomeFlag } from "./protocol.ts";

export interface BusServerOptions {
  socketPath: string;
  buses: readonly BusHost[];
  /** A client that leaves so many bytes unread is cut. Default 8 MiB: 87,000 frames, 20 s of a full 500 kbit/s bus. */
  unreadBytesMax?: number;
  /** An unpaced bus waits so long for a client that is behind, then cuts it. Default 2 s. */
  stallMsMax?: number;
  /** Connections at a time. Default 64. */
  clientsMax?: number;
}

export interface BusServer {
  readonly socketPath: string;
  /** Nodes attached through the socket, with the name of their bus. */
  readonly clients: ReadonlySet<{ readonly node: BusNode; readonly bus: string }>;
  /** Clients that were cut because they did not read. Only rises. */
  readonly cutClients: number;
  /** Closes the socket and all connections; the buses stay. */
  close(): Promise<void>;
}

/** An unpaced bus is held while a client has more than this unread. */
const BEHIND_BYTES = 1 << 20;

/** Starts to listen. A stale socket file is replaced; a live one is a `DriverError` "addressInUse". */
export async function serveBuses(options: BusServerOptions): Promise<BusServer> {
  const clients = new Set<{ node: BusNode; bus: string }>();
  const sockets = new Set<Socket>();
  const counters = { cut: 0 };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    serveClient(socket, options, clients, counters);
  });
  server.maxConnections = options.clientsMax ?? 64;
  await listen(server, options.socketPath);
  return {
    socketPath: options.socketPath,
    clients,
    get cutClients() {
      return counters.cut;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function serveClient(socket: Socket, options: BusServerOptions, clients: Set<{ node: BusNode; bus: string }>, counters: { cut: number }): void {
  const reader = new RecordReader();
  let attached: { host: BusHost; participant: Participant; leave: () => void } | undefined;
  socket.on("data", (chunk) => {
    reader.push(chunk, (bytes, view, at) => {
      if (socket.destroyed) return;
      if (attached) {
        if (!attached.host.accept(attached.participant, bytes, at)) refuse(socket, `record kind ${bytes[at]} is none that a client may send`);
        return;
      }
      const host = hello(socket, options, bytes, view, at);
      if (!host) return;
      attached = attach(socket, host, bytes, at, options, counters);
      if (!attached) return;
      const entry = { node: attached.participant.node, bus: host.name };
      clients.add(entry);
      socket.on("close", () => clients.delete(entry));
    });
    attached?.host.run();
  });
  socket.on("close", () => attached?.leave());
  // A connection that breaks is a node that leaves: "close" follows and does it.
  socket.on("error", () => undefined);
}

/** Judges a HELLO; returns the bus it asks for, or refuses. */
function hello(socket: Socket, options: BusServerOptions, bytes: Buffer, view: DataView, at: number): BusHost | undefined {
  if (bytes[at] !== Kind.hello) {
    refuse(socket, "the first record must be a HELLO");
    return undefined;
  }
  const version = view.getUint32(at + 4, true);
  if (version !== PROTOCOL_VERSION) {
    refuse(socket, `protocol version ${version}, this server speaks ${PROTOCOL_VERSION}`);
    return undefined;
  }
  const [name] = getTexts(bytes, at + HEAD_BYTES);
  const host = options.buses.find((bus) => bus.name === name);
  if (!host) refuse(socket, `no bus ${name.slice(0, 20)}`);
  return host;
}

/** Attaches whoever said HELLO and answers it; undefined: refused. */
function attach(socket: Socket, host: BusHost, bytes: Buffer, at: number, options: BusServerOptions, counters: { cut: number }) {
  const unreadBytesMax = options.unreadBytesMax ?? 8 << 20;
  const [, nodeName] = getTexts(bytes, at + HEAD_BYTES);
  const flags = bytes[at + 1]!;
  const controller = bytes.readUInt32LE(at + HEAD_BYTES + FRAME_OFFSET.token);
  let stall: NodeJS.Timeout | undefined;
  const cut = () => {
    counters.cut += 1;
    socket.destroy();
  };
  const participant = host.open(
    { ...(nodeName ? { name: nodeName } : {}), controller, fd: (flags & HelloFlag.fd) !== 0, listenOnly: (flags & HelloFlag.listenOnly) !== 0, echoes: (flags & HelloFlag.echoes) !== 0 },
    (outbox) => {
      if (socket.destroyed) {
        outbox.clear();
        return;
      }
      socket.write(outbox.take());
      if (socket.writableLength > unreadBytesMax) cut();
      else if (host.bus.bitrateBps === 0 && socket.writableLength > BEHIND_BYTES && !stall) {
        if (typeof participant !== "string") host.setBehind(participant, true);
        stall = setTimeout(cut, options.stallMsMax ?? 2000);
      }
    },
  );
  if (typeof participant === "string") {
    refuse(socket, participant);
    return undefined;
  }
  socket.on("drain", () => {
    clearTimeout(stall);
    stall = undefined;
    host.setBehind(participant, false);
  });
  socket.write(welcome(host, participant.node));
  return {
    host,
    participant,
    leave() {
      clearTimeout(stall);
      host.leave(participant);
    },
  };
}

function welcome(host: BusHost, node: BusNode): Buffer {
  const record = new RecordBuffer(1);
  const frameAt = record.appendBlank(Kind.welcome, (host.bus.fd ? WelcomeFlag.fd : 0) | (node.powered && node.linkUp ? 0 : WelcomeFlag.linkDown), node.queueFrames);
  record.view.setUint32(frameAt + FRAME_OFFSET.canId, host.bus.bitrateBps, true);
  record.view.setUint32(frameAt + FRAME_OFFSET.token, node.queuedFrames, true);
  record.view.setUint32(frameAt + FRAME_OFFSET.lostBefore, node.counters, true);
  record.bytes[frameAt + WELCOME_STATE_OFFSET] = NODE_STATES.indexOf(node.state);
  return record.take();
}

function refuse(socket: Socket, reason: string): void {
  const record = new RecordBuffer(1);
  putTexts(record.bytes, record.append(Kind.refused, 0, 0), [reason]);
  socket.end(record.take());
  // No more is read from it; an end that is never answered does not keep the connection.
  socket.removeAllListeners("data");
  socket.destroySoon();
}

async function listen(server: Server, path: string): Promise<void> {
  try {
    await tryListen(server, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") {
      throw new DriverError("cannotListen", `cannot listen on ${path}: ${(error as Error).message}`, "check that the folder exists and may be written", { cause: error });
    }
    if ((await answers(path)) || !(await removeStale(path))) {
      throw new DriverError("addressInUse", `another bus emulator serves ${path}`, "stop it, or choose another socket path");
    }
    await tryListen(server, path);
  }
}

function tryListen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    // The socket file must never exist with wider rights, not even for a moment: the mask is set around the (synchronous) bind.
    const mask = isMainThread ? process.umask(0o177) : undefined;
    server.listen(path, () => {
      server.off("error", reject);
      chmodSync(path, 0o600);
      resolve();
    });
    if (mask !== undefined) process.umask(mask);
  });
}

/** Whether somebody accepts connections there. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.on("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"));
  });
}

/**
 * Removes a socket file that nobody serves. Two servers may start at once: the file is moved aside first, so that what is removed is what
 * was tested; if it turns out to be alive it is put back. Returns false then.
 */
async function removeStale(path: string): Promise<boolean> {
  const aside = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, aside);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
  const alive = await answers(aside);
  if (alive) linkSync(aside, path);
  unlinkSync(aside);
  return !alive;
}

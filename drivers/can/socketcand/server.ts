/**
 * Emulated buses as a socketcand server, so that python-can, Kayak and others join them. Each connection is one node.
 *
 * Raw mode, sending and echo; the broadcast manager, ISO-TP, statistics and the UDP beacon are not offered. Listens on loopback unless told otherwise:
 * the protocol knows no authentication.
 */
import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:net";
import { DriverError } from "../../driver.ts";
import { CanFlag } from "../frame.ts";
import type { BusHost } from "../emulator/host.ts";
import { attachInProcess } from "../emulator/inProcess.ts";
import type { BusNode } from "../emulator/node.ts";
import type { NodePort } from "../emulator/port.ts";
import type { ClientMessage } from "./protocol.ts";
import { clientMessages, encodeReceived } from "./protocol.ts";

export interface SocketcandServerOptions {
  buses: readonly BusHost[];
  /** Default 127.0.0.1. */
  listenHost?: string;
  /** Default 29536; 0 for a free one. */
  port?: number;
  /** A client that leaves so many bytes unread is cut. Default 4 MiB. */
  unreadBytesMax?: number;
  clientsMax?: number;
  /** After `< rawmode >` was answered frames are held back so long: python-can reads the answer with one `recv` and refuses it if a frame came with it. Default 20. */
  quietAfterRawmodeMs?: number;
}

export interface SocketcandServer {
  readonly port: number;
  /** Nodes of the clients that have opened a bus. */
  readonly nodes: ReadonlySet<BusNode>;
  close(): Promise<void>;
}

export function serveSocketcand(options: SocketcandServerOptions): Promise<SocketcandServer> {
  const sockets = new Set<Socket>();
  const nodes = new Set<BusNode>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    const client = new Client(socket, options, nodes);
    socket.on("close", () => {
      sockets.delete(socket);
      client.leave();
    });
    // A connection that breaks is a node that leaves: "close" follows.
    socket.on("error", () => undefined);
  });
  server.maxConnections = options.clientsMax ?? 32;
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(new DriverError("cannotListen", `socketcand server: ${error.message}`, "choose another port", { cause: error })));
    server.listen(options.port ?? 29_536, options.listenHost ?? "127.0.0.1", () => {
      resolve({
        port: (server.address() as AddressInfo).port,
        nodes,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            for (const socket of sockets) socket.destroy();
          }),
      });
    });
  });
}

class Client {
  readonly #socket: Socket;
  readonly #options: SocketcandServerOptions;
  readonly #nodes: Set<BusNode>;
  readonly #reader = clientMessages();
  #host: BusHost | undefined;
  #attached: { port: NodePort; node: BusNode } | undefined;
  #raw = false;
  #out = "";
  #token = 0;

  constructor(socket: Socket, options: SocketcandServerOptions, nodes: Set<BusNode>) {
    this.#socket = socket;
    this.#options = options;
    this.#nodes = nodes;
    socket.write("< hi >");
    socket.on("data", (bytes) => {
      this.#host?.run();
      for (const message of this.#reader.push(bytes)) {
        if (message.type === "bad") this.#say("< error unknown command >");
        else this.#take(message);
      }
      this.#flush();
    });
  }

  leave(): void {
    if (!this.#attached) return;
    this.#nodes.delete(this.#attached.node);
    void this.#attached.port.close();
    this.#attached = undefined;
  }

  #take(message: ClientMessage): void {
    switch (message.type) {
      case "open":
        this.#open(message.bus);
        break;
      case "mode":
        if (message.mode !== "rawmode" || !this.#attached) this.#say("< error mode not offered >");
        else {
          this.#say("< ok >");
          this.#flush();
          const quietMs = this.#options.quietAfterRawmodeMs ?? 20;
          if (quietMs === 0) this.#raw = true;
          else setTimeout(() => (this.#raw = true), quietMs);
        }
        break;
      case "echo":
        this.#say("< echo >");
        break;
      case "send":
        // A full queue loses the frame, as a full kernel queue would; the protocol has no word for it.
        if (this.#attached) this.#attached.port.send({ ...message.frame, token: ++this.#token });
        else this.#say("< error no bus opened >");
        break;
      default:
        message satisfies never;
    }
  }

  #open(bus: string): void {
    const host = this.#options.buses.find(({ name }) => name === bus);
    if (!host || this.#attached) {
      this.#socket.end("< error could not open bus >");
      return;
    }
    const attached = attachInProcess(host, { name: "socketcand", fd: true });
    this.#host = host;
    this.#attached = attached;
    this.#nodes.add(attached.node);
    const wallOffsetUs = Number(host.clock.wallTimeNs()) / 1e3 - host.clock.nowUs();
    attached.port.onBatch((batch) => {
      if (!this.#raw) return;
      for (let index = 0; index < batch.count; index++) {
        if ((batch.flags(index) & CanFlag.echo) !== 0) continue;
        const frame = batch.get(index);
        this.#out += encodeReceived(frame, frame.timeUs + wallOffsetUs) ?? "";
      }
      this.#flush();
    });
    this.#say("< ok >");
  }

  #say(text: string): void {
    this.#out += text;
  }

  #flush(): void {
    if (this.#out === "" || this.#socket.destroyed) return;
    this.#socket.write(this.#out);
    this.#out = "";
    if (this.#socket.writableLength > (this.#options.unreadBytesMax ?? 4 << 20)) this.#socket.destroy();
  }
}

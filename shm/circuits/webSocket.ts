/**
 * Circuits over WebSocket (RFC 6455), for browsers and other machines; the only file that imports `ws`. One frame is one binary message.
 *
 * A listening port is open to every web page that the user visits, so the server takes connections from this machine alone unless told otherwise, looks at
 * Host (a name that was re-bound to 127.0.0.1 is refused), and refuses every Origin that was not named; programs send none. Compression is off: it costs memory and leaks lengths.
 */
import type { IncomingMessage } from "node:http";
import { WebSocket, WebSocketServer } from "ws";
import { IpcnetError, Status } from "../../schemas/status.ts";
import type { FrameTransport, TransportListeners } from "./transport.ts";
import { FLUSH_MS } from "./transport.ts";

const SUBPROTOCOL = "ipcnet.circuits.1";
const FRAME_BYTES = 16_384;
/** What may wait in this process for a slow peer: a few frames, so that fresh ones do not queue behind it. */
const BUFFERED_BYTES_MAX = 65_536;
const CONNECTIONS_MAX = 64;
const OPEN_TIMEOUT_MS = 5000;

interface FrameOptions {
  frameBytesMax?: number;
}

/** Connects, or rejects with an `IpcnetError` (502) that says why. */
export async function connectWebSocket(url: string, { frameBytesMax = FRAME_BYTES }: FrameOptions = {}): Promise<FrameTransport> {
  const socket = new WebSocket(url, SUBPROTOCOL, { perMessageDeflate: false, maxPayload: frameBytesMax, handshakeTimeout: OPEN_TIMEOUT_MS, followRedirects: false });
  const transport = webSocketTransport(socket, frameBytesMax);
  await new Promise<void>((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", (error) => reject(new IpcnetError(Status.badGateway, `cannot connect to ${url}: ${error.message}`)));
  });
  return transport;
}

export interface WebSocketServerOptions extends FrameOptions {
  /** 0: any free one. */
  port: number;
  /** 127.0.0.1 by default. Another than a loopback address needs `allowRemote`. */
  host?: string;
  allowRemote?: boolean;
  /** Origins (scheme://host:port) of the web pages that may connect. None by default. */
  origins?: readonly string[];
  connectionsMax?: number;
}

export interface CircuitWebSocketServer {
  readonly port: number;
  /** Connections turned away, by reason. */
  readonly refused: Readonly<Record<"origin" | "host" | "tooMany" | "remote", number>>;
  /** Stops listening and ends what is connected. */
  close(): Promise<void>;
}

/** Listens, and hands over a transport for each connection. Rejects with an `IpcnetError`. */
export async function serveWebSockets({ port, host = "127.0.0.1", allowRemote = false, origins = [], connectionsMax = CONNECTIONS_MAX, frameBytesMax = FRAME_BYTES }: WebSocketServerOptions, onTransport: (transport: FrameTransport) => void): Promise<CircuitWebSocketServer> {
  if (!allowRemote && !isLoopback(host)) throw new IpcnetError(Status.forbidden, `${host} is reachable from other machines; set allowRemote if that is meant`);
  const refused = { origin: 0, host: 0, tooMany: 0, remote: 0 };
  const refusalOf = (request: IncomingMessage): { why: keyof typeof refused; code: number } | undefined => {
    const { origin, host: named } = request.headers;
    if (!allowRemote && !isLoopback(request.socket.remoteAddress ?? "")) return { why: "remote", code: 403 };
    if (!allowRemote && !isLoopback(hostOf(named))) return { why: "host", code: 403 };
    if (origin !== undefined && !origins.includes(origin)) return { why: "origin", code: 403 };
    return server.clients.size >= connectionsMax ? { why: "tooMany", code: 503 } : undefined;
  };
  const server = new WebSocketServer({
    port,
    host,
    perMessageDeflate: false,
    maxPayload: frameBytesMax,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    verifyClient({ req }, answer) {
      const refusal = refusalOf(req);
      if (refusal) refused[refusal.why] += 1;
      answer(!refusal, refusal?.code);
    },
  });
  server.on("connection", (socket) => onTransport(webSocketTransport(socket, frameBytesMax)));
  await new Promise<void>((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", (error) => reject(new IpcnetError(Status.serviceUnavailable, `cannot listen on ${host}:${port}: ${error.message}`)));
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : port,
    refused,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of server.clients) socket.terminate();
      }),
  };
}

/** Of a Host header: without port and brackets. */
function hostOf(header: string | undefined): string {
  return (header ?? "").replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(host);
}

function webSocketTransport(socket: WebSocket, frameBytesMax: number): FrameTransport {
  let listeners: TransportListeners | undefined;
  let ending = false;
  let why: string | undefined;
  let waiting = false;
  const ended = (text: string): void => {
    if (why !== undefined) return;
    why = text;
    if (!ending) listeners?.ended(text);
  };
  socket.binaryType = "nodebuffer";
  socket.on("error", (error) => ended(error.message));
  socket.on("close", (code) => ended(`the WebSocket was closed (${code})`));
  const early: Uint8Array[] = [];
  socket.on("message", (data, isBinary) => {
    const frame = data as Buffer; // by binaryType
    if (!isBinary) socket.close(1003, "binary frames only");
    else if (listeners) {
      if (!ending) listeners.frame(frame, []);
    } else if (early.push(frame) > 1) socket.close(1008, "nothing before our hello"); // a hello may be here before our owner is
  });
  return {
    frameBytesMax,
    carriesDescriptors: false,
    protects: false,
    get hasRoom() {
      const room = socket.readyState === WebSocket.OPEN && socket.bufferedAmount < BUFFERED_BYTES_MAX;
      waiting ||= !room;
      return room;
    },
    send(frame) {
      socket.send(frame, { binary: true }, () => {
        // A failed write is followed by "close".
        if (!waiting || socket.readyState !== WebSocket.OPEN || socket.bufferedAmount >= BUFFERED_BYTES_MAX / 2) return;
        waiting = false;
        listeners?.room();
      });
    },
    start(given) {
      listeners = given;
      if (why === undefined) for (const frame of early.splice(0)) queueMicrotask(() => given.frame(frame, []));
      else queueMicrotask(() => given.ended(why!));
    },
    end() {
      ending = true;
      socket.close(1000);
      setTimeout(() => socket.terminate(), FLUSH_MS).unref();
    },
  };
}

/** A node on an emulated bus in another process, by its Unix socket. */
import { connect } from "node:net";
import { DriverError } from "../../driver.ts";
import { FRAME_OFFSET } from "../frame.ts";
import { NodePort } from "./port.ts";
import { getTexts, HEAD_BYTES, HelloFlag, Kind, NODE_STATES, PROTOCOL_VERSION, putTexts, RECORD_BYTES, RecordBuffer, viewOf, WELCOME_STATE_OFFSET, WelcomeFlag } from "./protocol.ts";

export interface AttachOptions {
  /** Name of the bus on that server. */
  bus: string;
  /** The node's own name, for whoever looks at the bus. */
  name?: string;
  /** Number of a controller that others share by naming the same; none: one of its own. */
  controller?: number;
  fd?: boolean;
  listenOnly?: boolean;
  /** Own frames come back when the bus has taken them. Default true; without it the port cannot tell a full queue. */
  echoes?: boolean;
  /** Gives the attempt up. */
  signal?: AbortSignal;
}

const HELLO_TIMEOUT_MS = 5000;

/** Connects and attaches a node. Rejects with a `DriverError` when nobody listens there or the server refuses. */
export function attachNode(socketPath: string, options: AttachOptions): Promise<NodePort> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const echoes = options.echoes ?? true;
    let port: NodePort | undefined;
    let head = Buffer.alloc(0);
    const fail = (code: string, message: string) => {
      socket.destroy();
      if (port) port.lost(message);
      else reject(new DriverError(code, `${socketPath}: ${message}`, "start the bus emulator, or correct the path or the bus's name in the configuration"));
    };
    options.signal?.addEventListener("abort", () => {
      if (!port) fail("aborted", "the attempt was given up");
    });
    const timer = setTimeout(() => fail("noAnswer", "no answer to HELLO"), HELLO_TIMEOUT_MS);
    socket.on("connect", () => socket.write(helloRecord(options, echoes)));
    socket.on("error", (error) => fail("cannotConnect", error.message));
    socket.on("close", () => {
      clearTimeout(timer);
      fail("closed", "the bus emulator closed the connection");
    });
    socket.on("data", (chunk) => {
      if (port) {
        port.consume(chunk);
        return;
      }
      head = Buffer.concat([head, chunk]);
      if (head.length < RECORD_BYTES) return;
      if (head[0] !== Kind.welcome) {
        fail("refused", head[0] === Kind.refused ? getTexts(head, HEAD_BYTES)[0] : `unexpected record kind ${head[0]}`);
        return;
      }
      clearTimeout(timer);
      const view = viewOf(head);
      port = new NodePort(
        { bitrateBps: view.getUint32(HEAD_BYTES + FRAME_OFFSET.canId, true), fd: (head[1]! & WelcomeFlag.fd) !== 0 && (options.fd ?? false),
          queueFrames: view.getUint32(4, true), listenOnly: options.listenOnly ?? false, echoes },
        { write: (records) => void socket.write(records), close: () => closeSocket(socket) },
      );
      const counters = view.getUint32(HEAD_BYTES + FRAME_OFFSET.lostBefore, true);
      port.begin({ linkUp: (head[1]! & WelcomeFlag.linkDown) === 0, state: NODE_STATES[head[HEAD_BYTES + WELCOME_STATE_OFFSET]!] ?? "errorActive", tec: counters >>> 16, rec: counters & 0xffff });
      resolve(port);
      // Records that came with the WELCOME wait until the caller has had the chance to listen.
      const rest = head.subarray(RECORD_BYTES);
      if (rest.length > 0) {
        socket.pause();
        setImmediate(() => {
          port?.consume(rest);
          socket.resume();
        });
      }
    });
  });
}

function helloRecord(options: AttachOptions, echoes: boolean): Buffer {
  const flags = (options.fd ? HelloFlag.fd : 0) | (options.listenOnly ? HelloFlag.listenOnly : 0) | (echoes ? HelloFlag.echoes : 0);
  const hello = new RecordBuffer(1);
  const at = hello.append(Kind.hello, flags, PROTOCOL_VERSION);
  putTexts(hello.bytes, at, options.name ? [options.bus, options.name] : [options.bus]);
  hello.view.setUint32(at + FRAME_OFFSET.token, options.controller ?? 0, true);
  return hello.take();
}

/** Sends what is queued, then closes; resolves when the other side has seen it or is gone. */
function closeSocket(socket: ReturnType<typeof connect>): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) {
      resolve();
      return;
    }
    socket.on("close", () => resolve());
    socket.destroySoon();
  });
}

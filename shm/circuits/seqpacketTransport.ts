/** Circuits over a SEQPACKET connection: between two processes, with descriptors. One frame is one packet. */
import type { SeqpacketConnection } from "../sockets/index.ts";
import { SocketError } from "../sockets/index.ts";
import type { CircuitDescriptor, FrameTransport, TransportListeners } from "./transport.ts";
import { FLUSH_MS } from "./transport.ts";

/** A packet of this size leaves room for six in the kernel's buffer, and costs one copy. */
const FRAME_BYTES = 32_768;

export function seqpacketTransport(connection: SeqpacketConnection, { frameBytesMax = FRAME_BYTES }: { frameBytesMax?: number } = {}): FrameTransport {
  let behind = false;
  return {
    frameBytesMax,
    carriesDescriptors: true,
    protects: false,
    get hasRoom() {
      return !behind && connection.isOpen;
    },
    send(frame: Uint8Array, descriptors: readonly CircuitDescriptor[]) {
      const verdict = attempt(connection, frame, descriptors);
      // "closed": the connection tells its listener, when what the peer had sent was read.
      if (verdict === "lost") setImmediate(() => connection.close({ code: "system", text: "no room for a frame, or for its descriptors" }));
      behind = verdict !== "sent";
      for (const descriptor of descriptors) descriptor.close();
    },
    start(listeners: TransportListeners) {
      if (!connection.isOpen) queueMicrotask(() => listeners.ended("the connection is closed"));
      connection.onDrain(() => {
        behind = false;
        listeners.room();
      });
      connection.onClose(({ code, text }) => {
        if (code !== "local") listeners.ended(text);
      });
      connection.onPacket((bytes, at, lengthBytes, descriptors) => listeners.frame(bytes.subarray(at, at + lengthBytes), descriptors));
    },
    end() {
      connection.end();
      setTimeout(() => connection.close(), FLUSH_MS).unref();
    },
  };
}

/** lost: the connection cannot go on, because a frame that was taken from the core is never taken again. */
function attempt(connection: SeqpacketConnection, frame: Uint8Array, descriptors: readonly CircuitDescriptor[]): "sent" | "queued" | "closed" | "lost" {
  try {
    const verdict = connection.send(frame, 0, frame.length, descriptors);
    return verdict === "full" ? "lost" : verdict;
  } catch (error) {
    if (error instanceof SocketError) return "lost"; // EMFILE: no duplicates for the queue
    throw error;
  }
}

/** Circuits over a SEQPACKET connection: between two processes, with descriptors. One frame is one packet. */
import type { SeqpacketConnection } from "../sockets/index.ts";
import type { CircuitDescriptor, FrameTransport, TransportListeners } from "./transport.ts";

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
      // "closed": the connection tells its listener, when what the peer had sent was read.
      behind = connection.send(frame, 0, frame.length, descriptors) !== "sent";
      for (const descriptor of descriptors) descriptor.close();
    },
    start(listeners: TransportListeners) {
      connection.onDrain(() => {
        behind = false;
        listeners.room();
      });
      connection.onClose(({ code, text }) => {
        if (code !== "local") listeners.ended(text);
      });
      connection.onPacket((bytes, at, lengthBytes, descriptors) => listeners.frame(bytes.subarray(at, at + lengthBytes), descriptors));
    },
    end: () => connection.end(),
  };
}

/** An MQTT client that subscribes and never reads again: its connection stays open, its socket fills. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

export { freePort } from "../schemas/testing.ts";

export interface FrozenClient {
  socket: Socket;
  /** Whether the broker has cut it. */
  cut(): boolean;
}

export async function freezeMqttClient(port: number, topic: string): Promise<FrozenClient> {
  const socket = connect(port, "127.0.0.1");
  let gone = false;
  socket.on("error", () => {
    gone = true;
  });
  socket.on("close", () => {
    gone = true;
  });
  // CONNECT: protocol MQTT, level 4, clean session, keep-alive off.
  socket.write(packet(0x10, Buffer.concat([text("MQTT"), Buffer.of(4, 2, 0, 0), text("bench-frozen")])));
  await once(socket, "data");
  // SUBSCRIBE, packet 1, QoS 0.
  socket.write(packet(0x82, Buffer.concat([Buffer.of(0, 1), text(topic), Buffer.of(0)])));
  await once(socket, "data");
  socket.pause();
  return { socket, cut: () => gone };
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 0xff), bytes]);
}

/** All packets here are shorter than 128 bytes: one byte of length. */
function packet(kind: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.of(kind, body.length), body]);
}

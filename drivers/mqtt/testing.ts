/** What the MQTT tests share: waiting for a fact instead of a time, an MQTT client of another make, and a subscriber that stops reading. */
import type { Socket } from "node:net";
import { connect as connectTcp } from "node:net";
import { connectAsync } from "mqtt";
import type { IClientOptions, IPublishPacket, MqttClient } from "mqtt";
import { hashPassword } from "./accounts.ts";
import type { MqttUser } from "./accounts.ts";

export async function user(name: string, password: string, publish: readonly string[], subscribe: readonly string[]): Promise<MqttUser> {
  return { name, passwordScrypt: await hashPassword(password), publish, subscribe };
}

export function join(port: number, options: IClientOptions = {}): Promise<MqttClient> {
  return connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, protocolVersion: 5, connectTimeout: 5000, ...options }, false);
}

/** CONNECT and SUBSCRIBE by hand (MQTT 3.1.1), then never reads again: what a frozen process looks like from outside. */
export async function frozenSubscriber(port: number, { filter, username, password }: { filter: string; username: string; password: string }): Promise<Socket> {
  const socket = connectTcp(port, "127.0.0.1");
  const text = (value: string): number[] => [0, value.length, ...Buffer.from(value)];
  const packet = (kind: number, body: number[]): Buffer => Buffer.from([kind, body.length, ...body]);
  socket.on("error", () => undefined); // the broker will reset it
  socket.write(packet(0x10, [...text("MQTT"), 4, 0xc2, 0, 0, ...text("frozen"), ...text(username), ...text(password)]));
  socket.write(packet(0x82, [0, 1, ...text(filter), 0]));
  let seen = Buffer.alloc(0);
  await new Promise<void>((resolve, reject) => {
    socket.on("data", (bytes) => {
      seen = Buffer.concat([seen, bytes]);
      // CONNACK (4 bytes) and SUBACK (5 bytes).
      if (seen.length >= 9) resolve();
    });
    socket.once("close", () => reject(new Error("the broker hung up on the subscriber")));
  });
  socket.removeAllListeners("data");
  socket.pause();
  return socket;
}

export function nextMessage(client: MqttClient): Promise<{ topic: string; text: string; packet: IPublishPacket }> {
  return new Promise((resolve) => {
    client.once("message", (topic, payload, packet) => resolve({ topic, text: payload.toString(), packet }));
  });
}

export function closed(client: MqttClient): Promise<void> {
  return new Promise((resolve) => {
    client.once("close", resolve);
  });
}
